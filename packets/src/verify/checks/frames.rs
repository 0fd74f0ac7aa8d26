//! Checks of layer 2: which EtherTypes pass a bridge, frames with a VLAN tag, and forged ARP.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{GroupCheck, TenantFacts};
use crate::semantics::world::Rule;
use crate::semantics::{BROADCAST, Frame, id_of};
use crate::trace::bridge_name;
use crate::verify::counterexample::{Origin, Picked, pick};
use crate::verify::header::{DESTINATION, Headers, Protocols, Range, rest, united};
use crate::verify::packet_set::difference;
use crate::verify::report::Check;
use crate::verify::rows::{self, ICMP6};
use crate::verify::segment::Segment;
use crate::verify::walk::{End, Outcome, TooMany};
use midoform_compiler::network::{Port, Tenant};
use midoform_compiler::spec::{AntiSpoof, Profile};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{KeyView, RuleKey, TenantKey};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::{MacAddress, ethertype};

/// An EtherType that stands for all that no rule and no spec names (IEEE 802, for experiments).
const ANY_OTHER: u16 = 0x88b5;
/// A VLAN that stands for all: no rule names one.
const ANY_VLAN: u16 = 5;
/// A MAC address that no port is tied to.
const FOREIGN_MAC: MacAddress = MacAddress([0x02, 0x98, 0, 0, 0, 0x66]);

/// Returns the first outcome of frames that arrive somewhere.
fn arrived(outcomes: &[Outcome]) -> Option<&Outcome> {
    outcomes.iter().find(|outcome| has_arrived(&outcome.end))
}

fn has_arrived(end: &End) -> bool {
    matches!(end, End::Delivered(_) | End::Left(_) | End::Consumed(_))
}

