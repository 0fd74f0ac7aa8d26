//! A trace as data, as text, and as a sequence diagram.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use serde::Serialize;
use uuid::Uuid;

use super::network::TraceNetwork;
use crate::semantics::{
    ARP_REPLY, ARP_REQUEST, Fragment, IcmpError, Packet, State, Station, Trace, Verdict, entry_of,
};
use midoform_compiler::printable::printable;
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{KeyView, TenantKey};
use midoform_compiler::values::ethertype;

/// A packet's header in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "a packet's own fields")]
pub struct PacketView {
    /// The EtherType, where it is not IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ethertype: Option<String>,
    /// The VLAN, where the frame has a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// `tcp`, `udp`, `icmp`, or a number; for ARP `request` or `reply`.
    pub protocol: String,
    /// The source port; ICMP's type.
    pub source_port: u16,
    /// The destination port; ICMP's code.
    pub destination_port: u16,
    /// `first` or `later`, where it is a fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<&'static str>,
}

/// The path of a packet.
#[derive(Clone, Debug, Serialize)]
pub struct TraceReport {
    /// The name of the station that sends the packet.
    pub from: String,
    /// The packet as it starts.
    pub packet: PacketView,
    /// The devices that the packet passes, in order.
    pub hops: Vec<Hop>,
    /// The end of the path.
    pub ending: Ending,
    /// The packet as it ends.
    pub packet_at_end: PacketView,
    /// The path of the reply, if the packet arrives and has a reply.
    #[serde(rename = "answer", skip_serializing_if = "Option::is_none")]
    pub reply: Option<Box<TraceReport>>,
}

/// One device on the path.
#[derive(Clone, Debug, Serialize)]
pub struct Hop {
    /// The device's key.
    pub device: String,
    /// The input port.
    pub in_port: String,
    /// The packet at the input port.
    pub packet: PacketView,
    /// Every rule that is evaluated, in order.
    pub rules: Vec<EvaluatedRule>,
    /// The chosen route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The output ports.
    pub out_ports: Vec<String>,
}

/// A rule that is evaluated.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluatedRule {
    /// Its chain's key.
    pub chain: String,
    /// Its key.
    pub rule: Key,
    /// A description of the rule.
    pub what: String,
    /// True if the rule matches.
    pub matched: bool,
    /// The packet after the rule, if the rule changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrites: Option<PacketView>,
    /// The line of the spec that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
}

/// An ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IcmpView {
    /// The type: 3, destination unreachable.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The code: 13, communication administratively prohibited.
    pub code: u8,
    /// The router's address.
    pub source: Ipv4Addr,
    /// The sender of the rejected packet.
    pub destination: Ipv4Addr,
}

impl From<IcmpError> for IcmpView {
    fn from(error: IcmpError) -> IcmpView {
        let IcmpError { source, destination } = error;
        IcmpView { kind: IcmpError::TYPE, code: IcmpError::CODE, source, destination }
    }
}

impl std::fmt::Display for IcmpView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let IcmpView { kind, code, source, destination } = self;
        write!(
            formatter,
            "ICMP type {kind} code {code} (administratively prohibited) {source} → {destination}"
        )
    }
}

/// The end of a packet's path.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Ending {
    /// The packet arrives.
    Delivered {
        /// The device or port.
        at: Vec<String>,
    },
    /// The packet is dropped.
    Dropped {
        /// The device or port.
        at: String,
        /// The reason.
        why: String,
        /// The rule that drops or rejects it.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// The line of the spec that caused the rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<Provenance>,
    },
    /// The packet is rejected.
    Rejected {
        /// The device.
        at: String,
        /// The rule that rejects it; none: a route.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// The line of the spec that caused the rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<Provenance>,
        /// The ICMP error that the sender gets. A bridge sends none.
        #[serde(skip_serializing_if = "Option::is_none")]
        icmp: Option<IcmpView>,
    },
    /// A router consumes the packet, and replies.
    Consumed {
        /// The router.
        at: String,
    },
    /// It arrives, but it is no reply: it comes from another address than the sender asked.
    NotAReply {
        /// The device or port.
        at: Vec<String>,
        /// The address that it comes from.
        source: Ipv4Addr,
        /// The address that the sender asked.
        expected: Ipv4Addr,
    },
    /// There is no ARP reply for the next hop.
    Unanswered {
        /// The next hop.
        next_hop: Ipv4Addr,
    },
}

