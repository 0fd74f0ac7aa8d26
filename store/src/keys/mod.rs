//! The keys of the store. Names in keys are encoded so that they contain no `/`. The functions build keys, [`KeyKind`]
//! takes them apart.

#[cfg(test)]
mod reference;

use std::net::Ipv4Addr;

use midoform_compiler::names::{PeerPair, TenantName};
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use crate::owner::Owner;

/// The kind of value that a key holds, with the names in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The site file ([`SITE`]).
    Site,
    /// A tenant's spec ([`spec`]).
    Spec(TenantName),
    /// A tenant as its pods need it ([`ready`]).
    Ready(TenantName),
    /// A lock ([`lock`]).
    Lock,
    /// A part of the allocations.
    Allocation(AllocationKey),
    /// An address of a tenant ([`address`]).
    Address(TenantName, Ipv4Addr),
    /// A free address of a tenant ([`freed`]).
    Freed {
        /// The tenant.
        tenant: TenantName,
        /// The time of the release.
        since: u64,
        /// The address.
        address: Ipv4Addr,
    },
    /// The MAC address of a pod in a bridge ([`mac`]).
    Mac(Uuid),
    /// An attachment ([`attachment`]).
    Attachment,
    /// The mark of a port that is being deleted ([`reclaiming`]).
    PortDeletion,
}

/// A key below [`ALLOCATIONS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllocationKey {
    /// The allocations of a tenant, but for its ids ([`tenant_allocation`]).
    Tenant(TenantName),
    /// The ids of a tenant ([`tenant_ids`]).
    Ids(TenantName),
    /// The link between two peers ([`peer_link`]).
    Peer(PeerPair),
    /// The last generation of ids of a tenant, or of an object of the site ([`generation`]).
    Generation(Key),
    /// A host that midoform put into the tunnel zone ([`zone_host`]).
    ZoneHost(Uuid),
    /// The counter ([`POOLS`]).
    Pools,
}

impl AllocationKey {
    /// Returns the part of the allocations that a key holds; none for other keys, and for keys of a newer midoform.
    pub(crate) fn of(key: &str) -> Option<AllocationKey> {
        match KeyKind::of(key)? {
            KeyKind::Allocation(key) => Some(key),
            _ => None,
        }
    }

    /// Reads the segments behind [`ALLOCATIONS`].
    fn of_segments(segments: &[&str]) -> Option<AllocationKey> {
        Some(match segments {
            ["tenant", name] => AllocationKey::Tenant(tenant_of(name)?),
            ["ids", name] => AllocationKey::Ids(tenant_of(name)?),
            ["peer", one, other] => {
                let (one, other) = (tenant_of(one)?, tenant_of(other)?);
                (one < other).then(|| AllocationKey::Peer(PeerPair::new(one, other)))?
            }
            ["generation", name] => AllocationKey::Generation(Key::new(name_of(name)?)),
            ["zone-host", id] => AllocationKey::ZoneHost(Uuid::try_parse(id).ok()?),
            ["pools"] => AllocationKey::Pools,
            _ => return None,
        })
    }
}

fn tenant_of(segment: &str) -> Option<TenantName> {
    name_of(segment).map(TenantName::from)
}

impl KeyKind {
    /// Returns the kind of a key; none for keys of a newer midoform.
    pub fn of(key: &str) -> Option<KeyKind> {
        let parts: Vec<&str> = key.split('/').collect();
        Some(match parts.as_slice() {
            ["site"] => KeyKind::Site,
            ["spec", name] => KeyKind::Spec(tenant_of(name)?),
            ["ready", name] => KeyKind::Ready(tenant_of(name)?),
            ["lock", _] => KeyKind::Lock,
            ["given", segments @ ..] => KeyKind::Allocation(AllocationKey::of_segments(segments)?),
            ["pod", name, "address", _] => KeyKind::Address(tenant_of(name)?, address_of(key)?),
            ["pod", name, "free", _, _] => KeyKind::Freed {
                tenant: tenant_of(name)?,
                since: freed_since(key)?,
                address: address_of(key)?,
            },
            ["mac", _, _, bridge] => KeyKind::Mac(Uuid::try_parse(bridge).ok()?),
            ["attachment", ..] => KeyKind::Attachment,
            ["reclaim", ..] => KeyKind::PortDeletion,
            _ => return None,
        })
    }
}

