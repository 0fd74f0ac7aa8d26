//! The receivers of probes.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};

use super::connection::{Arrival, Probe, Protocol, Station};
use super::packets::{PAYLOAD, index_of};
use crate::error::{Result, of};
use crate::namespace;

/// What listens, and what has arrived.
pub(super) struct Listeners {
    nonce: u64,
    udp: Vec<(usize, UdpSocket)>,
    tcp: Vec<(usize, TcpListener)>,
    accepted: Vec<Accepted>,
    arrivals: Vec<Option<Arrival>>,
}

/// A connection whose sender is not known yet.
struct Accepted {
    at: usize,
    stream: TcpStream,
    source: SocketAddrV4,
    read: Vec<u8>,
}

impl Listeners {
    /// Opens the sockets: a tenant's place listens on all ports, the world at each address that a probe goes to.
    pub(super) fn open(
        stations: &[Station],
        probes: &[Probe],
        more_ports: &[Protocol],
        nonce: u64,
    ) -> Result<Listeners> {
        let ports: BTreeSet<Protocol> =
            probes.iter().map(|probe| probe.protocol).chain(more_ports.iter().copied()).collect();
        let mut listeners = Listeners {
            nonce,
            udp: Vec::new(),
            tcp: Vec::new(),
            accepted: Vec::new(),
            arrivals: vec![None; probes.len()],
        };
        for (at, station) in stations.iter().enumerate() {
            let wanted: BTreeSet<(Ipv4Addr, Protocol)> = match station.address {
                Some(_) => ports.iter().map(|port| (Ipv4Addr::UNSPECIFIED, *port)).collect(),
                None => {
                    let others = probes.iter().filter(|probe| probe.from != at);
                    others.map(|probe| (probe.to, probe.protocol)).collect()
                }
            };
            namespace::within(&station.namespace, || {
                wanted.iter().try_for_each(|(address, port)| listeners.listen(at, *address, *port))
            })?;
        }
        Ok(listeners)
    }

    fn listen(&mut self, at: usize, address: Ipv4Addr, protocol: Protocol) -> Result<()> {
        let failed = || of(format!("listening on {address}, {protocol}"));
        match protocol {
            // The kernel answers.
            Protocol::Icmp => {}
            Protocol::Udp(port) => {
                let socket = UdpSocket::bind((address, port)).map_err(failed())?;
                socket.set_nonblocking(true).map_err(failed())?;
                self.udp.push((at, socket));
            }
            Protocol::Tcp(port) => {
                let listener = TcpListener::bind((address, port)).map_err(failed())?;
                listener.set_nonblocking(true).map_err(failed())?;
                self.tcp.push((at, listener));
            }
        }
        Ok(())
    }

    /// Reads what has arrived, and answers it.
    pub(super) fn receive(&mut self) {
        let mut buffer = [0; 64];
        for (at, socket) in &self.udp {
            while let Ok((length, SocketAddr::V4(source))) = socket.recv_from(&mut buffer) {
                if let Some(index) = index_of(self.nonce, &buffer[..length]) {
                    note(&mut self.arrivals, index, Arrival { at: *at, source });
                    // An answer that can't be sent is one that does not come.
                    let _ = socket.send_to(&buffer[..length], source);
                }
            }
        }
        for (at, listener) in &self.tcp {
            while let Ok((stream, SocketAddr::V4(source))) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    self.accepted.push(Accepted { at: *at, stream, source, read: Vec::new() });
                }
            }
        }
        for connection in &mut self.accepted {
            if connection.read.len() >= PAYLOAD {
                continue;
            }
            if let Ok(length) = connection.stream.read(&mut buffer) {
                connection.read.extend_from_slice(&buffer[..length]);
            }
            if let Some(index) = index_of(self.nonce, &connection.read) {
                note(&mut self.arrivals, index, Arrival { at: connection.at, source: connection.source });
                let _ = connection.stream.write_all(&connection.read);
            }
        }
    }

    /// Returns where each probe arrived.
    pub(super) fn arrivals(self) -> Vec<Option<Arrival>> {
        self.arrivals
    }
}

/// Notes the first arrival of a probe.
fn note(arrivals: &mut [Option<Arrival>], index: usize, arrival: Arrival) {
    if let Some(first) = arrivals.get_mut(index) {
        first.get_or_insert(arrival);
    }
}