impl Ending {
    /// Returns true if the packet arrives.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Ending::Delivered { .. })
    }
}

impl std::fmt::Display for PacketView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PacketView {
            ethertype,
            vlan,
            source,
            destination,
            protocol,
            source_port,
            destination_port,
            fragment,
        } = self;
        vlan.map_or(Ok(()), |vlan| write!(formatter, "VLAN {vlan}, "))?;
        match ethertype.as_deref() {
            Some("ARP") => return write!(formatter, "ARP {protocol} {source} → {destination}"),
            Some(other) => return write!(formatter, "EtherType {other}"),
            None => {}
        }
        match protocol.as_str() {
            "tcp" | "udp" => {
                write!(formatter, "{protocol} {source}:{source_port} → {destination}:{destination_port}")
            }
            "icmp" => {
                write!(formatter, "icmp {source} → {destination} type {source_port} code {destination_port}")
            }
            _ => write!(formatter, "protocol {protocol} {source} → {destination}"),
        }?;
        fragment.map_or(Ok(()), |which| write!(formatter, " ({which} fragment)"))
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Delivered { at } => write!(formatter, "delivered to {}", at.join(" and ")),
            Ending::Dropped { at, why, rule, source } => {
                match rule {
                    Some(rule) => write!(formatter, "dropped at {at} by the rule {rule}")?,
                    None => write!(formatter, "dropped at {at}: {why}")?,
                }
                source.as_ref().map_or(Ok(()), |source| write!(formatter, " ({source})"))
            }
            Ending::Rejected { at, rule, source, icmp } => {
                match rule {
                    Some(rule) => write!(formatter, "rejected at {at} by the rule {rule}")?,
                    None => write!(formatter, "rejected at {at}: a reject route")?,
                }
                source.as_ref().map_or(Ok(()), |source| write!(formatter, " ({source})"))?;
                icmp.as_ref().map_or(Ok(()), |icmp| write!(formatter, ", with {icmp}"))
            }
            Ending::Consumed { at } => write!(formatter, "consumed by {at}, which replies"),
            Ending::NotAReply { at, source, expected } => write!(
                formatter,
                "arrives at {}, but is no reply: it comes from {source}, and the packet went to {expected}",
                at.join(" and ")
            ),
            Ending::Unanswered { next_hop } => write!(formatter, "waits: no ARP reply for {next_hop}"),
        }
    }
}

pub(super) fn view(packet: &Packet) -> PacketView {
    let is_arp = packet.ethertype == ethertype::ARP;
    PacketView {
        ethertype: (packet.ethertype != ethertype::IPV4).then(|| ethertype::shown(packet.ethertype)),
        vlan: packet.vlan,
        source: packet.source,
        destination: packet.destination,
        protocol: match packet.protocol {
            ARP_REQUEST if is_arp => "request".to_owned(),
            ARP_REPLY if is_arp => "reply".to_owned(),
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => other.to_string(),
        },
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        fragment: match packet.fragment {
            Fragment::Whole => None,
            Fragment::First => Some("first"),
            Fragment::Later => Some("later"),
        },
    }
}

