//! Allocates what a spec leaves open: link addresses and bridge networks. An allocation never moves another one.
//!
//! The search for a free network starts at a hash of the key, not at the beginning of the pool: two branches that
//! each add a tenant rarely pick the same network.
//!
//! [`Allocations`] has one serde form. The lock file is that form in TOML ([`crate::network::lock_file`]), the other
//! stores keep it cut into keys, and a saved plan holds it as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::names::{PeerPair, TenantName};
use crate::network::address_ranges::{AddressRanges, block_of};
use crate::network::peering::PeersOf;
use crate::network::provider_use::{Neighbours, TakenLinks};
use crate::source::{Span, Spanned};
use crate::spec;
use crate::topology::generations::OF_A_RUN;
use crate::topology::key::Key;
use crate::topology::kinds::Object;

/// Everything that is allocated on a site: the content of the lock file, or of another store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allocations {
    /// The allocations of each tenant, by its name.
    pub tenants: BTreeMap<TenantName, TenantAllocation>,
    /// The link addresses of each pair of peers.
    pub peers: BTreeMap<PeerPair, LinkAddresses>,
    /// The last generation of ids of each tenant, also of those that are gone, and of the site's objects. Without one it is 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub generations: BTreeMap<Key, u32>,
    /// The hosts that midoform put into the site's tunnel zone, by id, each with its name in the site file. A membership has no id
    /// and no name that could show who made it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub zone_hosts: BTreeMap<Uuid, String>,
}

impl Allocations {
    /// Returns the allocations of these tenants, and of the pairs that one of them belongs to.
    #[must_use]
    pub fn of_tenants(&self, tenants: &BTreeSet<TenantName>) -> Allocations {
        let own = self.tenants.iter().filter(|(name, _)| tenants.contains(*name));
        let pairs = self.peers.iter().filter(|(pair, _)| pair.has_one_of(tenants));
        let generations = self.generations.iter().filter(|(key, _)| tenants.contains(key.as_str()));
        Allocations {
            tenants: own.map(|(name, tenant)| (name.clone(), tenant.clone())).collect(),
            peers: pairs.map(|(pair, link)| (pair.clone(), *link)).collect(),
            generations: generations.map(|(key, generation)| (key.clone(), *generation)).collect(),
            zone_hosts: BTreeMap::new(),
        }
    }
}

/// The allocations of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantAllocation {
    /// True if a plan with these addresses was applied, or an apply of it has begun. A repair moves only addresses of
    /// tenants without objects.
    pub applied: bool,
    /// True while an apply or a destroy runs, or if the last one was interrupted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// The generation of ids of the tenant's first objects. It is not 0 if there was a tenant of this name before.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_generation: u32,
    /// True if the tenant's spec said `protect = true` when it was last applied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// MidoNet's `tenantId`, where it comes from Keystone: the id of the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// True if midoform created that project.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub project_made: bool,
    /// The link to the provider router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkAddresses>,
    /// The names of the static ports that exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// The objects that an interrupted run was creating, by key (MidoNet 1.x: only the server knows their ids). The
    /// next run recognises them, even if the spec no longer has them.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "objects_by_key")]
    pub making: Vec<(Key, Object)>,
    /// The renamings of chains and circles (`[[moved]]`: a to b, b to a) that these allocations follow already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<String>,
    /// The network of each bridge, by the bridge's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "bridge")]
    pub bridges: BTreeMap<String, Ipv4Net>,
    /// The bridges that were added because a bridge of the spec was full: the name of the new one, then of the full one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grown: BTreeMap<String, String>,
    /// The ids that don't follow from the keys and the first generation: those of objects that were made later, those that the
    /// server chose (MidoNet 1.x: ports, rules, routes), and those of adopted objects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "id")]
    pub ids: BTreeMap<Key, Uuid>,
}

impl TenantAllocation {
    /// Returns true if the tenant may have objects in the network. Its addresses must not move then.
    pub fn may_exist(&self) -> bool {
        self.applied || !self.ids.is_empty() || !self.making.is_empty()
    }
}

fn is_zero(generation: &u32) -> bool {
    *generation == 0
}

