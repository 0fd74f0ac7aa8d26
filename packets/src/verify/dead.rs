//! Rules and routes of the spec that can never match, because the ones before them match every packet.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::header::{Headers, Range, SOURCE, difference};
use super::model::Model;
use super::path::{Flow, Path};
use super::report::{Check, Violation};
use super::walk::Position;
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
    for (in_port, out_port) in positions(rules) {
        for flow in [Flow::Forward, Flow::Return] {
            match_all(model, rules, Position { device: in_port, in_port, out_port }, flow, &mut alive);
        }
    }
    let dead = rules.iter().filter(|rule| told(rule) && !alive.contains(&rule.id));
    dead.filter_map(|rule| model.entry(rule.id)).map(|entry| violation(tenant, entry, "the rule")).collect()
}

/// Returns the ports that the chain's rules name, and one that none of them names.
fn positions(rules: &[Rule]) -> Vec<(Uuid, Option<Uuid>)> {
    let named = |ports: fn(&Rule) -> &Vec<Uuid>| {
        let mut ports: BTreeSet<Uuid> = rules.iter().flat_map(ports).copied().collect();
        ports.insert(Uuid::nil());
        ports
    };
    let (inside, outside) = (named(|rule| &rule.in_ports), named(|rule| &rule.out_ports));
    let mut found = Vec::new();
    for in_port in &inside {
        found.push((*in_port, None));
        found.extend(outside.iter().map(|out_port| (*in_port, Some(*out_port))));
    }
    found
}

/// Matches every packet against the rules, one after another, and notes the rules that match some.
fn match_all(model: &Model<'_>, rules: &[Rule], position: Position, flow: Flow, alive: &mut BTreeSet<Uuid>) {
    let walker = model.walker();
    let macs = MacAddress([2, 0, 0, 0, 0, 0]);
    let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
    let mut left: Vec<Path> = everything
        .into_iter()
        .map(|headers| {
            let mut path = Path::new(headers, position.in_port, macs, macs);
            path.flow = flow;
            path
        })
        .collect();
    for rule in rules {
        if !walker.may_put(left.len()) {
            break;
        }
        let mut next = Vec::new();
        for path in left {
            let (matched, others) = walker.split(rule, path, position);
            if !matched.is_empty() {
                alive.insert(rule.id);
            }
            next.extend(others);
            if !decides(rule) {
                next.extend(matched);
            }
        }
        left = next;
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
    let mut found = Vec::new();
    for route in &device.routes {
        let Some(entry) = told(route) else { continue };
        let better = device.routes.iter().filter(|other| rank(other) < rank(route));
        let better: Vec<Headers> = better.filter_map(set).collect();
        if difference(set(route).into_iter().collect(), &better).is_empty() {
            found.push(violation(tenant, entry, "the route"));
        }
    }
    found
}
