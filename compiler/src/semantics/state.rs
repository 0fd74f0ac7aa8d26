//! What is carried from packet to packet: tracked connections and translations.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use uuid::Uuid;

use super::Packet;

/// A flow as seen at one place.
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

    fn turned(self, device: Uuid) -> Flow {
        Flow { source: self.destination, destination: self.source, device, ..self }
    }
}

/// Connections and translations.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Return flows of tracked connections, by the device that they come in at.
    returns: BTreeMap<Flow, ()>,
    /// By flow before translation: the new source.
    sources: BTreeMap<Flow, (Ipv4Addr, u16)>,
    /// By answer: the old source.
    source_reverses: BTreeMap<Flow, (Ipv4Addr, u16)>,
    /// By flow before translation: the new destination.
    destinations: BTreeMap<Flow, (Ipv4Addr, u16)>,
    /// By answer: the old destination.
    destination_reverses: BTreeMap<Flow, (Ipv4Addr, u16)>,
}

impl State {
    pub(super) fn is_return(&self, flow: &Flow) -> bool {
        self.returns.contains_key(flow)
    }

    /// A connection that was asked about has left the network at a device: its answers are known from now on.
    pub(super) fn track(&mut self, asked: Flow, egress_device: Uuid) {
        self.returns.insert(asked.turned(egress_device), ());
    }

    /// The new source of a flow: the one that it has already, or the first that is free towards its destination.
    pub(super) fn translate_source(
        &mut self,
        packet: &Packet,
        device: Uuid,
        addresses: (Ipv4Addr, Ipv4Addr),
        ports: (u16, u16),
    ) -> Option<(Ipv4Addr, u16)> {
        let flow = Flow::of(packet, device);
        if let Some(known) = self.sources.get(&flow) {
            return Some(*known);
        }
        let candidates = (u32::from(addresses.0)..=u32::from(addresses.1)).map(Ipv4Addr::from);
        for address in candidates {
            for port in ports.0..=ports.1 {
                // An echo keeps its identifier; the last one who asks gets the answers.
                let is_echo = packet.protocol == super::ICMP;
                let port = if is_echo { 0 } else { port };
                let answer = Flow { source: flow.destination, destination: (address, port), ..flow };
                if is_echo || !self.source_reverses.contains_key(&answer) {
                    self.sources.insert(flow, (address, port));
                    self.source_reverses.insert(answer, flow.source);
                    return Some((address, port));
                }
            }
        }
        None
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
