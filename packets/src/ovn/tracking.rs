//! Connection tracking: what is kept between packets.
//!
//! A connection has a direction in which it was opened, and the header of its replies; a translation is the difference of the two.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::network::{RouterIndex, SwitchPortIndex};
use crate::semantics::{ECHO_REPLY, ECHO_REQUEST, ICMP, Packet};
use midoform_compiler::ovn::expression::meaning::connection_state as state;
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::ethertype;

/// TCP's protocol number.
const TCP: u8 = 6;

/// What forwards the packets on a host. Both do the same but for the protocols that they track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Datapath {
    /// Linux: every protocol is tracked.
    #[default]
    Kernel,
    /// Open vSwitch itself (3.1): it tracks TCP, UDP and ICMP, and a packet passes connection tracking at most 6 times.
    Userspace,
}

/// What connection tracking sees of a packet beside its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// True for an answer: of TCP, a SYN with an ACK, where the first packet is a SYN.
    pub is_answer: bool,
    /// The identifier of an ICMP echo.
    pub echo: u16,
}

/// A part of the connections with a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// That of a switch's port.
    Port(SwitchPortIndex),
    /// That of a router.
    Router(RouterIndex),
    /// That of a router for what it sends to an address of its own translations.
    Returning(RouterIndex),
}

/// The addresses and ports of one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    protocol: u8,
    /// ICMP's type of an echo request or an echo reply; 0 for other protocols.
    kind: u16,
    pub(super) source: (Ipv4Addr, u16),
    pub(super) destination: (Ipv4Addr, u16),
}

impl Flow {
    /// Returns the flow of a packet. Both ports of an echo are its identifier.
    pub(super) fn of(packet: &Packet, echo: u16) -> Flow {
        let (kind, ports) = match packet.protocol {
            _ if has_ports(packet) => (0, (packet.source_port, packet.destination_port)),
            ICMP => (packet.source_port, (echo, echo)),
            _ => (0, (0, 0)),
        };
        Flow {
            protocol: packet.protocol,
            kind,
            source: (packet.source, ports.0),
            destination: (packet.destination, ports.1),
        }
    }

    fn turned(self) -> Flow {
        let kind = match (self.protocol, self.kind) {
            (ICMP, ECHO_REQUEST) => ECHO_REPLY,
            (ICMP, ECHO_REPLY) => ECHO_REQUEST,
            (_, kind) => kind,
        };
        Flow { source: self.destination, destination: self.source, kind, ..self }
    }

    /// Gives a packet these addresses and ports.
    pub(super) fn put_into(self, packet: &mut Packet) {
        packet.source = self.source.0;
        packet.destination = self.destination.0;
        if has_ports(packet) {
            (packet.source_port, packet.destination_port) = (self.source.1, self.destination.1);
        }
    }
}

#[derive(Clone, Debug)]
struct Connection {
    /// As it was opened.
    opened: Flow,
    /// Its replies.
    replies: Flow,
    /// The row that translates it.
    row: Option<Key>,
    /// True if an ACL has ended it.
    is_blocked: bool,
}

/// What connection tracking says of a packet, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It opens a connection.
    New,
    /// It belongs to a connection, in the direction in which that was opened.
    Established,
    /// It is a reply.
    Reply,
    /// It belongs to a connection that an ACL has ended.
    Ended,
    /// It belongs to no connection, and can't open one.
    Invalid,
}

/// What connection tracking says of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tracked {
    /// The bits of `ct_state`; 0: the packet is not tracked.
    pub(super) bits: u128,
    /// True if an ACL has ended the connection.
    pub(super) is_blocked: bool,
}

impl Tracked {
    pub(super) fn has(self, bits: u128) -> bool {
        self.bits & bits == bits
    }

    pub(super) fn is_tracked(self) -> bool {
        self.has(state::TRACKED)
    }

    /// Returns what it says as one word; none if the packet is not tracked.
    pub(super) fn in_words(self) -> Option<ConnectionState> {
        use ConnectionState as C;
        self.is_tracked().then(|| match self {
            _ if self.has(state::INVALID) => C::Invalid,
            _ if self.has(state::NEW) => C::New,
            _ if self.is_blocked => C::Ended,
            _ if self.has(state::REPLY) => C::Reply,
            _ => C::Established,
        })
    }
}

