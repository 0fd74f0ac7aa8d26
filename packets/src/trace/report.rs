//! A trace as data, as text, and as a sequence diagram.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use serde::Serialize;
use uuid::Uuid;

use super::scene::Scene;
use crate::semantics::{Fragment, Packet, Station, Trace, Verdict, entry_of};
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::describe::describe;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{KeyView, TenantKey};

/// A packet, for people and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "a packet's own fields")]
pub struct PacketView {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// `tcp`, `udp`, `icmp`, or a number.
    pub protocol: String,
    /// The source port; ICMP's type.
    pub source_port: u16,
    /// The destination port; ICMP's code.
    pub destination_port: u16,
    /// `first` or `later`, where it is a fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<&'static str>,
}

/// A packet's way.
#[derive(Clone, Debug, Serialize)]
pub struct TraceReport {
    /// Where it starts.
    pub from: String,
    /// The packet as it starts.
    pub packet: PacketView,
    /// Device by device.
    pub hops: Vec<Hop>,
    /// What comes of it.
    pub ending: Ending,
    /// The packet as it ends.
    pub packet_at_end: PacketView,
    /// The answer's way, where it arrives and is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<TraceReport>>,
}

/// One device on the way.
#[derive(Clone, Debug, Serialize)]
pub struct Hop {
    /// The device's key.
    pub device: String,
    /// The port that it comes in by.
    pub in_port: String,
    /// The packet as it comes in.
    pub packet: PacketView,
    /// Every rule that is asked, in order.
    pub rules: Vec<AskedRule>,
    /// The route that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The ports that it goes out by.
    pub out_ports: Vec<String>,
}

/// A rule that is asked.
#[derive(Clone, Debug, Serialize)]
pub struct AskedRule {
    /// Its chain's key.
    pub chain: String,
    /// Its key.
    pub rule: String,
    /// What it is.
    pub what: String,
    /// Whether it matches.
    pub matched: bool,
    /// What it makes of the packet, where it changes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrites: Option<PacketView>,
    /// The line of the spec that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
}

/// What comes of a packet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Ending {
    /// It arrives.
    Delivered {
        /// Where.
        at: Vec<String>,
    },
    /// It ends.
    Dropped {
        /// Where.
        at: String,
        /// Why.
        why: String,
        /// The rule that ends it.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// The line of the spec that caused the rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<Provenance>,
    },
    /// A router takes it for itself, and answers.
    Consumed {
        /// Which.
        at: String,
    },
    /// Nobody answers when the next hop is asked for.
    Unanswered {
        /// The next hop.
        next_hop: Ipv4Addr,
    },
}

impl Ending {
    /// Whether it arrives.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Ending::Delivered { .. })
    }
}

impl std::fmt::Display for PacketView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PacketView { source, destination, protocol, source_port, destination_port, fragment } = self;
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
                write!(formatter, "dropped at {at}: ")?;
                match rule {
                    Some(rule) => write!(formatter, "{why} {rule}")?,
                    None => write!(formatter, "{why}")?,
                }
                source.as_ref().map_or(Ok(()), |source| write!(formatter, " ({source})"))
            }
            Ending::Consumed { at } => write!(formatter, "taken by {at} for itself, which answers"),
            Ending::Unanswered { next_hop } => write!(formatter, "waits: nobody answers for {next_hop}"),
        }
    }
}