impl GroupCheck<'_> {
    /// Checks the frames that the pods of a bridge can send.
    pub(super) fn frames(&mut self, facts: &TenantFacts<'_>, segment: &Segment) -> Result<(), TooMany> {
        self.other_ethertypes(facts, segment)?;
        self.tagged(facts.tenant, segment)?;
        if facts.tenant.anti_spoof != AntiSpoof::None {
            self.claims_the_gateway(facts.tenant, segment)?;
        }
        self.arp(facts.tenant, segment)
    }

    /// Checks that frames pass only if they are IPv4, ARP or what the spec names. A tenant that is not strict promises so
    /// only where a rule closes something inside the bridge.
    fn other_ethertypes(&mut self, facts: &TenantFacts<'_>, segment: &Segment) -> Result<(), TooMany> {
        let (tenant, rules) = (facts.tenant, self.rules_of(segment));
        if tenant.profile != Profile::Strict && !self.closes(facts, segment, rules) {
            return Ok(());
        }
        let named: BTreeSet<u16> =
            rules.iter().filter_map(|rule| u16::try_from(rule.dl_type?).ok()).collect();
        let kinds = [ethertype::IPV6, ethertype::VLAN, ANY_OTHER].into_iter().chain(named);
        let kinds = kinds.filter(|kind| ![ethertype::IPV4, ethertype::ARP].contains(kind));
        let kinds: Vec<u16> = kinds.filter(|kind| !tenant.ethertypes.contains(kind)).collect();
        for kind in kinds {
            let mut headers = Headers::frames(Range::ADDRESSES, Range::ADDRESSES);
            if self.model.rows.is_some() && kind == ethertype::IPV6 {
                // OVN lets IPv6 find its neighbours before any list.
                headers.protocols = headers.protocols.without(Protocols::of(&[ICMP6]));
            }
            let outcomes = self.sent(segment, Frame::of(kind), &[headers])?;
            if arrived(&outcomes).is_some() {
                let message = format!(
                    "frames of other EtherTypes than IPv4 and ARP, such as {}, pass {}, whatever the rules say",
                    ethertype::shown(kind),
                    bridge_name(&segment.key)
                );
                self.frame_violation(Check::Closed, tenant, message, segment, (Frame::of(kind), None));
                break;
            }
        }
        Ok(())
    }

    /// Checks that no frame with a VLAN tag passes.
    fn tagged(&mut self, tenant: &Tenant, segment: &Segment) -> Result<(), TooMany> {
        if !tenant.drops_tagged() {
            return Ok(());
        }
        for kind in [ethertype::IPV4, ethertype::ARP, ethertype::IPV6, ANY_OTHER] {
            let frame = Frame { ethertype: kind, vlan: Some(ANY_VLAN) };
            let outcomes =
                self.sent(segment, frame, &[Headers::frames(Range::ADDRESSES, Range::ADDRESSES)])?;
            if arrived(&outcomes).is_some() {
                let message = format!("frames with a VLAN tag pass {}", bridge_name(&segment.key));
                self.frame_violation(Check::Closed, tenant, message, segment, (frame, None));
                break;
            }
        }
        Ok(())
    }

    /// Checks that no pod claims the gateway's address in ARP.
    fn claims_the_gateway(&mut self, tenant: &Tenant, segment: &Segment) -> Result<(), TooMany> {
        let frame = Frame::of(ethertype::ARP);
        for (gateway, _) in &segment.gateways {
            let headers = Headers::frames(Range::address(*gateway), Range::ADDRESSES);
            let outcomes = self.sent(segment, frame, &[headers])?;
            if let Some(outcome) = arrived(&outcomes) {
                let name = bridge_name(&segment.key);
                let message = format!("a pod of {name} can claim the gateway's address {gateway} in ARP");
                let picked = Some(self.shown(outcome.path.sent()));
                self.frame_violation(Check::Spoofing, tenant, message, segment, (frame, picked));
                break;
            }
        }
        Ok(())
    }

    /// Checks that the pods' own ARP arrives: at a neighbour, and at the gateway.
    fn arp(&mut self, tenant: &Tenant, segment: &Segment) -> Result<(), TooMany> {
        let frame = Frame::of(ethertype::ARP);
        for own in &segment.pods {
            let targets = segment.gateways.iter().map(|(gateway, _)| Range::address(*gateway));
            let targets = targets.chain(segment.pods.first().copied());
            let headers: Vec<Headers> = targets.map(|target| Headers::frames(*own, target)).collect();
            let outcomes =
                self.model.frames((segment.pod, segment.pod_mac), &[BROADCAST], frame, &headers)?;
            let by_rule =
                outcomes.iter().find(|outcome| matches!(outcome.end, End::Dropped { rule: Some(_), .. }));
            if let Some(outcome) = by_rule {
                let message = format!("ARP between the pods of {} is lost", bridge_name(&segment.key));
                let picked = Some(self.shown(outcome.path.sent()));
                self.frame_violation(Check::Connected, tenant, message, segment, (frame, picked));
                break;
            }
        }
        Ok(())
    }

    /// Checks that a static port sends only with its own MAC address and address (`anti_spoof = "port"`), in ARP as well.
    pub(super) fn static_ports(&mut self, facts: &TenantFacts<'_>) -> Result<(), TooMany> {
        let tenant = facts.tenant;
        for port in tenant.ports.iter().filter(|_| tenant.anti_spoof == AntiSpoof::Port) {
            let Some(segment) = facts.segments.get(&port.bridge).copied() else { continue };
            let key = Key::tenant(&tenant.name).port(&port.name).device();
            let Some(id) = id_of(self.model.topology, &Reference::from(&key)) else { continue };
            if let Some((what, picked)) = self.forged(facts, port, segment, id)? {
                let message = format!("the static port {} can send {what}", port.name);
                let origin = Origin::Port(&key, port.address, port.mac);
                self.picked_violation(Check::Spoofing, tenant, message, origin, picked);
            }
        }
        Ok(())
    }

    /// Returns a frame that a static port must not send, and can.
    fn forged(
        &self,
        facts: &TenantFacts<'_>,
        port: &Port,
        segment: &Segment,
        id: Uuid,
    ) -> Result<Option<(&'static str, Picked)>, TooMany> {
        let own = Range::address(port.address);
        let routed = facts.routed_via(port.bridge, port.address).iter().copied().chain([own]);
        let routed = united(routed.collect());
        // OVN's port security has one list of addresses, for ARP as well.
        let claimable = if self.model.rows.is_some() { routed.clone() } else { vec![own] };
        let foreign = |own: &[Range], ipv4: bool| {
            let sources = rest(Range::ADDRESSES, own).into_iter();
            let headers = sources.flat_map(|source| match ipv4 {
                true => Headers::all(source, Range::ADDRESSES),
                false => vec![Headers::frames(source, Range::ADDRESSES)],
            });
            headers.collect::<Vec<_>>()
        };
        let all = [Headers::frames(Range::ADDRESSES, Range::ADDRESSES)];
        let (arp, other) = (Frame::of(ethertype::ARP), "with another MAC address");
        let cases = [
            (Frame::IPV4, port.mac, foreign(&routed, true), "with another source address"),
            (arp, port.mac, foreign(&claimable, false), "ARP that claims another address"),
            (Frame::IPV4, FOREIGN_MAC, Headers::all(Range::ADDRESSES, Range::ADDRESSES), other),
            (arp, FOREIGN_MAC, all.to_vec(), other),
        ];
        for (frame, mac, headers, what) in cases {
            let outcomes = self.model.frames((id, mac), &targets(segment), frame, &headers)?;
            let excused = if frame == Frame::IPV4 && mac == port.mac { self.excused() } else { Vec::new() };
            let arrived = outcomes.iter().filter(|outcome| has_arrived(&outcome.end));
            let mut forged = arrived.flat_map(|outcome| {
                difference(&self.model.sets, vec![outcome.path.sent()], &excused).into_iter()
            });
            if let Some(packets) = forged.next() {
                let picked = Picked { frame, source_mac: Some(mac), ..pick(&self.shown(packets)) };
                return Ok(Some((what, picked)));
            }
        }
        Ok(None)
    }

    /// Sends frames from a pod of a segment to everything that it may send to.
    fn sent(&self, segment: &Segment, frame: Frame, headers: &[Headers]) -> Result<Vec<Outcome>, TooMany> {
        self.model.frames((segment.pod, segment.pod_mac), &targets(segment), frame, headers)
    }

    /// Returns the rules of a bridge's chain.
    fn rules_of(&self, segment: &Segment) -> &[Rule] {
        let world = &self.model.world;
        let bridge = world.device_of(segment.pod).and_then(|bridge| world.devices.get(&bridge));
        let chain = bridge.and_then(|bridge| world.chains.get(&bridge.inbound?));
        chain.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns true if a rule of the spec drops or rejects traffic inside the bridge.
    fn closes(&self, facts: &TenantFacts<'_>, segment: &Segment, rules: &[Rule]) -> bool {
        if self.model.rows.is_some() {
            let prefix = format!("{}/acl/to/inside/", segment.key);
            let own = self.model.topology.of_tenant(segment.key.owner()).map(|(_, entry)| entry);
            let mut inside = own.filter(|entry| entry.key.as_str().starts_with(&prefix));
            return inside.any(|entry| rows::rule_of(entry).is_some_and(|name| facts.closing.contains(name)));
        }
        let of_spec = |rule: &Rule| {
            let key = self.model.entry(rule.id).map(|entry| entry.key.view());
            match key {
                Some(KeyView::Tenant(_, TenantKey::Rule(_, RuleKey::Inside { rule, .. }))) => Some(rule),
                _ => None,
            }
        };
        rules.iter().filter_map(of_spec).any(|name| facts.closing.contains(name))
    }

    fn frame_violation(
        &mut self,
        check: Check,
        tenant: &Tenant,
        message: String,
        segment: &Segment,
        (frame, headers): (Frame, Option<Headers>),
    ) {
        let near = segment.pods.first().copied().unwrap_or(Range::ADDRESSES);
        let headers = headers.unwrap_or_else(|| Headers::frames(near, near));
        // A neighbour shows that the frame arrives.
        let last = Range::one(near.last);
        let target = headers.fields[DESTINATION].common(last).unwrap_or(headers.fields[DESTINATION]);
        let picked = Picked { frame, ..pick(&headers.with(DESTINATION, target)) };
        self.picked_violation(check, tenant, message, Origin::Pod(segment), picked);
    }
}

/// Returns the MAC addresses that a pod may send to: a neighbour's, its gateways', and the broadcast address.
fn targets(segment: &Segment) -> Vec<MacAddress> {
    let gateways = segment.gateways.iter().map(|(_, mac)| *mac);
    [segment.neighbour_mac, BROADCAST].into_iter().chain(gateways).collect()
}
