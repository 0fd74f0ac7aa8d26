//! A trace as data.

use std::net::Ipv4Addr;

use serde::Serialize;
use uuid::Uuid;

use super::network::TraceNetwork;
use crate::semantics::{
    ARP_REPLY, ARP_REQUEST, Fragment, IcmpError, Packet, State, Station, Trace, Verdict, entry_of,
};
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::key::Key;
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
    /// OVN: what connection tracking says of the packet: on a switch for its input port, then for its output port; on a router for its
    /// translations. `new`, `established`, `reply`, `ended` (by an ACL), `invalid`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tracked: Vec<&'static str>,
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
    /// Its chain's key. Of a row of OVN: `from-lport` and `to-lport` (the lists of a switch), `policies`, `nat`, `load_balancer`.
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
    /// The row, on OVN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<RowView>,
    /// The line of the spec that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
}

/// A row of OVN's northbound database that decides about packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowView {
    /// Its table.
    pub table: &'static str,
    /// Its name; tables without names have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Its match.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Its action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// An ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IcmpView {
    /// The type: 3, destination unreachable.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The code: 13, communication administratively prohibited, of MidoNet; 3, port unreachable, of OVN.
    pub code: u8,
    /// The router's address; on OVN the one that the rejected packet was for.
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
        let meaning =
            if *code == IcmpError::CODE { "administratively prohibited" } else { "port unreachable" };
        write!(formatter, "ICMP type {kind} code {code} ({meaning}) {source} → {destination}")
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
        /// The ICMP error that the sender gets. A bridge of MidoNet sends none.
        #[serde(skip_serializing_if = "Option::is_none")]
        icmp: Option<IcmpView>,
        /// OVN: true if the sender gets a TCP reset.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
    },
    /// A router consumes the packet, and replies. On OVN also a switch, to ARP.
    Consumed {
        /// The router or the switch.
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
            Ending::Rejected { at, rule, source, icmp, reset } => {
                match rule {
                    Some(rule) => write!(formatter, "rejected at {at} by the rule {rule}")?,
                    None => write!(formatter, "rejected at {at}: a reject route")?,
                }
                source.as_ref().map_or(Ok(()), |source| write!(formatter, " ({source})"))?;
                icmp.as_ref().map_or(Ok(()), |icmp| write!(formatter, ", with {icmp}"))?;
                if *reset { formatter.write_str(", with a TCP reset") } else { Ok(()) }
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
        row: None,
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
        tracked: Vec::new(),
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
            reset: false,
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
pub(super) fn is_reply(sent: &Packet, back: &Packet) -> bool {
    let has_ports = matches!(sent.protocol, 6 | 17);
    back.source == sent.destination && (!has_ports || back.source_port == sent.destination_port)
}
