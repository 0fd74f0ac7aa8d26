//! Rules and routes of the spec that can never match, because the ones before them match every packet.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::box_index::{BoxIndex, difference};
use super::header::{Headers, Range, SOURCE};
use super::index::Position;
use super::model::Model;
use super::path::{Flow, Path};
use super::report::{Check, Violation};
use crate::semantics::id_of;
use crate::semantics::world::{Route, Rule};
use midoform_compiler::network::Tenant;
use midoform_compiler::topology::Entry;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{KeyView, RuleKey, TenantKey};
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::values::MacAddress;

/// Returns the dead rules and routes of one tenant.
pub(crate) fn rules_and_routes(model: &Model<'_>, tenant: &Tenant) -> Vec<Violation> {
    let mut found = Vec::new();
    for (_, entry) in model.topology.of_tenant(&tenant.name) {
        match &entry.object {
            Object::Chain(_) => found.extend(rules(model, tenant, entry)),
            Object::Router(_) => found.extend(routes(model, tenant, entry)),
            _ => {}
        }
    }
    found
}

/// Returns true if the rule comes from the spec; the layout's own rules may be unused.
fn is_from_spec(key: &Key) -> bool {
    let KeyView::Tenant(_, TenantKey::Rule(_, rule)) = key.view() else { return false };
    matches!(rule, RuleKey::Spec { .. } | RuleKey::Inside { .. } | RuleKey::Open { .. })
}

fn violation(tenant: &Tenant, entry: &Entry, what: &str) -> Violation {
    Violation {
        check: Check::Dead,
        tenant: tenant.name.clone(),
        message: format!("{what} {} can never match: the ones before it match every packet", entry.key),
        source: entry.provenance.clone(),
        trace: None,
    }
}

fn rules(model: &Model<'_>, tenant: &Tenant, chain: &Entry) -> Vec<Violation> {
    let Some(id) = id_of(model.topology, &(&chain.key).into()) else { return Vec::new() };
    let Some(rules) = model.world.chains.get(&id) else { return Vec::new() };
    let told = |rule: &Rule| model.entry(rule.id).is_some_and(|entry| is_from_spec(&entry.key));
    if !rules.iter().any(told) {
        return Vec::new();
    }
    let mut alive: BTreeSet<Uuid> = BTreeSet::new();
    for (in_port, out_port) in positions(rules, told) {
        for flow in [Flow::Forward, Flow::Return] {
            match_all(model, (id, rules), Position { device: in_port, in_port, out_port }, flow, &mut alive);
        }
    }
    let dead = rules.iter().filter(|rule| told(rule) && !alive.contains(&rule.id));
    dead.filter_map(|rule| model.entry(rule.id)).map(|entry| violation(tenant, entry, "the rule")).collect()
}

/// Returns the positions where a rule of the spec matches if it matches anywhere: at a port that it names, or else at one
/// that no rule names. At any other port more rules come before it, and none fewer: only a rule with an inverted
/// condition matches at ports that it does not name, so the ports that it names count as well.
fn positions(rules: &[Rule], told: impl Fn(&Rule) -> bool) -> BTreeSet<(Uuid, Option<Uuid>)> {
    let excluded = |ports: fn(&Rule) -> (&Vec<Uuid>, bool)| {
        let inverted = rules.iter().map(ports).filter(|(_, inverted)| *inverted);
        inverted.flat_map(|(ports, _)| ports).copied().chain([Uuid::nil()]).collect::<BTreeSet<Uuid>>()
    };
    let in_ports: fn(&Rule) -> (&Vec<Uuid>, bool) =
        |rule| (&rule.in_ports, rule.inv_in_ports || rule.cond_invert);
    let out_ports: fn(&Rule) -> (&Vec<Uuid>, bool) =
        |rule| (&rule.out_ports, rule.inv_out_ports || rule.cond_invert);
    let (inside, outside) = (excluded(in_ports), excluded(out_ports));
    let at =
        |(ports, inverted): (&Vec<Uuid>, bool), others: &BTreeSet<Uuid>| match inverted || ports.is_empty() {
            true => others.clone(),
            false => ports.iter().copied().collect(),
        };
    let mut found = BTreeSet::new();
    for rule in rules.iter().filter(|rule| told(rule)) {
        let outside = at(out_ports(rule), &outside);
        for in_port in at(in_ports(rule), &inside) {
            found.extend(outside.iter().map(|out_port| (in_port, Some(*out_port))));
        }
    }
    found
}

