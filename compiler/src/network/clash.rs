//! Clashes: addresses that are allocated twice, as a merge of two branches can leave them.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::names::{PeerPair, TenantName};
use crate::network::address_ranges::AddressRanges;
use crate::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use crate::network::lock_file::LockFile;
use crate::source::Span;
use crate::spec;

/// Addresses with two owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The owner that needs other addresses.
    pub moves: Owner,
    /// The owner that keeps the addresses.
    pub keeps: Owner,
    /// The addresses, in words.
    pub addresses: String,
    part: Part,
}

/// The owner of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A tenant.
    Tenant(TenantName),
    /// A pair of peers: the addresses of its link.
    Pair(PeerPair),
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Tenant(name) => name.fmt(formatter),
            Owner::Pair(pair) => pair.fmt(formatter),
        }
    }
}

/// The allocation that has to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Link,
    Bridge(String),
}

/// Finds addresses with two owners. The owner that may have objects in the network keeps them; otherwise the one whose
/// name comes first, a tenant before a pair of peers.
pub fn clashes(allocations: &Allocations, site: &spec::Site) -> Vec<Clash> {
    let mut order: Vec<(&TenantName, &TenantAllocation)> = allocations.tenants.iter().collect();
    order.sort_by_key(|(name, tenant)| (!tenant.may_exist(), *name));
    let mut found = clashes_of_links(allocations);
    let mut bridges: AddressRanges<Owner> = AddressRanges::default();
    for (name, tenant) in order {
        let owner = Owner::Tenant(name.clone());
        let mut own: AddressRanges<Owner> = AddressRanges::default();
        let taken = if site.pools.shared { &mut own } else { &mut bridges };
        for (bridge, network) in &tenant.bridges {
            if let Err(keeps) = taken.take_network(*network, owner.clone()) {
                let keeps = keeps.clone();
                let addresses = format!("the network {network} of bridge `{bridge}`");
                let part = Part::Bridge(bridge.clone());
                found.push(Clash { moves: owner.clone(), keeps, addresses, part });
            }
        }
    }
    found
}

/// Finds the clashes between the links of tenants and of pairs of peers.
fn clashes_of_links(allocations: &Allocations) -> Vec<Clash> {
    let of_tenants = allocations.tenants.iter().filter_map(|(name, tenant)| {
        Some((!tenant.may_exist(), Owner::Tenant(name.clone()), tenant.link.as_ref()?))
    });
    let of_peers = allocations.peers.iter().map(|(pair, link)| {
        (
            !pair.tenants().into_iter().all(|name| may_exist(allocations, name)),
            Owner::Pair(pair.clone()),
            link,
        )
    });
    // Stable: tenants come before pairs, each in the order of their names.
    let mut order: Vec<(bool, Owner, &LinkAddresses)> = of_tenants.chain(of_peers).collect();
    order.sort_by_key(|(is_unused, ..)| *is_unused);
    let mut found = Vec::new();
    let mut links: AddressRanges<Owner> = AddressRanges::default();
    for (_, owner, link) in order {
        if let Err(keeps) = take_link(&mut links, link, &owner) {
            let whose = match owner {
                Owner::Tenant(_) => "link",
                Owner::Pair(_) => "peer link",
            };
            let addresses = format!("the {whose} addresses {}", shown(link));
            found.push(Clash { moves: owner, keeps, addresses, part: Part::Link });
        }
    }
    found
}

fn may_exist(allocations: &Allocations, tenant: &str) -> bool {
    allocations.tenants.get(tenant).is_some_and(TenantAllocation::may_exist)
}

fn shown(link: &LinkAddresses) -> String {
    format!("{} and {}", link.provider, link.tenant)
}

fn take_link(links: &mut AddressRanges<Owner>, link: &LinkAddresses, owner: &Owner) -> Result<(), Owner> {
    // Each address is checked on its own: the Go plugin's two addresses of a tenant may have others between them.
    for address in [link.provider, link.tenant] {
        links.take(address, address, owner.clone()).map_err(Owner::clone)?;
    }
    Ok(())
}

/// Reports every clash in a lock file, with its positions there.
pub(crate) fn check_lock_file(file: &LockFile, site: &spec::Site, diagnostics: &mut Diagnostics) {
    let position = |owner: &Owner| match owner {
        Owner::Tenant(name) => file.positions.get(name).copied().unwrap_or_default(),
        Owner::Pair(_) => Span::default(),
    };
    for clash in clashes(&file.allocations, site) {
        let diagnostic = report("the lock file", &clash, position(&clash.moves)).here("this one came second");
        diagnostics.push(diagnostic.also(position(&clash.keeps), "the other"));
    }
}

/// Reports every clash in a store. There is no file to show: the message names the store.
pub(crate) fn check_store(
    store: &str,
    allocations: &Allocations,
    site: &spec::Site,
    diagnostics: &mut Diagnostics,
) {
    for clash in clashes(allocations, site) {
        diagnostics.push(Diagnostic { labels: Vec::new(), ..report(store, &clash, Span::default()) });
    }
}

