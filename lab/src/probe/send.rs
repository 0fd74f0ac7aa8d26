//! The senders of probes.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use socket2::{Domain, Protocol as Number, SockAddr, Socket, Type};

use super::connection::{Answer, Probe, Protocol, Refusal, Station};
use super::packets::{self, Icmp, PAYLOAD, index_of, payload};
use crate::error::{Result, of};
use crate::namespace;

/// The first source port of spoofed packets.
const SPOOFED_PORT: u16 = 40_000;
/// Errors of a connection that is being made.
const IN_PROGRESS: i32 = 115;
const REFUSED: i32 = 111;

/// The sockets of all probes.
pub(super) struct Senders {
    nonce: u64,
    senders: Vec<Sender>,
    /// A raw socket for each station and source that sends: for echo replies, and for ICMP errors about anything.
    raw: BTreeMap<(usize, Ipv4Addr), Socket>,
    /// The probe of each station's protocol and source port.
    ports: BTreeMap<(usize, u8, u16), usize>,
}

struct Sender {
    probe: Probe,
    socket: Option<Socket>,
    state: State,
    start: Instant,
    answer: Option<Answer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Packets are sent, and may be sent again.
    Packets,
    /// A spoofed packet: nobody waits for its answer.
    Spoofed,
    Unconnected,
    Connecting,
    Connected,
}

impl Senders {
    /// Opens the sockets, each in its sender's namespace.
    pub(super) fn open(stations: &[Station], probes: &[Probe], nonce: u64) -> Result<Senders> {
        let mut senders = Senders {
            nonce,
            senders: Vec::with_capacity(probes.len()),
            raw: BTreeMap::new(),
            ports: BTreeMap::new(),
        };
        let now = Instant::now();
        for probe in probes {
            senders.senders.push(Sender {
                probe: *probe,
                socket: None,
                state: State::Packets,
                start: now,
                answer: None,
            });
        }
        for (at, station) in stations.iter().enumerate() {
            let own: Vec<usize> = (0..probes.len()).filter(|index| probes[*index].from == at).collect();
            namespace::within(&station.namespace, || {
                own.iter().try_for_each(|index| senders.open_one(*index, station))
            })?;
        }
        Ok(senders)
    }

    fn open_one(&mut self, index: usize, station: &Station) -> Result<()> {
        let Some(sender) = self.senders.get_mut(index) else { return Ok(()) };
        let Probe { from, source, protocol, .. } = sender.probe;
        let failed = || of(format!("making the socket of a {protocol} from {source}"));
        let is_spoofed = station.address.is_some_and(|own| own != source);
        if is_spoofed {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Number::from(255))).map_err(failed())?;
            sender.state = State::Spoofed;
            sender.socket = Some(socket);
            return Ok(());
        }
        let address = SockAddr::from(SocketAddrV4::new(source, 0));
        if let std::collections::btree_map::Entry::Vacant(entry) = self.raw.entry((from, source)) {
            let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Number::ICMPV4)).map_err(failed())?;
            raw.bind(&address).map_err(failed())?;
            raw.set_nonblocking(true).map_err(failed())?;
            entry.insert(raw);
        }
        let (kind, number, state) = match protocol {
            Protocol::Icmp => return Ok(()),
            Protocol::Udp(_) => (Type::DGRAM, 17, State::Packets),
            Protocol::Tcp(_) => (Type::STREAM, 6, State::Unconnected),
        };
        let socket = Socket::new(Domain::IPV4, kind, None).map_err(failed())?;
        socket.bind(&address).map_err(failed())?;
        socket.set_nonblocking(true).map_err(failed())?;
        let port =
            socket.local_addr().ok().and_then(|address| address.as_socket()).map(|address| address.port());
        self.ports.extend(port.map(|port| ((from, number, port), index)));
        sender.state = state;
        sender.socket = Some(socket);
        Ok(())
    }

    /// Sends the packets of all probes that have no answer yet. A connection is tried once: the kernel repeats its packets.
    pub(super) fn send(&mut self) {
        let (nonce, raw) = (self.nonce, &self.raw);
        for (index, sender) in self.senders.iter_mut().enumerate() {
            if sender.answer.is_some() {
                continue;
            }
            let error = match sender.send(nonce, index, raw) {
                Ok(()) => continue,
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(IN_PROGRESS) => {}
                // An ICMP error about an earlier packet: it is read elsewhere.
                Some(REFUSED) if sender.state == State::Packets => {}
                Some(REFUSED) => sender.answer = Some(Answer::Refused(Refusal::Reset)),
                _ if error.kind() == ErrorKind::WouldBlock => {}
                number => sender.answer = Some(Answer::Refused(Refusal::NotSent(number.unwrap_or(0)))),
            }
        }
    }

    /// Reads the answers.
    pub(super) fn receive(&mut self) {
        let mut buffer = [0; 2048];
        for ((station, _), socket) in &self.raw {
            let own = identifier(self.nonce, *station);
            while let Ok(length) = (&mut &*socket).read(&mut buffer) {
                let (refusal, index) = match packets::read_icmp(&buffer[..length]) {
                    Some(Icmp::Reply(identifier, sequence)) if identifier == own => {
                        (None, usize::from(sequence))
                    }
                    Some(Icmp::EchoError(refusal, identifier, sequence)) if identifier == own => {
                        (Some(refusal), usize::from(sequence))
                    }
                    Some(Icmp::PortError(refusal, protocol, port)) => {
                        let Some(index) = self.ports.get(&(*station, protocol, port)) else { continue };
                        (Some(refusal), *index)
                    }
                    _ => continue,
                };
                if let Some(sender) =
                    self.senders.get_mut(index).filter(|sender| sender.probe.from == *station)
                {
                    let answer = match refusal {
                        Some(refusal) => Answer::Refused(refusal),
                        None => Answer::Reply(sender.start.elapsed()),
                    };
                    sender.answer.get_or_insert(answer);
                }
            }
        }
        for (index, sender) in self.senders.iter_mut().enumerate() {
            sender.receive(self.nonce, index);
        }
    }

    /// Returns true if there is nothing to wait for.
    pub(super) fn are_done(&self) -> bool {
        self.senders.iter().all(|sender| sender.answer.is_some())
    }

    /// Returns the answers.
    pub(super) fn answers(self) -> Vec<Answer> {
        self.senders.into_iter().map(|sender| sender.answer.unwrap_or(Answer::Silence)).collect()
    }
}

