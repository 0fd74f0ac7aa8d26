//! Packets between places of a laboratory: what is seen of them, and what the traces say.

use std::net::Ipv4Addr;
use std::time::Duration;

use midoform_lab::probe::{Answer, Probe, Protocol, Seen, Station};
use midoform_lab::{Folder, Lab, LabError, Place, Seat};
use serde_json::Value as Json;

use super::own_command;
use crate::args::LabPacket;
use crate::error::CommandError;
use crate::ui::Ui;

/// The address outside, if nobody names one.
pub(crate) const ANY_OUTSIDE: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);

/// One end of a packet.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    Place(&'a Place),
    World(Ipv4Addr),
}

impl End<'_> {
    pub(crate) fn address(&self) -> Ipv4Addr {
        match self {
            End::Place(place) => place.address,
            End::World(address) => *address,
        }
    }

    /// Returns its name, as `midoform trace` takes it.
    pub(crate) fn name(&self) -> String {
        match self {
            End::Place(place) => place.port_name().unwrap_or_else(|| place.name()),
            End::World(address) => format!("world/{address}"),
        }
    }
}

/// A packet that the command line describes.
pub(crate) struct Packet<'a> {
    pub(crate) from: End<'a>,
    pub(crate) to: End<'a>,
    pub(crate) protocol: Protocol,
}

impl<'a> Packet<'a> {
    pub(crate) fn of(lab: &'a Lab, options: &LabPacket) -> Result<Packet<'a>, CommandError> {
        let protocol = match (options.tcp, options.udp) {
            (Some(port), _) => Protocol::Tcp(port),
            (None, Some(port)) => Protocol::Udp(port),
            (None, None) => Protocol::Icmp,
        };
        let from = end(lab, &options.from)?;
        // An address is reached from where the sender is: it may be a public one, or one in another tenant's network.
        let to = match options.to.parse() {
            Ok(address) => End::World(address),
            Err(_) => end(lab, &options.to)?,
        };
        Ok(Packet { from, to, protocol })
    }

    /// Returns the arguments of `midoform trace` for it.
    pub(crate) fn trace_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--from".to_owned(), self.from.name(), "--to".to_owned()];
        arguments.push(match self.to {
            End::World(address) => address.to_string(),
            End::Place(_) => self.to.name(),
        });
        match self.protocol {
            Protocol::Icmp => {}
            Protocol::Tcp(port) => arguments.extend(["--tcp".to_owned(), port.to_string()]),
            Protocol::Udp(port) => arguments.extend(["--udp".to_owned(), port.to_string()]),
        }
        arguments
    }

    /// Returns the switch and the microflow of `ovn-trace`; none if it starts outside.
    pub(crate) fn microflow(&self, lab: &Lab) -> Option<(String, String)> {
        let End::Place(from) = self.from else { return None };
        let to = self.to.address();
        let neighbour = lab
            .description
            .places
            .iter()
            .find(|place| place.logical_switch == from.logical_switch && place.address == to);
        let next = match neighbour {
            Some(place) => place.mac.clone(),
            None => lab.gateway_mac(from)?,
        };
        let carried = match self.protocol {
            Protocol::Icmp => "icmp4.type == 8 && icmp4.code == 0".to_owned(),
            Protocol::Tcp(port) => format!("tcp.dst == {port} && tcp.src == 40000"),
            Protocol::Udp(port) => format!("udp.dst == {port} && udp.src == 40000"),
        };
        let flow = format!(
            "inport == \"{}\" && eth.src == {} && eth.dst == {next} && ip4.src == {} && ip4.dst == {to} && ip.ttl == 64 && {carried}",
            from.logical_port, from.mac, from.address
        );
        Some((from.logical_switch.clone(), flow))
    }
}

/// Reads an end: a place, `world`, or `world/ADDRESS`.
fn end<'a>(lab: &'a Lab, text: &str) -> Result<End<'a>, CommandError> {
    if let Some(address) = text.strip_prefix("world/") {
        return address.parse().map(End::World).map_err(|_| {
            CommandError::Usage(format!("{text}: `{address}` is no IPv4 address; write world/ADDRESS"))
        });
    }
    match lab.description.seat(text)? {
        Seat::Place(place) => Ok(End::Place(place)),
        Seat::World => Ok(End::World(ANY_OUTSIDE)),
        Seat::Host(_) => Err(CommandError::Usage(format!(
            "{text}: a host is in no tenant's network; name a place, or world"
        ))),
    }
}

