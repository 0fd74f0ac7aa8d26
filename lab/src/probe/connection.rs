//! A connection between two namespaces, and what is seen of it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A protocol, with the destination's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// An ICMP echo request.
    Icmp,
    /// A TCP connection.
    Tcp(u16),
    /// A UDP packet.
    Udp(u16),
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Protocol::Icmp => formatter.write_str("ping"),
            Protocol::Tcp(port) => write!(formatter, "tcp {port}"),
            Protocol::Udp(port) => write!(formatter, "udp {port}"),
        }
    }
}

/// One namespace that sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// The namespace's name.
    pub namespace: String,
    /// Its own address; none: the world, which has every address.
    pub address: Option<Ipv4Addr>,
}

/// A connection that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The index of the sender among the stations.
    pub from: usize,
    /// The source. If a tenant's place has another address, this is a spoofed packet, and nobody waits for its answer: UDP only.
    pub source: Ipv4Addr,
    /// The destination.
    pub to: Ipv4Addr,
    /// The protocol.
    pub protocol: Protocol,
}

/// What was seen of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it arrived, and with which source: of UDP and TCP only, since the kernel answers pings.
    pub arrived: Option<Arrival>,
    /// The answer.
    pub answer: Answer,
}

/// The arrival of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The index of the station.
    pub at: usize,
    /// The source that it sees.
    pub source: SocketAddrV4,
}

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The destination answers, after this time.
    Reply(Duration),
    /// The network or the destination refuses it.
    Refused(Refusal),
    /// Nothing comes.
    Silence,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A TCP reset.
    Reset,
    /// An ICMP error with this type and code.
    Icmp(u8, u8),
    /// The sender's own kernel sends nothing, with this error.
    NotSent(i32),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Reset => formatter.write_str("a TCP reset"),
            Refusal::Icmp(3, code) => write!(formatter, "ICMP destination unreachable, code {code}"),
            Refusal::Icmp(11, code) => write!(formatter, "ICMP time exceeded, code {code}"),
            Refusal::Icmp(kind, code) => write!(formatter, "ICMP type {kind}, code {code}"),
            Refusal::NotSent(error) => {
                write!(formatter, "not sent: {}", std::io::Error::from_raw_os_error(*error))
            }
        }
    }
}
