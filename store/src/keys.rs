//! The keys of the store. Names in keys are encoded so that they contain no `/`.

use std::net::Ipv4Addr;

use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use crate::owner::Owner;

/// The tenant as its pods need it: it is ready for them while this key exists.
pub fn ready(tenant: &str) -> String {
    format!("ready/{}", segment(tenant))
}

/// The tenant's spec, as `midoform push` stored it.
pub fn spec(tenant: &str) -> String {
    format!("spec/{}", segment(tenant))
}

/// The site file, as `midoform push` stored it.
pub const SITE: &str = "site";

/// A lock: on a tenant, or on anything else that one at a time may change.
pub fn lock(name: &str) -> String {
    format!("lock/{}", segment(name))
}

/// The name of a tenant's lock.
pub fn tenant_lock(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

/// The prefix of all locks.
pub const LOCKS: &str = "lock/";

/// The allocations of a tenant, but for its ids.
pub fn tenant_allocation(tenant: &str) -> String {
    format!("given/tenant/{}", segment(tenant))
}

/// The ids of a tenant that don't follow from the keys: of the server's choosing (MidoNet 1.x), and of what was adopted.
pub fn tenant_ids(tenant: &str) -> String {
    format!("given/ids/{}", segment(tenant))
}

/// The link between two peers, by pair name (`a/b`).
pub fn peer_link(pair: &str) -> String {
    let (one, other) = pair.split_once('/').unwrap_or((pair, ""));
    format!("given/peer/{}/{}", segment(one), segment(other))
}

/// The prefix of all allocations.
pub const ALLOCATIONS: &str = "given/";

/// A counter that is compared and written with each allocation: of two runs that pick the same addresses at once, the
/// second one is refused.
pub const POOLS: &str = "given/pools";

/// The prefix of a tenant's addresses.
pub fn addresses(tenant: &str) -> String {
    format!("pod/{}/address/", segment(tenant))
}

/// An address: its holder, or the time of its release.
pub fn address(tenant: &str, address: Ipv4Addr) -> String {
    format!("{}{:08x}", addresses(tenant), spread(address))
}

/// The prefix of a tenant's free addresses, in the order of their release.
pub fn free(tenant: &str) -> String {
    format!("pod/{}/free/", segment(tenant))
}

/// The second key of a free address.
pub fn freed(tenant: &str, since: u64, address: Ipv4Addr) -> String {
    format!("{}{since:016x}/{:08x}", free(tenant), spread(address))
}

/// Returns an address with its bits in reverse order. So the addresses of every network are spread evenly over all keys,
/// and any few neighbouring keys show the same share of each network.
pub fn spread(address: Ipv4Addr) -> u32 {
    u32::from(address).reverse_bits()
}

/// Returns the address of a [`spread`] one.
pub fn unspread(spread: u32) -> Ipv4Addr {
    Ipv4Addr::from(spread.reverse_bits())
}

/// Returns the address of a key of [`address`] or [`freed`].
pub fn address_of(key: &str) -> Option<Ipv4Addr> {
    let last = key.rsplit('/').next()?;
    (last.len() == 8).then(|| u32::from_str_radix(last, 16).ok().map(unspread))?
}

/// Returns the time of the release in a key of [`freed`].
pub fn freed_since(key: &str) -> Option<u64> {
    let time = key.rsplit('/').nth(1)?;
    u64::from_str_radix(time, 16).ok()
}

/// A MAC address that does not follow from its pod's address: its holder in a bridge.
pub fn mac(tenant: &str, mac: MacAddress, bridge: Uuid) -> String {
    format!("{}{bridge}", macs(tenant, mac))
}

/// The prefix of a MAC address in all bridges of a tenant.
pub fn macs(tenant: &str, mac: MacAddress) -> String {
    format!("{MACS}{}/{}/", segment(tenant), hex::encode(mac.0))
}

/// The prefix of all MAC addresses.
pub const MACS: &str = "mac/";

/// Returns the bridge of a key of [`mac`].
pub fn bridge_of_mac(key: &str) -> Option<Uuid> {
    Uuid::try_parse(key.rsplit('/').next()?).ok()
}

/// The prefix of the attachments of a host by one network configuration.
pub fn attachments(host: Uuid, network: &str) -> String {
    format!("{}{}/", attachments_of_host(host), segment(network))
}

/// The prefix of the attachments of a host.
pub fn attachments_of_host(host: Uuid) -> String {
    format!("{ATTACHMENTS}{host}/")
}

/// The prefix of all attachments.
pub const ATTACHMENTS: &str = "attachment/";

/// The attachment of a container's interface.
pub fn attachment(host: Uuid, owner: &Owner) -> String {
    let Owner { network, container, interface } = owner;
    format!("{}{}/{}", attachments(host, network), segment(container), segment(interface))
}

/// The mark that the port that a container left is being deleted.
pub fn reclaiming(host: Uuid, owner: &Owner) -> String {
    format!("{RECLAIMING}{}", attachment(host, owner).trim_start_matches(ATTACHMENTS))
}

/// The prefix of these marks.
pub const RECLAIMING: &str = "reclaim/";

/// Encodes a name as a part of a key: each byte that is not a letter, a digit or one of `._-:@` becomes `%` and two hex
/// digits.
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
}

/// Decodes a part of a key to the name.
pub fn name_of(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}
