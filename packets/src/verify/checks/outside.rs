//! Checks of the traffic to the world, from the world, and of loops.

use super::{GroupCheck, Sent, TenantFacts};
use crate::trace::bridge_name;
use crate::verify::box_index::BoxIndex;
use crate::verify::counterexample::Origin;
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, EVERYTHING, Headers, Protocols, Range, SOURCE, SOURCE_PORT, common, rest,
};
use crate::verify::packet_set::{PacketSet, difference};
use crate::verify::path::Path;
use crate::verify::reach::own_sources;
use crate::verify::report::Check;
use crate::verify::segment::Uplink;
use crate::verify::spec_rules::{self, Asked};
use crate::verify::walk::{End, Outcome, TooMany};
use midoform_compiler::network::{Expose, Tenant};
use midoform_compiler::spec::{Egress, Profile};

impl GroupCheck<'_> {
    /// Checks the traffic from a bridge to the world.
    pub(super) fn outside(&mut self, facts: &TenantFacts<'_>, sent: &Sent<'_>) -> Result<(), TooMany> {
        let (tenant, sets) = (facts.tenant, &self.model.sets);
        let own = facts.sources.as_slice();
        let name = bridge_name(&sent.segment.key);
        let origin = Origin::Pod(sent.segment);
        let left = || sent.routed.iter().filter(|outcome| matches!(outcome.end, End::Left(_)));
        let foreign = left().find_map(|outcome| {
            let pods = outcome.path.sent().within(sets, SOURCE, &sent.segment.pods)?;
            let translated = outcome.path.header[SOURCE] >= 4;
            // An untranslated source is the pod's own only where the tenant has no translation.
            match translated {
                true => Some(pods).filter(|_| !rest(outcome.path.field(SOURCE), own).is_empty()),
                false => pods.outside(sets, SOURCE, own).filter(|_| tenant.egress != Egress::None),
            }
        });
        if let Some(packets) = foreign {
            let message =
                format!("{name} can send to the world with a source address that is not its tenant's");
            self.violation(Check::Outside, tenant, message, origin, packets);
        }
        let world = common(&facts.world, sent.asked);
        let wanted = own_sources(self.model, sent.segment).into_iter().flat_map(connections);
        let wanted: Vec<Asked> = wanted.filter_map(|own| Asked::to(sets, own, &world)).collect();
        let ends = (spec_rules::End::Bridge(sent.at), spec_rules::End::World);
        let said = facts.rules.allowed(sets, ends, &wanted);
        let does: Vec<PacketSet> = left().map(|outcome| outcome.path.sent()).collect();
        if let Some(packets) = difference(sets, said, &does).first() {
            let message =
                format!("traffic from {name} to the world does not leave, although the rules accept it");
            self.violation(Check::Outside, tenant, message, origin, *packets);
        }
        let lost = left().find_map(|outcome| {
            let End::Left(provider_port) = outcome.end else { return None };
            let uplink = self.model.uplink_of(provider_port)?;
            let mac = |port| self.model.port_mac(port);
            let start = (uplink.port, mac(provider_port)?, mac(uplink.port)?);
            self.lost(outcome, start, sent.segment, &facts.world).transpose()
        });
        if let Some(packets) = lost.transpose()? {
            let message = format!("traffic from {name} to the world leaves, but the reply is lost");
            self.violation(Check::Outside, tenant, message, origin, packets);
        }
        Ok(())
    }

    pub(super) fn loops(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let looped = |outcome: &&Outcome| matches!(outcome.end, End::Dropped { looped: true, .. });
        if let Some(outcome) = sent.routed.iter().find(looped) {
            let message = format!("packets from {} are in a loop", bridge_name(&sent.segment.key));
            self.violation(Check::Loops, tenant, message, Origin::Pod(sent.segment), outcome.path.sent());
        }
    }

    /// Checks the traffic that enters by the uplink, from the world or any other tenant.
    pub(super) fn entry_points(&mut self, facts: &TenantFacts<'_>, uplink: &Uplink, outcomes: &[Outcome]) {
        let (tenant, sets) = (facts.tenant, &self.model.sets);
        let mut open = spec_rules::entry_points(tenant);
        if self.model.rows.is_some() && tenant.profile == Profile::Strict && tenant.egress == Egress::None {
            // OVN's switches know no public address behind the translation.
            open.extend(tenant.exposes.iter().map(exposed_target));
        }
        let index = BoxIndex::of(&open);
        for outcome in outcomes {
            let Some(reached) = self.segment_at(&outcome.end) else { continue };
            let own = reached.key.owner() == &*tenant.name;
            let sent = vec![outcome.path.sent()];
            let meeting = index.all(&outcome.path.around()).into_iter().filter_map(|place| open.get(place));
            let meeting = meeting.filter(|_| own).map(PacketSet::of);
            let closed = difference(sets, sent, &meeting.collect::<Vec<_>>());
            if let Some(packets) = closed.first() {
                let message = format!(
                    "the world, and therefore every other tenant, reaches {}",
                    bridge_name(&reached.key)
                );
                self.violation(Check::Isolation, tenant, message, Origin::World, *packets);
                break;
            }
        }
        let back = outcomes.iter().find(|outcome| {
            let to_own = |path: Path| path.split_many(sets, DESTINATION, &uplink.destinations).0;
            matches!(outcome.end, End::Dropped { looped: true, .. })
                || (matches!(outcome.end, End::Left(port) if port == uplink.provider_port)
                    && !to_own(outcome.path.clone()).is_empty())
        });
        if let Some(outcome) = back {
            let message =
                "packets to its public addresses go back and forth between the tenant and the provider"
                    .to_owned();
            self.violation(Check::Loops, tenant, message, Origin::World, outcome.path.sent());
        }
        self.exposed(facts, outcomes);
    }
}

/// Returns the packets to the own address of an exposed port's pod.
fn exposed_target(expose: &Expose) -> Headers {
    let all = Headers { protocols: Protocols::of(&[expose.protocol]), ..EVERYTHING };
    all.with(DESTINATION, Range::address(expose.address))
        .with(DESTINATION_PORT, Range::one(expose.target_port.into()))
}

/// Returns the TCP packets, UDP packets and echo requests of a set: they have replies, and are translated.
fn connections(headers: Headers) -> Vec<Headers> {
    let ports = Headers { protocols: headers.protocols.and(Protocols::of(&[6, 17])), ..headers };
    let echo = Headers { protocols: headers.protocols.and(Protocols::of(&[1])), ..headers };
    let echo = echo.fields[SOURCE_PORT].common(Range::one(8)).map(|kind| echo.with(SOURCE_PORT, kind));
    let echo = echo.and_then(|echo| {
        Some(echo.with(DESTINATION_PORT, echo.fields[DESTINATION_PORT].common(Range::one(0))?))
    });
    [Some(ports), echo].into_iter().flatten().filter(|headers| !headers.protocols.is_empty()).collect()
}