pub(super) fn view(packet: &Packet) -> PacketView {
    PacketView {
        source: packet.source,
        destination: packet.destination,
        protocol: match packet.protocol {
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

pub(super) fn report(scene: &Scene<'_>, from: &Station, packet: Packet, trace: &Trace) -> TraceReport {
    let entry = |id: Uuid| entry_of(scene.topology, id);
    let rule = |asked: &crate::semantics::Asked| AskedRule {
        chain: scene.name(asked.chain),
        rule: scene.name(asked.rule),
        what: entry(asked.rule).map(|entry| describe(&entry.object)).unwrap_or_default(),
        matched: asked.matched,
        rewrites: asked.became.as_ref().map(view),
        source: entry(asked.rule).and_then(|entry| entry.provenance.clone()),
    };
    let route = |id: Uuid| match entry(id) {
        Some(entry) => format!("{} ({})", entry.key, describe(&entry.object)),
        None => "its own address, or the way outside".to_owned(),
    };
    let hop = |hop: &crate::semantics::Hop| Hop {
        device: scene.name(hop.device),
        in_port: scene.name(hop.in_port),
        packet: view(&hop.packet),
        rules: hop.asked.iter().map(rule).collect(),
        route: hop.route.map(route),
        out_ports: hop.out_ports.iter().map(|port| scene.name(*port)).collect(),
    };
    let ending = match &trace.verdict {
        Verdict::Delivered(ports) => {
            Ending::Delivered { at: ports.iter().map(|port| scene.name(*port)).collect() }
        }
        Verdict::Dropped { at, rule, why } => Ending::Dropped {
            at: scene.name(*at),
            why: (*why).to_owned(),
            rule: rule.map(|rule| scene.name(rule)),
            source: rule.and_then(|rule| entry(rule)?.provenance.clone()),
        },
        Verdict::Consumed(router) => Ending::Consumed { at: scene.name(*router) },
        Verdict::WaitsForArp(next_hop) => Ending::Unanswered { next_hop: *next_hop },
    };
    TraceReport {
        from: scene.name(from.port),
        packet: view(&packet),
        hops: trace.hops.iter().map(hop).collect(),
        ending,
        packet_at_end: view(&trace.packet),
        answer: None,
    }
}

/// The hops until one is as an earlier one, and how many follow: of a packet that goes round in circles one round is
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

/// Writes a trace for people.
///
/// # Errors
/// Whatever the writer answers.
pub fn text(report: &TraceReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} from {}", report.packet, report.from)?;
    let (hops, left) = one_round(report);
    for hop in hops {
        writeln!(out, "\n  {}, in by {}", hop.device, hop.in_port)?;
        let mut chain = "";
        for rule in &hop.rules {
            if rule.chain != chain {
                writeln!(out, "    asks {}", rule.chain)?;
                chain = &rule.chain;
            }
            let key = Key::from(rule.rule.as_str());
            let name = match key.view() {
                KeyView::Tenant(_, TenantKey::Rule(_, name)) => name.to_string(),
                _ => rule.rule.clone(),
            };
            let mark = if rule.matched { "✓" } else { "·" };
            write!(out, "      {mark} {name}: {}", rule.what)?;
            match (&rule.source, rule.matched) {
                (Some(source), true) => writeln!(out, " ({source})")?,
                _ => writeln!(out)?,
            }
            if let Some(packet) = &rule.rewrites {
                writeln!(out, "        becomes {packet}")?;
            }
        }
        if let Some(route) = &hop.route {
            writeln!(out, "    takes route {route}")?;
        }
        if !hop.out_ports.is_empty() {
            writeln!(out, "    out by {}", hop.out_ports.join(" and "))?;
        }
    }
    if left > 0 {
        writeln!(out, "\n  and the same again: {left} more devices")?;
    }
    writeln!(out, "\n{}", report.ending)?;
    if report.ending.is_delivered() && report.packet_at_end != report.packet {
        writeln!(out, "as {}", report.packet_at_end)?;
    }
    if let Some(answer) = &report.answer {
        writeln!(out, "\nThe answer:\n")?;
        text(answer, out)?;
    }
    Ok(())
}

/// Writes a trace as a Mermaid sequence diagram: who hands the packet to whom, looking like what.
///
/// # Errors
/// Whatever the writer answers.
pub fn mermaid(report: &TraceReport, out: &mut dyn Write) -> io::Result<()> {
    let mut names: Vec<&str> = Vec::new();
    let ways: Vec<&TraceReport> = std::iter::once(report).chain(report.answer.as_deref()).collect();
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
        writeln!(out, "    Note over {from}: and the same again: {left} more devices")?;
    }
    let seen = quoted(&report.packet_at_end.to_string());
    match &report.ending {
        Ending::Delivered { at } => {
            at.iter().try_for_each(|place| writeln!(out, "    {from}->>{}: {seen}", alias(place)))
        }
        other => writeln!(out, "    {from}-x{from}: {}", quoted(&other.to_string())),
    }
}

/// Text that Mermaid takes for nothing but text.
fn quoted(text: &str) -> String {
    let safe = |character: char| match character {
        ';' | '#' | '"' => ' ',
        '>' | '<' => '|',
        other if other.is_control() => ' ',
        other => other,
    };
    text.chars().map(safe).collect()
}
