//! Checks of the traffic to other tenants' pods and link addresses, and of spoofed sources.

use super::{GroupCheck, Sent, TenantFacts};
use crate::trace::bridge_name;
use crate::verify::counterexample::{Origin, pick};
use crate::verify::header::{DESTINATION, Range, SOURCE, rest, united};
use crate::verify::packet_set::{PacketSet, difference};
use crate::verify::path::Path;
use crate::verify::report::Check;
use crate::verify::rows;
use crate::verify::segment::Segment;
use crate::verify::walk::End;
use midoform_compiler::network::{BridgeIndex, Tenant};
use midoform_compiler::topology::key::view::{KeyView, TenantKey};

impl<'a> GroupCheck<'a> {
    /// Checks that a pod reaches another tenant's pods only if both tenants chose each other as peers.
    pub(super) fn isolation(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        for outcome in &sent.routed {
            let Some(reached) = self.segment_at(&outcome.end) else { continue };
            let other = reached.key.owner();
            if other == &*tenant.name || self.are_peers(tenant, sent.at, reached) {
                continue;
            }
            let message = format!("{} reaches {}", bridge_name(&sent.segment.key), bridge_name(&reached.key));
            return self.violation(
                Check::Isolation,
                tenant,
                message,
                Origin::Pod(sent.segment),
                outcome.path.sent(),
            );
        }
    }

    fn are_peers(&self, tenant: &Tenant, bridge: BridgeIndex, reached: &Segment) -> bool {
        let Some(other) = self.by_name.get(reached.key.owner()) else { return false };
        let KeyView::Tenant(_, TenantKey::Bridge(reached, _)) = reached.key.view() else { return false };
        let target = other.bridges.iter().position(|bridge| *bridge.name == *reached).map(BridgeIndex);
        let chose = |of: &Tenant, who: &str, at: BridgeIndex| {
            of.peers.iter().any(|peer| *peer.name == *who && peer.own_bridges.contains(&at))
        };
        chose(tenant, &other.name, bridge) && target.is_some_and(|at| chose(other, &tenant.name, at))
    }

    /// Checks that no new connection goes to link addresses, or to another tenant's router.
    pub(super) fn links(&mut self, facts: &TenantFacts<'_>, sent: &Sent<'_>) {
        let tenant = facts.tenant;
        for outcome in &sent.routed {
            let towards = match &outcome.end {
                End::Left(_) => true,
                End::Consumed(router) | End::Dropped { at: router, .. } => {
                    self.model.entry(*router).is_some_and(|entry| {
                        entry.key.owner() != &*tenant.name
                            && matches!(entry.key.view(), KeyView::Tenant(_, TenantKey::Router))
                    })
                }
                _ => false,
            };
            if !towards {
                continue;
            }
            let hit = outcome.path.clone().split_many(&self.model.sets, DESTINATION, &facts.links).0;
            let Some(hit) = hit.into_iter().next() else { continue };
            let (address, shown, owner) = self.another_link(tenant, &hit);
            let message =
                format!("{} reaches link addresses, such as {shown}", bridge_name(&sent.segment.key));
            let there = hit.clone().split(&self.model.sets, DESTINATION, Range::one(address)).0;
            let there = there.as_ref().unwrap_or(&hit).sent();
            let own = there.within(&self.model.sets, SOURCE, &sent.segment.pods);
            let headers = self.shown(own.unwrap_or(there)).with(DESTINATION, Range::one(address));
            let origin = Origin::Pod(sent.segment);
            return self.violation_through(Check::Links, tenant, message, origin, &headers, owner);
        }
    }

    /// Returns an example of the packets' destinations: another tenant's address, else the provider's port.
    fn another_link(&self, tenant: &Tenant, hit: &Path) -> (u32, String, Option<&'a str>) {
        let has = |address: std::net::Ipv4Addr| {
            let address = Range::address(address);
            hit.field(DESTINATION).covers(address)
                && hit.clone().split(&self.model.sets, DESTINATION, address).0.is_some()
        };
        let mut others = self.subject.tenants.iter().filter(|other| other.name != tenant.name);
        if let Some(other) = others.find(|other| has(other.link.near)) {
            let shown = format!("{} of {}", other.link.near, other.name);
            return (other.link.near.into(), shown, Some(&other.name));
        }
        let far = tenant.link.far;
        if has(far) {
            return (far.into(), format!("{far} of the provider router"), None);
        }
        let first = match hit.header[DESTINATION] {
            DESTINATION => self.shown(hit.sent()).fields[DESTINATION].first,
            _ => hit.field(DESTINATION).first,
        };
        (first, std::net::Ipv4Addr::from(first).to_string(), None)
    }

    /// Returns the packets that may pass with a foreign source address: a question for an address (DHCP), on OVN.
    pub(super) fn excused(&self) -> Vec<PacketSet> {
        self.model.rows.iter().map(|_| rows::asking_for_an_address()).collect()
    }

    /// Checks that packets with foreign source addresses are dropped: not of the bridge's network, and not routed by
    /// it.
    pub(super) fn spoofing(&mut self, facts: &TenantFacts<'_>, sent: &Sent<'_>) {
        let tenant = facts.tenant;
        let networks = sent.segment.networks.iter().map(|network| Range::network(*network));
        let own = united(networks.chain(facts.routed_by(sent.at).iter().copied()).collect());
        let somewhere = |end: &End| matches!(end, End::Delivered(_) | End::Left(_) | End::Consumed(_));
        let routed = sent.routed.iter().filter(|outcome| somewhere(&outcome.end));
        let inside = sent.inside.iter().filter(|outcome| somewhere(&outcome.end));
        for outcome in routed.chain(inside) {
            if rest(outcome.path.around().fields[SOURCE], &own).is_empty() {
                continue;
            }
            let sets = &self.model.sets;
            let foreign = outcome.path.sent().outside(sets, SOURCE, &own);
            let foreign = difference(sets, foreign.into_iter().collect(), &self.excused());
            let Some(foreign) = foreign.first().copied() else {
                continue;
            };
            let known = foreign.within(sets, SOURCE, &[Range::address(FOREIGN)]);
            let source = self.shown(known.unwrap_or(foreign)).fields[SOURCE];
            let from = foreign.within(sets, SOURCE, &[spoofed(source)]).unwrap_or(foreign);
            // An inside neighbour is found by its address.
            let near = from.within(sets, DESTINATION, &sent.segment.pods);
            let left = matches!(outcome.end, End::Left(_));
            let packets = if left { from } else { near.unwrap_or(from) };
            let headers = self.shown(packets);
            let place = match &outcome.end {
                End::Left(_) => "the outside".to_owned(),
                End::Consumed(_) => "its gateway".to_owned(),
                end => self
                    .segment_at(end)
                    .map_or_else(|| "another pod".to_owned(), |segment| bridge_name(&segment.key)),
            };
            let message = format!(
                "{} can send with a foreign source address, such as {}, to {place}",
                bridge_name(&sent.segment.key),
                pick(&headers).source
            );
            return self.violation(Check::Spoofing, tenant, message, Origin::Pod(sent.segment), packets);
        }
    }
}

/// An address that no host has (TEST-NET-2), as an example of a spoofed source.
const FOREIGN: std::net::Ipv4Addr = std::net::Ipv4Addr::new(198, 51, 100, 66);

/// Returns one address of a range that looks foreign: not the very first or last of all.
fn spoofed(range: Range) -> Range {
    let wanted = u32::from(FOREIGN);
    Range::one(if range.has(wanted) { wanted } else { range.first.max(1).min(range.last) })
}