pub(super) fn report(
    network: &TraceNetwork<'_>,
    from: &Station,
    packet: Packet,
    trace: &Trace,
) -> TraceReport {
    let entry = |id: Uuid| entry_of(network.topology, id);
    let rule = |evaluated: &crate::semantics::EvaluatedRule| EvaluatedRule {
        chain: network.name(evaluated.chain),
        rule: entry(evaluated.rule)
            .map_or_else(|| Key::new(network.name(evaluated.rule)), |entry| entry.key.clone()),
        what: entry(evaluated.rule).map(|entry| entry.object.describe()).unwrap_or_default(),
        matched: evaluated.matched,
        rewrites: evaluated.packet_after.as_ref().map(view),
        source: entry(evaluated.rule).and_then(|entry| entry.provenance.clone()),
    };
    let route = |id: Uuid| match entry(id) {
        Some(entry) => format!("{} ({})", entry.key, entry.object.describe()),
        None => "to the router's own address, or outside".to_owned(),
    };
    let hop = |hop: &crate::semantics::Hop| Hop {
        device: network.name(hop.device),
        in_port: network.name(hop.in_port),
        packet: view(&hop.packet),
        rules: hop.evaluated.iter().map(rule).collect(),
        route: hop.route.map(route),
        out_ports: hop.out_ports.iter().map(|port| network.name(*port)).collect(),
    };
    let ending = match &trace.verdict {
        Verdict::Delivered(ports) => {
            Ending::Delivered { at: ports.iter().map(|port| network.name(*port)).collect() }
        }
        Verdict::Dropped { at, rule, why } => Ending::Dropped {
            at: network.name(*at),
            why: (*why).to_owned(),
            rule: rule.map(|rule| network.name(rule)),
            source: rule.and_then(|rule| entry(rule)?.provenance.clone()),
        },
        Verdict::Rejected { at, rule, icmp } => Ending::Rejected {
            at: network.name(*at),
            rule: rule.map(|rule| network.name(rule)),
            source: rule.and_then(|rule| entry(rule)?.provenance.clone()),
            icmp: icmp.map(IcmpView::from),
        },
        Verdict::Consumed(router) => Ending::Consumed { at: network.name(*router) },
        Verdict::WaitsForArp(next_hop) => Ending::Unanswered { next_hop: *next_hop },
    };
    TraceReport {
        from: network.name(from.port),
        packet: view(&packet),
        hops: trace.hops.iter().map(hop).collect(),
        ending,
        packet_at_end: view(&trace.packet),
        reply: None,
    }
}

impl TraceNetwork<'_> {
    /// Sends a packet and, if it arrives and has a reply, the reply.
    pub fn trace(&self, from: &Station, packet: Packet) -> TraceReport {
        if let Some(address) = self.unanswered(packet) {
            let verdict = Verdict::WaitsForArp(address);
            return report(self, from, packet, &Trace { hops: Vec::new(), verdict, packet });
        }
        let mut state = State::default();
        let trace = self.send(&mut state, from, packet);
        let reply = self.reply_to(&trace).map(|(station, reply)| {
            let back = self.send(&mut state, &station, reply);
            let mut report = report(self, &station, reply, &back);
            match report.ending {
                Ending::Delivered { at } if !is_reply(&packet, &back.packet) => {
                    let (source, expected) = (back.packet.source, packet.destination);
                    report.ending = Ending::NotAReply { at, source, expected };
                }
                ending => report.ending = ending,
            }
            report
        });
        let mut report = report(self, from, packet, &trace);
        report.reply = reply.map(Box::new);
        report
    }
}

/// Returns true if a packet comes from the address and port that another one was sent to.
fn is_reply(sent: &Packet, back: &Packet) -> bool {
    let has_ports = matches!(sent.protocol, 6 | 17);
    back.source == sent.destination && (!has_ports || back.source_port == sent.destination_port)
}

/// Returns the hops up to the first repeated one, and the number of the rest: for a packet in a loop one round is
/// enough for people.
fn one_round(report: &TraceReport) -> (&[Hop], usize) {
    let same = |one: &Hop, other: &Hop| {
        (&one.device, &one.in_port, &one.packet) == (&other.device, &other.in_port, &other.packet)
    };
    let hops = report.hops.as_slice();
    let again = (0..hops.len()).find(|at| {
        let (before, here) = hops.split_at(*at);
        here.first().is_some_and(|hop| before.iter().any(|earlier| same(earlier, hop)))
    });
    let (shown, left) = hops.split_at(again.unwrap_or(hops.len()));
    (shown, left.len())
}

