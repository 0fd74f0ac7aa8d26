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
    let (in_ports, out_ports) = excluded(rules);
    let dead = rules.iter().enumerate().filter(|(place, rule)| {
        let positions = if told(rule) { positions(rule, &in_ports, &out_ports) } else { Vec::new() };
        !positions.is_empty()
            && !positions.iter().any(|position| is_alive(model, (id, rules), *place, *position))
    });
    let dead = dead.filter_map(|(_, rule)| model.entry(rule.id));
    dead.map(|entry| violation(tenant, entry, "the rule")).collect()
}

/// Returns the ports that are named by rules with an inverted condition, and one that no rule names: the ports that
/// packets come in by, and those that they go out by.
fn excluded(rules: &[Rule]) -> (BTreeSet<Uuid>, BTreeSet<Uuid>) {
    let of = |ports: fn(&Rule) -> (&Vec<Uuid>, bool)| {
        let inverted = rules.iter().map(ports).filter(|(_, inverted)| *inverted);
        inverted.flat_map(|(ports, _)| ports).copied().chain([Uuid::nil()]).collect()
    };
    (of(in_ports), of(out_ports))
}

fn in_ports(rule: &Rule) -> (&Vec<Uuid>, bool) {
    (&rule.in_ports, rule.inv_in_ports || rule.cond_invert)
}

fn out_ports(rule: &Rule) -> (&Vec<Uuid>, bool) {
    (&rule.out_ports, rule.inv_out_ports || rule.cond_invert)
}

/// Returns the positions where a rule of the spec matches if it matches anywhere: at a port that it names, or else at one
/// that no rule names. At any other port more rules come before it, and none fewer: only a rule with an inverted
/// condition matches at ports that it does not name, so the ports that it names count as well.
fn positions(rule: &Rule, inside: &BTreeSet<Uuid>, outside: &BTreeSet<Uuid>) -> Vec<Position> {
    let at =
        |(ports, inverted): (&Vec<Uuid>, bool), others: &BTreeSet<Uuid>| match inverted || ports.is_empty() {
            true => others.clone(),
            false => ports.iter().copied().collect(),
        };
    let outside = at(out_ports(rule), outside);
    let to = |in_port: Uuid| {
        let there = outside.iter().map(|out_port| Some(*out_port));
        there.map(move |out_port| Position { device: in_port, in_port, out_port }).collect::<Vec<_>>()
    };
    at(in_ports(rule), inside).into_iter().flat_map(to).collect()
}

/// Returns true if the rule at this place matches a packet that the rules before it leave. A rule that was not followed
/// to its end counts as one.
fn is_alive(model: &Model<'_>, (chain, rules): (Uuid, &[Rule]), place: usize, position: Position) -> bool {
    model.sets.renew();
    let walker = model.walker();
    let Some((index, own)) = walker.index.chain(chain).zip(rules.get(place)) else { return false };
    let macs = MacAddress([2, 0, 0, 0, 0, 0]);
    let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
    let kinds = [Flow::Forward, Flow::Return].into_iter().flat_map(|flow| {
        everything.iter().map(move |headers| {
            let mut path = Path::new(*headers, position.in_port, macs, macs);
            path.flow = flow;
            path
        })
    });
    for path in kinds {
        let matched = walker.split((own, index.wanted(place)), path, position).0;
        let mut waiting: Vec<(Path, usize)> = matched.into_iter().map(|path| (path, 0)).collect();
        while let Some((path, from)) = waiting.pop() {
            let next = index.next(from, position, &path.now()).filter(|next| *next < place);
            let Some((next, rule)) = next.and_then(|next| Some((next, rules.get(next)?))) else {
                return true;
            };
            if !walker.may_put(1) {
                return true;
            }
            // In which order rules decide makes no difference to what they leave.
            let before = rules.get(..place).unwrap_or_default();
            if let Some(run) = walker.run_of((before, index), &path, next, position, |_| true) {
                let others = walker.split_by_run(&run, path).1;
                waiting.extend(others.into_iter().map(|path| (path, run.end)));
                continue;
            }
            let (matched, others) = walker.split((rule, index.wanted(next)), path, position);
            let matched = matched.into_iter().filter(|_| !decides(rule));
            waiting.extend(others.into_iter().chain(matched).map(|path| (path, next + 1)));
        }
    }
    // What was not followed to its end may be alive.
    walker.is_exhausted()
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
