//! Checks of the spec's rules: between bridges, and to exposed ports.

use super::{GroupCheck, Sent};
use crate::trace::bridge_name;
use crate::verify::counterexample::{Origin, between};
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, difference, rest, united,
};
use crate::verify::reach::own_sources;
use crate::verify::report::Check;
use crate::verify::spec_rules;
use crate::verify::walk::{Outcome, TooMany};
use midoform_compiler::network::Tenant;
use midoform_compiler::topology::key::Key;

impl GroupCheck<'_> {
    /// Compares the rules between this bridge and each of the tenant's bridges with the actual outcomes.
    pub(super) fn between_bridges(&mut self, tenant: &Tenant, sent: &Sent<'_>) -> Result<(), TooMany> {
        let routed: Vec<Range> =
            united(tenant.routes.iter().map(|route| Range::network(route.destination)).collect());
        for (to, bridge) in tenant.indexed_bridges() {
            let key = Key::tenant(&tenant.name).bridge(&bridge.name).device();
            let Some(target) = self.model.segment(&key) else { continue };
            let inside = to == sent.at;
            // A route of the spec inside the network leads elsewhere; traffic on the bridge itself is not routed.
            let pods: Vec<Range> = match inside {
                true => target.pods.clone(),
                false => target.pods.iter().flat_map(|range| rest(*range, &routed)).collect(),
            };
            let asked: Vec<Headers> = own_sources(sent.segment)
                .into_iter()
                .flat_map(|own| between(own, &[Range::ADDRESSES], &pods))
                .collect();
            let said = spec_rules::allowed(
                tenant,
                spec_rules::End::Bridge(sent.at),
                spec_rules::End::Bridge(to),
                asked.clone(),
            );
            let outcomes = if inside { &sent.inside } else { &sent.routed };
            let arrived: Vec<&Outcome> = outcomes
                .iter()
                .filter(|outcome| self.segment_at(&outcome.end).is_some_and(|at| at.key == target.key))
                .collect();
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
            let leak =
                does.iter().flat_map(|own| forbidden.iter().filter_map(|other| own.common(*other))).next();
            if let Some(headers) = leak {
                let (from, to) = names();
                let message =
                    format!("traffic from {from} to {to} arrives, although the rules drop or reject it");
                self.violation(Check::Closed, tenant, message, origin, &headers);
            }
            let mut allowed = arrived
                .iter()
                .filter(|outcome| !difference(vec![outcome.path.sent()], &forbidden).is_empty());
            let lost = allowed.find_map(|outcome| self.lost_reply(outcome, sent.segment, target).transpose());
            if let Some(headers) = lost.transpose()? {
                let (from, to) = names();
                let message = format!("traffic from {from} to {to} arrives, but the reply is lost");
                self.violation(Check::Connected, tenant, message, origin, &headers);
            }
        }
        Ok(())
    }

    /// Checks that everybody whom the rules let in reaches the exposed ports.
    pub(super) fn exposed(&mut self, tenant: &Tenant, outcomes: &[Outcome]) {
        let networks = united(tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr)).collect());
        let outside = rest(Range::ADDRESSES, &networks);
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
            let to = spec_rules::End::Bridge(expose.bridge);
            let said = spec_rules::allowed(tenant, spec_rules::End::World, to, all.collect());
            let public = (Range::address(expose.public), Range::one(expose.public_port.into()));
            let as_sent = said
                .into_iter()
                .map(|headers| headers.with(DESTINATION, public.0).with(DESTINATION_PORT, public.1));
            let does: Vec<Headers> = outcomes
                .iter()
                .filter(|outcome| self.segment_at(&outcome.end).is_some())
                .map(|outcome| outcome.path.sent())
                .collect();
            if let Some(headers) = difference(as_sent.collect(), &does).first() {
                let message =
                    format!("{}:{} is exposed, but not reachable", expose.public, expose.public_port);
                self.violation(Check::Connected, tenant, message, Origin::World, headers);
            }
        }
    }
}