/// The prefix of all tenants that are ready.
pub(crate) const READY: &str = "ready/";

/// The prefix of all addresses, held and free.
pub(crate) const ADDRESSES: &str = "pod/";

/// Returns the key of a tenant as its pods need it. The tenant is ready for pods while this key exists.
pub fn ready(tenant: &str) -> String {
    format!("ready/{}", segment(tenant))
}

/// Returns the key of the tenant's spec, as `midoform push` stored it.
pub fn spec(tenant: &str) -> String {
    format!("spec/{}", segment(tenant))
}

/// The site file, as `midoform push` stored it.
pub const SITE: &str = "site";

/// Returns the key of a lock: on a tenant, or on anything else that one process at a time may change.
pub fn lock(name: &str) -> String {
    format!("lock/{}", segment(name))
}

/// Returns the name of a tenant's lock.
pub fn tenant_lock(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

/// The prefix of all locks.
pub const LOCKS: &str = "lock/";

/// Returns the key of the allocations of a tenant, except its ids.
pub fn tenant_allocation(tenant: &str) -> String {
    format!("given/tenant/{}", segment(tenant))
}

/// Returns the key of a tenant's ids that don't follow from the keys: those that the server chose (MidoNet 1.x), and those
/// of adopted objects.
pub fn tenant_ids(tenant: &str) -> String {
    format!("given/ids/{}", segment(tenant))
}

/// Returns the key of the link between two peers.
pub fn peer_link(pair: &PeerPair) -> String {
    format!("given/peer/{}/{}", segment(pair.first()), segment(pair.second()))
}

/// Returns the key of the last generation of ids of a tenant, or of an object of the site.
pub fn generation(owner: &Key) -> String {
    format!("given/generation/{}", segment(owner.as_str()))
}

/// Returns the key of a host that midoform put into the tunnel zone.
pub fn zone_host(host: Uuid) -> String {
    format!("given/zone-host/{host}")
}

/// The prefix of all allocations. It is older than the word "allocation", and is part of the stored format: it stays.
pub const ALLOCATIONS: &str = "given/";

/// A counter that is compared and written with each allocation: of two runs that pick the same addresses at once, the
/// second one is refused.
pub const POOLS: &str = "given/pools";

/// Returns the prefix of a tenant's addresses.
pub fn addresses(tenant: &str) -> String {
    format!("pod/{}/address/", segment(tenant))
}

/// Returns the key of an address. Its value is the holder, or the time of the release.
pub fn address(tenant: &str, address: Ipv4Addr) -> String {
    format!("{}{:08x}", addresses(tenant), spread(address))
}

/// Returns the prefix of a tenant's free addresses, in the order of their release.
pub fn free(tenant: &str) -> String {
    format!("pod/{}/free/", segment(tenant))
}

/// Returns the second key of a free address.
pub fn freed(tenant: &str, since: u64, address: Ipv4Addr) -> String {
    format!("{}{since:016x}/{:08x}", free(tenant), spread(address))
}

/// Returns an address with its bits in reverse order. So the addresses of every network are spread evenly over all keys,
/// and any few neighbouring keys show the same share of each network.
pub fn spread(address: Ipv4Addr) -> u32 {
    u32::from(address).reverse_bits()
}

/// Returns the address of a [`spread`] one.
pub(crate) fn unspread(spread: u32) -> Ipv4Addr {
    Ipv4Addr::from(spread.reverse_bits())
}

/// Returns the address of a key of [`address`] or [`freed`].
pub(crate) fn address_of(key: &str) -> Option<Ipv4Addr> {
    let last = key.rsplit('/').next()?;
    (last.len() == 8).then(|| u32::from_str_radix(last, 16).ok().map(unspread))?
}

/// Returns the time of the release in a key of [`freed`].
pub(crate) fn freed_since(key: &str) -> Option<u64> {
    let time = key.rsplit('/').nth(1)?;
    u64::from_str_radix(time, 16).ok()
}

/// Returns the key of a MAC address that does not follow from its pod's address. Its value is the holder in a bridge.
pub fn mac(tenant: &str, mac: MacAddress, bridge: Uuid) -> String {
    format!("{}{bridge}", macs(tenant, mac))
}

/// Returns the prefix of a MAC address in all bridges of a tenant.
pub fn macs(tenant: &str, mac: MacAddress) -> String {
    format!("{MACS}{}/{}/", segment(tenant), hex::encode(mac.0))
}

/// The prefix of all MAC addresses.
pub const MACS: &str = "mac/";

/// Returns the bridge of a key of [`mac`].
pub(crate) fn bridge_of_mac(key: &str) -> Option<Uuid> {
    match KeyKind::of(key)? {
        KeyKind::Mac(bridge) => Some(bridge),
        _ => None,
    }
}

/// Returns the prefix of the attachments of a host by one network configuration.
pub fn attachments(host: Uuid, network: &str) -> String {
    format!("{}{}/", attachments_of_host(host), segment(network))
}

/// Returns the prefix of the attachments of a host.
pub fn attachments_of_host(host: Uuid) -> String {
    format!("{ATTACHMENTS}{host}/")
}

/// The prefix of all attachments.
pub const ATTACHMENTS: &str = "attachment/";

/// Returns the key of the attachment of a container's interface.
pub fn attachment(host: Uuid, owner: &Owner) -> String {
    let Owner { network, container, interface } = owner;
    format!("{}{}/{}", attachments(host, network), segment(container), segment(interface))
}

/// Returns the key of the mark that the port of a removed container is being deleted.
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
fn name_of(segment: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_the_kind_that_it_was_built_as() {
        let (tenant, host, address_1) = ("a/b %é", Uuid::from_u128(7), Ipv4Addr::new(10, 0, 0, 1));
        let name = TenantName::from(tenant);
        let pair = PeerPair::new("web".into(), name.clone());
        let router = Key::site().provider_router();
        let owner =
            Owner { network: "n/1".to_owned(), container: "c".to_owned(), interface: "eth0".to_owned() };
        let cases = [
            (SITE.to_owned(), KeyKind::Site),
            (spec(tenant), KeyKind::Spec(name.clone())),
            (ready(tenant), KeyKind::Ready(name.clone())),
            (lock(&tenant_lock(tenant)), KeyKind::Lock),
            (tenant_allocation(tenant), KeyKind::Allocation(AllocationKey::Tenant(name.clone()))),
            (tenant_ids(tenant), KeyKind::Allocation(AllocationKey::Ids(name.clone()))),
            (peer_link(&pair), KeyKind::Allocation(AllocationKey::Peer(pair))),
            (generation(&router), KeyKind::Allocation(AllocationKey::Generation(router))),
            (POOLS.to_owned(), KeyKind::Allocation(AllocationKey::Pools)),
            (address(tenant, address_1), KeyKind::Address(name.clone(), address_1)),
            (freed(tenant, 9, address_1), KeyKind::Freed { tenant: name, since: 9, address: address_1 }),
            (mac(tenant, MacAddress([2, 0, 0, 0, 0, 1]), host), KeyKind::Mac(host)),
            (attachment(host, &owner), KeyKind::Attachment),
            (reclaiming(host, &owner), KeyKind::PortDeletion),
        ];
        for (key, kind) in cases {
            assert_eq!(KeyKind::of(&key), Some(kind), "{key}");
        }
    }

    #[test]
    fn other_keys_have_no_kind() {
        let cases = [
            "",
            "sites",
            "spec",
            "spec/a/b",
            "spec/%zz",
            "given/peer/b/a",
            "given/peer/a",
            "given/other",
            "pod/a/address/1",
            "pod/a/address/xxxxxxxx",
            "pod/a/free/xx/00000001",
            "pod/a/free/00000001",
        ];
        for key in cases {
            assert_eq!(KeyKind::of(key), None, "{key}");
        }
    }
}