/// Writes a trace as text.
///
/// # Errors
/// Returns the writer's error.
pub fn text(report: &TraceReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} from {}", report.packet, report.from)?;
    let (hops, left) = one_round(report);
    for hop in hops {
        writeln!(out, "\n  {}, in port {}", printable(&hop.device), printable(&hop.in_port))?;
        let mut chain = "";
        for rule in &hop.rules {
            if rule.chain != chain {
                writeln!(out, "    chain {}", printable(&rule.chain))?;
                chain = &rule.chain;
            }
            let name = match rule.rule.view() {
                KeyView::Tenant(_, TenantKey::Rule(_, name)) => name.to_string(),
                _ if rule.rule.is_foreign() => {
                    let id = rule.rule.own_id().unwrap_or_default();
                    format!("{id}, which is not midoform's")
                }
                _ => rule.rule.to_string(),
            };
            let mark = if rule.matched { "✓" } else { "·" };
            write!(out, "      {mark} {}: {}", printable(&name), printable(&rule.what))?;
            match (&rule.source, rule.matched) {
                (Some(source), true) => writeln!(out, " ({})", printable(&source.to_string()))?,
                _ => writeln!(out)?,
            }
            if let Some(packet) = &rule.rewrites {
                writeln!(out, "        becomes {packet}")?;
            }
        }
        if let Some(route) = &hop.route {
            writeln!(out, "    route {}", printable(&route.to_string()))?;
        }
        if !hop.out_ports.is_empty() {
            writeln!(out, "    out port {}", printable(&hop.out_ports.join(" and ")))?;
        }
    }
    if left > 0 {
        writeln!(out, "\n  the packet is in a loop: {left} more devices, all as above")?;
    }
    writeln!(out, "\n{}", report.ending)?;
    if report.ending.is_delivered() && report.packet_at_end != report.packet {
        writeln!(out, "as {}", report.packet_at_end)?;
    }
    if let Some(reply) = &report.reply {
        writeln!(out, "\nThe reply:\n")?;
        text(reply, out)?;
    }
    Ok(())
}

/// Writes a trace as a Mermaid sequence diagram: the devices, and the packet's header between them.
///
/// # Errors
/// Returns the writer's error.
pub fn mermaid(report: &TraceReport, out: &mut dyn Write) -> io::Result<()> {
    let mut names: Vec<&str> = Vec::new();
    let ways: Vec<&TraceReport> = std::iter::once(report).chain(report.reply.as_deref()).collect();
    for way in &ways {
        let devices = way.hops.iter().map(|hop| hop.device.as_str());
        let ends = match &way.ending {
            Ending::Delivered { at } => at.as_slice(),
            _ => &[],
        };
        for name in std::iter::once(way.from.as_str()).chain(devices).chain(ends.iter().map(String::as_str)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    writeln!(out, "sequenceDiagram")?;
    for (at, name) in names.iter().enumerate() {
        writeln!(out, "    participant p{at} as {}", quoted(name))?;
    }
    for way in ways {
        draw(way, &|name| format!("p{}", names.iter().position(|known| *known == name).unwrap_or(0)), out)?;
    }
    Ok(())
}

fn draw(report: &TraceReport, alias: &dyn Fn(&str) -> String, out: &mut dyn Write) -> io::Result<()> {
    let mut from = alias(&report.from);
    let (hops, left) = one_round(report);
    for hop in hops {
        let device = alias(&hop.device);
        writeln!(out, "    {from}->>{device}: {}", quoted(&hop.packet.to_string()))?;
        for rule in hop.rules.iter().filter(|rule| rule.matched) {
            writeln!(out, "    Note over {device}: {}", quoted(&format!("{} ({})", rule.rule, rule.what)))?;
        }
        from = device;
    }
    if left > 0 {
        writeln!(out, "    Note over {from}: the packet is in a loop: {left} more devices, all as above")?;
    }
    let seen = quoted(&report.packet_at_end.to_string());
    match &report.ending {
        Ending::Delivered { at } => {
            at.iter().try_for_each(|place| writeln!(out, "    {from}->>{}: {seen}", alias(place)))
        }
        other => writeln!(out, "    {from}-x{from}: {}", quoted(&other.to_string())),
    }
}

/// Replaces the characters that Mermaid would interpret.
fn quoted(text: &str) -> String {
    let safe = |character: char| match character {
        ';' | '#' | '"' => ' ',
        '>' | '<' => '|',
        other if other.is_control() => ' ',
        other => other,
    };
    text.chars().map(safe).collect()
}
