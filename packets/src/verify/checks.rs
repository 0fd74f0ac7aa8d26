//! Runs the checks of a group of tenants. `docs/verify.md` explains each check.

mod facts;
mod frames;
mod isolation;
mod outside;
mod replies;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ipnet::Ipv4Net;

use super::alike_bridges;
use super::counterexample::{self, Origin, Picked, pick};
use super::dead;
use super::header::{EVERYTHING, Fragments, Headers, Range};
use super::model::Model;
use super::packet_set::PacketSet;
use super::reach::linked_tenants;
use super::report::{Check, Subject, Unproven, Verification, Violation};
use super::segment::Segment;
use super::walk::{End, Outcome, TooMany};
use crate::ovn::read::network_of;
use crate::trace::Ending;
use facts::TenantFacts;
use midoform_compiler::network::{BridgeIndex, Tenant};
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Object, Reference};
use midoform_compiler::topology::{Entry, Topology};

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
    check_group_on(1, subject, group)
}

/// Runs all checks of one group of tenants on several threads; the result is the same for any number of these.
pub(crate) fn check_group_on(threads: usize, subject: Subject<'_>, group: &BTreeSet<&str>) -> Verification {
    let model = Model::new(subject.topology, group, subject.tenants);
    let by_name: BTreeMap<&str, &Tenant> =
        group.iter().filter_map(|name| Some((*name, subject.tenant(name)?))).collect();
    let mut check =
        GroupCheck { subject, model: &model, group, by_name: &by_name, report: Verification::default() };
    let routers = alike_bridges::Routers::new(&model);
    for (name, tenant) in &by_name {
        let facts = TenantFacts::new(subject, &model, tenant);
        let asked = alike_bridges::destinations(&model, routers.as_ref(), tenant, &facts.world);
        let proven = check.report.violations.len();
        let mut outcome = check.tenant(&facts, &asked, threads);
        let holds = outcome.is_ok() && check.report.violations.len() == proven;
        // A violation is shown for each bridge that has it.
        if !holds && !asked.is_empty() && tenant.bridges.len() <= MOST_SHOWN {
            check.report.violations.truncate(proven);
            outcome = check.tenant(&facts, &BTreeMap::new(), threads);
        }
        // These do not depend on what sends.
        check.report.violations.extend(dead::rules_and_routes(&model, tenant));
        // What sets were that became too large is not known, and rows that sets can't say may do anything.
        if model.sets.is_full() || model.failure().is_some() {
            check.report.violations.truncate(proven);
            outcome = Err(TooMany);
        }
        if let Err(TooMany) = outcome {
            let because = model.failure().unwrap_or_else(|| Unproven::TOO_MANY.to_owned());
            check.report.unproven.push(Unproven { tenant: (*name).into(), because });
        }
    }
    check.report
}

/// Returns true if all checks of what a group's tenants send hold, with or without the comparison of its bridges.
#[cfg(test)]
pub(crate) fn holds(subject: Subject<'_>, group: &BTreeSet<&str>, compares: bool) -> bool {
    let model = Model::new(subject.topology, group, subject.tenants);
    let by_name: BTreeMap<&str, &Tenant> =
        group.iter().filter_map(|name| Some((*name, subject.tenant(name)?))).collect();
    let mut check =
        GroupCheck { subject, model: &model, group, by_name: &by_name, report: Verification::default() };
    let routers = alike_bridges::Routers::new(&model);
    by_name.values().all(|tenant| {
        let facts = TenantFacts::new(subject, &model, tenant);
        let asked = alike_bridges::destinations(&model, routers.as_ref(), tenant, &facts.world);
        let asked = if compares { asked } else { BTreeMap::new() };
        check.tenant(&facts, &asked, 1).is_ok()
    }) && check.report.violations.is_empty()
}

/// The most bridges of a tenant for which a violation is shown for each of those that are alike. Where there are more, it
/// is shown for the first of them.
const MOST_SHOWN: usize = 64;

/// The fewest bridges that threads share: a model for each thread costs more than what fewer bridges send.
const SHARED: usize = 16;

