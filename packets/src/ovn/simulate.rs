//! Sends a packet through switches and routers.

use std::net::Ipv4Addr;

use super::network::{Network, RouterIndex, RouterPortIndex, SwitchIndex, SwitchPortIndex, SwitchPortKind};
use super::tracking::{ConnectionState, Datapath, Sent, State, Tracked, Zone};
use crate::semantics::Packet;
use midoform_compiler::ovn::expression::meaning::{Condition, NumberTest, PacketField, PortTest};
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::{MacAddress, ethertype};

/// A host beyond a port whose addresses OVN has learned: the next hop outside.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// The switch.
    pub switch: SwitchIndex,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its MAC address.
    pub mac: MacAddress,
}

/// The end of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It left by these ports.
    Delivered(Vec<SwitchPortIndex>),
    /// It is dropped: by a row, or for a reason of OVN's own.
    Dropped {
        /// The row.
        row: Option<Key>,
        /// The reason.
        why: &'static str,
    },
    /// An ACL dropped it, and told the sender.
    Rejected(Key),
    /// A switch or a router sent an answer to the port by which the packet came in.
    Answered(&'static str),
    /// The next hop has no known MAC address.
    WaitsForArp(Ipv4Addr),
}

/// A row that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The row: an ACL, a policy, a load balancer or a translation.
    pub row: Key,
    /// True if it matched.
    pub matched: bool,
    /// The packet behind it, if the row changed its addresses: a balancer, a translation, or one of both whose connection the packet
    /// belongs to.
    pub packet_after: Option<Packet>,
}

/// A switch or a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A switch.
    Switch(SwitchIndex),
    /// A router.
    Router(RouterIndex),
}

/// One device on the path.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The device.
    pub device: Device,
    /// The name of the port by which the packet came in.
    pub in_port: String,
    /// The packet as it came in.
    pub packet: Packet,
    /// The rows that were evaluated, in order.
    pub evaluated: Vec<Evaluated>,
    /// What connection tracking says of it: on a switch for its input port and for its output port, on a router for its translations.
    pub tracked: Vec<ConnectionState>,
    /// The static route that was taken; none: that of a port's own network.
    pub route: Option<Key>,
    /// The names of the ports by which it left.
    pub out_ports: Vec<String>,
}

/// The path of a packet and its end.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The devices, in order.
    pub hops: Vec<Hop>,
    /// The end.
    pub end: End,
    /// The packet at the end of its path.
    pub packet: Packet,
    /// The router that has answered the packet, an echo request, as the place of its hop: from there on, this is the answer's path.
    pub answered_by: Option<usize>,
}

/// The most devices on a path: a packet that passes more is in a loop.
const MOST_DEVICES: usize = 32;
/// The most times that a packet passes connection tracking in Open vSwitch's own datapath.
const MOST_PASSES: usize = 6;
/// The TTL of what OVN itself sends.
const OWN_TTL: u8 = 255;

pub(super) const LOOP: &str = "a loop: too many devices";
pub(super) const PASSES: &str = "Open vSwitch's own datapath does not recirculate a packet so often";

/// Sends a packet in at a switch's port.
pub fn simulate(
    network: &Network,
    state: &mut State,
    neighbours: &[Neighbour],
    from: SwitchPortIndex,
    (packet, sent): (Packet, Sent),
) -> Trace {
    let mut walk = Walk {
        network,
        state,
        neighbours,
        packet,
        sent,
        hops: Vec::new(),
        tracked: Tracked::default(),
        passes: 0,
        answered_by: None,
    };
    let end = walk.enter_switch(from);
    let end = match end {
        Ok(next) => walk.follow(next),
        Err(end) => end,
    };
    Trace { hops: walk.hops, end, packet: walk.packet, answered_by: walk.answered_by }
}

/// Where a packet goes next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Switch(SwitchPortIndex),
    Router(RouterPortIndex),
}

/// A packet on its path.
pub(super) struct Walk<'a> {
    pub(super) network: &'a Network,
    pub(super) state: &'a mut State,
    pub(super) neighbours: &'a [Neighbour],
    pub(super) packet: Packet,
    pub(super) sent: Sent,
    pub(super) hops: Vec<Hop>,
    pub(super) tracked: Tracked,
    passes: usize,
    answered_by: Option<usize>,
}

pub(super) fn dropped<T>(why: &'static str) -> Result<T, End> {
    Err(End::Dropped { row: None, why })
}

