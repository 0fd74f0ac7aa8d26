//! Connections between places: what arrives where, and what is answered.
//!
//! All probes of a run are in flight at the same time. Their sockets are made in the namespaces of their places, and stay there; one
//! loop reads them all. Each packet carries the number of its probe and the run's own number, so nothing else is taken for it.

mod packets;
mod receive;
mod send;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use receive::Listeners;
use send::Senders;

use crate::error::Result;

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

/// Sends all probes, and waits for their answers, at most for this time. Every station listens on the ports of the probes, and on
/// these ones.
///
/// # Errors
/// When a namespace is gone, or a socket can't be made.
pub fn run(
    stations: &[Station],
    probes: &[Probe],
    more_ports: &[Protocol],
    limit: Duration,
) -> Result<Vec<Seen>> {
    raise_limit_of_files();
    let nonce = nonce();
    let mut listeners = Listeners::open(stations, probes, more_ports, nonce)?;
    let mut senders = Senders::open(stations, probes, nonce)?;
    let start = Instant::now();
    // The first packet may be lost where OVN has to find out a MAC address or a tunnel.
    let mut repeats = [limit.mul_f64(0.15), limit.mul_f64(0.4), limit.mul_f64(0.65)].into_iter().peekable();
    senders.send();
    loop {
        listeners.receive();
        senders.receive();
        let waited = start.elapsed();
        if senders.are_done() || waited >= limit {
            break;
        }
        if repeats.peek().is_some_and(|at| waited >= *at) {
            repeats.next();
            senders.send();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    listeners.receive();
    let arrivals = listeners.arrivals();
    let answers = senders.answers();
    Ok(arrivals.into_iter().zip(answers).map(|(arrived, answer)| Seen { arrived, answer }).collect())
}

/// Returns a number that no other run has.
fn nonce() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Lets this process have as many sockets as the system allows.
fn raise_limit_of_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer, making a socket says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