/// Returns the identifier of a station's echo requests. Each station has its own: the userspace datapath translates the sources of
/// two stations to one address, and does not tell their requests apart then.
fn identifier(nonce: u64, station: usize) -> u16 {
    let own = nonce.wrapping_add(station as u64) & 0xffff;
    u16::try_from(own).unwrap_or_default()
}

impl Sender {
    fn send(
        &mut self,
        nonce: u64,
        index: usize,
        raw: &BTreeMap<(usize, Ipv4Addr), Socket>,
    ) -> std::io::Result<()> {
        let Probe { from, source, to, protocol } = self.probe;
        let bytes = payload(nonce, index);
        let at = |port: u16| SockAddr::from(SocketAddrV4::new(to, port));
        match (protocol, self.state, &self.socket) {
            (Protocol::Icmp, _, _) => {
                let Some(socket) = raw.get(&(from, source)) else { return Ok(()) };
                let sequence = u16::try_from(index).unwrap_or(u16::MAX);
                socket
                    .send_to(&packets::echo_request(identifier(nonce, from), sequence, &bytes), &at(0))
                    .map(drop)
            }
            (Protocol::Udp(port), State::Spoofed, Some(socket)) => {
                let own = SPOOFED_PORT + u16::try_from(index % 20_000).unwrap_or(0);
                socket.send_to(&packets::udp_packet((source, own), (to, port), &bytes), &at(0)).map(drop)
            }
            (Protocol::Udp(port), _, Some(socket)) => socket.send_to(&bytes, &at(port)).map(drop),
            (Protocol::Tcp(port), State::Unconnected, Some(socket)) => {
                let connected = socket.connect(&at(port));
                self.state = State::Connecting;
                connected
            }
            _ => Ok(()),
        }
    }

    fn receive(&mut self, nonce: u64, index: usize) {
        let is_waiting = self.answer.is_none() && self.state != State::Spoofed;
        let Some(socket) = self.socket.as_ref().filter(|_| is_waiting) else { return };
        if self.state == State::Connecting {
            match socket.take_error() {
                Ok(Some(error)) if error.raw_os_error() == Some(REFUSED) => {
                    self.answer = Some(Answer::Refused(Refusal::Reset));
                    return;
                }
                // Another error is an ICMP error, which is read elsewhere, or the kernel's own patience that has ended.
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => {}
            }
            if socket.peer_addr().is_err() {
                return;
            }
            self.state = State::Connected;
            // A connection that takes nothing is one whose answer does not come.
            let _ = socket.send(&payload(nonce, index));
        }
        let mut buffer = [0; PAYLOAD];
        if let Ok(length) = (&mut &*socket).read(&mut buffer)
            && index_of(nonce, &buffer[..length]) == Some(index)
        {
            self.answer = Some(Answer::Reply(self.start.elapsed()));
        }
    }
}
