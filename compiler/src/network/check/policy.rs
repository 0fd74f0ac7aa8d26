//! Rules that have no effect, or another than their text suggests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::{BridgeIndex, Expose, Rule, Selector, Tenant};
use crate::spec;
use crate::spec::{Action, Protocol};
use crate::values::{Engine, PortRange};

/// The most MidoNet rules that one rule of a spec may become (groups times groups times protocols).
pub(crate) const LARGEST_EXPANSION: usize = 4096;

/// Reports ICMP type 0 and code 0: 5.x takes 1 to 65535 for them (not recorded: MidoNet's own declaration).
fn icmp_zero(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let is_zero = |range: &Option<PortRange>| range.is_some_and(|range| range.start == 0);
    for rule in &tenant.rules {
        let found = rule.protocols.iter().find(|protocol| {
            protocol.number == 1 && (is_zero(&protocol.source) || is_zero(&protocol.destination))
        });
        let Some(protocol) = found else { continue };
        let what = if is_zero(&protocol.source) { "type" } else { "code" };
        let message = format!("the rule `{}` names ICMP {what} 0, which MidoNet 5.x can't match", rule.name);
        let help =
            format!("leave `{what}` out; echo has only code 0, and return traffic passes without a rule");
        diagnostics.push(Diagnostic::error(Code::IcmpZero, rule.span, message).help(help));
    }
}

pub(super) fn check(site: &spec::Site, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    stateless_after_stateful(tenant, diagnostics);
    if site.engine == Engine::Midonet5 {
        icmp_zero(tenant, diagnostics);
    }
    for (at, rule) in tenant.rules.iter().enumerate() {
        // Looking back over a window keeps the check linear for tenants with thousands of rules.
        let earlier =
            tenant.rules.iter().take(at).rev().take(2000).find(|earlier| shadows(tenant, earlier, rule));
        if let Some(earlier) = earlier {
            let message = format!(
                "the rule `{}` never matches: `{}` before it matches all of its packets",
                rule.name, earlier.name
            );
            let diagnostic =
                Diagnostic::warning(Code::ShadowedRule, rule.span, message).also(earlier.span, "this one");
            diagnostics.push(diagnostic.help("move it before the other rule, or remove it"));
        }
        let size = expansion(rule);
        if size > LARGEST_EXPANSION {
            let message = format!(
                "the rule `{}` becomes {size} rules of MidoNet, more than {LARGEST_EXPANSION}",
                rule.name
            );
            let help = "use smaller groups, wider networks in them, or fewer ports";
            diagnostics.push(Diagnostic::error(Code::RuleTooLarge, rule.span, message).help(help));
        }
        if rule.from == Selector::World && rule.to == Selector::World {
            let message = format!(
                "the rule `{}` is from the world to the world: a tenant's router never sees such packets",
                rule.name
            );
            diagnostics.push(
                Diagnostic::warning(Code::IdleRule, rule.span, message)
                    .help("name a bridge in `from` or `to`"),
            );
        }
    }
    let by_destination =
        if tenant.exposes.is_empty() { ByDestination::default() } else { by_destination(tenant) };
    for expose in &tenant.exposes {
        if let Some(rule) = shutting_rule(tenant, &by_destination, expose) {
            let message = format!(
                "{}:{} is exposed, and the rule `{}` blocks its connections",
                expose.public, expose.public_port, rule.name
            );
            let diagnostic =
                Diagnostic::warning(Code::ExposeShut, expose.span, message).also(rule.span, "this rule");
            let to = format!("to = {{ bridge = …, {} = {} }}", expose.protocol_name(), expose.target_port);
            diagnostics.push(
                diagnostic.help(format!(
                    "add a rule before it: from = {{ world = true }}, {to}, action = \"accept\""
                )),
            );
        }
    }
}

/// Checks that stateless rules come first: they are evaluated before return traffic is accepted.
fn stateless_after_stateful(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let first_stateful = tenant.rules.iter().position(|rule| rule.stateful);
    let Some(stateful) = first_stateful.and_then(|at| tenant.rules.get(at)) else { return };
    for rule in tenant.rules.iter().skip(first_stateful.unwrap_or(0)).filter(|rule| !rule.stateful) {
        let message = format!("the stateless rule `{}` comes after a stateful one", rule.name);
        let diagnostic = Diagnostic::error(Code::StatelessOrder, rule.span, message)
            .also(stateful.span, "the first stateful rule");
        let help = "stateless rules also match return traffic, so they are evaluated first: move it up";
        diagnostics.push(diagnostic.help(help));
    }
}

fn choices(selector: &Selector) -> usize {
    match selector {
        Selector::Addresses(networks) => networks.len(),
        Selector::Ports(ports) => ports.len(),
        _ => 1,
    }
}

fn expansion(rule: &Rule) -> usize {
    choices(&rule.from) * choices(&rule.to) * rule.protocols.len().max(1)
}