/// Returns all namespaces that send and receive: those of the places in their order, and then the world's.
pub(crate) fn stations(lab: &Lab) -> Vec<Station> {
    let place = |place: &Place| Station {
        namespace: Seat::Place(place).namespace(&lab.folder),
        address: Some(place.address),
    };
    let world = Station { namespace: Seat::World.namespace(&lab.folder), address: None };
    lab.description.places.iter().map(place).chain([world]).collect()
}

/// Sends a packet some times. `all_ports` are the ports that exposed ports lead to.
pub(crate) fn send(
    lab: &Lab,
    packet: &Packet<'_>,
    count: u16,
    wait: Duration,
) -> Result<Vec<Seen>, LabError> {
    let stations = stations(lab);
    let from = match packet.from {
        End::World(_) => stations.len() - 1,
        End::Place(place) => lab.description.places.iter().position(|known| known == place).unwrap_or(0),
    };
    let probe =
        Probe { from, source: packet.from.address(), to: packet.to.address(), protocol: packet.protocol };
    let more: Vec<Protocol> = lab
        .description
        .targets
        .iter()
        .filter_map(|target| match (packet.protocol, target) {
            (Protocol::Tcp(port), target) if (target.tcp, target.public) == (true, port) => {
                Some(Protocol::Tcp(target.port))
            }
            (Protocol::Udp(port), target) if (target.tcp, target.public) == (false, port) => {
                Some(Protocol::Udp(target.port))
            }
            _ => None,
        })
        .collect();
    midoform_lab::probe::run(&stations, &vec![probe; usize::from(count)], &more, wait)
}

/// Returns in words where midoform's trace says that a packet ends; none if it can't say.
pub(crate) fn verdict(ui: &Ui, folder: &Folder, packet: &Packet<'_>) -> Result<Option<String>, CommandError> {
    let arguments = packet.trace_arguments();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.push("--json");
    let Some(text) = own_command::trace(ui, folder, &arguments)? else { return Ok(None) };
    let Ok(trace) = serde_json::from_str::<Json>(&text) else { return Ok(None) };
    let end = |trace: &Json| {
        let ending = &trace["ending"];
        let at = ending["at"].as_array().cloned().unwrap_or_default();
        let at: Vec<&str> = at.iter().filter_map(Json::as_str).collect();
        let how = ending["is"].as_str().unwrap_or("unknown").replace('_', " ");
        if at.is_empty() { how } else { format!("{how} to {}", at.join(", ")) }
    };
    let reply = match &trace["answer"] {
        Json::Null => String::new(),
        reply => format!("; the reply is {}", end(reply)),
    };
    Ok(Some(format!("{}{reply}", end(&trace))))
}

/// Returns in words where a packet arrived.
pub(crate) fn where_it_arrived(lab: &Lab, seen: &[Seen]) -> Option<String> {
    let arrival = seen.iter().find_map(|seen| seen.arrived)?;
    let name = lab.description.places.get(arrival.at).map_or("world".to_owned(), Place::name);
    Some(format!("it arrives at {name}, from {}", arrival.source))
}

/// Returns in words how a packet was answered.
pub(crate) fn answers(protocol: Protocol, seen: &[Seen]) -> String {
    let of = seen.len();
    let times: Vec<Duration> = seen
        .iter()
        .filter_map(|seen| match seen.answer {
            Answer::Reply(after) => Some(after),
            Answer::Refused(_) | Answer::Silence => None,
        })
        .collect();
    let what = match protocol {
        Protocol::Icmp => "pings",
        Protocol::Tcp(_) => "TCP connections",
        Protocol::Udp(_) => "UDP packets",
    };
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let mut text = format!("{} of {of} {what} are answered", times.len());
    if !times.is_empty() {
        text.push_str(&format!(
            " ({:.1} to {:.1} ms)",
            milliseconds(times.iter().min()),
            milliseconds(times.iter().max())
        ));
    }
    let refusal = seen.iter().find_map(|seen| match seen.answer {
        Answer::Refused(refusal) => Some(refusal),
        Answer::Reply(_) | Answer::Silence => None,
    });
    if let Some(refusal) = refusal {
        text.push_str(&format!("; refused by {refusal}"));
    }
    text
}
