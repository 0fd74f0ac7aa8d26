//! The body of a rule: only the fields that midoform uses.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Condition, FlowAction, FragmentPolicy, NatTarget, OtherField, Rule, RuleAction};
use crate::topology::kinds::json::is_false;
use crate::topology::kinds::{Kind, Names, Reference, port};
use crate::values::PortRange;

/// The kinds of objects of midoform's that a field names which midoform does not model.
const OTHERS: &[Kind] = &[Kind::PortGroup, Kind::Router, Kind::Bridge];

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleBody {
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
    #[serde(skip_serializing_if = "is_false")]
    inv_in_ports: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    out_ports: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    inv_out_ports: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_src_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_src_length: Option<u8>,
    #[serde(skip_serializing_if = "is_false")]
    inv_nw_src: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_dst_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_dst_length: Option<u8>,
    #[serde(skip_serializing_if = "is_false")]
    inv_nw_dst: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dl_type: Option<u16>,
    #[serde(skip_serializing_if = "is_false")]
    inv_dl_type: bool,
    #[serde(skip_serializing_if = "is_false")]
    no_vlan: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dl_src: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    inv_dl_src: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nw_proto: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tp_src: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tp_dst: Option<PortRange>,
    #[serde(skip_serializing_if = "is_false")]
    match_return_flow: bool,
    #[serde(skip_serializing_if = "is_false")]
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

/// Returns the body that inserts a rule at a position of its chain.
pub(super) fn rule_body(names: &dyn Names, rule: &Rule, id: Option<String>, position: u32) -> RuleBody {
    let mut body = condition_body(names, &rule.condition);
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
            body.jump_chain_id = Some(names.reference(chain.to(&[Kind::Chain])));
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

/// Returns a body with the fields that midoform does not model, as they were observed.
pub(super) fn with_others(
    names: &dyn Names,
    body: &RuleBody,
    others: &BTreeMap<String, OtherField>,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(body) else { return None };
    for (name, value) in others {
        let value = match value {
            OtherField::Reference(reference) => names.reference(reference.to(OTHERS)).into(),
            OtherField::Value(value) => value.clone(),
        };
        fields.insert(name.clone(), value);
    }
    Some(fields)
}

fn condition_body(names: &dyn Names, condition: &Condition) -> RuleBody {
    let ports = |ports: &[Reference]| ports.iter().map(|port| names.reference(port::any(port))).collect();
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
        inv_dl_type: condition.not_ethertype,
        no_vlan: condition.untagged,
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
