//! What leaves a tenant for the world, what comes in, and what goes round in circles.

use ipnet::Ipv4Net;

use super::{Asking, Question, Sent};
use crate::trace::bridge_name;
use crate::verify::header::{
    DESTINATION, DESTINATION_PORT, Headers, Protocols, Range, SOURCE, SOURCE_PORT, difference, rest, united,
};
use crate::verify::model::Uplink;
use crate::verify::oracle;
use crate::verify::reach::own_sources;
use crate::verify::walk::{End, Outcome, TooMany};
use crate::verify::witness::{Origin, between};
use midoform_compiler::network::Tenant;
use midoform_compiler::spec::Egress;

impl Asking<'_> {
    /// What leaves the tenant for the world.
    pub(super) fn outside(&mut self, tenant: &Tenant, sent: &Sent<'_>) -> Result<(), TooMany> {
        let own = match tenant.egress {
            Egress::SnatToLink => vec![Range::address(tenant.link.near)],
            Egress::SnatTo(first, last) => vec![Range { first: first.into(), last: last.into() }],
            Egress::None => tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr)).collect(),
        };
        let own = united(own);
        let name = bridge_name(&sent.segment.key);
        let origin = Origin::Pod(sent.segment);
        let left = || sent.routed.iter().filter(|outcome| matches!(outcome.end, End::Left(_)));
        let foreign = left().find_map(|outcome| {
            let pods = between(outcome.path.sent(), &sent.segment.pods, &[Range::ADDRESSES]);
            let other = !rest(outcome.path.now().fields[SOURCE], &own).is_empty();
            let translated = outcome.path.header[SOURCE] >= 4;
            // An untranslated source is the pod's own only where the tenant has no translation.
            let other = if translated { other } else { other && tenant.egress != Egress::None };
            pods.first().copied().filter(|_| other)
        });
        if let Some(headers) = foreign {
            let message = format!("{name} can leave with an address that is not its tenant's own");
            self.no(Question::Outside, tenant, message, origin, &headers);
        }
        let wanted: Vec<Headers> = own_sources(sent.segment)
            .into_iter()
            .flat_map(|own| between(own, &[Range::ADDRESSES], &self.world_of(tenant)))
            .flat_map(connections)
            .collect();
        let said = oracle::allowed(tenant, oracle::End::Bridge(sent.at), oracle::End::World, wanted);
        let does: Vec<Headers> = left().map(|outcome| outcome.path.sent()).collect();
        if let Some(headers) = difference(said, &does).first() {
            let message = format!("the rules allow it, and it does not leave: {name} to the world");
            self.no(Question::Outside, tenant, message, origin, headers);
        }
        let lost = left().find_map(|outcome| {
            let End::Left(provider_port) = outcome.end else { return None };
            let uplink = self.model.uplink_of(provider_port)?;
            let mac = |port| self.model.world.port_mac(port);
            let start = (uplink.port, mac(provider_port)?, mac(uplink.port)?);
            self.lost(outcome, start, sent.segment, &self.world_of(tenant)).transpose()
        });
        if let Some(headers) = lost.transpose()? {
            let message = format!("it leaves, and the answer is lost: {name} to the world");
            self.no(Question::Outside, tenant, message, origin, &headers);
        }
        Ok(())
    }

    /// Addresses that nothing of the tenant's makes another place of than the world.
    fn world_of(&self, tenant: &Tenant) -> Vec<Range> {
        let bridges = tenant.bridges.iter().map(|bridge| bridge.cidr);
        let peers = tenant.peers.iter().flat_map(|peer| peer.networks.iter().copied());
        let routes = tenant.routes.iter().map(|route| route.destination);
        let links = self.subject.links.iter().copied().chain([tenant.link.network]);
        let exposed = tenant.exposes.iter().map(|expose| Ipv4Net::from(expose.public));
        let peer_links = tenant.peers.iter().map(|peer| peer.link.network);
        let taken = bridges.chain(peers).chain(routes).chain(links).chain(exposed).chain(peer_links);
        rest(Range::ADDRESSES, &united(taken.map(Range::network).collect()))
    }

    pub(super) fn loops(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let looped = |outcome: &&Outcome| matches!(outcome.end, End::Dropped { looped: true, .. });
        if let Some(outcome) = sent.routed.iter().find(looped) {
            let message = format!("what {} sends goes round in circles", bridge_name(&sent.segment.key));
            self.no(Question::Loops, tenant, message, Origin::Pod(sent.segment), &outcome.path.sent());
        }
    }

    /// What comes in from outside, whoever sends it: the world, or any other tenant.
    pub(super) fn doors(&mut self, tenant: &Tenant, uplink: &Uplink, outcomes: &[Outcome]) {
        let open = oracle::doors(tenant);
        for outcome in outcomes {
            let Some(reached) = self.segment_at(&outcome.end) else { continue };
            let own = reached.key.owner() == &*tenant.name;
            let open: &[Headers] = if own { &open } else { &[] };
            if let Some(headers) = difference(vec![outcome.path.sent()], open).first() {
                let message =
                    format!("the world, and so every other tenant, reaches {}", bridge_name(&reached.key));
                self.no(Question::Isolation, tenant, message, Origin::World, headers);
                break;
            }
        }
        let back = outcomes.iter().find(|outcome| {
            let to = outcome.path.now().fields[DESTINATION];
            matches!(outcome.end, End::Dropped { looped: true, .. })
                || (matches!(outcome.end, End::Left(port) if port == uplink.provider_port)
                    && uplink.destinations.iter().any(|own| own.common(to).is_some()))
        });
        if let Some(outcome) = back {
            let message =
                "what comes in for its public addresses goes back and forth with the provider".to_owned();
            self.no(Question::Loops, tenant, message, Origin::World, &outcome.path.sent());
        }
        self.exposed(tenant, outcomes);
    }
}

/// TCP, UDP and echo requests of a set: what has answers, and is translated.
fn connections(headers: Headers) -> Vec<Headers> {
    let ports = Headers { protocols: headers.protocols.and(Protocols::of(&[6, 17])), ..headers };
    let echo = Headers { protocols: headers.protocols.and(Protocols::of(&[1])), ..headers };
    let echo = echo.fields[SOURCE_PORT].common(Range::one(8)).map(|kind| echo.with(SOURCE_PORT, kind));
    let echo = echo.and_then(|echo| {
        Some(echo.with(DESTINATION_PORT, echo.fields[DESTINATION_PORT].common(Range::one(0))?))
    });
    [Some(ports), echo].into_iter().flatten().filter(|headers| !headers.protocols.is_empty()).collect()
}
