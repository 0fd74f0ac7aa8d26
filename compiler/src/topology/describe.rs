//! Describes an object in one line, in MidoNet's terms.

use std::fmt::Write;

use crate::topology::object::{
    Condition, FlowAction, FragmentPolicy, NatTarget, NextHop, Object, Reference, Rule, RuleAction,
};
use crate::values::PortRange;

/// Describes an object, without its key: `10.20.0.0/24 via 172.16.0.5, weight 100`,
/// `accept: protocol tcp, destination port 5432, in port acme/bridge/web/gateway-port`.
pub fn describe(object: &Object) -> String {
    match object {
        Object::TunnelZone(zone) => format!("\"{}\"", zone.name),
        Object::TunnelZoneHost(member) => format!("{} at {}", member.host, member.address),
        Object::Chain(chain) => format!("\"{}\"", chain.name),
        Object::Router(device) | Object::Bridge(device) => format!("\"{}\"", device.name),
        Object::RouterPort(port) => {
            format!("{}/{} on {}", port.address, port.network.prefix_len(), name(&port.router))
        }
        Object::BridgePort(port) => format!("on {}", name(&port.bridge)),
        Object::PortLink(link) => format!("{} to {}", name(&link.port), name(&link.peer)),
        Object::Route(route) => match &route.next_hop {
            NextHop::Port { gateway: Some(gateway), .. } => {
                format!("{} via {gateway}, weight {}", route.destination, route.weight)
            }
            NextHop::Port { port, gateway: None } => {
                format!("{} through {}, weight {}", route.destination, name(port), route.weight)
            }
            NextHop::BlackHole => format!("{} black hole, weight {}", route.destination, route.weight),
            NextHop::Reject => format!("{} reject, weight {}", route.destination, route.weight),
        },
        Object::Rule(rule) => describe_rule(rule),
        Object::PortGroup(group) => format!("\"{}\"", group.name),
        Object::PortGroupPort(member) => name(&member.port),
        Object::HostInterfacePort(binding) => format!("{} on host {}", binding.interface, binding.host),
    }
}

fn name(reference: &Reference) -> String {
    match reference {
        Reference::Key(key) => key.to_string(),
        Reference::External(id) => id.to_string(),
    }
}

fn describe_rule(rule: &Rule) -> String {
    let action = match &rule.action {
        RuleAction::Accept => "accept".to_owned(),
        RuleAction::Drop => "drop".to_owned(),
        RuleAction::Reject => "reject".to_owned(),
        RuleAction::Return => "return".to_owned(),
        RuleAction::Jump { chain, .. } => format!("jump to {}", name(chain)),
        RuleAction::SourceNat(target, flow) => format!("SNAT to {}, {}", show_target(target), then(*flow)),
        RuleAction::DestinationNat(target, flow) => {
            format!("DNAT to {}, {}", show_target(target), then(*flow))
        }
        RuleAction::ReverseSourceNat(flow) => format!("reverse SNAT, {}", then(*flow)),
        RuleAction::ReverseDestinationNat(flow) => format!("reverse DNAT, {}", then(*flow)),
    };
    format!("{action}{}", describe_condition(&rule.condition))
}

/// Returns what the chain does with the packet after a translation.
fn then(flow: FlowAction) -> &'static str {
    match flow {
        FlowAction::Accept => "accept",
        FlowAction::Continue => "continue",
        FlowAction::Return => "return",
    }
}

fn show_target(target: &NatTarget) -> String {
    let addresses = match target.first == target.last {
        true => target.first.to_string(),
        false => format!("{}-{}", target.first, target.last),
    };
    format!("{addresses}:{}", show_range(target.ports))
}

fn show_range(range: PortRange) -> String {
    match range.start == range.end {
        true => range.start.to_string(),
        false => format!("{}-{}", range.start, range.end),
    }
}

fn describe_condition(condition: &Condition) -> String {
    let mut words = String::new();
    let mut add = |word: &str, not: bool, value: String| {
        let not = if not { "not " } else { "" };
        // Writing to a string can't fail.
        let _ = write!(words, ", {word} {not}{value}");
    };
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
    let ports = |ports: &[Reference]| ports.iter().map(name).collect::<Vec<_>>().join(" or ");
    if !condition.in_ports.is_empty() {
        add("in port", condition.not_in_ports, ports(&condition.in_ports));
    }
    if !condition.out_ports.is_empty() {
        add("out port", condition.not_out_ports, ports(&condition.out_ports));
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
    if condition.unspoken {
        words.push_str(", other conditions (midoform never sets them)");
    }
    match words.strip_prefix(", ") {
        Some(words) => format!(": {words}"),
        None => String::new(),
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