/// Reads objects with their keys: pairs, or the texts of the lock file (the key, a space, and the object as JSON).
fn objects_by_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Key, Object)>, D::Error> {
    struct Pair(Key, Object);
    struct PairVisitor;
    impl<'de> Deserialize<'de> for Pair {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pair, D::Error> {
            deserializer.deserialize_any(PairVisitor)
        }
    }
    impl<'de> Visitor<'de> for PairVisitor {
        type Value = Pair;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a key with an object")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Pair, E> {
            let wrong = || E::invalid_value(Unexpected::Str(text), &self);
            let (key, object) = text.split_once(' ').ok_or_else(wrong)?;
            Ok(Pair(Key::from(key), serde_json::from_str(object).map_err(|_| wrong())?))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair, A::Error> {
            let wrong = || de::Error::invalid_length(1, &PairVisitor);
            let key = pair.next_element()?.ok_or_else(wrong)?;
            Ok(Pair(key, pair.next_element()?.ok_or_else(wrong)?))
        }
    }
    let pairs = Vec::<Pair>::deserialize(deserializer)?;
    Ok(pairs.into_iter().map(|Pair(key, object)| (key, object)).collect())
}

/// The two addresses of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkAddresses {
    /// The address of the provider router; between peers: of the tenant whose name comes first.
    pub provider: Ipv4Addr,
    /// The address of the tenant router; between peers: of the tenant whose name comes second.
    pub tenant: Ipv4Addr,
}

impl LinkAddresses {
    /// Returns the /30 of the first address.
    pub fn block(&self) -> Ipv4Net {
        block_of(self.provider)
    }
}

/// Allocates what the specs of `tenants` leave open. Everything in `known` stays as it is, also for other tenants;
/// addresses that a spec pins take precedence. `neighbours` says what somebody else uses on the provider router: new links keep
/// out of its way, and so does a link that was never applied. `peers` lists the peers that these tenants and their peers name.
pub fn allocate(
    site: &spec::Site,
    tenants: &[spec::Tenant],
    peers: &PeersOf,
    known: &Allocations,
    neighbours: &Neighbours,
    diagnostics: &mut Diagnostics,
) -> Allocations {
    let mut sorted: Vec<&spec::Tenant> = tenants.iter().collect();
    sorted.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    sorted.dedup_by(|a, b| a.name.value == b.name.value);
    let mut allocations = known.clone();
    keep_what_the_specs_name(&sorted, &mut allocations);
    links(site, &sorted, &mut allocations, neighbours, diagnostics);
    bridges(site, &sorted, peers, &mut allocations, diagnostics);
    allocations
}

/// Takes over the addresses that the specs pin, and removes what the specs no longer name.
fn keep_what_the_specs_name(tenants: &[&spec::Tenant], allocations: &mut Allocations) {
    for tenant in tenants {
        let entry = allocations.tenants.entry(tenant.name.value.clone()).or_default();
        if !entry.may_exist() {
            let last = allocations.generations.get(&Key::new(tenant.name.value.as_str()));
            entry.first_generation = last.map_or(0, |last| last.saturating_add(OF_A_RUN));
        }
        if let Some(pin) = &tenant.link {
            entry.link = Some(LinkAddresses { provider: pin.provider.value, tenant: pin.tenant.value });
        }
        let named: BTreeSet<&str> = tenant.bridges.iter().map(|bridge| bridge.name.value.as_str()).collect();
        entry.bridges.retain(|name, _| named.contains(name.as_str()));
        entry.grown = added_bridges(tenant);
        for bridge in &tenant.bridges {
            if let Some(cidr) = &bridge.cidr {
                entry.bridges.insert(bridge.name.value.clone(), cidr.value);
            }
        }
    }
}

/// Returns the bridges of a spec that were added, each with the bridge that it was added for.
fn added_bridges(spec: &spec::Tenant) -> BTreeMap<String, String> {
    let added = spec
        .bridges
        .iter()
        .filter_map(|bridge| Some((bridge.name.value.clone(), bridge.grown_from.clone()?)));
    added.collect()
}

/// Returns the pairs of tenants that name each other, in order.
fn mutual_peers(tenants: &[&spec::Tenant]) -> Vec<PeerPair> {
    let by_name: BTreeMap<&str, &spec::Tenant> =
        tenants.iter().map(|t| (t.name.value.as_str(), *t)).collect();
    let names = |from: &spec::Tenant, to: &TenantName| from.peers.iter().any(|peer| peer.tenant.value == *to);
    let mut pairs = Vec::new();
    for tenant in tenants {
        for peer in &tenant.peers {
            let is_mutual =
                by_name.get(peer.tenant.value.as_str()).is_some_and(|other| names(other, &tenant.name.value));
            if is_mutual && tenant.name.value < peer.tenant.value {
                pairs.push(PeerPair::new(tenant.name.value.clone(), peer.tenant.value.clone()));
            }
        }
    }
    pairs.sort();
    pairs.dedup();
    pairs
}

