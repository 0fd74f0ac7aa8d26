//! Checks of the spec's rules: between bridges, and to exposed ports.

use std::collections::BTreeMap;

use super::{GroupCheck, Sent, TenantFacts};
use crate::trace::bridge_name;
use crate::verify::box_index::{BoxIndex, difference, without_indexed};
use crate::verify::counterexample::{Origin, between};
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, EVERYTHING, Fragments, Headers, Protocols, Range, common, rest, united,
};
use crate::verify::model::Segment;
use crate::verify::reach::own_sources;
use crate::verify::report::Check;
use crate::verify::spec_rules::{self, Between};
use crate::verify::walk::{Outcome, TooMany};
use midoform_compiler::network::BridgeIndex;
use midoform_compiler::topology::key::Key;

impl GroupCheck<'_> {
    /// Compares the rules between this bridge and each of the tenant's bridges with the actual outcomes.
    pub(super) fn between_bridges(
        &mut self,
        facts: &TenantFacts<'_>,
        sent: &Sent<'_>,
    ) -> Result<(), TooMany> {
        let by_segment = |outcomes: &'_ [Outcome]| {
            let mut found: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
            for (at, outcome) in outcomes.iter().enumerate() {
                if let Some(reached) = self.segment_at(&outcome.end) {
                    found.entry(&reached.key).or_default().push(at);
                }
            }
            found
        };
        let (routed, inside) = (by_segment(&sent.routed), by_segment(&sent.inside));
        for (to, target) in facts.bridges(sent.asked) {
            let (outcomes, arrived) = match to == sent.at {
                true => (&sent.inside, inside.get(&target.key)),
                false => (&sent.routed, routed.get(&target.key)),
            };
            let arrived = arrived.into_iter().flatten().filter_map(|at| outcomes.get(*at));
            self.between_two(facts, sent, (to, target), &arrived.collect::<Vec<_>>())?;
        }
        let back = routed.get(&sent.segment.key).into_iter().flatten().filter_map(|at| sent.routed.get(*at));
        self.hairpin(facts, sent, &back.collect::<Vec<_>>())
    }

    /// Checks that the replies come back to a pod that uses the exposed port of a pod on its own bridge.
    fn hairpin(
        &mut self,
        facts: &TenantFacts<'_>,
        sent: &Sent<'_>,
        arrived: &[&Outcome],
    ) -> Result<(), TooMany> {
        let here = facts.tenant.exposes.iter().filter(|expose| expose.bridge == sent.at);
        let public = united(here.map(|expose| Range::address(expose.public)).collect());
        let mut lost = arrived
            .iter()
            .filter(|_| !public.is_empty())
            .map(|outcome| self.lost_reply(outcome, sent.segment, sent.segment, &public).transpose());
        if let Some(headers) = lost.find_map(|lost| lost).transpose()? {
            let name = bridge_name(&sent.segment.key);
            let message = format!(
                "traffic from {name} to an exposed port of a pod there arrives, but the reply is lost"
            );
            self.violation(Check::Connected, facts.tenant, message, Origin::Pod(sent.segment), &headers);
        }
        Ok(())
    }

    /// Does the same for one of the tenant's bridges.
    fn between_two(
        &mut self,
        facts: &TenantFacts<'_>,
        sent: &Sent<'_>,
        (to, target): (BridgeIndex, &Segment),
        arrived: &[&Outcome],
    ) -> Result<(), TooMany> {
        let tenant = facts.tenant;
        // A route of the spec inside the network leads elsewhere; traffic on the bridge itself is not routed.
        let pods: Vec<Range> = match to == sent.at {
            true => target.pods.clone(),
            false => target.pods.iter().flat_map(|range| rest(*range, &facts.routed)).collect(),
        };
        let pods = common(&pods, sent.asked);
        let asked: Vec<Headers> = own_sources(sent.segment)
            .into_iter()
            .flat_map(|own| between(own, &[Range::ADDRESSES], &pods))
            .collect();
        let ends = (spec_rules::End::Bridge(sent.at), spec_rules::End::Bridge(to));
        let said = facts.rules.allowed(ends.0, ends.1, asked.clone());
        let does: Vec<Headers> = arrived.iter().map(|outcome| outcome.path.sent()).collect();
        let names = || (bridge_name(&sent.segment.key), bridge_name(&target.key));
        let origin = Origin::Pod(sent.segment);
        if let Some(headers) = difference(said.clone(), &does).first() {
            let (from, to) = names();
            let message =
                format!("traffic from {from} to {to} does not arrive, although the rules accept it");
            self.violation(Check::Connected, tenant, message, origin, headers);
        }
        let forbidden = difference(asked, &said);
        let index = BoxIndex::of(&forbidden);
        let leak = does.iter().find_map(|own| {
            let other = index.next(0, own).and_then(|place| forbidden.get(place));
            other.and_then(|other| own.common(*other))
        });
        if let Some(headers) = leak {
            let (from, to) = names();
            let message =
                format!("traffic from {from} to {to} arrives, although the rules drop or reject it");
            self.violation(Check::Closed, tenant, message, origin, &headers);
        }
        let mut allowed = arrived
            .iter()
            .filter(|outcome| !without_indexed(vec![outcome.path.sent()], &forbidden, &index).is_empty());
        let lost = allowed
            .find_map(|outcome| self.lost_reply(outcome, sent.segment, target, &target.pods).transpose());
        if let Some(headers) = lost.transpose()? {
            let (from, to) = names();
            let message = format!("traffic from {from} to {to} arrives, but the reply is lost");
            self.violation(Check::Connected, tenant, message, origin, &headers);
        }
        Ok(())
    }

    /// Checks that everybody whom the rules let in reaches the exposed ports.
    pub(super) fn exposed(&mut self, facts: &TenantFacts<'_>, outcomes: &[Outcome]) {
        let tenant = facts.tenant;
        let networks = united(tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr)).collect());
        let outside = rest(Range::ADDRESSES, &networks);
        let does: Vec<Headers> = outcomes
            .iter()
            .filter(|outcome| self.segment_at(&outcome.end).is_some())
            .map(|outcome| outcome.path.sent())
            .collect();
        let index = BoxIndex::of(&does);
        let mut rules: BTreeMap<BridgeIndex, Between> = BTreeMap::new();
        for expose in &tenant.exposes {
            let port = Range::one(expose.target_port.into());
            let all = Headers::all(Range::ADDRESSES, Range::address(expose.address)).into_iter();
            let all = all.flat_map(|headers| between(headers, &outside, &[Range::ADDRESSES])).filter_map(
                |headers| {
                    let wanted = Headers {
                        protocols: Protocols::of(&[expose.protocol]),
                        fragments: Fragments::WHOLE,
                        ..headers
                    };
                    headers.common(wanted.with(DESTINATION_PORT, port))
                },
            );
            let rules = rules.entry(expose.bridge).or_insert_with(|| {
                let to = spec_rules::End::Bridge(expose.bridge);
                facts.rules.between(spec_rules::End::World, to, &EVERYTHING)
            });
            let said = rules.allowed(all.collect());
            let public = (Range::address(expose.public), Range::one(expose.public_port.into()));
            let as_sent = said
                .into_iter()
                .map(|headers| headers.with(DESTINATION, public.0).with(DESTINATION_PORT, public.1));
            if let Some(headers) = without_indexed(as_sent.collect(), &does, &index).first() {
                let message =
                    format!("{}:{} is exposed, but not reachable", expose.public, expose.public_port);
                self.violation(Check::Connected, tenant, message, Origin::World, headers);
            }
        }
    }
}
