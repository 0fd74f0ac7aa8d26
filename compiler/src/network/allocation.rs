//! What a spec still needs: link addresses and bridge networks, given out so that nobody else's ever move.
//!
//! The search for a free place starts at a hash of the key, not at the pool's beginning: two branches that
//! each add a tenant rarely pick the same place, and adding one never moves another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::address_ranges::Claims;
use crate::network::peering::PeersOf;
use crate::source::{Span, Spanned};
use crate::spec;
use crate::topology::key::Key;
use crate::topology::object::Object;

/// What was given out: the content of the lock file, or of another store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// By tenant.
    pub tenants: BTreeMap<String, TenantAllocation>,
    /// By the two names, the lesser first, with a `/` between.
    pub peers: BTreeMap<String, LinkAddresses>,
}

impl Allocations {
    /// What these tenants were given, and pairs that one of them is in.
    #[must_use]
    pub fn of_tenants(&self, tenants: &BTreeSet<String>) -> Allocations {
        let own = self.tenants.iter().filter(|(name, _)| tenants.contains(*name));
        let pairs = self.peers.iter().filter(|(pair, _)| pair.split('/').any(|name| tenants.contains(name)));
        Allocations {
            tenants: own.map(|(name, given)| (name.clone(), given.clone())).collect(),
            peers: pairs.map(|(pair, link)| (pair.clone(), *link)).collect(),
        }
    }
}

/// What one tenant was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantAllocation {
    /// Whether a plan with these addresses was ever applied. Repair moves only what was not.
    pub applied: bool,
    /// Whether its spec said `protect = true` when it was last applied.
    pub protect: bool,
    /// MidoNet's `tenantId`, where Keystone gave it: the project's id.
    pub tenant_id: Option<String>,
    /// Whether midoform made that project.
    pub project_made: bool,
    /// The link to the provider router.
    pub link: Option<LinkAddresses>,
    /// The bridges' networks.
    pub bridges: BTreeMap<String, Ipv4Net>,
    /// The bridges that were added because one of the spec was full, and for which.
    pub grown: BTreeMap<String, String>,
    /// The static ports that were made.
    pub ports: Vec<String>,
    /// The ids that don't follow from the keys: of the server's choosing (MidoNet 1.x: ports, rules, routes), and
    /// of what was adopted.
    pub ids: BTreeMap<Key, Uuid>,
    /// What a run that has not ended well was making (MidoNet 1.x: objects whose ids only the server knows), with the
    /// keys: the next run recognises it, even if nobody wants it any more.
    pub making: Vec<(Key, Object)>,
    /// Where it stands in the lock file.
    pub span: Span,
}

/// The two addresses of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddresses {
    /// The provider router's end; between peers: the lesser name's end.
    pub provider: Ipv4Addr,
    /// The tenant router's end; between peers: the greater name's end.
    pub tenant: Ipv4Addr,
}

impl LinkAddresses {
    /// The /30 that holds the first of them.
    pub fn block(&self) -> Ipv4Net {
        block_of(self.provider)
    }
}

/// The /30 around an address.
pub(crate) fn block_of(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, 30).map(|network| network.trunc()).unwrap_or_default()
}

/// The name of a pair of peers: the lesser name first.
pub fn pair_name(one: &str, other: &str) -> String {
    if one <= other { format!("{one}/{other}") } else { format!("{other}/{one}") }
}

/// Gives every tenant what its spec leaves open. What `known` holds stays as it is, for tenants that are not
/// among `tenants` as well; pins in a spec win over it. `peers` says whom these tenants and their peers name.
pub fn allocate(
    site: &spec::Site,
    tenants: &[spec::Tenant],
    peers: &PeersOf,
    known: &Allocations,
    diagnostics: &mut Diagnostics,
) -> Allocations {
    let mut sorted: Vec<&spec::Tenant> = tenants.iter().collect();
    sorted.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    sorted.dedup_by(|a, b| a.name.value == b.name.value);
    let mut allocations = known.clone();
    keep_what_the_specs_name(&sorted, &mut allocations);
    links(site, &sorted, &mut allocations, diagnostics);
    bridges(site, &sorted, peers, &mut allocations, diagnostics);
    allocations
}

/// Writes pins in, and takes out what the specs no longer speak of.
fn keep_what_the_specs_name(tenants: &[&spec::Tenant], allocations: &mut Allocations) {
    for tenant in tenants {
        let entry = allocations.tenants.entry(tenant.name.value.clone()).or_default();
        if let Some(pin) = &tenant.link {
            entry.link = Some(LinkAddresses { provider: pin.provider.value, tenant: pin.tenant.value });
        }
        entry.bridges.retain(|name, _| tenant.bridges.iter().any(|bridge| bridge.name.value == *name));
        entry.grown = crate::network::grown::of(tenant);
        for bridge in &tenant.bridges {
            if let Some(cidr) = &bridge.cidr {
                entry.bridges.insert(bridge.name.value.clone(), cidr.value);
            }
        }
    }
}

/// The pairs of tenants that name each other, by pair name.
fn answered_pairs(tenants: &[&spec::Tenant]) -> Vec<String> {
    let by_name: BTreeMap<&str, &spec::Tenant> =
        tenants.iter().map(|t| (t.name.value.as_str(), *t)).collect();
    let names = |from: &spec::Tenant, to: &str| from.peers.iter().any(|peer| peer.tenant.value == to);
    let mut pairs = Vec::new();
    for tenant in tenants {
        for peer in &tenant.peers {
            let answers =
                by_name.get(peer.tenant.value.as_str()).is_some_and(|other| names(other, &tenant.name.value));
            if answers && tenant.name.value < peer.tenant.value {
                pairs.push(pair_name(&tenant.name.value, &peer.tenant.value));
            }
        }
    }
    pairs.sort();
    pairs.dedup();
    pairs
}

