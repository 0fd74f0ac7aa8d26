//! Checks of resolved networks: addresses, conflicts between tenants, the tenants' own rules (`policy`), and the site's
//! policies (`site_policy`).

mod addresses;
mod between;
mod limits;
mod policy;
mod site_policy;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::network::Tenant;
use crate::source::{Span, Spanned};
use crate::spec;
use crate::spec::grammar::{Grammar, Limits};

/// Checks everything. Adds to the diagnostics, and changes nothing.
pub fn check(
    site: &spec::Site,
    policies: &[&spec::Policy],
    specs: &[spec::Tenant],
    tenants: &[Tenant],
    diagnostics: &mut Diagnostics,
) {
    for spec in specs {
        limits::check(site, spec, diagnostics);
        spec.mtu.as_ref().and_then(|mtu| site.mtu_problem(mtu)).into_iter().for_each(|e| diagnostics.push(e));
        policies.iter().for_each(|policy| site_policy::check(site, policy, spec, diagnostics));
    }
    let by_name: BTreeMap<&str, &spec::Tenant> =
        specs.iter().map(|spec| (spec.name.as_str(), spec)).collect();
    for tenant in tenants {
        addresses::check(site, tenant, diagnostics);
        let own = by_name.get(&*tenant.name).and_then(|spec| spec.dns.as_ref());
        let dns = own.or(site.defaults.dns.as_ref());
        addresses::name_servers(tenant, dns.map_or(&[], |dns| &dns.nameservers), diagnostics);
        policy::check(site, tenant, diagnostics);
    }
    between::check(site, specs, tenants, diagnostics);
}

/// The objects of one kind in a tenant's spec.
struct Counted {
    /// The key of the kind in `quotas` and `limits`.
    key: &'static str,
    /// The limit, if there is one.
    limit: Option<Spanned<u32>>,
    /// The position of each object.
    found: Vec<Span>,
}

/// Counts the objects of each kind that has a limit.
fn counted(tenant: &spec::Tenant, limits: &spec::Quotas) -> [Counted; 6] {
    let keys = Limits::keys();
    let counted = |key, limit, found| Counted { key, limit, found };
    let bridges = tenant.bridges.iter().map(|bridge| bridge.name.span);
    let ports = tenant.ports.iter().map(|port| port.name.span);
    let routes = tenant.routes.iter().map(|route| route.destination.span);
    let rules = tenant.rules.iter().map(|rule| rule.name.span);
    let exposes = tenant.exposes.iter().map(|expose| expose.public.span);
    let peers = tenant.peers.iter().map(|peer| peer.tenant.span);
    [
        counted(keys.bridges.name, limits.bridges, bridges.collect()),
        counted(keys.ports.name, limits.ports, ports.collect()),
        counted(keys.routes.name, limits.routes, routes.collect()),
        counted(keys.rules.name, limits.rules, rules.collect()),
        counted(keys.exposes.name, limits.exposes, exposes.collect()),
        counted(keys.peers.name, limits.peers, peers.collect()),
    ]
}