/// Matches every packet against the rules, one after another, and notes the rules that match some.
fn match_all(
    model: &Model<'_>,
    (chain, rules): (Uuid, &[Rule]),
    position: Position,
    flow: Flow,
    alive: &mut BTreeSet<Uuid>,
) {
    let walker = model.walker();
    let Some(index) = walker.index.chain(chain) else { return };
    let macs = MacAddress([2, 0, 0, 0, 0, 0]);
    let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES).into_iter().map(|headers| {
        let mut path = Path::new(headers, position.in_port, macs, macs);
        path.flow = flow;
        (path, 0)
    });
    let mut waiting: Vec<(Path, usize)> = everything.collect();
    while let Some((path, from)) = waiting.pop() {
        let next = index.next(from, position, &path.now());
        let Some((place, rule)) = next.and_then(|place| Some((place, rules.get(place)?))) else { continue };
        if !walker.may_put(1) {
            break;
        }
        let (matched, others) = walker.split((rule, index.wanted(place)), path, position);
        if !matched.is_empty() {
            alive.insert(rule.id);
        }
        let matched = matched.into_iter().filter(|_| !decides(rule));
        waiting.extend(others.into_iter().chain(matched).map(|path| (path, place + 1)));
    }
    // What was not followed to its end may be alive.
    if walker.is_exhausted() {
        alive.extend(rules.iter().map(|rule| rule.id));
    }
}

/// Returns true if packets that match are not evaluated by later rules.
fn decides(rule: &Rule) -> bool {
    use crate::semantics::world::RuleKind::{Accept, Drop, Reject, Return};
    matches!(rule.kind, Accept | Drop | Reject | Return)
}

fn routes(model: &Model<'_>, tenant: &Tenant, router: &Entry) -> Vec<Violation> {
    let Some(device) =
        id_of(model.topology, &(&router.key).into()).and_then(|id| model.world.devices.get(&id))
    else {
        return Vec::new();
    };
    let told = |route: &Route| {
        model
            .entry(route.id)
            .filter(|entry| matches!(entry.key.view(), KeyView::Tenant(of, TenantKey::Route { .. }) if *of == *tenant.name))
    };
    let set = |route: &Route| {
        let all = Headers::all(Range::network(route.source), Range::network(route.destination));
        all.into_iter().next().map(|headers| headers.with(SOURCE, Range::network(route.source)))
    };
    let rank = |route: &Route| (32 - route.destination.prefix_len(), route.weight);
    let mut sorted: Vec<&Route> = device.routes.iter().collect();
    sorted.sort_by_key(|route| rank(route));
    let sets: Vec<(usize, Headers)> =
        sorted.iter().enumerate().filter_map(|(place, route)| Some((place, set(route)?))).collect();
    let index = BoxIndex::new(sets);
    let mut found = Vec::new();
    for route in &device.routes {
        let (Some(entry), Some(own)) = (told(route), set(route)) else { continue };
        let better = sorted.partition_point(|other| rank(other) < rank(route));
        let meeting = index.all(&own).into_iter().take_while(|place| *place < better);
        let meeting = meeting.filter_map(|place| set(sorted.get(place)?));
        if difference(vec![own], &meeting.collect::<Vec<_>>()).is_empty() {
            found.push(violation(tenant, entry, "the route"));
        }
    }
    found
}
