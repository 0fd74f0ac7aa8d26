//! Rules and routes of the spec that can never match, because the ones before them match every packet.

mod rows;
mod rules;

use super::box_index::{BoxIndex, difference};
use super::header::{Headers, Range, SOURCE};
use super::model::Model;
use super::report::{Check, Violation};
use crate::semantics::id_of;
use crate::semantics::world::Route;
use midoform_compiler::network::Tenant;
use midoform_compiler::topology::Entry;
use midoform_compiler::topology::key::view::{KeyView, TenantKey};
use midoform_compiler::topology::kinds::Object;

/// Returns the dead rules and routes of one tenant.
pub(crate) fn rules_and_routes(model: &Model<'_>, tenant: &Tenant) -> Vec<Violation> {
    if model.rows.is_some() {
        let dead = rows::rules(model, &tenant.name).into_iter();
        return dead.map(|rule| violation(tenant, rule, "the rule")).collect();
    }
    let mut found = Vec::new();
    for (_, entry) in model.topology.of_tenant(&tenant.name) {
        match &entry.object {
            Object::Chain(_) => {
                let dead = rules::dead(model, entry).into_iter();
                found.extend(dead.map(|rule| violation(tenant, rule, "the rule")));
            }
            Object::Router(_) => found.extend(routes(model, tenant, entry)),
            _ => {}
        }
    }
    found
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
