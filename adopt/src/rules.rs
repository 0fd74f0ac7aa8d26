//! Writes the rules of the policy chains as the spec's rules.

use std::fmt::Write as _;

use ipnet::Ipv4Net;
use midoform_compiler::topology::key::view::ChainKey;
use midoform_compiler::topology::kinds::{Condition, Reference, RuleAction};
use midoform_compiler::values::PortRange;
use uuid::Uuid;

use super::router_view::{RouterView, RuleParts};

/// The most MidoNet rules for each port of a port group that are taken for one rule of a spec.
const LONGEST_LIST: usize = 64;

/// A rule's two ends, each as the pairs of its table.
type Ends = (Vec<String>, Vec<String>);

/// An end of a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    To,
}

impl RouterView<'_> {
    /// Writes a `[[rule]]` for each rule of the chains: stateless rules first, as the grammar requires.
    pub(super) fn write_rules(&mut self, chains: &[(ChainKey<'static>, Uuid)], text: &mut String) {
        for wanted in [ChainKey::Stateless, ChainKey::Policy] {
            let stateful = wanted == ChainKey::Policy;
            let name = if stateful { "policy" } else { "stateless" };
            let chain = chains.iter().find(|(chain, _)| *chain == wanted);
            let mut rules = self.rules_of(chain.map(|(_, id)| *id));
            // The compiler adds it to a stateless accept.
            rules.retain(|(_, action)| stateful || !matches!(action, Some(RuleAction::SourceNat(..))));
            let mut place = 0;
            while let Some(rest) = rules.get(place..).filter(|rest| !rest.is_empty()) {
                let (taken, ends) = self.rule_of_group(rest).unwrap_or_else(|| (1, self.rule_alone(rest)));
                let word = rest.first().and_then(|(_, action)| match action {
                    Some(RuleAction::Drop) => Some("drop"),
                    Some(RuleAction::Reject) => Some("reject"),
                    Some(RuleAction::Return) if stateful => Some("accept"),
                    Some(RuleAction::Accept) if !stateful => Some("accept"),
                    _ => None,
                });
                let number = place + 1;
                place += taken;
                let Some((word, (from, to))) = word.zip(ends) else {
                    self.unsupported.push(format!("rule {number} of the chain `{} {name}`", self.tenant));
                    continue;
                };
                let _ = write!(text, "\n[[rule]]\nname = \"{name}-{number}\"\n");
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

    /// Returns the ends of the first rule alone; none if the grammar can't express it.
    fn rule_alone(&self, rules: &[RuleParts]) -> Option<Ends> {
        let (condition, _) = rules.first()?;
        let from = self.selector(&condition.in_ports, condition.source)?;
        let to = self.selector(&condition.out_ports, condition.destination)?;
        ends(from, to, &[condition])
    }

    /// Returns the ends of a rule for a port group, if these rules begin with its MidoNet rules: one for each port and
    /// each range of ports. The number is that of the MidoNet rules.
    fn rule_of_group(&self, rules: &[RuleParts]) -> Option<(usize, Option<Ends>)> {
        let groups = self.groups.iter().filter(|(_, _, _, ports)| ports.len() > 1);
        for (name, _, _, ports) in groups {
            for end in [End::From, End::To] {
                for each in (1..=(rules.len() / ports.len()).min(LONGEST_LIST)).rev() {
                    if !self.is_of_group(rules, ports, each, end) {
                        continue;
                    }
                    let Some((first, _)) = rules.first() else { continue };
                    let group = Some(format!("port_group = \"{name}\""));
                    let (from, to) = match end {
                        End::From => (Some(group), self.selector(&first.out_ports, first.destination)),
                        End::To => (self.selector(&first.in_ports, first.source), Some(group)),
                    };
                    let list: Vec<&Condition> =
                        rules.iter().take(each).map(|(condition, _)| condition).collect();
                    let ends = from.zip(to).and_then(|(from, to)| ends(from, to, &list));
                    if ends.is_some() {
                        return Some((ports.len() * each, ends));
                    }
                }
            }
        }
        None
    }

    /// Returns true if these rules begin with `each` rules for each of these ports, which differ only in the port.
    fn is_of_group(&self, rules: &[RuleParts], ports: &[usize], each: usize, end: End) -> bool {
        let rest = |(condition, action): &RuleParts| {
            let mut rest = condition.canonical(&RuleAction::Accept);
            match end {
                End::From => (rest.in_ports, rest.source) = (Vec::new(), None),
                End::To => (rest.out_ports, rest.destination) = (Vec::new(), None),
            }
            (rest, action.clone())
        };
        let is_of = |(condition, _): &RuleParts, port: usize| {
            let (by, network) = match end {
                End::From => (&condition.in_ports, condition.source),
                End::To => (&condition.out_ports, condition.destination),
            };
            let port = self.ports.get(port);
            let bridge = match by.as_slice() {
                [one] => self.bridge_by_port(one),
                _ => None,
            };
            port.is_some_and(|port| Some(port.bridge) == bridge && network == Some(port.address.into()))
        };
        ports.iter().zip(rules.chunks(each)).all(|(port, own)| {
            own.len() == each
                && own.iter().zip(rules).all(|(rule, first)| is_of(rule, *port) && rest(rule) == rest(first))
        })
    }

    /// Returns the selector for these ports and addresses: an empty one for anywhere.
    fn selector(&self, ports: &[Reference], network: Option<Ipv4Net>) -> Option<Option<String>> {
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

/// Returns both ends of a rule, from its selectors and the conditions of its MidoNet rules, which differ only in their
/// ports.
fn ends(from: Option<String>, to: Option<String>, conditions: &[&Condition]) -> Option<Ends> {
    let first = conditions.first()?;
    let spoken = |condition: &Condition| Condition {
        in_ports: condition.in_ports.clone(),
        out_ports: condition.out_ports.clone(),
        source: condition.source,
        destination: condition.destination,
        protocol: condition.protocol,
        source_ports: condition.source_ports,
        destination_ports: condition.destination_ports,
        ..Condition::default()
    };
    // The callers pass no NAT rules.
    let alike = |condition: &&Condition| {
        condition.canonical(&RuleAction::Accept) == spoken(condition).canonical(&RuleAction::Accept)
            && condition.protocol == first.protocol
            && condition.source_ports == first.source_ports
    };
    if !conditions.iter().all(alike) {
        return None;
    }
    let (mut from, mut to): (Vec<String>, Vec<String>) =
        (from.into_iter().collect(), to.into_iter().collect());
    let (source, destination) = (first.source_ports, first.destination_ports);
    match first.protocol {
        Some(number @ (6 | 17)) => {
            let name = if number == 6 { "tcp" } else { "udp" };
            from.extend(source.map(|ports| format!("{name} = {}", range(ports))));
            let ports: Option<Vec<String>> =
                conditions.iter().map(|condition| condition.destination_ports.map(range)).collect();
            to.push(match ports.as_deref() {
                None if conditions.len() == 1 => format!("{name} = true"),
                None => return None,
                Some([one]) => format!("{name} = {one}"),
                Some(several) => format!("{name} = [{}]", several.join(", ")),
            });
        }
        _ if conditions.len() > 1 => return None,
        None if source.is_none() && destination.is_none() => {}
        Some(1) => to.push(icmp(source, destination)?),
        Some(number) if source.is_none() && destination.is_none() => to.push(format!("protocol = {number}")),
        _ => return None,
    }
    Some((from, to))
}

fn range(ports: PortRange) -> String {
    match ports.start == ports.end {
        true => ports.start.to_string(),
        false => format!("\"{}-{}\"", ports.start, ports.end),
    }
}

/// Writes one ICMP type with one code, one type, or all of ICMP.
fn icmp(kind: Option<PortRange>, code: Option<PortRange>) -> Option<String> {
    let one = |range: PortRange| (range.start == range.end).then_some(range.start);
    Some(match (kind, code) {
        (None, None) => "icmp = true".to_owned(),
        (Some(kind), None) => format!("icmp = {{ type = {} }}", one(kind)?),
        (Some(kind), Some(code)) => format!("icmp = {{ type = {}, code = {} }}", one(kind)?, one(code)?),
        (None, Some(_)) => return None,
    })
}
