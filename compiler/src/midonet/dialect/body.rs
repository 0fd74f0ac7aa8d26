//! The bodies that are posted: only the fields that midoform speaks of. Both dialects share them; the
//! recordings show the same names with the same meaning.
//!
//! A router port's body never has `peerId`, `hostId` or `interfaceName`: 1.7 stores them blindly, and
//! deleting such a port is a 500 ever after.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::midonet::dialect::Encoder;
use crate::topology::kind::Kind;
use crate::topology::object::{
    Condition, FlowAction, FragmentPolicy, NatTarget, NextHop, Object, Reference, Route, Rule, RuleAction,
};
use crate::values::{Encapsulation, PortRange};

/// A port's body with the mark that it can be recognised by (`vifId`), where the server chooses its id.
pub(super) fn marked(body: &RawValue, mark: uuid::Uuid) -> Option<Box<RawValue>> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body.get()).ok()?;
    fields.insert("vifId".to_owned(), mark.to_string().into());
    raw(&fields)
}

/// The body that makes an object. `id` is what is offered, or nothing where the server would ignore it.
#[allow(clippy::too_many_lines, reason = "one arm for each kind")]
pub(super) fn of(
    encoder: &Encoder<'_>,
    object: &Object,
    id: Option<String>,
    position: u32,
) -> Option<Box<RawValue>> {
    let filter =
        |filter: &Option<Reference>| filter.as_ref().map(|chain| encoder.reference(chain, Kind::Chain));
    let port = |port: &Reference| encoder.reference(port, Kind::RouterPort);
    match object {
        Object::TunnelZone(zone) => raw(&TunnelZoneBody {
            id,
            name: &zone.name,
            kind: match zone.encapsulation {
                Encapsulation::Gre => "gre",
                Encapsulation::Vxlan => "vxlan",
            },
        }),
        Object::TunnelZoneHost(member) => raw(&TunnelZoneHostBody {
            host_id: member.host.to_string(),
            ip_address: member.address.to_string(),
        }),
        Object::PortGroup(group) => raw(&PortGroupBody {
            id,
            name: &group.name,
            tenant_id: &group.tenant_id,
            stateful: group.stateful,
        }),
        Object::Chain(chain) => raw(&DeviceBody {
            id,
            name: &chain.name,
            tenant_id: &chain.tenant_id,
            inbound_filter_id: None,
            outbound_filter_id: None,
        }),
        Object::Router(device) | Object::Bridge(device) => raw(&DeviceBody {
            id,
            name: &device.name,
            tenant_id: &device.tenant_id,
            inbound_filter_id: filter(&device.inbound_filter),
            outbound_filter_id: filter(&device.outbound_filter),
        }),
        Object::RouterPort(port) => raw(&PortBody {
            id,
            kind: "Router",
            port_address: Some(port.address.to_string()),
            network_address: Some(port.network.addr().to_string()),
            network_length: Some(port.network.prefix_len()),
            ..PortBody::default()
        }),
        Object::BridgePort(port) => raw(&PortBody {
            id,
            kind: "Bridge",
            inbound_filter_id: filter(&port.inbound_filter),
            outbound_filter_id: filter(&port.outbound_filter),
            ..PortBody::default()
        }),
        Object::Rule(rule) => raw(&rule_body(encoder, rule, id, position)),
        Object::Route(route) => raw(&route_body(encoder, route, id)),
        Object::PortLink(link) => raw(&PortLinkBody { peer_id: port(&link.peer) }),
        Object::PortGroupPort(member) => raw(&PortGroupPortBody {
            port_group_id: encoder.reference(&member.group, Kind::PortGroup),
            port_id: port(&member.port),
        }),
        Object::HostInterfacePort(binding) => raw(&BindingBody {
            host_id: binding.host.to_string(),
            interface_name: &binding.interface,
            port_id: port(&binding.port),
        }),
    }
}

fn raw(body: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(body).ok()
}

