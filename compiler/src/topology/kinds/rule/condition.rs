//! The conditions of rules.

use std::collections::BTreeMap;
use std::fmt::Write;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::RuleAction;
use crate::topology::kinds::Reference;
use crate::topology::kinds::difference::show;
use crate::values::{MacAddress, PortRange, ethertype};

/// The conditions of a rule. The default matches every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// The packet enters by one of these ports; empty: any.
    pub in_ports: Vec<Reference>,
    /// The ports in `in_ports` are those that do not match.
    pub not_in_ports: bool,
    /// The packet leaves by one of these ports; empty: any. It can't match in an inbound chain (no output port is known yet).
    pub out_ports: Vec<Reference>,
    /// The ports in `out_ports` are those that do not match.
    pub not_out_ports: bool,
    /// Source addresses.
    pub source: Option<Ipv4Net>,
    /// All but `source`.
    pub not_source: bool,
    /// Destination addresses.
    pub destination: Option<Ipv4Net>,
    /// All but `destination`.
    pub not_destination: bool,
    /// EtherType. For ARP, the addresses and the protocol are the sender's address, the target's, and the operation.
    pub ethertype: Option<u16>,
    /// All but `ethertype`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_ethertype: bool,
    /// Only frames without a VLAN tag. 1.x has no such condition.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub untagged: bool,
    /// Source MAC address.
    pub source_mac: Option<MacAddress>,
    /// All but `source_mac`.
    pub not_source_mac: bool,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// TCP or UDP source ports, or the ICMP type.
    pub source_ports: Option<PortRange>,
    /// TCP or UDP destination ports, or the ICMP code.
    pub destination_ports: Option<PortRange>,
    /// Only return traffic: packets that reply to an earlier one. The condition starts connection tracking of each
    /// evaluated packet.
    pub return_flow: bool,
    /// Only packets that do not reply to an earlier one. The condition starts connection tracking of each evaluated packet.
    pub forward_flow: bool,
    /// The fragments that it matches. If it is absent, the server chooses.
    pub fragments: Option<FragmentPolicy>,
    /// Observed rules only: true if it has conditions that midoform does not model, so that no spec wants it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unspoken: bool,
    /// Observed rules only: the fields that midoform does not model, under the API's names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, OtherField>,
}

/// A field of a rule that midoform does not model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OtherField {
    /// Another object.
    Reference(Reference),
    /// Any other value.
    Value(serde_json::Value),
}

/// MidoNet's `fragmentPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FragmentPolicy {
    /// All packets, whole or in fragments.
    Any,
    /// Whole packets and first fragments.
    Header,
    /// Only later fragments.
    Nonheader,
    /// Whole packets only.
    Unfragmented,
}

/// The fields among [`Condition::others`] that belong to a rule's action.
pub(super) const OF_ACTIONS: [&str; 3] = ["type", "natTargets", "flowAction"];

impl Condition {
    /// Returns true if no packet meets both conditions. False means that there may be one.
    pub fn excludes(&self, other: &Condition) -> bool {
        let inverts = |one: &Condition| {
            let names = ["condInvert", "invNwProto", "invTpSrc", "invTpDst"];
            names.iter().any(|name| one.others.contains_key(*name))
        };
        if inverts(self) || inverts(other) {
            return false;
        }
        let apart = |one: Option<Ipv4Net>, other: Option<Ipv4Net>| {
            one.zip(other).is_some_and(|(one, other)| !one.contains(&other) && !other.contains(&one))
        };
        let networks = |one: Option<Ipv4Net>, not_one: bool, other: Option<Ipv4Net>, not_other: bool| match (
            not_one, not_other,
        ) {
            (false, false) => apart(one, other),
            (true, false) => one.zip(other).is_some_and(|(one, other)| one.contains(&other)),
            (false, true) => one.zip(other).is_some_and(|(one, other)| other.contains(&one)),
            (true, true) => false,
        };
        let ranges = |one: Option<PortRange>, other: Option<PortRange>| {
            one.zip(other).is_some_and(|(one, other)| one.end < other.start || other.end < one.start)
        };
        let differ =
            |one: Option<u16>, other: Option<u16>| one.zip(other).is_some_and(|(one, other)| one != other);
        let ports = |one: &[Reference], not_one: bool, other: &[Reference], not_other: bool| {
            let plain = !not_one && !not_other && !one.is_empty() && !other.is_empty();
            plain && one.iter().all(|port| !other.contains(port))
        };
        let is_plain_kind = !self.not_ethertype && !other.not_ethertype;
        networks(self.source, self.not_source, other.source, other.not_source)
            || networks(self.destination, self.not_destination, other.destination, other.not_destination)
            || is_plain_kind && differ(self.ethertype, other.ethertype)
            || differ(self.protocol.map(u16::from), other.protocol.map(u16::from))
            || ranges(self.source_ports, other.source_ports)
            || ranges(self.destination_ports, other.destination_ports)
            || ports(&self.in_ports, self.not_in_ports, &other.in_ports, other.not_in_ports)
            || ports(&self.out_ports, self.not_out_ports, &other.out_ports, other.not_out_ports)
            || self.return_flow && other.forward_flow
            || self.forward_flow && other.return_flow
    }