/// Checks the provider router, which the tenants share: no destination leads to two of them.
pub fn check_provider(topology: &Topology) -> Vec<Violation> {
    let mut owners: BTreeMap<(Ipv4Net, u32), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in topology.entries() {
        let Some((router, destination, weight)) = route_of(entry) else { continue };
        let tenant = entry.key.owner();
        let own = router.key().is_some_and(|router| router.owner() == tenant);
        if own || tenant == SITE {
            continue;
        }
        let other = owners.insert((destination, weight), tenant).filter(|other| *other != tenant);
        if let Some(other) = other {
            let headers = Headers::all(Range::ADDRESSES, Range::network(destination));
            let both = BTreeSet::from([other, tenant]);
            // Nobody asks what is behind the port security of the bridges.
            let subject = Subject { topology, tenants: &[], links: &[] };
            let show =
                |headers: &Headers| counterexample::trace(subject, &both, Origin::World, pick(headers));
            found.push(Violation {
                check: Check::Isolation,
                tenant: tenant.into(),
                message: format!(
                    "the provider router has equal routes to {} for {other} and {tenant}",
                    destination
                ),
                source: entry.provenance.clone(),
                trace: headers.first().and_then(show),
            });
        }
    }
    found
}

/// Returns the router, the destination and the weight of a route.
fn route_of(entry: &Entry) -> Option<(&Reference, Ipv4Net, u32)> {
    match &entry.object {
        Object::Route(route) => Some((&route.router, route.destination, route.weight)),
        Object::Row(row) if row.table == Table::LogicalRouterStaticRoute => {
            let destination = network_of(row.text_of("ip_prefix")?).ok()?;
            Some((&row.holder.as_ref()?.row, destination.trunc(), 0))
        }
        _ => None,
    }
}

struct GroupCheck<'a> {
    subject: Subject<'a>,
    model: &'a Model<'a>,
    group: &'a BTreeSet<&'a str>,
    by_name: &'a BTreeMap<&'a str, &'a Tenant>,
    report: Verification,
}

/// The outcomes of what a pod of one segment can send to some destinations.
struct Sent<'a> {
    at: BridgeIndex,
    segment: &'a Segment,
    /// The destinations: sorted, disjoint ranges.
    asked: &'a [Range],
    /// To the gateway.
    routed: Vec<Outcome>,
    /// To a neighbour's MAC address.
    inside: Vec<Outcome>,
}

impl<'a> GroupCheck<'a> {
    /// Checks a tenant. Each bridge sends to the destinations that are asked of it, or else to all: then frames of other
    /// EtherTypes than IPv4 as well.
    fn tenant(
        &mut self,
        facts: &TenantFacts<'_>,
        asked: &BTreeMap<BridgeIndex, Vec<Range>>,
        threads: usize,
    ) -> Result<(), TooMany> {
        match threads > 1 && facts.segments.len() >= SHARED {
            true => self.bridges_on(threads, facts, asked)?,
            false => {
                for (at, segment) in &facts.segments {
                    self.bridge(facts, (*at, segment), asked)?;
                }
            }
        }
        let tenant = facts.tenant;
        self.static_ports(facts)?;
        for uplink in self.model.uplinks.iter().filter(|uplink| uplink.tenant == *tenant.name) {
            let headers: Vec<Headers> =
                uplink.destinations.iter().flat_map(|to| Headers::all(Range::ADDRESSES, *to)).collect();
            let outcomes = self.model.sent_by_world(uplink, &headers)?;
            self.entry_points(facts, uplink, &outcomes);
        }
        Ok(())
    }