/// Returns true if the earlier rule matches every packet of the later one.
fn shadows(tenant: &Tenant, earlier: &Rule, later: &Rule) -> bool {
    let same_section = earlier.stateful == later.stateful;
    let from_world_matters = earlier.from == Selector::Anywhere && earlier.action == Action::Accept;
    // What is cheap to compare, and tells most rules apart, comes first.
    same_section
        && protocols_cover(&earlier.protocols, &later.protocols)
        && place_covers(tenant, &earlier.to, &later.to)
        && place_covers(tenant, &earlier.from, &later.from)
        && !(from_world_matters
            && matches!(later.from, Selector::World | Selector::Addresses(_) | Selector::Anywhere)
            && later.action != Action::Accept)
}

fn networks_of<'t>(tenant: &Tenant, selector: &'t Selector) -> Option<Cow<'t, [Ipv4Net]>> {
    match selector {
        Selector::Addresses(networks) => Some(Cow::Borrowed(networks)),
        Selector::Bridge(at) => Some(tenant.networks_with_grown(*at).collect()),
        Selector::Ports(ports) => {
            Some(ports.iter().filter_map(|at| tenant.port(*at)).map(|port| port.address.into()).collect())
        }
        _ => None,
    }
}

fn place_covers(tenant: &Tenant, wide: &Selector, narrow: &Selector) -> bool {
    if *wide == Selector::Anywhere || wide == narrow {
        return true;
    }
    // An address may be a source's without coming from the bridge; so a bridge covers only static ports.
    if matches!(wide, Selector::Bridge(_)) && !matches!(narrow, Selector::Ports(_)) {
        return false;
    }
    let (Some(wide_networks), Some(narrow_networks)) =
        (networks_of(tenant, wide), networks_of(tenant, narrow))
    else {
        return false;
    };
    !narrow_networks.is_empty()
        && narrow_networks.iter().all(|narrow| match wide {
            // A group's networks are sorted and don't overlap.
            Selector::Addresses(networks) => {
                let after = networks.partition_point(|wide| wide.network() <= narrow.network());
                let before = after.checked_sub(1).and_then(|at| networks.get(at));
                before.is_some_and(|wide| wide.contains(narrow))
            }
            _ => wide_networks.iter().any(|wide| wide.contains(narrow)),
        })
}

fn range_covers(wide: Option<PortRange>, narrow: Option<PortRange>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => wide.start <= narrow.start && narrow.end <= wide.end,
        (Some(wide), None) => wide.start <= 1 && wide.end == u16::MAX,
    }
}

fn protocols_cover(wide: &[Protocol], narrow: &[Protocol]) -> bool {
    let covered = |narrow: &Protocol| {
        wide.iter().any(|wide| {
            wide.number == narrow.number
                && range_covers(wide.source, narrow.source)
                && range_covers(wide.destination, narrow.destination)
        })
    };
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(covered))
}

/// The places of a tenant's rules, by the bridge that they name as their destination; none for those that name another
/// place.
type ByDestination = BTreeMap<Option<BridgeIndex>, Vec<usize>>;

fn by_destination(tenant: &Tenant) -> ByDestination {
    let mut found = ByDestination::new();
    for (place, rule) in tenant.rules.iter().enumerate() {
        let bridge = match rule.to {
            Selector::Bridge(at) => Some(at),
            _ => None,
        };
        found.entry(bridge).or_default().push(place);
    }
    found
}

/// Returns the first rule that decides about every new connection to an exposed port, if it drops or rejects them.
fn shutting_rule<'a>(
    tenant: &'a Tenant,
    by_destination: &ByDestination,
    expose: &Expose,
) -> Option<&'a Rule> {
    let wanted = Protocol { number: expose.protocol, source: None, destination: Some(expose.target_range()) };
    let target = Selector::Addresses(vec![expose.address.into()]);
    let to_fits = |rule: &Rule| match &rule.to {
        Selector::Bridge(at) => *at == expose.bridge,
        other => place_covers(tenant, other, &target),
    };
    let everything = |from: &Selector| match from {
        Selector::Anywhere | Selector::World => true,
        Selector::Addresses(networks) => networks.iter().any(|network| network.prefix_len() == 0),
        _ => false,
    };
    let named = [by_destination.get(&Some(expose.bridge)), by_destination.get(&None)];
    let mut places: Vec<usize> = named.into_iter().flatten().flatten().copied().collect();
    places.sort_unstable();
    let rules = places.into_iter().filter_map(|place| tenant.rules.get(place));
    for rule in rules.filter(|rule| to_fits(rule) && protocols_cover(&rule.protocols, &[wanted])) {
        let outside = matches!(rule.from, Selector::Anywhere | Selector::World | Selector::Addresses(_));
        match rule.action {
            Action::Accept if outside => return None,
            Action::Drop | Action::Reject if everything(&rule.from) => return Some(rule),
            _ => {}
        }
    }
    None
}