/// Releases the links whose addresses somebody else uses now, if they were never applied or have to move.
fn move_away(
    tenants: &[&spec::Tenant],
    allocations: &mut Allocations,
    others: &TakenLinks,
    moved: &BTreeSet<TenantName>,
) {
    for tenant in tenants.iter().filter(|tenant| tenant.link.is_none()) {
        let Some(entry) = allocations.tenants.get_mut(&tenant.name.value) else { continue };
        let is_taken = |link: LinkAddresses| {
            [link.provider, link.tenant].into_iter().any(|address| others.overlaps(block_of(address)))
        };
        let may_move = !entry.may_exist() || moved.contains(&tenant.name.value);
        if may_move && entry.link.is_some_and(is_taken) {
            entry.link = None;
        }
    }
}

fn links(
    site: &spec::Site,
    tenants: &[&spec::Tenant],
    allocations: &mut Allocations,
    neighbours: &Neighbours,
    diagnostics: &mut Diagnostics,
) {
    let others = &TakenLinks::of(&neighbours.others, &site.pools.links);
    move_away(tenants, allocations, others, &neighbours.moved);
    let pairs = mutual_peers(tenants);
    let present =
        |name: &str| tenants.binary_search_by(|tenant| tenant.name.value.as_str().cmp(name)).is_ok();
    allocations.peers.retain(|pair, _| {
        pairs.binary_search(pair).is_ok() || pair.tenants().into_iter().any(|name| !present(name))
    });
    let mut taken: AddressRanges<()> = AddressRanges::default();
    let of_tenants = allocations.tenants.values().filter_map(|tenant| tenant.link);
    for link in of_tenants.chain(allocations.peers.values().copied()) {
        for block in [block_of(link.provider), block_of(link.tenant)] {
            let _ = taken.take_network(block, ());
        }
    }
    let slots = Slots::new(&site.pools.links, 30);
    let mut is_full = false;
    let mut find = |start: &str, span: Span| {
        // One error says that the pool is full.
        if is_full {
            return None;
        }
        let Some(block) =
            slots.find(start, |block| taken.overlapping_network(block).is_none() && !others.overlaps(block))
        else {
            diagnostics.push(full(Code::LinkPoolFull, span, "links", &site.pools.links, slots.count, 30));
            is_full = true;
            return None;
        };
        let _ = taken.take_network(block, ());
        let address = |offset| Ipv4Addr::from(u32::from(block.network()) + offset);
        Some(LinkAddresses { provider: address(1), tenant: address(2) })
    };
    for tenant in tenants {
        let entry = allocations.tenants.entry(tenant.name.value.clone()).or_default();
        if entry.link.is_none() {
            let key = Key::tenant(&tenant.name.value).uplink_addresses();
            // Two sites that move at the same time must not meet again.
            let start = match neighbours.moved.contains(&tenant.name.value) {
                true => format!("{} {key}", site.name.value),
                false => key.to_string(),
            };
            entry.link = find(&start, tenant.name.span);
        }
    }
    for pair in pairs {
        if allocations.peers.contains_key(&pair) {
            continue;
        }
        let at = tenants.binary_search_by(|tenant| tenant.name.value.as_str().cmp(pair.first())).ok();
        let span = at.and_then(|at| tenants.get(at)).map(|tenant| tenant.name.span);
        if let Some(link) = find(Key::peer_addresses(&pair).as_str(), span.unwrap_or_default()) {
            allocations.peers.insert(pair, link);
        }
    }
}