    /// Checks the bridges of a tenant on several threads, each with a model of its own. The violations come in the order
    /// of the bridges.
    fn bridges_on(
        &mut self,
        threads: usize,
        facts: &TenantFacts<'_>,
        asked: &BTreeMap<BridgeIndex, Vec<Range>>,
    ) -> Result<(), TooMany> {
        let places: Vec<BridgeIndex> = facts.segments.keys().copied().collect();
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(places.len())));
        let (subject, group, by_name, tenant) = (self.subject, self.group, self.by_name, facts.tenant);
        let work = || {
            let model = Model::new(subject.topology, group, subject.tenants);
            let facts = TenantFacts::new(subject, &model, tenant);
            let report = Verification::default();
            let mut check = GroupCheck { subject, model: &model, group, by_name, report };
            while let Some(at) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some(segment) = facts.segments.get(at) else { continue };
                let outcome = check.bridge(&facts, (*at, segment), asked);
                let outcome = outcome.and(if model.sets.is_full() { Err(TooMany) } else { Ok(()) });
                if outcome.is_err() {
                    // The bridges before this one are taken: the others make no difference any more.
                    next.store(places.len(), Ordering::Relaxed);
                }
                let violations = std::mem::take(&mut check.report.violations);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push((*at, violations, outcome));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(at, ..)| *at);
        for (_, violations, outcome) in found {
            self.report.violations.extend(violations);
            outcome?;
        }
        Ok(())
    }

    /// Checks what the pods of one bridge send.
    fn bridge(
        &mut self,
        facts: &TenantFacts<'_>,
        (at, segment): (BridgeIndex, &Segment),
        asked: &BTreeMap<BridgeIndex, Vec<Range>>,
    ) -> Result<(), TooMany> {
        // No set is kept from one bridge to the next.
        self.model.renew();
        let is_alike = asked.contains_key(&at);
        let asked = asked.get(&at).map_or(&[Range::ADDRESSES][..], Vec::as_slice);
        let headers: Vec<Headers> = asked.iter().flat_map(|to| Headers::all(Range::ADDRESSES, *to)).collect();
        let sent = Sent {
            at,
            segment,
            asked,
            routed: whole_first(self.model.sent_by_pod(segment, &headers)?),
            inside: whole_first(self.model.inside(segment, &headers)?),
        };
        self.isolation(facts.tenant, &sent);
        self.links(facts, &sent);
        self.spoofing(facts, &sent);
        self.between_bridges(facts, &sent)?;
        self.outside(facts, &sent)?;
        self.loops(facts.tenant, &sent);
        if !is_alike {
            self.frames(facts, segment)?;
        }
        Ok(())
    }

    fn violation(
        &mut self,
        check: Check,
        tenant: &Tenant,
        message: String,
        origin: Origin<'_>,
        packets: PacketSet,
    ) {
        let headers = self.shown(packets);
        self.violation_through(check, tenant, message, origin, &headers, None);
    }

    /// Returns a box of the packets that a violation is shown with.
    fn shown(&self, packets: PacketSet) -> Headers {
        packets.first(&self.model.sets).unwrap_or(EVERYTHING)
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
        self.add_violation((check, tenant, message), origin, pick(headers), other);
    }

    /// Adds a violation that a certain packet shows.
    fn picked_violation(
        &mut self,
        check: Check,
        tenant: &Tenant,
        message: String,
        origin: Origin<'_>,
        picked: Picked,
    ) {
        self.add_violation((check, tenant, message), origin, picked, None);
    }

    fn add_violation(
        &mut self,
        (check, tenant, message): (Check, &Tenant, String),
        origin: Origin<'_>,
        picked: Picked,
        other: Option<&str>,
    ) {
        let tenants: BTreeSet<&str> = self.group.iter().copied().chain(other).collect();
        let trace = counterexample::trace(self.subject, &tenants, origin, picked);
        // What no trace shows is shown by its header.
        let message = match &trace {
            Some(_) => message,
            None => format!("{message}: {}", picked.in_words()),
        };
        let router = self.subject.topology.get(Key::tenant(&tenant.name).router().as_str());
        let own = router.and_then(|router| router.provenance.clone());
        // A rule of another tenant is not a line of this tenant's spec.
        let by_rule = trace.as_ref().and_then(|trace| match &trace.ending {
            Ending::Dropped { source, .. } | Ending::Rejected { source, .. } => source.clone(),
            _ => None,
        });
        let by_rule = by_rule.filter(|rule| own.as_ref().is_none_or(|own| own.file == rule.file));
        let source = by_rule.or(own);
        let tenant = tenant.name.clone();
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