#[derive(Serialize)]
struct TunnelZoneBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TunnelZoneHostBody {
    host_id: String,
    ip_address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortGroupBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    tenant_id: &'a str,
    stateful: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    tenant_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inbound_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound_filter_id: Option<String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_length: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inbound_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound_filter_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortLinkBody {
    peer_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortGroupPortBody {
    port_group_id: String,
    port_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BindingBody<'a> {
    host_id: String,
    interface_name: &'a str,
    port_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    src_network_addr: String,
    src_network_length: u8,
    dst_network_addr: String,
    dst_network_length: u8,
    weight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_gateway: Option<String>,
}

fn route_body(encoder: &Encoder<'_>, route: &Route, id: Option<String>) -> RouteBody {
    let (kind, port, gateway) = match &route.next_hop {
        NextHop::Port { port, gateway } => ("Normal", Some(port), *gateway),
        NextHop::BlackHole => ("BlackHole", None, None),
        NextHop::Reject => ("Reject", None, None),
    };
    RouteBody {
        id,
        kind,
        src_network_addr: route.source.addr().to_string(),
        src_network_length: route.source.prefix_len(),
        dst_network_addr: route.destination.addr().to_string(),
        dst_network_length: route.destination.prefix_len(),
        weight: route.weight,
        next_hop_port: port.map(|port| encoder.reference(port, Kind::RouterPort)),
        next_hop_gateway: gateway.map(|gateway| gateway.to_string()),
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    position: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jump_chain_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jump_chain_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_ports: Vec<String>,
    #[serde(skip_serializing_if = "no")]
    inv_in_ports: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    out_ports: Vec<String>,
    #[serde(skip_serializing_if = "no")]
    inv_out_ports: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_src_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_src_length: Option<u8>,
    #[serde(skip_serializing_if = "no")]
    inv_nw_src: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_dst_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_dst_length: Option<u8>,
    #[serde(skip_serializing_if = "no")]
    inv_nw_dst: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dl_type: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dl_src: Option<String>,
    #[serde(skip_serializing_if = "no")]
    inv_dl_src: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_proto: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tp_src: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tp_dst: Option<PortRange>,
    #[serde(skip_serializing_if = "no")]
    match_return_flow: bool,
    #[serde(skip_serializing_if = "no")]
    match_forward_flow: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nat_targets: Vec<NatTargetBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NatTargetBody {
    address_from: String,
    address_to: String,
    port_from: u16,
    port_to: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn no(flag: &bool) -> bool {
    !flag
}

fn rule_body(encoder: &Encoder<'_>, rule: &Rule, id: Option<String>, position: u32) -> RuleBody {
    let mut body = condition_body(encoder, &rule.condition);
    body.id = id;
    body.position = position;
    let target = |target: &NatTarget| {
        vec![NatTargetBody {
            address_from: target.first.to_string(),
            address_to: target.last.to_string(),
            port_from: target.ports.start,
            port_to: target.ports.end,
        }]
    };
    let flow = |action: FlowAction| {
        Some(match action {
            FlowAction::Accept => "accept",
            FlowAction::Continue => "continue",
            FlowAction::Return => "return",
        })
    };
    match &rule.action {
        RuleAction::Accept => body.kind = "accept",
        RuleAction::Drop => body.kind = "drop",
        RuleAction::Reject => body.kind = "reject",
        RuleAction::Return => body.kind = "return",
        RuleAction::Jump { chain, chain_name } => {
            body.kind = "jump";
            body.jump_chain_name = Some(chain_name.clone());
            body.jump_chain_id = Some(encoder.reference(chain, Kind::Chain));
        }
        RuleAction::SourceNat(nat, action) => {
            (body.kind, body.nat_targets, body.flow_action) = ("snat", target(nat), flow(*action));
        }
        RuleAction::DestinationNat(nat, action) => {
            (body.kind, body.nat_targets, body.flow_action) = ("dnat", target(nat), flow(*action));
        }
        RuleAction::ReverseSourceNat(action) => (body.kind, body.flow_action) = ("rev_snat", flow(*action)),
        RuleAction::ReverseDestinationNat(action) => {
            (body.kind, body.flow_action) = ("rev_dnat", flow(*action))
        }
    }
    body
}

fn condition_body(encoder: &Encoder<'_>, condition: &Condition) -> RuleBody {
    let ports =
        |ports: &[Reference]| ports.iter().map(|port| encoder.reference(port, Kind::RouterPort)).collect();
    RuleBody {
        in_ports: ports(&condition.in_ports),
        inv_in_ports: condition.not_in_ports,
        out_ports: ports(&condition.out_ports),
        inv_out_ports: condition.not_out_ports,
        nw_src_address: condition.source.map(|network| network.addr().to_string()),
        nw_src_length: condition.source.map(|network| network.prefix_len()),
        inv_nw_src: condition.not_source,
        nw_dst_address: condition.destination.map(|network| network.addr().to_string()),
        nw_dst_length: condition.destination.map(|network| network.prefix_len()),
        inv_nw_dst: condition.not_destination,
        dl_type: condition.ethertype,
        dl_src: condition.source_mac.map(|mac| mac.to_string()),
        inv_dl_src: condition.not_source_mac,
        nw_proto: condition.protocol,
        tp_src: condition.source_ports,
        tp_dst: condition.destination_ports,
        match_return_flow: condition.return_flow,
        match_forward_flow: condition.forward_flow,
        fragment_policy: condition.fragments.map(|policy| match policy {
            FragmentPolicy::Any => "any",
            FragmentPolicy::Header => "header",
            FragmentPolicy::Nonheader => "nonheader",
            FragmentPolicy::Unfragmented => "unfragmented",
        }),
        ..RuleBody::default()
    }
}
