//! An interpreter of the stored topology: the treatment of one packet by MidoNet.
//!
//! `docs/semantics.md` names the source of each rule. The tests compare the interpreter with the recorded worlds
//! (`testdata/midonet-packets`). It is simple and slow on purpose: it handles one packet at a time, and keeps every step.

mod build;
mod chain;
mod condition;
mod simulate;
mod state;
pub(crate) mod world;

#[cfg(test)]
mod tests;

pub use build::{entry_of, id_of};
pub(crate) use simulate::{BROADCAST, MOST_DEVICES};
pub use simulate::{EvaluatedRule, Hop, IcmpError, Station, Trace, Verdict, simulate};
pub use state::State;
pub use world::{World, WorldError};

use std::net::Ipv4Addr;

use midoform_compiler::topology::kinds::FragmentPolicy;
use midoform_compiler::values::{MacAddress, ethertype};

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// The EtherType; behind the tag, if there is one.
    pub ethertype: u16,
    /// The VLAN of its tag.
    pub vlan: Option<u16>,
    /// Source address. For ARP: the sender's address. Other EtherTypes have none.
    pub source: Ipv4Addr,
    /// Destination address. For ARP: the target's address. Other EtherTypes have none.
    pub destination: Ipv4Addr,
    /// IP protocol number. For ARP: the operation.
    pub protocol: u8,
    /// TCP or UDP source port, or the ICMP type.
    pub source_port: u16,
    /// TCP or UDP destination port, or the ICMP code.
    pub destination_port: u16,
    /// Source MAC address.
    pub source_mac: MacAddress,
    /// Destination MAC address.
    pub destination_mac: MacAddress,
    /// The kind of fragment.
    pub fragment: Fragment,
    /// The TTL.
    pub ttl: u8,
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    /// The EtherType; behind the tag, if there is one.
    pub(crate) ethertype: u16,
    /// The VLAN of its tag.
    pub(crate) vlan: Option<u16>,
}

impl Frame {
    /// IPv4 without a tag.
    pub(crate) const IPV4: Frame = Frame::of(ethertype::IPV4);

    pub(crate) const fn of(ethertype: u16) -> Frame {
        Frame { ethertype, vlan: None }
    }

    /// Returns true for IPv4 without a tag: a router forwards nothing else.
    pub(crate) fn is_routed(self) -> bool {
        self == Frame::IPV4
    }

    /// Returns true for ARP without a tag.
    pub(crate) fn is_arp(self) -> bool {
        self == Frame::of(ethertype::ARP)
    }

    /// Returns true if rules can match its addresses: those of IPv4, or of ARP.
    pub(crate) fn has_addresses(self) -> bool {
        matches!(self.ethertype, ethertype::IPV4 | ethertype::ARP)
    }
}

/// A packet's kind of fragment. Later fragments carry no ports; their ports are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fragment {
    /// A whole packet.
    #[default]
    Whole,
    /// The first fragment.
    First,
    /// A later fragment.
    Later,
}

impl Fragment {
    /// Returns the bits of OVN's `ip.frag`: bit 0 is set for all fragments, bit 1 for all but the first.
    pub(crate) fn bits(self) -> u128 {
        match self {
            Fragment::Whole => 0,
            Fragment::First => 0b01,
            Fragment::Later => 0b11,
        }
    }

    /// Returns true if a rule's `fragmentPolicy` matches.
    pub(crate) fn fits(self, policy: FragmentPolicy) -> bool {
        match policy {
            FragmentPolicy::Any => true,
            FragmentPolicy::Header => self != Fragment::Later,
            FragmentPolicy::Nonheader => self == Fragment::Later,
            FragmentPolicy::Unfragmented => self == Fragment::Whole,
        }
    }
}

/// ICMP's protocol number.
pub(crate) const ICMP: u8 = 1;
/// ICMP's type of an echo reply.
pub(crate) const ECHO_REPLY: u16 = 0;
/// ICMP's type of an echo request.
pub(crate) const ECHO_REQUEST: u16 = 8;

/// ARP's operation of a request.
pub const ARP_REQUEST: u8 = 1;
/// ARP's operation of a reply.
pub const ARP_REPLY: u8 = 2;

impl Packet {
    pub(crate) fn frame(&self) -> Frame {
        Frame { ethertype: self.ethertype, vlan: self.vlan }
    }

    /// Returns true for TCP, UDP and ICMP, whose connections are tracked.
    fn is_tracked(&self) -> bool {
        self.ethertype == ethertype::IPV4 && tracks(self.protocol)
    }

    /// Returns true for TCP, UDP and ICMP echo, whose addresses are translated.
    fn is_translated(&self) -> bool {
        self.ethertype == ethertype::IPV4 && matches!(self.protocol, 6 | 17) || self.is_echo()
    }

    fn is_echo(&self) -> bool {
        self.ethertype == ethertype::IPV4 && self.protocol == ICMP && is_echo_type(self.source_port)
    }

    /// Returns true for an ICMP echo request, to which a router replies on its own address.
    fn is_echo_request(&self) -> bool {
        self.protocol == ICMP && self.source_port == ECHO_REQUEST && self.destination_port == 0
    }

    /// Returns the ports of a flow. An ICMP echo has 0 for both: its identifier is not known here, and is the same both
    /// ways.
    fn flow_ports(&self) -> (u16, u16) {
        if self.is_echo() { (0, 0) } else { (self.source_port, self.destination_port) }
    }

    /// Returns the reply: addresses and ports are exchanged, an echo request becomes an echo reply.
    #[must_use]
    pub fn reply(&self) -> Packet {
        let (source_port, destination_port) = match (self.protocol, self.source_port) {
            (ICMP, ECHO_REQUEST) => (ECHO_REPLY, 0),
            (ICMP, kind) => (kind, self.destination_port),
            _ => (self.destination_port, self.source_port),
        };
        Packet {
            source: self.destination,
            destination: self.source,
            source_port,
            destination_port,
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            ttl: FULL_TTL,
            ..*self
        }
    }
}

/// The TTL of a packet when it is sent.
pub const FULL_TTL: u8 = 64;

/// Returns true if connections of the protocol are tracked.
pub(crate) fn tracks(protocol: u8) -> bool {
    matches!(protocol, ICMP | 6 | 17)
}

/// Returns true if the ICMP type is an echo request or an echo reply.
pub(crate) fn is_echo_type(kind: u16) -> bool {
    matches!(kind, ECHO_REPLY | ECHO_REQUEST)
}
