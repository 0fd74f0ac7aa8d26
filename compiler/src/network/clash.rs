//! Clashes: addresses that are allocated twice, as a merge of two branches can leave them.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::address_ranges::AddressRanges;
use crate::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use crate::network::lock_file::LockFile;
use crate::source::Span;
use crate::spec;

/// Addresses with two owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The tenant, or the pair of peers, that has to move.
    pub moves: String,
    /// The tenant, or the pair of peers, that keeps the addresses.
    pub keeps: String,
    /// The addresses, in words.
    pub addresses: String,
    part: Part,
}

/// The allocation that has to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Link,
    Peer,
    Bridge(String),
}

/// Finds addresses with two owners. The owner that was applied keeps them; otherwise the one whose name comes first.
pub fn clashes(allocations: &Allocations, site: &spec::Site) -> Vec<Clash> {
    let mut order: Vec<(&String, &TenantAllocation)> = allocations.tenants.iter().collect();
    order.sort_by_key(|(name, tenant)| (!tenant.applied, *name));
    let mut found = Vec::new();
    let mut links: AddressRanges<&str> = AddressRanges::default();
    let mut bridges: AddressRanges<&str> = AddressRanges::default();
    for (name, tenant) in order {
        if let Some(link) = &tenant.link
            && let Err(keeps) = take_link(&mut links, link, name)
        {
            let addresses = format!("the link addresses {}", shown(link));
            found.push(Clash { moves: name.clone(), keeps, addresses, part: Part::Link });
        }
        let mut own: AddressRanges<&str> = AddressRanges::default();
        let taken = if site.pools.shared { &mut own } else { &mut bridges };
        for (bridge, network) in &tenant.bridges {
            if let Err(keeps) = taken.take_network(*network, name.as_str()) {
                let keeps = (*keeps).to_owned();
                let addresses = format!("the network {network} of bridge `{bridge}`");
                let part = Part::Bridge(bridge.clone());
                found.push(Clash { moves: name.clone(), keeps, addresses, part });
            }
        }
    }
    for (pair, link) in &allocations.peers {
        if let Err(keeps) = take_link(&mut links, link, pair) {
            let addresses = format!("the peer link addresses {}", shown(link));
            found.push(Clash { moves: pair.clone(), keeps, addresses, part: Part::Peer });
        }
    }
    found
}

fn shown(link: &LinkAddresses) -> String {
    format!("{} and {}", link.provider, link.tenant)
}

fn take_link<'a>(
    links: &mut AddressRanges<&'a str>,
    link: &LinkAddresses,
    owner: &'a str,
) -> Result<(), String> {
    // Each by itself: between the two that the Go plugin allocated to a tenant there may be others.
    for address in [link.provider, link.tenant] {
        links.take(address, address, owner).map_err(|keeps| (*keeps).to_owned())?;
    }
    Ok(())
}

/// Reports every clash in a lock file, with its positions there.
pub(crate) fn check_lock_file(file: &LockFile, site: &spec::Site, diagnostics: &mut Diagnostics) {
    let position = |name: &str| file.positions.get(name).copied().unwrap_or_default();
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
        let (spec, absent) = match (by_name.get(&*clash.moves), by_name.get(&*clash.keeps)) {
            (Some(spec), None) => (spec, &clash.keeps),
            (None, Some(spec)) => (spec, &clash.moves),
            _ => continue,
        };
        if !known.tenants.contains_key(absent) {
            continue;
        }
        let network = |bridge| allocations.tenants.get(&clash.moves)?.bridges.get(bridge);
        let addresses = match &clash.part {
            Part::Bridge(bridge) => network(bridge).map(|network| format!("the network {network}")),
            Part::Link | Part::Peer => None,
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

fn report(store: &str, clash: &Clash, span: Span) -> Diagnostic {
    let Clash { moves, keeps, addresses, .. } = clash;
    let message = format!("{store} allocates {addresses} to `{keeps}` and to `{moves}`");
    let help = "two branches picked the same place: run `midoform lock --repair`, which moves what was never applied";
    Diagnostic::error(Code::LockClash, span, message).help(help)
}

/// The outcome of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// The allocations that were taken back, in words. The next allocation replaces them.
    pub moved: Vec<String>,
    /// The clashes between two owners that are both applied, in words: one of them has to be destroyed.
    pub stuck: Vec<String>,
}

/// Takes the clashing addresses back from owners that were never applied, so that the next allocation moves them.
pub fn repair(allocations: &mut Allocations, site: &spec::Site) -> Repair {
    let mut repair = Repair::default();
    for Clash { moves, keeps, addresses, part } in clashes(allocations, site) {
        let words = format!("{addresses} (of `{moves}`, clashing with `{keeps}`)");
        let tenant = allocations.tenants.get_mut(&moves);
        match (part, tenant) {
            (Part::Peer, _) => drop(allocations.peers.remove(&moves)),
            (_, Some(tenant)) if tenant.applied => {
                repair.stuck.push(words);
                continue;
            }
            (Part::Link, Some(tenant)) => tenant.link = None,
            (Part::Bridge(bridge), Some(tenant)) => drop(tenant.bridges.remove(&bridge)),
            (_, None) => continue,
        }
        repair.moved.push(words);
    }
    repair
}