impl Walk<'_> {
    fn follow(&mut self, first: Next) -> End {
        let mut next = first;
        loop {
            if self.hops.len() >= MOST_DEVICES {
                return End::Dropped { row: None, why: LOOP };
            }
            // What one device tracks is no matter of the next.
            self.tracked = Tracked::default();
            let step = match next {
                Next::Switch(port) => self.enter_switch(port),
                Next::Router(port) => self.enter_router(port),
            };
            match step {
                Ok(further) => next = further,
                Err(end) => return end,
            }
        }
    }

    pub(super) fn begin(&mut self, device: Device, in_port: &str) {
        self.hops.push(Hop {
            device,
            in_port: in_port.to_owned(),
            packet: self.packet,
            evaluated: Vec::new(),
            tracked: Vec::new(),
            route: None,
            out_ports: Vec::new(),
        });
    }

    pub(super) fn hop(&mut self, change: impl FnOnce(&mut Hop)) {
        if let Some(hop) = self.hops.last_mut() {
            change(hop);
        }
    }

    /// Notes that a row was evaluated.
    pub(super) fn evaluated(&mut self, row: &Key, matched: bool) {
        self.hop(|hop| hop.evaluated.push(Evaluated { row: row.clone(), matched, packet_after: None }));
    }

    /// Notes that a row has changed the packet's addresses.
    pub(super) fn translated_by(&mut self, row: &Key) {
        let packet_after = Some(self.packet);
        self.hop(|hop| hop.evaluated.push(Evaluated { row: row.clone(), matched: true, packet_after }));
    }

    /// Sends the packet through connection tracking once.
    pub(super) fn pass_tracking(&mut self) -> Result<(), End> {
        self.passes += 1;
        match self.state.datapath == Datapath::Userspace && self.passes > MOST_PASSES {
            true => dropped(PASSES),
            false => Ok(()),
        }
    }

    pub(super) fn look_up(&mut self, zone: Zone, translates: bool) -> Result<(), End> {
        self.pass_tracking()?;
        self.tracked = self.state.look_up(zone, &self.packet, self.sent);
        let connection = self.tracked.in_words();
        self.hop(|hop| hop.tracked.extend(connection));
        if translates && let Some(row) = self.state.translate(zone, &mut self.packet, self.sent) {
            self.translated_by(&row);
        }
        Ok(())
    }

    /// Returns true if the packet meets a condition between two ports.
    pub(super) fn meets(&self, condition: &Condition, input: &str, output: Option<&str>) -> bool {
        match condition {
            Condition::Constant(value) => *value,
            Condition::All(parts) => parts.iter().all(|part| self.meets(part, input, output)),
            Condition::Any(parts) => parts.iter().any(|part| self.meets(part, input, output)),
            Condition::Number(test) => self.meets_number(test),
            Condition::Port(PortTest { is_input, names, holds }) => {
                let port = if *is_input { Some(input) } else { output };
                port.is_some_and(|port| names.contains(port)) == *holds
            }
            // There is one host, on which every port is.
            Condition::Resident { holds, .. } => *holds,
        }
    }

    fn meets_number(&self, test: &NumberTest) -> bool {
        use PacketField as P;
        let packet = &self.packet;
        let mac = |address: MacAddress| address.0.iter().fold(0, |all, octet| all << 8 | u128::from(*octet));
        let address = |address: Ipv4Addr| u128::from(u32::from(address));
        let value = match test.field {
            P::EthernetSource | P::ArpSourceMac => mac(packet.source_mac),
            P::EthernetDestination => mac(packet.destination_mac),
            P::EtherType => u128::from(packet.ethertype),
            P::VlanTag => packet.vlan.map_or(0, |vlan| u128::from(vlan) | 1 << 12),
            P::Ipv4Source | P::ArpSource => address(packet.source),
            P::Ipv4Destination | P::ArpTarget => address(packet.destination),
            P::Protocol | P::ArpOperation => u128::from(packet.protocol),
            P::Ttl => u128::from(packet.ttl),
            P::Fragment => packet.fragment.bits(),
            P::SourcePort | P::IcmpType => u128::from(packet.source_port),
            P::DestinationPort | P::IcmpCode => u128::from(packet.destination_port),
            P::ConnectionState => self.tracked.bits,
            P::ArpTargetMac | P::Other(_) => 0,
        };
        test.is_met_by(value)
    }

    /// Returns the next device behind a switch's port, or the end of a packet that leaves by it.
    pub(super) fn behind(&self, port: SwitchPortIndex) -> Result<Next, End> {
        let behind = self.network.switch_port(port).and_then(|port| match port.kind {
            SwitchPortKind::Router(_) => self.network.behind(port),
            SwitchPortKind::Interface | SwitchPortKind::Localnet { .. } => None,
        });
        match behind {
            Some(router_port) => Ok(Next::Router(router_port)),
            None => Err(End::Delivered(vec![port])),
        }
    }

    /// Turns an echo request into its answer.
    pub(super) fn turn_echo(&mut self) {
        let packet = self.packet;
        self.answered_by = self.answered_by.or(self.hops.len().checked_sub(1));
        self.packet = Packet {
            source: packet.destination,
            destination: packet.source,
            source_port: 0,
            ttl: OWN_TTL,
            ..packet
        };
    }

    pub(super) fn is_ip(&self) -> bool {
        matches!(self.packet.ethertype, ethertype::IPV4 | ethertype::IPV6)
    }
}