/// The connections of all zones.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What forwards the packets.
    pub datapath: Datapath,
    connections: Vec<Connection>,
    by_flow: BTreeMap<(Zone, Flow), usize>,
    /// Connections of a pod to its own exposed port: by the header of their replies, the header as the pod gets them, and
    /// the load balancer.
    pub(super) hairpins: BTreeMap<(SwitchPortIndex, Flow), (Flow, Key)>,
}

impl State {
    /// Returns a state without connections.
    pub fn on(datapath: Datapath) -> State {
        State { datapath, ..State::default() }
    }

    /// Looks a packet up in a zone. An answer opens no connection, but for UDP and what is like it: a TCP connection begins with a
    /// SYN alone, an echo with a request.
    pub(super) fn look_up(&self, zone: Zone, packet: &Packet, sent: Sent) -> Tracked {
        if !self.is_trackable(packet) {
            return Tracked { bits: state::TRACKED | state::INVALID, is_blocked: false };
        }
        let flow = Flow::of(packet, sent.echo);
        match self.find(zone, flow) {
            Some(connection) => {
                let direction = if connection.opened == flow { 0 } else { state::REPLY };
                let bits = state::TRACKED | state::ESTABLISHED | direction;
                Tracked { bits, is_blocked: connection.is_blocked }
            }
            None if sent.is_answer && packet.protocol == TCP
                || packet.protocol == ICMP && packet.source_port != ECHO_REQUEST =>
            {
                Tracked { bits: state::TRACKED | state::INVALID, is_blocked: false }
            }
            None => Tracked { bits: state::TRACKED | state::NEW, is_blocked: false },
        }
    }

    /// Translates a packet as its connection is translated. Returns the row that translated the connection, if the packet has changed.
    pub(super) fn translate(&self, zone: Zone, packet: &mut Packet, sent: Sent) -> Option<Key> {
        let flow = Flow::of(packet, sent.echo);
        let connection = self.find(zone, flow)?;
        let translated = match connection.opened == flow {
            true => connection.replies.turned(),
            false => connection.opened.turned(),
        };
        translated.put_into(packet);
        connection.row.clone().filter(|_| translated != flow)
    }

    /// Adds a connection that the packet opens, with new ends, which a row gives it; `packet` gets them.
    pub(super) fn open(
        &mut self,
        zone: Zone,
        (packet, sent): (&mut Packet, Sent),
        (source, destination): (Option<Ipv4Addr>, Option<(Ipv4Addr, u16)>),
        row: Option<&Key>,
    ) {
        let opened = Flow::of(packet, sent.echo);
        if !self.is_trackable(packet) || self.find(zone, opened).is_some() {
            return;
        }
        let mut translated = opened;
        if let Some((address, port)) = destination {
            translated.destination = (address, if has_ports(packet) { port } else { opened.destination.1 });
        }
        if let Some(address) = source {
            translated.source.0 = address;
            // Any free port may be taken, if another connection has this one.
            while self.find(zone, translated.turned()).is_some() {
                translated.source.1 = translated.source.1.checked_add(1).unwrap_or(1024);
            }
        }
        let at = self.connections.len();
        let (replies, row) = (translated.turned(), row.cloned());
        self.connections.push(Connection { opened, replies, row, is_blocked: false });
        self.by_flow.insert((zone, opened), at);
        self.by_flow.insert((zone, translated.turned()), at);
        translated.put_into(packet);
    }

    /// Sets whether an ACL has ended the packet's connection, which is added if there is none. If another connection has the same
    /// replies, the packet gets another source port.
    pub(super) fn commit(&mut self, zone: Zone, (packet, sent): (&mut Packet, Sent), is_blocked: bool) {
        let flow = Flow::of(packet, sent.echo);
        if let Some(at) = self.by_flow.get(&(zone, flow)) {
            if let Some(connection) = self.connections.get_mut(*at) {
                connection.is_blocked = is_blocked;
            }
            return;
        }
        let source = packet.source;
        self.open(zone, (packet, sent), (Some(source), None), None);
    }

    fn find(&self, zone: Zone, flow: Flow) -> Option<&Connection> {
        self.by_flow.get(&(zone, flow)).and_then(|at| self.connections.get(*at))
    }

    fn is_trackable(&self, packet: &Packet) -> bool {
        packet.ethertype == ethertype::IPV4
            && match self.datapath {
                Datapath::Kernel => true,
                Datapath::Userspace => matches!(packet.protocol, ICMP | 6 | 17),
            }
    }
}

fn has_ports(packet: &Packet) -> bool {
    matches!(packet.protocol, 6 | 17 | 132)
}