fn bridges(
    site: &spec::Site,
    tenants: &[&spec::Tenant],
    peers: &PeersOf,
    allocations: &mut Allocations,
    diagnostics: &mut Diagnostics,
) {
    let prefix = site.pools.bridge_prefix.value;
    let slots = Slots::new(&site.pools.bridges, prefix);
    let mut is_full = false;
    let mut taken_by_all: AddressRanges<()> = AddressRanges::default();
    if !site.pools.shared {
        for network in allocations.tenants.values().flat_map(|tenant| tenant.bridges.values()) {
            let _ = taken_by_all.take_network(*network, ());
        }
    }
    for tenant in tenants {
        let open: Vec<_> = tenant.bridges.iter().filter(|bridge| bridge.cidr.is_none()).collect();
        if open.is_empty() {
            continue;
        }
        let mut taken_by_own = AddressRanges::default();
        if site.pools.shared {
            let reachable = reachable(&tenant.name.value, peers);
            let known = reachable.into_iter().filter_map(|name| allocations.tenants.get(name));
            for network in known.flat_map(|tenant| tenant.bridges.values()) {
                let _ = taken_by_own.take_network(*network, ());
            }
        }
        let taken = if site.pools.shared { &mut taken_by_own } else { &mut taken_by_all };
        let Some(entry) = allocations.tenants.get_mut(&tenant.name.value) else { continue };
        for bridge in open {
            // One error says that the pool is full. What tenants share may be full for one of them.
            if entry.bridges.contains_key(&bridge.name.value) || is_full && !site.pools.shared {
                continue;
            }
            let key = Key::tenant(&tenant.name.value).bridge(&bridge.name.value).device();
            match slots.find(key.as_str(), |network| taken.overlapping_network(network).is_none()) {
                Some(network) => {
                    let _ = taken.take_network(network, ());
                    entry.bridges.insert(bridge.name.value.clone(), network);
                }
                // The network of a bridge with an error is not really from the pool.
                None if is_full || !bridge.is_sound => {}
                None => {
                    is_full = true;
                    let pools = &site.pools.bridges;
                    diagnostics.push(full(
                        Code::BridgePoolFull,
                        bridge.name.span,
                        "bridges",
                        pools,
                        slots.count,
                        prefix,
                    ));
                }
            }
        }
    }
}

/// Returns the tenant, its peers, and their peers. Their networks must differ: a router tells its peers apart by them.
fn reachable<'a>(tenant: &'a str, peers: &'a PeersOf) -> BTreeSet<&'a str> {
    let named = |tenant: &str| peers.get(tenant).into_iter().flatten().map(TenantName::as_str);
    std::iter::once(tenant).chain(named(tenant)).chain(named(tenant).flat_map(named)).collect()
}

fn full(
    code: Code,
    span: Span,
    pool: &str,
    networks: &[Spanned<Ipv4Net>],
    count: u64,
    prefix: u8,
) -> Diagnostic {
    let listed: Vec<String> = networks.iter().map(|network| network.value.to_string()).collect();
    let message =
        format!("the pool `{pool}` ({}) is full: all of its {count} /{prefix} are taken", listed.join(", "));
    let help = format!("add a network to `[pools] {pool}` in the site file; existing addresses don't change");
    let diagnostic = Diagnostic::error(code, span, message).here("no address is left for this");
    let diagnostic = match networks.first() {
        Some(first) => diagnostic.also(first.span, "the pool"),
        None => diagnostic,
    };
    diagnostic.help(help)
}

/// The networks of one prefix length in a pool, numbered.
struct Slots {
    pools: Vec<(Ipv4Net, u64)>,
    prefix: u8,
    count: u64,
}

impl Slots {
    fn new(pools: &[Spanned<Ipv4Net>], prefix: u8) -> Self {
        let fitting = pools.iter().map(|pool| pool.value).filter(|pool| pool.prefix_len() <= prefix);
        let pools: Vec<(Ipv4Net, u64)> =
            fitting.map(|pool| (pool, 1u64 << (prefix - pool.prefix_len()))).collect();
        let count = pools.iter().map(|(_, slots)| slots).sum();
        Slots { pools, prefix, count }
    }

    fn network(&self, mut slot: u64) -> Option<Ipv4Net> {
        for (pool, slots) in &self.pools {
            if slot < *slots {
                let offset = u32::try_from(slot << (32 - self.prefix)).ok()?;
                let address = Ipv4Addr::from(u32::from(pool.network()).checked_add(offset)?);
                return Ipv4Net::new(address, self.prefix).ok();
            }
            slot -= slots;
        }
        None
    }

    /// Returns the first free network, searching from the hash of a text: most often of a key.
    fn find(&self, start: &str, free: impl Fn(Ipv4Net) -> bool) -> Option<Ipv4Net> {
        if self.count == 0 {
            return None;
        }
        let hash = Sha256::digest(start.as_bytes());
        let start = hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) % self.count;
        let mut all = (start..self.count).chain(0..start).filter_map(|slot| self.network(slot));
        all.find(|network| free(*network))
    }
}
