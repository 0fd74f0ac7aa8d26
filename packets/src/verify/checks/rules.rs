//! Checks of the spec's rules: between bridges, and to exposed ports.

use std::collections::BTreeMap;

use super::{GroupCheck, Sent, TenantFacts};
use crate::trace::bridge_name;
use crate::verify::box_index::BoxIndex;
use crate::verify::counterexample::Origin;
use crate::verify::header::{
    self, DESTINATION, DESTINATION_PORT, EVERYTHING, Fragments, Headers, Protocols, Range, common, rest,
};
use crate::verify::packet_set::{PacketSet, difference, united};
use crate::verify::reach::own_sources;
use crate::verify::report::Check;
use crate::verify::segment::Segment;
use crate::verify::spec_rules::{self, Asked, Between};
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
        let public = facts.exposed(sent.at);
        let mut lost = arrived
            .iter()
            .filter(|_| !public.is_empty())
            .map(|outcome| self.lost_reply(outcome, sent.segment, sent.segment, public).transpose());
        if let Some(packets) = lost.find_map(|lost| lost).transpose()? {
            let name = bridge_name(&sent.segment.key);
            let message = format!(
                "traffic from {name} to an exposed port of a pod there arrives, but the reply is lost"
            );
            self.violation(Check::Connected, facts.tenant, message, Origin::Pod(sent.segment), packets);
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
        let (tenant, sets) = (facts.tenant, &self.model.sets);
        // A route of the spec inside the network leads elsewhere; traffic on the bridge itself is not routed.
        let pods: Vec<Range> = match to == sent.at {
            true => target.pods.clone(),
            false => target.pods.iter().flat_map(|range| rest(*range, &facts.routed)).collect(),
        };
        let pods = common(&pods, sent.asked);
        let own = own_sources(self.model, sent.segment).into_iter();
        let asked: Vec<Asked> = own.filter_map(|own| Asked::to(sets, own, &pods)).collect();
        let ends = (spec_rules::End::Bridge(sent.at), spec_rules::End::Bridge(to));
        let said = facts.rules.allowed(sets, ends, &asked);
        let does: Vec<PacketSet> = arrived.iter().map(|outcome| outcome.path.sent()).collect();
        let names = || (bridge_name(&sent.segment.key), bridge_name(&target.key));
        let origin = Origin::Pod(sent.segment);
        if let Some(packets) = difference(sets, said.clone(), &does).first() {
            let (from, to) = names();
            let message =
                format!("traffic from {from} to {to} does not arrive, although the rules accept it");
            self.violation(Check::Connected, tenant, message, origin, *packets);
        }
        let asked = asked.iter().map(|asked| asked.packets);
        let forbidden = united(sets, difference(sets, asked.collect(), &said));
        let leak = does.iter().find_map(|own| forbidden.iter().find_map(|other| own.common(sets, *other)));
        if let Some(packets) = leak {
            let (from, to) = names();
            let message =
                format!("traffic from {from} to {to} arrives, although the rules drop or reject it");
            self.violation(Check::Closed, tenant, message, origin, packets);
        }
        let mut allowed = arrived
            .iter()
            .filter(|outcome| !difference(sets, vec![outcome.path.sent()], &forbidden).is_empty());
        let lost = allowed
            .find_map(|outcome| self.lost_reply(outcome, sent.segment, target, &target.pods).transpose());
        if let Some(packets) = lost.transpose()? {
            let (from, to) = names();
            let message = format!("traffic from {from} to {to} arrives, but the reply is lost");
            self.violation(Check::Connected, tenant, message, origin, packets);
        }
        Ok(())
    }

    /// Checks that everybody whom the rules let in reaches the exposed ports.
    pub(super) fn exposed(&mut self, facts: &TenantFacts<'_>, outcomes: &[Outcome]) {
        let (tenant, sets) = (facts.tenant, &self.model.sets);
        let networks = tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr));
        let mut inside: Vec<Range> = networks.collect();
        if self.model.rows.is_some() {
            inside.extend(facts.no_sources_outside());
        }
        let outside = rest(Range::ADDRESSES, &header::united(inside));
        let arrived: Vec<&Outcome> =
            outcomes.iter().filter(|outcome| self.segment_at(&outcome.end).is_some()).collect();
        let index = BoxIndex::new(arrived.iter().map(|outcome| outcome.path.around()).enumerate());
        let mut rules: BTreeMap<BridgeIndex, Between> = BTreeMap::new();
        for expose in &tenant.exposes {
            let port = Range::one(expose.target_port.into());
            let wanted = Headers {
                protocols: Protocols::of(&[expose.protocol]),
                fragments: Fragments::WHOLE,
                ..EVERYTHING
            };
            let all = Headers::all(Range::ADDRESSES, Range::address(expose.address)).into_iter();
            let all = all.filter_map(|headers| headers.common(wanted.with(DESTINATION_PORT, port)));
            let all: Vec<Asked> = all.filter_map(|headers| Asked::from(sets, headers, &outside)).collect();
            let rules = rules.entry(expose.bridge).or_insert_with(|| {
                let to = spec_rules::End::Bridge(expose.bridge);
                facts.rules.between((spec_rules::End::World, to), &EVERYTHING)
            });
            let said = rules.allowed(sets, &all);
            let public = [Range::address(expose.public), Range::one(expose.public_port.into())];
            let inside = (expose.address.into(), port.first);
            let as_sent = said.into_iter().filter_map(|said| said.before_translation(sets, inside, public));
            let sent = EVERYTHING.with(DESTINATION, public[0]).with(DESTINATION_PORT, public[1]);
            let does = index.all(&sent).into_iter().filter_map(|place| arrived.get(place));
            let does: Vec<PacketSet> = does.map(|outcome| outcome.path.sent()).collect();
            if let Some(packets) = difference(sets, as_sent.collect(), &does).first() {
                let message =
                    format!("{}:{} is exposed, but not reachable", expose.public, expose.public_port);
                self.violation(Check::Connected, tenant, message, Origin::World, *packets);
            }
        }
    }
}