    /// Returns the same condition without what the server fills in: a fragment policy that is the
    /// server's default for a rule with this action. The default is `unfragmented` for NAT, else `header` if ports are
    /// matched, else `any` (recordings 04-chain-rule, 09-nat-rules).
    #[must_use]
    pub fn canonical(&self, action: &RuleAction) -> Condition {
        let matches_ports = self.source_ports.is_some() || self.destination_ports.is_some();
        let default = match action {
            RuleAction::SourceNat(..) | RuleAction::DestinationNat(..) => FragmentPolicy::Unfragmented,
            _ if matches_ports => FragmentPolicy::Header,
            _ => FragmentPolicy::Any,
        };
        let fragments = self.fragments.filter(|policy| *policy != default);
        let mut sorted = Condition { fragments, ..self.clone() };
        sorted.in_ports.sort();
        sorted.out_ports.sort();
        sorted
    }
}

/// Describes the condition behind an action: `: protocol tcp, source 10.0.0.0/8`; nothing if it matches every packet.
pub(super) fn describe(condition: &Condition) -> String {
    let mut words = String::new();
    let mut add = |word: &str, not: bool, value: String| {
        let not = if not { "not " } else { "" };
        // Writing to a string can't fail.
        let _ = write!(words, ", {word} {not}{value}");
    };
    // Nearly every rule is about IPv4: it is not worth a word.
    if let Some(kind) = condition.ethertype.filter(|kind| *kind != ethertype::IPV4 || condition.not_ethertype)
    {
        add("EtherType", condition.not_ethertype, ethertype::shown(kind));
    }
    if let Some(protocol) = condition.protocol {
        add("protocol", false, protocol_name(protocol));
    }
    if let Some(range) = condition.source_ports {
        add(if condition.protocol == Some(1) { "type" } else { "source port" }, false, show_range(range));
    }
    if let Some(range) = condition.destination_ports {
        add(
            if condition.protocol == Some(1) { "code" } else { "destination port" },
            false,
            show_range(range),
        );
    }
    if let Some(network) = condition.source {
        add("source", condition.not_source, network.to_string());
    }
    if let Some(network) = condition.destination {
        add("destination", condition.not_destination, network.to_string());
    }
    if let Some(mac) = condition.source_mac {
        add("source MAC", condition.not_source_mac, mac.to_string());
    }
    let ports = |ports: &[Reference]| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    if !condition.in_ports.is_empty() {
        add("in port", condition.not_in_ports, ports(&condition.in_ports));
    }
    if !condition.out_ports.is_empty() {
        add("out port", condition.not_out_ports, ports(&condition.out_ports));
    }
    if condition.untagged {
        words.push_str(", no VLAN tag");
    }
    if condition.return_flow {
        words.push_str(", reply traffic");
    }
    if condition.forward_flow {
        words.push_str(", not reply traffic");
    }
    if condition.fragments == Some(FragmentPolicy::Unfragmented) {
        words.push_str(", unfragmented");
    }
    describe_others(condition, &mut words);
    match words.strip_prefix(", ") {
        Some(words) => format!(": {words}"),
        None => String::new(),
    }
}

/// Adds the conditions that midoform never makes.
fn describe_others(condition: &Condition, words: &mut String) {
    for (name, value) in condition.others.iter().filter(|(name, _)| !OF_ACTIONS.contains(&name.as_str())) {
        let value = match value {
            OtherField::Reference(reference) => format!(" {reference}"),
            OtherField::Value(serde_json::Value::Bool(true)) => String::new(),
            OtherField::Value(value) => format!(" {}", show(Some(value))),
        };
        let _ = write!(words, ", {name}{value}");
    }
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        other => other.to_string(),
    }
}

/// Shows a range of ports.
pub(super) fn show_range(range: PortRange) -> String {
    match range.start == range.end {
        true => range.start.to_string(),
        false => format!("{}-{}", range.start, range.end),
    }
}
