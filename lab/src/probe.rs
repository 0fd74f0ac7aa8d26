//! Connections between places: what arrives where, and what is answered.
//!
//! All probes of a run are in flight at the same time. Their sockets are made in the namespaces of their places, and stay there; one
//! loop reads them all. Each packet carries the number of its probe and the run's own number, so nothing else is taken for it.

mod connection;
mod packets;
mod receive;
mod send;

use std::time::{Duration, Instant};

pub use connection::{Answer, Arrival, Probe, Protocol, Refusal, Seen, Station};
use receive::Listeners;
use send::Senders;

use crate::error::Result;

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
