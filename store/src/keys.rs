//! The keys of the store. Names are written so that none of them has a `/`.

use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::ipam::Owner;

/// What a tenant's pods need to know of it.
pub fn ready(tenant: &str) -> String {
    format!("ready/{}", segment(tenant))
}

/// The tenant's spec, as `midoform push` put it.
pub fn spec(tenant: &str) -> String {
    format!("spec/{}", segment(tenant))
}

/// The site file, as `midoform push` put it.
pub const SITE: &str = "site";

/// The right to change a tenant, or whatever else one at a time may do.
pub fn lock(name: &str) -> String {
    format!("lock/{}", segment(name))
}

/// The name of a tenant's lock.
pub fn tenant_lock(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

/// Below it: what somebody holds alone, for as long as a lease lasts.
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

/// Below it: the claims of a tenant's pod addresses.
pub fn addresses(tenant: &str) -> String {
    format!("pod/{}/address/", segment(tenant))
}

/// The claim of one address.
pub fn address(tenant: &str, address: Ipv4Addr) -> String {
    format!("{}{:08x}", addresses(tenant), spread(address))
}

/// Below it: a tenant's released addresses, the one that was released first coming first.
pub fn free(tenant: &str) -> String {
    format!("pod/{}/free/", segment(tenant))
}

/// A released address.
pub fn freed(tenant: &str, since: u64, address: Ipv4Addr) -> String {
    format!("{}{since:016x}/{:08x}", free(tenant), spread(address))
}

/// An address with its bits in the other order: neighbours lie far apart, and the addresses of every network lie
/// evenly over all keys, so that a few keys from anywhere on show the same share of each network.
pub fn spread(address: Ipv4Addr) -> u32 {
    u32::from(address).reverse_bits()
}

/// The other way round.
pub fn gathered(spread: u32) -> Ipv4Addr {
    Ipv4Addr::from(spread.reverse_bits())
}

/// The address at the end of a key of [`address`] or [`freed`].
pub fn address_of(key: &str) -> Option<Ipv4Addr> {
    let last = key.rsplit('/').next()?;
    (last.len() == 8).then(|| u32::from_str_radix(last, 16).ok().map(gathered))?
}

/// When the address of a key of [`freed`] was released.
pub fn freed_since(key: &str) -> Option<u64> {
    let time = key.rsplit('/').nth(1)?;
    u64::from_str_radix(time, 16).ok()
}

/// Below it: what is attached on a host, through one network's configuration.
pub fn attachments(host: Uuid, network: &str) -> String {
    format!("{}{}/", attachments_of_host(host), segment(network))
}

/// Below it: what is attached on a host.
pub fn attachments_of_host(host: Uuid) -> String {
    format!("{ATTACHMENTS}{host}/")
}

/// Below it: everything that is attached.
pub const ATTACHMENTS: &str = "attachment/";

/// What a container's interface is attached to.
pub fn attachment(host: Uuid, owner: &Owner) -> String {
    let Owner { network, container, interface } = owner;
    format!("{}{}/{}", attachments(host, network), segment(container), segment(interface))
}

/// Where a port that a container left is being deleted.
pub fn reclaiming(host: Uuid, owner: &Owner) -> String {
    format!("{RECLAIMING}{}", attachment(host, owner).trim_start_matches(ATTACHMENTS))
}

/// Below it: what is being deleted.
pub const RECLAIMING: &str = "reclaim/";

/// A name as a part of a key: whatever is not a letter, a digit, `.`, `_`, `-`, `:` or `@` as `%` and two hex digits
/// for each of its bytes.
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

/// The name that a part of a key stands for.
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
