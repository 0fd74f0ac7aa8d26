//! What OVN can't do as MidoNet does, and what no table of `docs/engines.md` could excuse: an error at the line of the spec.

use super::lower::{MOST_RULES, is_inside_a_bridge};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::{Route, RouteTarget, Rule, Selector, Tenant};
use crate::spec;
use crate::spec::{Action, AntiSpoof};
use crate::values::ethertype;

/// Checks the tenants of a site that has `[ovn]`.
pub fn check(site: &spec::Site, tenants: &[Tenant], diagnostics: &mut Diagnostics) {
    if site.ovn.is_none() {
        return;
    }
    for tenant in tenants {
        places(tenant, diagnostics);
        stateless(tenant, diagnostics);
        number_of_rules(tenant, diagnostics);
        ethertypes(tenant, diagnostics);
        routes(tenant, diagnostics);
        chassis(site, tenant, diagnostics);
    }
}

/// Checks that rules only tell places by addresses where a packet's source address is checked.
fn places(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    if tenant.anti_spoof != AntiSpoof::None {
        return;
    }
    let place = |rule: &Rule| match (&rule.from, rule.stateful || rule.action == Action::Accept) {
        (Selector::Bridge(_), true) => Some("a bridge"),
        (Selector::Peer(_), true) => Some("a peer"),
        (Selector::Ports(_), true) => Some("a port group"),
        (Selector::World, true) => Some("the world"),
        _ => None,
    };
    for rule in &tenant.rules {
        let Some(place) = place(rule) else { continue };
        let message = format!(
            "the rule `{}` is about packets from {place}, and OVN tells that by their source address, which nothing checks here",
            rule.name
        );
        let help = "set `anti_spoof = \"bridge\"`, or name addresses in `from`";
        diagnostics.push(Diagnostic::error(Code::OvnAntiSpoof, rule.span, message).help(help));
    }
}

fn stateless(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    for rule in tenant.rules.iter().filter(|rule| !rule.stateful) {
        let inside = is_inside_a_bridge(tenant, rule);
        let is_the_same_both_ways = rule.protocols.iter().all(|protocol| {
            protocol.source == protocol.destination && (protocol.number != 1 || protocol.source.is_none())
        });
        let message = match (rule.action, inside) {
            (Action::Reject, _) => "OVN can't reject packets without their connection",
            (Action::Drop, Some((from, to))) if from != to || !is_the_same_both_ways => {
                "OVN drops no replies inside a bridge"
            }
            _ => continue,
        };
        let message = format!("the rule `{}` is stateless: {message}", rule.name);
        let help =
            "leave `stateful = false` out, or write `action = \"drop\"` with ends in different bridges";
        diagnostics.push(Diagnostic::error(Code::OvnStateless, rule.span, message).help(help));
    }
}

fn number_of_rules(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    if let Some(first) = tenant.rules.get(MOST_RULES) {
        let count = tenant.rules.len();
        let message = format!("`{}` has {count} rules: OVN has priorities for {MOST_RULES}", tenant.name);
        let help = "put addresses into address groups, and ports into lists";
        diagnostics.push(Diagnostic::error(Code::OvnManyRules, first.span, message).help(help));
    }
}

fn ethertypes(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let known = [ethertype::ARP, ethertype::IPV4, ethertype::VLAN];
    let dropped = tenant.ethertypes.iter().find(|kind| !known.contains(kind));
    if let Some(kind) = dropped.filter(|_| tenant.anti_spoof != AntiSpoof::None) {
        let message = format!(
            "the EtherType {} passes the bridges of `{}`, and OVN's check of source addresses drops it",
            ethertype::shown(*kind),
            tenant.name
        );
        let help = "take it out of `ethertypes`, or set `anti_spoof = \"none\"`";
        diagnostics.push(Diagnostic::error(Code::OvnEthertype, tenant.span, message).help(help));
    }
}

fn routes(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    for (at, route) in tenant.routes.iter().enumerate() {
        let is_equal = |other: &&Route| {
            other.destination == route.destination
                && other.weight == route.weight
                && is_nowhere(other.target) != is_nowhere(route.target)
        };
        let is_default = route.destination.prefix_len() == 0;
        let (problem, help) = match route.target {
            RouteTarget::Bridge(_) => (
                "leads to a bridge without a next hop, and OVN's routes have one",
                "name the next hop with `via`",
            ),
            RouteTarget::Via(..) if is_default => (
                "leads everywhere by a pod: rules could not tell the world from the bridge, as OVN tells places by addresses",
                "name narrower networks",
            ),
            _ if tenant.routes.iter().take(at).any(|other| is_equal(&other))
                || (is_default && is_nowhere(route.target) && route.weight == tenant.own_route_weight()) =>
            {
                (
                    "leads nowhere, and another route with the same weight leads somewhere: OVN can't share flows between them",
                    "give one of them another weight",
                )
            }
            _ => continue,
        };
        let message = format!("the route to {} {problem}", route.destination);
        diagnostics.push(Diagnostic::error(Code::OvnRoute, route.span, message).help(help));
    }
}

fn is_nowhere(target: RouteTarget) -> bool {
    matches!(target, RouteTarget::Blackhole | RouteTarget::Reject)
}

fn chassis(site: &spec::Site, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    for port in tenant.ports.iter().filter(|port| site.chassis_of(port.host).is_none()) {
        let message = format!("OVN does not know the host {} of the port `{}`", port.host, port.name);
        let help = "add a [[host]] with this id to the site file, with the name of its chassis";
        diagnostics.push(Diagnostic::error(Code::OvnChassis, port.span, message).help(help));
    }
}
