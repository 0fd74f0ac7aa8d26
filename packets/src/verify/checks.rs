//! Runs the checks of a group of tenants. `docs/verify.md` explains each check.

mod isolation;
mod outside;
mod replies;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::counterexample::{self, Origin, pick};
use super::dead;
use super::header::{Fragments, Headers, Range, rest, united};
use super::model::{Model, Segment};
use super::reach::linked_tenants;
use super::report::{Check, Subject, Verification, Violation};
use super::spec_rules::SpecRules;
use super::walk::{End, Outcome, TooMany};
use midoform_compiler::network::{BridgeIndex, Tenant};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, SITE};

/// Returns the groups of tenants that are linked to each other; each can be verified on its own.
pub fn groups(topology: &Topology) -> Vec<BTreeSet<&str>> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for tenant in topology.tenants() {
        if !done.contains(tenant) {
            let group = linked_tenants(topology, tenant);
            done.extend(&group);
            found.push(group);
        }
    }
    found
}

/// Runs all checks of one group of tenants.
pub fn check_group(subject: Subject<'_>, group: &BTreeSet<&str>) -> Verification {
    let model = Model::new(subject.topology, group);
    let by_name: BTreeMap<&str, &Tenant> =
        group.iter().filter_map(|name| Some((*name, subject.tenant(name)?))).collect();
    let mut check =
        GroupCheck { subject, model: &model, group, by_name: &by_name, report: Verification::default() };
    for (name, tenant) in &by_name {
        if let Err(TooMany) = check.tenant(name, tenant) {
            check.report.unproven.push((*name).to_owned());
        }
    }
    check.report
}

/// Checks the provider router, which the tenants share: no destination leads to two of them.
pub fn check_provider(topology: &Topology) -> Vec<Violation> {
    let mut owners: BTreeMap<(Ipv4Net, u32), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in topology.entries() {
        let midoform_compiler::topology::kinds::Object::Route(route) = &entry.object else { continue };
        let tenant = entry.key.owner();
        let own = route.router.key().is_some_and(|router| router.owner() == tenant);
        if own || tenant == SITE {
            continue;
        }
        let other = owners.insert((route.destination, route.weight), tenant).filter(|other| *other != tenant);
        if let Some(other) = other {
            let headers = Headers::all(Range::ADDRESSES, Range::network(route.destination));
            let both = BTreeSet::from([other, tenant]);
            let show =
                |headers: &Headers| counterexample::trace(topology, &both, Origin::World, pick(headers));
            found.push(Violation {
                check: Check::Isolation,
                tenant: tenant.to_owned(),
                message: format!(
                    "the provider router has equal routes to {} for {other} and {tenant}",
                    route.destination
                ),
                source: entry.provenance.clone(),
                trace: headers.first().and_then(show),
            });
        }
    }
    found
}

struct GroupCheck<'a> {
    subject: Subject<'a>,
    model: &'a Model<'a>,
    group: &'a BTreeSet<&'a str>,
    by_name: &'a BTreeMap<&'a str, &'a Tenant>,
    report: Verification,
}

/// A tenant, and what follows from its spec for all of its segments.
struct TenantFacts<'a> {
    tenant: &'a Tenant,
    rules: SpecRules<'a>,
    /// The destinations of its own routes.
    routed: Vec<Range>,
    /// The addresses that are outside for it.
    world: Vec<Range>,
    /// The link addresses that are not its own.
    links: Vec<Range>,
}

impl<'a> TenantFacts<'a> {
    fn new(subject: Subject<'_>, tenant: &'a Tenant) -> TenantFacts<'a> {
        let own = [Range::address(tenant.link.near)];
        let pools: Vec<Range> = united(subject.links.iter().map(|pool| Range::network(*pool)).collect());
        let routed = tenant.routes.iter().map(|route| Range::network(route.destination));
        TenantFacts {
            tenant,
            rules: SpecRules::new(tenant),
            routed: united(routed.collect()),
            world: outside::world_of(subject, tenant),
            links: pools.iter().flat_map(|pool| rest(*pool, &own)).collect(),
        }
    }
}

/// The outcomes of everything that a pod of one segment can send.
struct Sent<'a> {
    at: BridgeIndex,
    segment: &'a Segment,
    /// To the gateway.
    routed: Vec<Outcome>,
    /// To a neighbour's MAC address.
    inside: Vec<Outcome>,
}

impl<'a> GroupCheck<'a> {
    fn tenant(&mut self, name: &str, tenant: &'a Tenant) -> Result<(), TooMany> {
        let facts = TenantFacts::new(self.subject, tenant);
        let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
        for (at, bridge) in tenant.indexed_bridges() {
            let key = Key::tenant(name).bridge(&bridge.name).device();
            let Some(segment) = self.model.segment(&key) else { continue };
            let sent = Sent {
                at,
                segment,
                routed: whole_first(self.model.sent_by_pod(segment, &everything)?),
                inside: whole_first(self.model.inside(segment, &everything)?),
            };
            self.isolation(tenant, &sent);
            self.links(&facts, &sent);
            self.spoofing(tenant, &sent);
            self.between_bridges(&facts, &sent)?;
            self.outside(&facts, &sent)?;
            self.loops(tenant, &sent);
        }
        for uplink in self.model.uplinks.iter().filter(|uplink| uplink.tenant == name) {
            let headers: Vec<Headers> =
                uplink.destinations.iter().flat_map(|to| Headers::all(Range::ADDRESSES, *to)).collect();
            let outcomes = self.model.sent_by_world(uplink, &headers)?;
            self.doors(&facts, uplink, &outcomes);
        }
        self.report.violations.extend(dead::rules_and_routes(self.model, tenant));
        Ok(())
    }

    fn violation(
        &mut self,
        check: Check,
        tenant: &Tenant,
        message: String,
        origin: Origin<'_>,
        headers: &Headers,
    ) {
        self.violation_through(check, tenant, message, origin, headers, None);
    }

    /// Adds a violation, with another tenant on the packet's path.
    fn violation_through(
        &mut self,
        check: Check,
        tenant: &Tenant,
        message: String,
        origin: Origin<'_>,
        headers: &Headers,
        other: Option<&str>,
    ) {
        let picked = pick(headers);
        let tenants: BTreeSet<&str> = self.group.iter().copied().chain(other).collect();
        let trace = counterexample::trace(self.subject.topology, &tenants, origin, picked);
        let router = self.subject.topology.get(Key::tenant(&tenant.name).router().as_str());
        let own = router.and_then(|router| router.provenance.clone());
        // A rule of another tenant is not a line of this tenant's spec.
        let by_rule = trace.as_ref().and_then(|trace| match &trace.ending {
            crate::trace::Ending::Dropped { source, .. } => source.clone(),
            _ => None,
        });
        let by_rule = by_rule.filter(|rule| own.as_ref().is_none_or(|own| own.file == rule.file));
        let source = by_rule.or(own);
        let tenant = tenant.name.to_string();
        self.report.violations.push(Violation { check, tenant, message, source, trace });
    }

    fn segment_at(&self, end: &End) -> Option<&'a Segment> {
        match end {
            End::Delivered(ports) => ports.first().and_then(|port| self.model.segment_of(*port)),
            _ => None,
        }
    }
}

/// Sorts whole packets before fragments, so a violation is shown with a whole packet if there is one.
pub(crate) fn whole_first(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    outcomes.sort_by_key(|outcome| outcome.path.fragments.and(Fragments::WHOLE).is_empty());
    outcomes
}
