//! Picks one packet of a set, and traces it with the interpreter.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Subject;
use super::header::{Headers, Range};
use super::segment::Segment;
use crate::ovn::has_rows;
use crate::semantics::{Fragment, Frame, Packet};
use crate::trace::{Endpoint, RowsNetwork, TraceNetwork, TraceReport};
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::{MacAddress, ethertype};

/// One packet of a set, with familiar addresses and ports if the set has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) frame: Frame,
    /// Another source MAC address than the sender's own.
    pub(crate) source_mac: Option<MacAddress>,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) fragment: Fragment,
}

impl Picked {
    fn carried(self) -> (u8, u16, u16) {
        (self.protocol, self.source_port, self.destination_port)
    }

    /// Gives a packet with these addresses and ports the rest of the header.
    fn put_into(self, packet: Packet) -> Packet {
        Packet {
            fragment: self.fragment,
            ethertype: self.frame.ethertype,
            vlan: self.frame.vlan,
            source_mac: self.source_mac.unwrap_or(packet.source_mac),
            ..packet
        }
    }

    /// Describes the packet.
    pub(crate) fn in_words(&self) -> String {
        let Picked { frame, source, destination, protocol, source_port, destination_port, .. } = self;
        let tag = frame.vlan.map(|vlan| format!(" with the tag {vlan}")).unwrap_or_default();
        match (frame.is_routed(), protocol) {
            (true, 6) => format!("tcp {source}:{source_port} → {destination}:{destination_port}"),
            (true, 17) => format!("udp {source}:{source_port} → {destination}:{destination_port}"),
            (true, 1) => format!("icmp type {source_port} code {destination_port} {source} → {destination}"),
            (true, other) => format!("protocol {other} {source} → {destination}"),
            (false, _) => format!("a frame of the EtherType {}{tag}", ethertype::shown(frame.ethertype)),
        }
    }
}

/// Returns the first of these values that is in the range, else the first of the range.
fn liked(range: Range, liked: &[u32]) -> u32 {
    liked.iter().copied().find(|value| range.has(*value)).unwrap_or(range.first)
}

/// A well-known address outside.
const OUTSIDE: u32 = 0x0808_0808;
const SOURCE_PORTS: [u32; 2] = [40_000, 1024];
const PORTS: [u32; 5] = [443, 80, 22, 53, 1];
const ECHO: [u32; 1] = [8];

/// Picks a packet of a set.
pub(crate) fn pick(headers: &Headers) -> Picked {
    let [sources, destinations, source_ports, ports] = headers.fields;
    let protocol = headers.protocols.first().unwrap_or(6);
    let (source_port, port) = match protocol {
        1 => (liked(source_ports, &ECHO), ports.first),
        _ => (liked(source_ports, &SOURCE_PORTS), liked(ports, &PORTS)),
    };
    let narrow = |number: u32| u16::try_from(number).unwrap_or_default();
    Picked {
        frame: Frame::IPV4,
        source_mac: None,
        source: liked(sources, &[OUTSIDE]).into(),
        destination: liked(destinations, &[OUTSIDE]).into(),
        protocol,
        source_port: narrow(source_port),
        destination_port: narrow(port),
        fragment: headers.fragments.first(),
    }
}

/// The sender of a set of packets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    Pod(&'a Segment),
    /// A static port, with the address and the MAC address behind it.
    Port(&'a Key, Ipv4Addr, MacAddress),
    World,
}

impl Origin<'_> {
    fn probe(self, picked: Picked) -> Endpoint {
        match self {
            Origin::World => Endpoint::World(picked.source),
            Origin::Port(key, address, mac) => Endpoint::Port(key.clone(), address, mac),
            Origin::Pod(segment) => {
                let own = segment.pods.iter().any(|range| range.has(picked.source.into()));
                let first = segment.pods.first().map_or(0, |range| range.first);
                // A pod's own address is not the one that it sends to.
                let other = segment.pods.iter().flat_map(|range| [range.first, range.last]);
                let other = other.into_iter().find(|value| *value != u32::from(picked.destination));
                let address = if own { picked.source } else { other.unwrap_or(first).into() };
                Endpoint::Pod(segment.key.clone(), address)
            }
        }
    }
}

/// Sends a packet of a set through the interpreter of the engine; none if an end of its path is not there.
pub(crate) fn trace(
    subject: Subject<'_>,
    tenants: &BTreeSet<&str>,
    origin: Origin<'_>,
    picked: Picked,
) -> Option<TraceReport> {
    if has_rows(subject.topology) {
        return through_rows(subject, tenants, origin, picked);
    }
    let mut network = TraceNetwork::of_tenants(subject.topology, tenants);
    let from = network.attach(&origin.probe(picked)).ok()?;
    network.attach_pods(picked.destination);
    let mut packet =
        picked.put_into(network.packet(&from, picked.source, picked.destination, picked.carried()));
    if !picked.frame.is_routed() {
        packet = network.to_neighbour(&from, packet);
    }
    Some(network.trace(&from, packet))
}

/// Does the same on OVN; none as well if the packet comes to a row that can't be read.
fn through_rows(
    subject: Subject<'_>,
    tenants: &BTreeSet<&str>,
    origin: Origin<'_>,
    picked: Picked,
) -> Option<TraceReport> {
    let specs = subject.tenants.iter().filter(|tenant| tenants.contains(&*tenant.name));
    let security = BridgeSecurity::of_tenants(specs);
    let mut network = RowsNetwork::of_tenants(subject.topology, tenants, &security);
    let from = network.attach(&origin.probe(picked)).ok()?;
    network.attach_pods(picked.destination);
    let mut packet =
        picked.put_into(network.packet(&from, picked.source, picked.destination, picked.carried()));
    if !picked.frame.is_routed() {
        packet = network.to_neighbour(&from, packet);
    }
    network.trace(&from, packet).ok()
}