fn links(
    site: &spec::Site,
    tenants: &[&spec::Tenant],
    allocations: &mut Allocations,
    diagnostics: &mut Diagnostics,
) {
    let pairs = answered_pairs(tenants);
    let present =
        |name: &str| tenants.binary_search_by(|tenant| tenant.name.value.as_str().cmp(name)).is_ok();
    allocations.peers.retain(|pair, _| {
        let (one, other) = pair.split_once('/').unwrap_or((pair, ""));
        pairs.binary_search(pair).is_ok() || !present(one) || !present(other)
    });
    let mut taken: Claims<()> = Claims::default();
    let given = allocations
        .tenants
        .values()
        .filter_map(|tenant| tenant.link)
        .chain(allocations.peers.values().copied());
    for link in given {
        for block in [block_of(link.provider), block_of(link.tenant)] {
            let _ = taken.claim_network(block, ());
        }
    }
    let slots = Slots::new(&site.pools.links, 30);
    let mut find = |key: &str, span: Span| {
        let Some(block) = slots.find(key, |block| taken.overlapping_network(block).is_none()) else {
            diagnostics.push(full(Code::LinkPoolFull, span, "links", &site.pools.links, slots.count, 30));
            return None;
        };
        let _ = taken.claim_network(block, ());
        let address = |offset| Ipv4Addr::from(u32::from(block.network()) + offset);
        Some(LinkAddresses { provider: address(1), tenant: address(2) })
    };
    for tenant in tenants {
        let entry = allocations.tenants.entry(tenant.name.value.clone()).or_default();
        if entry.link.is_none() {
            entry.link = find(&format!("{}/uplink", tenant.name.value), tenant.name.span);
        }
    }
    for pair in pairs {
        if allocations.peers.contains_key(&pair) {
            continue;
        }
        let first = pair.split('/').next().unwrap_or_default();
        let at = tenants.binary_search_by(|tenant| tenant.name.value.as_str().cmp(first)).ok();
        let span = at.and_then(|at| tenants.get(at)).map(|tenant| tenant.name.span);
        if let Some(link) = find(&format!("{pair}/peer"), span.unwrap_or_default()) {
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
    let mut taken_by_all: Claims<()> = Claims::default();
    if !site.pools.shared {
        for network in allocations.tenants.values().flat_map(|tenant| tenant.bridges.values()) {
            let _ = taken_by_all.claim_network(*network, ());
        }
    }
    for tenant in tenants {
        let open: Vec<_> = tenant.bridges.iter().filter(|bridge| bridge.cidr.is_none()).collect();
        if open.is_empty() {
            continue;
        }
        let mut taken_by_own = Claims::default();
        if site.pools.shared {
            let reachable = reachable(&tenant.name.value, peers);
            let known = reachable.into_iter().filter_map(|name| allocations.tenants.get(name));
            for network in known.flat_map(|tenant| tenant.bridges.values()) {
                let _ = taken_by_own.claim_network(*network, ());
            }
        }
        let taken = if site.pools.shared { &mut taken_by_own } else { &mut taken_by_all };
        let Some(entry) = allocations.tenants.get_mut(&tenant.name.value) else { continue };
        for bridge in open {
            if entry.bridges.contains_key(&bridge.name.value) {
                continue;
            }
            let key = format!("{}/bridge/{}", tenant.name.value, bridge.name.value);
            match slots.find(&key, |network| taken.overlapping_network(network).is_none()) {
                Some(network) => {
                    let _ = taken.claim_network(network, ());
                    entry.bridges.insert(bridge.name.value.clone(), network);
                }
                None => {
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

/// The tenant, its peers, and their peers: a router that has two peers tells them apart by their networks.
fn reachable<'a>(tenant: &'a str, peers: &'a PeersOf) -> BTreeSet<&'a str> {
    let named = |tenant: &str| peers.get(tenant).into_iter().flatten().map(String::as_str);
    std::iter::once(tenant).chain(named(tenant)).chain(named(tenant).flat_map(named)).collect()
}

fn full(
    code: Code,
    span: Span,
    pool: &str,
    networks: &[Spanned<Ipv4Net>],
    places: u64,
    prefix: u8,
) -> Diagnostic {
    let listed: Vec<String> = networks.iter().map(|network| network.value.to_string()).collect();
    let message =
        format!("the pool `{pool}` ({}) is full: all of its {places} /{prefix} are taken", listed.join(", "));
    let help = format!("add a network to `[pools] {pool}` in the site file; nobody's addresses move");
    let diagnostic = Diagnostic::error(code, span, message).here("no address is left for this");
    let diagnostic = match networks.first() {
        Some(first) => diagnostic.also(first.span, "the pool"),
        None => diagnostic,
    };
    diagnostic.help(help)
}

/// The places of a pool: all networks of one prefix length in it, counted through.
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

    /// The first free place, beginning at the hash of the key.
    fn find(&self, key: &str, free: impl Fn(Ipv4Net) -> bool) -> Option<Ipv4Net> {
        if self.count == 0 {
            return None;
        }
        let hash = Sha256::digest(key.as_bytes());
        let start = hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) % self.count;
        let mut all = (start..self.count).chain(0..start).filter_map(|slot| self.network(slot));
        all.find(|network| free(*network))
    }
}
