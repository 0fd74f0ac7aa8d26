//! Rules of the policy's chains, said as the spec's rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::Ipv4Net;
use midoform_compiler::object::{Condition, PortRange, Reference, RuleAction};
use uuid::Uuid;

use super::portrait::Sitter;

impl Sitter<'_> {
    /// Writes a `[[rule]]` for each rule of the chains: those that see answers first, as the grammar has it.
    pub(super) fn paint_rules(&mut self, chains: &BTreeMap<&'static str, Uuid>, text: &mut String) {
        for name in ["stateless", "policy"] {
            let stateful = name == "policy";
            let rules = self.said(chains.get(name).copied());
            for ((condition, action), place) in rules.into_iter().zip(1..) {
                let word = match action {
                    Some(RuleAction::Drop) => Some("drop"),
                    Some(RuleAction::Reject) => Some("reject"),
                    Some(RuleAction::Return) if stateful => Some("accept"),
                    Some(RuleAction::Accept) if !stateful => Some("accept"),
                    // It follows from the stateless accept behind it.
                    Some(RuleAction::SourceNat(..)) if !stateful => continue,
                    _ => None,
                };
                let said = word.and_then(|word| Some((word, self.ends(&condition)?)));
                let Some((word, (from, to))) = said else {
                    self.unsaid.push(format!("rule {place} of the chain `{} {name}`", self.tenant));
                    continue;
                };
                let _ = write!(text, "\n[[rule]]\nname = \"{name}-{place}\"\n");
                for (key, end) in [("from", from), ("to", to)] {
                    if !end.is_empty() {
                        let _ = writeln!(text, "{key} = {{ {} }}", end.join(", "));
                    }
                }
                let _ = writeln!(text, "action = \"{word}\"");
                if !stateful {
                    text.push_str("stateful = false\n");
                }
            }
        }
    }

    /// Both ends of a rule, each as the pairs of its table; nothing where the grammar has no words for it.
    fn ends(&self, condition: &Condition) -> Option<(Vec<String>, Vec<String>)> {
        let spoken = Condition {
            in_ports: condition.in_ports.clone(),
            out_ports: condition.out_ports.clone(),
            source: condition.source,
            destination: condition.destination,
            protocol: condition.protocol,
            source_ports: condition.source_ports,
            destination_ports: condition.destination_ports,
            ..Condition::default()
        };
        // Rules that translate are not what this is asked about.
        if condition.canonical(&RuleAction::Accept) != spoken.canonical(&RuleAction::Accept) {
            return None;
        }
        let mut from: Vec<String> = self.place(&condition.in_ports, condition.source)?.into_iter().collect();
        let mut to: Vec<String> =
            self.place(&condition.out_ports, condition.destination)?.into_iter().collect();
        let (source, destination) = (condition.source_ports, condition.destination_ports);
        match condition.protocol {
            None if source.is_none() && destination.is_none() => {}
            Some(number @ (6 | 17)) => {
                let name = if number == 6 { "tcp" } else { "udp" };
                from.extend(source.map(|ports| format!("{name} = {}", range(ports))));
                to.push(match destination {
                    Some(ports) => format!("{name} = {}", range(ports)),
                    None => format!("{name} = true"),
                });
            }
            Some(1) => to.push(icmp(source, destination)?),
            Some(number) if source.is_none() && destination.is_none() => {
                to.push(format!("protocol = {number}"));
            }
            _ => return None,
        }
        Some((from, to))
    }

    /// The place that ports and addresses name together: nothing for anywhere.
    fn place(&self, ports: &[Reference], network: Option<Ipv4Net>) -> Option<Option<String>> {
        let bridge = match ports {
            [] => return Some(network.map(|network| format!("cidr = \"{network}\""))),
            _ if self.is_uplink(ports) && network.is_none() => return Some(Some("world = true".to_owned())),
            [port] => self.bridge_by_port(port)?,
            _ => return None,
        };
        let Some(network) = network else {
            return Some(Some(format!("bridge = \"{}\"", self.bridges.get(bridge)?.name)));
        };
        let is_it = |at: &usize| {
            self.ports
                .get(*at)
                .is_some_and(|port| port.bridge == bridge && Ipv4Net::from(port.address) == network)
        };
        let group = self.groups.iter().find(|(_, _, _, ports)| ports.len() == 1 && ports.iter().all(is_it));
        group.map(|(name, ..)| Some(format!("port_group = \"{name}\"")))
    }
}

fn range(ports: PortRange) -> String {
    match ports.start == ports.end {
        true => ports.start.to_string(),
        false => format!("\"{}-{}\"", ports.start, ports.end),
    }
}

/// One type with one code, one type, or all of it.
fn icmp(kind: Option<PortRange>, code: Option<PortRange>) -> Option<String> {
    let one = |range: PortRange| (range.start == range.end).then_some(range.start);
    Some(match (kind, code) {
        (None, None) => "icmp = true".to_owned(),
        (Some(kind), None) => format!("icmp = {{ type = {} }}", one(kind)?),
        (Some(kind), Some(code)) => format!("icmp = {{ type = {}, code = {} }}", one(kind)?, one(code)?),
        (None, Some(_)) => return None,
    })
}
