//! What MidoNet does with a packet: an interpreter of the stored topology.
//!
//! `docs/semantics.md` says where each rule comes from; the recorded worlds (`testdata/midonet-packets`) are
//! what it is held against. It is plain and slow on purpose: one packet at a time, every step written down.

mod chain;
mod condition;
mod simulate;
mod state;
mod world;

#[cfg(test)]
mod tests;

pub use simulate::{Hop, Station, Trace, Verdict, simulate};
pub use state::State;
pub use world::{World, WorldError};

use std::net::Ipv4Addr;

use crate::object::MacAddress;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP or UDP source port, or the ICMP type.
    pub source_port: u16,
    /// TCP or UDP destination port, or the ICMP code.
    pub destination_port: u16,
    /// Source MAC address.
    pub source_mac: MacAddress,
    /// Destination MAC address.
    pub destination_mac: MacAddress,
    /// Hops that are left.
    pub ttl: u8,
}

/// ICMP's protocol number.
pub(crate) const ICMP: u8 = 1;
/// ICMP's type of an echo request.
pub(crate) const ECHO_REQUEST: u16 = 8;

impl Packet {
    /// TCP, UDP and ICMP echo: what connections are tracked and translated for.
    fn has_flow(&self) -> bool {
        matches!(self.protocol, 6 | 17) || (self.protocol == ICMP && matches!(self.source_port, 0 | 8))
    }

    /// The ports of a flow; an ICMP echo has its identifier, which is the same both ways, for both.
    fn flow_ports(&self) -> (u16, u16) {
        if self.protocol == ICMP { (0, 0) } else { (self.source_port, self.destination_port) }
    }
}
