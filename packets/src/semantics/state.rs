//! The state that is kept between packets: tracked connections and translations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use uuid::Uuid;

use super::Packet;

/// A flow as one device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    protocol: u8,
    source: (Ipv4Addr, u16),
    destination: (Ipv4Addr, u16),
    device: Uuid,
}

impl Flow {
    pub(super) fn of(packet: &Packet, device: Uuid) -> Flow {
        let (source_port, destination_port) = packet.flow_ports();
        Flow {
            protocol: packet.protocol,
            source: (packet.source, source_port),
            destination: (packet.destination, destination_port),
            device,
        }
    }

    fn turned(self) -> Flow {
        Flow { source: self.destination, destination: self.source, ..self }
    }
}

/// Connections and translations.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Return flows of tracked connections, with the device by which they enter.
    returns: BTreeSet<Flow>,
    /// By flow before SNAT: the new source.
    sources: BTreeMap<Flow, (Ipv4Addr, u16)>,
    /// By return flow: the old source.
    source_reverses: BTreeMap<Flow, (Ipv4Addr, u16)>,
    /// By flow before DNAT: the new destination.
    destinations: BTreeMap<Flow, (Ipv4Addr, u16)>,
    /// By return flow: the old destination.
    destination_reverses: BTreeMap<Flow, (Ipv4Addr, u16)>,
}

impl State {
    pub(super) fn is_return(&self, flow: &Flow) -> bool {
        self.returns.contains(flow)
    }

    /// Stores a tracked connection that leaves the network with this header at a device: from now on
    /// its replies are recognised by their header when they enter there.
    pub(super) fn track(&mut self, packet: &Packet, egress_device: Uuid) {
        self.returns.insert(Flow::of(packet, egress_device).turned());
    }

    /// Returns the new source of a flow: its existing translation, or the first address and port of the target.
    pub(super) fn translate_source(
        &mut self,
        packet: &Packet,
        device: Uuid,
        first: (Ipv4Addr, u16),
    ) -> (Ipv4Addr, u16) {
        let flow = Flow::of(packet, device);
        if let Some(known) = self.sources.get(&flow) {
            return *known;
        }
        // The first address and port, even if another flow has them: replies go to the last flow that got them.
        // An echo keeps its identifier.
        let port = if packet.is_echo() { 0 } else { first.1 };
        let new = (first.0, port);
        self.sources.insert(flow, new);
        self.source_reverses.insert(Flow { source: flow.destination, destination: new, ..flow }, flow.source);
        new
    }

    pub(super) fn reverse_source(&self, packet: &Packet, device: Uuid) -> Option<(Ipv4Addr, u16)> {
        self.source_reverses.get(&Flow::of(packet, device)).copied()
    }

    pub(super) fn translate_destination(&mut self, packet: &Packet, device: Uuid, target: (Ipv4Addr, u16)) {
        let flow = Flow::of(packet, device);
        self.destinations.insert(flow, target);
        let answer = Flow { source: target, destination: flow.source, ..flow };
        self.destination_reverses.insert(answer, flow.destination);
    }

    pub(super) fn known_destination(&self, packet: &Packet, device: Uuid) -> Option<(Ipv4Addr, u16)> {
        self.destinations.get(&Flow::of(packet, device)).copied()
    }

    pub(super) fn reverse_destination(&self, packet: &Packet, device: Uuid) -> Option<(Ipv4Addr, u16)> {
        self.destination_reverses.get(&Flow::of(packet, device)).copied()
    }
}