/// Returns errors about addresses of these specs that a tenant without a spec has: most often the same tenant under its old name.
pub(crate) fn absent_tenants(
    specs: &[spec::Tenant],
    known: &Allocations,
    allocations: &Allocations,
    site: &spec::Site,
) -> Vec<Diagnostic> {
    let by_name: BTreeMap<&str, &spec::Tenant> =
        specs.iter().map(|spec| (spec.name.value.as_str(), spec)).collect();
    if known.tenants.keys().all(|name| by_name.contains_key(name.as_str())) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let before = clashes(known, site);
    for clash in clashes(allocations, site).into_iter().filter(|clash| !before.contains(clash)) {
        let (Owner::Tenant(moves), Owner::Tenant(keeps)) = (&clash.moves, &clash.keeps) else { continue };
        let (spec, absent) = match (by_name.get(moves.as_str()), by_name.get(keeps.as_str())) {
            (Some(spec), None) => (spec, keeps),
            (None, Some(spec)) => (spec, moves),
            _ => continue,
        };
        if !known.tenants.contains_key(absent) {
            continue;
        }
        let network = |bridge| allocations.tenants.get(moves)?.bridges.get(bridge);
        let addresses = match &clash.part {
            Part::Bridge(bridge) => network(bridge).map(|network| format!("the network {network}")),
            Part::Link => None,
        };
        let addresses = addresses.unwrap_or_else(|| clash.addresses.clone());
        let name = &spec.name.value;
        let message = format!(
            "`{name}` has {addresses}, but tenant `{absent}` has them, and there is no tenant file of it here"
        );
        let diagnostic = Diagnostic::error(Code::TenantRenamed, spec.name.span, message)
            .here("is this the other one's new name?")
            .help(format!(
                "if `{absent}` was renamed: write `name = \"{absent}\"` again; a tenant keeps its name, since all its \
                 objects are named by it (`[[moved]]` renames bridges, rules and ports)"
            ))
            .help(format!(
                "if `{absent}` is not wanted any more: `midoform destroy --target {absent}` deletes it and releases its addresses"
            ))
            .help(format!("if both are wanted: choose other addresses for `{name}`"));
        found.push(diagnostic);
    }
    found
}

/// Returns a warning if a lock file has an applied tenant without a spec, and a spec is of a tenant that it does not have.
pub(crate) fn tenant_without_file(specs: &[spec::Tenant], known: &Allocations) -> Option<Diagnostic> {
    let named: BTreeSet<&str> = specs.iter().map(|spec| spec.name.value.as_str()).collect();
    let is_absent =
        |(name, entry): &(&TenantName, &TenantAllocation)| entry.applied && !named.contains(name.as_str());
    let (absent, _) = known.tenants.iter().find(is_absent)?;
    let new = specs.iter().find(|spec| !known.tenants.contains_key(&spec.name.value))?;
    let message = format!(
        "`{}` is a new tenant, and tenant `{absent}` was applied and has no tenant file here",
        new.name.value
    );
    let diagnostic = Diagnostic::warning(Code::TenantWithoutFile, new.name.span, message)
        .here("is this the other one's new name?")
        .help(format!(
            "if `{absent}` was renamed: write `name = \"{absent}\"` again; a tenant keeps its name, since all its objects \
             are named by it"
        ))
        .help(format!("if `{absent}` is not wanted any more: `midoform destroy --target {absent}` deletes it"));
    Some(diagnostic)
}

fn report(store: &str, clash: &Clash, span: Span) -> Diagnostic {
    let Clash { moves, keeps, addresses, .. } = clash;
    let message = format!("{store} allocates {addresses} to `{keeps}` and to `{moves}`");
    let help = "two branches allocated the same addresses: run `midoform lock --repair`, which reallocates those that were never applied";
    Diagnostic::error(Code::LockClash, span, message).help(help)
}

/// The outcome of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// The allocations that were removed, in words. The next allocation replaces them.
    pub moved: Vec<String>,
    /// The clashes between two owners that may both have objects in the network, in words: one of them has to be destroyed.
    pub stuck: Vec<String>,
}

/// Removes the clashing allocations of owners without objects in the network, so that they get other addresses.
pub fn repair(allocations: &mut Allocations, site: &spec::Site) -> Repair {
    let mut repair = Repair::default();
    for Clash { moves, keeps, addresses, part } in clashes(allocations, site) {
        let words = format!("{addresses} (of `{moves}`, clashing with `{keeps}`)");
        match moves {
            Owner::Pair(pair) if pair.tenants().into_iter().all(|name| may_exist(allocations, name)) => {
                repair.stuck.push(words);
                continue;
            }
            Owner::Pair(pair) => drop(allocations.peers.remove(&pair)),
            Owner::Tenant(name) => {
                let Some(tenant) = allocations.tenants.get_mut(&name) else { continue };
                if tenant.may_exist() {
                    repair.stuck.push(words);
                    continue;
                }
                match part {
                    Part::Link => tenant.link = None,
                    Part::Bridge(bridge) => drop(tenant.bridges.remove(&bridge)),
                }
            }
        }
        repair.moved.push(words);
    }
    repair
}
