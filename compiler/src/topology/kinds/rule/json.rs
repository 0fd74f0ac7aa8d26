//! The server's JSON for a rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Condition, FlowAction, FragmentPolicy, NatTarget, OtherField, RuleAction};
use crate::topology::kinds::Reference;
use crate::topology::kinds::json::{Malformed, malformed_address, malformed_length, network};
use crate::values::{MacAddress, PortRange};

/// The server's JSON for a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleJson {
    /// The rule's id.
    pub id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    flow_action: Option<String>,
    #[serde(default)]
    jump_chain_id: Option<Uuid>,
    #[serde(default)]
    jump_chain_name: Option<String>,
    #[serde(default)]
    nat_targets: Option<Vec<Target>>,
    #[serde(default)]
    in_ports: Option<Vec<Uuid>>,
    #[serde(default)]
    inv_in_ports: bool,
    #[serde(default)]
    out_ports: Option<Vec<Uuid>>,
    #[serde(default)]
    inv_out_ports: bool,
    #[serde(default)]
    nw_src_address: Option<String>,
    #[serde(default)]
    nw_src_length: u8,
    #[serde(default)]
    inv_nw_src: bool,
    #[serde(default)]
    nw_dst_address: Option<String>,
    #[serde(default)]
    nw_dst_length: u8,
    #[serde(default)]
    inv_nw_dst: bool,
    #[serde(default)]
    dl_type: Option<i64>,
    #[serde(default)]
    inv_dl_type: bool,
    #[serde(default)]
    dl_src: Option<String>,
    #[serde(default)]
    dl_src_mask: Option<String>,
    #[serde(default)]
    inv_dl_src: bool,
    #[serde(default)]
    dl_dst: Option<String>,
    #[serde(default)]
    nw_tos: Option<i64>,
    #[serde(default)]
    nw_proto: Option<i64>,
    #[serde(default)]
    inv_nw_proto: bool,
    #[serde(default)]
    tp_src: Option<PortRange>,
    #[serde(default)]
    tp_dst: Option<PortRange>,
    #[serde(default)]
    inv_tp_src: bool,
    #[serde(default)]
    inv_tp_dst: bool,
    #[serde(default)]
    match_return_flow: bool,
    #[serde(default)]
    match_forward_flow: bool,
    #[serde(default)]
    fragment_policy: Option<String>,
    #[serde(default)]
    cond_invert: bool,
    #[serde(default)]
    port_group: Option<Uuid>,
    #[serde(default)]
    in_port_group: Option<Uuid>,
    #[serde(default)]
    out_port_group: Option<Uuid>,
    #[serde(default)]
    ip_addr_group_src: Option<Uuid>,
    #[serde(default)]
    ip_addr_group_dst: Option<Uuid>,
    #[serde(default)]
    traversed_device: Option<Uuid>,
    #[serde(default)]
    no_vlan: bool,
    #[serde(default)]
    vlan: Option<i64>,
    #[serde(default)]
    match_nw_dst_rewritten: bool,
    #[serde(default)]
    inv_port_group: bool,
    #[serde(default)]
    inv_in_port_group: bool,
    #[serde(default)]
    inv_out_port_group: bool,
    #[serde(default)]
    inv_ip_addr_group_src: bool,
    #[serde(default)]
    inv_ip_addr_group_dst: bool,
    #[serde(default)]
    inv_traversed_device: bool,
    #[serde(default)]
    dl_dst_mask: Option<String>,
    #[serde(default)]
    inv_dl_dst: bool,
    #[serde(default)]
    inv_nw_tos: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    address_from: Option<String>,
    address_to: Option<String>,
    #[serde(default)]
    port_from: u16,
    #[serde(default)]
    port_to: u16,
}

impl RuleJson {
    /// Returns the rule's conditions. 1.7 returns 0 for a protocol and a TOS that were not set.
    pub fn condition(&self, reference: &dyn Fn(Uuid) -> Reference) -> Condition {
        let ports = |ports: &Option<Vec<Uuid>>| ports.iter().flatten().map(|id| reference(*id)).collect();
        let source_mac = self.dl_src.as_deref().and_then(mac_of);
        let others = self.others(reference);
        Condition {
            in_ports: ports(&self.in_ports),
            not_in_ports: self.inv_in_ports,
            out_ports: ports(&self.out_ports),
            not_out_ports: self.inv_out_ports,
            source: network(self.nw_src_address.as_deref(), self.nw_src_length),
            not_source: self.inv_nw_src,
            destination: network(self.nw_dst_address.as_deref(), self.nw_dst_length),
            not_destination: self.inv_nw_dst,
            ethertype: self.dl_type.and_then(|kind| u16::try_from(kind).ok()).filter(|kind| *kind != 0),
            not_ethertype: self.inv_dl_type,
            untagged: self.no_vlan,
            source_mac,
            not_source_mac: self.inv_dl_src,
            protocol: self
                .nw_proto
                .and_then(|number| u8::try_from(number).ok())
                .filter(|number| *number != 0),
            source_ports: self.tp_src,
            destination_ports: self.tp_dst,
            return_flow: self.match_return_flow,
            forward_flow: self.match_forward_flow,
            fragments: match self.fragment_policy.as_deref() {
                Some("any") => Some(FragmentPolicy::Any),
                Some("header") => Some(FragmentPolicy::Header),
                Some("nonheader") => Some(FragmentPolicy::Nonheader),
                Some("unfragmented") => Some(FragmentPolicy::Unfragmented),
                _ => None,
            },
            unspoken: others.keys().any(|name| !MODIFIERS.contains(&name.as_str())),
            others,
        }
    }

    /// Returns the fields that midoform does not model.
    fn others(&self, reference: &dyn Fn(Uuid) -> Reference) -> BTreeMap<String, OtherField> {
        let ids = [
            ("portGroup", self.port_group),
            ("inPortGroup", self.in_port_group),
            ("outPortGroup", self.out_port_group),
            ("ipAddrGroupSrc", self.ip_addr_group_src),
            ("ipAddrGroupDst", self.ip_addr_group_dst),
            ("traversedDevice", self.traversed_device),
        ];
        let flags = [
            ("invPortGroup", self.inv_port_group),
            ("invInPortGroup", self.inv_in_port_group),
            ("invOutPortGroup", self.inv_out_port_group),
            ("invIpAddrGroupSrc", self.inv_ip_addr_group_src),
            ("invIpAddrGroupDst", self.inv_ip_addr_group_dst),
            ("invTraversedDevice", self.inv_traversed_device),
            ("invDlDst", self.inv_dl_dst),
            ("invNwTos", self.inv_nw_tos),
            ("invNwProto", self.inv_nw_proto),
            ("invTpSrc", self.inv_tp_src),
            ("invTpDst", self.inv_tp_dst),
            ("condInvert", self.cond_invert),
            ("matchNwDstRewritten", self.match_nw_dst_rewritten),
        ];
        let is_narrow = |mask: &&String| !is_full_mask(mask);
        // An address that is no IPv4 address must not become a rule for all addresses.
        let unread = |text: &&String, length| network(Some(text.as_str()), length).is_none();
        let texts = [
            ("nwSrcAddress", self.nw_src_address.as_ref().filter(|text| unread(text, self.nw_src_length))),
            ("nwDstAddress", self.nw_dst_address.as_ref().filter(|text| unread(text, self.nw_dst_length))),
            ("dlSrc", self.dl_src.as_ref().filter(|text| mac_of(text).is_none())),
            ("dlDst", self.dl_dst.as_ref()),
            ("dlSrcMask", self.dl_src_mask.as_ref().filter(is_narrow)),
            ("dlDstMask", self.dl_dst_mask.as_ref().filter(is_narrow)),
        ];
        let numbers = [("nwTos", self.nw_tos.filter(|tos| *tos != 0)), ("vlan", self.vlan)];
        let value = |value: serde_json::Value| OtherField::Value(value);
        let own = |name: &str| name.to_owned();
        let ids =
            ids.into_iter().filter_map(|(name, id)| Some((own(name), OtherField::Reference(reference(id?)))));
        let flags =
            flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (own(name), value(true.into())));
        let texts =
            texts.into_iter().filter_map(|(name, text)| Some((own(name), value(text?.as_str().into()))));
        let numbers =
            numbers.into_iter().filter_map(|(name, number)| Some((own(name), value(number?.into()))));
        ids.chain(flags).chain(texts).chain(numbers).collect()
    }

    /// Returns the fields of an action that midoform does not model.
    pub(super) fn other_action(&self) -> impl Iterator<Item = (String, OtherField)> {
        let text = |text: &String| serde_json::Value::from(text.as_str());
        let targets = self.nat_targets.as_ref().and_then(|targets| serde_json::to_value(targets).ok());
        let fields = [
            ("type", Some(text(&self.kind))),
            ("flowAction", self.flow_action.as_ref().map(text)),
            ("natTargets", targets),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), OtherField::Value(value?))))
    }

    /// Returns the rule's action; none for types that midoform does not use.
    pub fn action(&self, reference: &dyn Fn(Uuid) -> Reference) -> Option<RuleAction> {
        let flow = match self.flow_action.as_deref() {
            Some("accept") => Some(FlowAction::Accept),
            Some("continue") => Some(FlowAction::Continue),
            Some("return") => Some(FlowAction::Return),
            _ => None,
        };
        Some(match self.kind.as_str() {
            "accept" => RuleAction::Accept,
            "drop" => RuleAction::Drop,
            "reject" => RuleAction::Reject,
            "return" => RuleAction::Return,
            "jump" => RuleAction::Jump {
                chain: reference(self.jump_chain_id?),
                chain_name: self.jump_chain_name.clone().unwrap_or_default(),
            },
            "snat" => RuleAction::SourceNat(self.target()?, flow?),
            "dnat" => RuleAction::DestinationNat(self.target()?, flow?),
            "rev_snat" => RuleAction::ReverseSourceNat(flow?),
            "rev_dnat" => RuleAction::ReverseDestinationNat(flow?),
            _ => return None,
        })
    }

    /// Returns a field with a text that is none of its kind.
    pub fn malformed(&self) -> Option<Malformed> {
        let targets = self.nat_targets.iter().flatten();
        let targets = targets.flat_map(|target| [&target.address_from, &target.address_to]);
        let addresses =
            [("nwSrcAddress", self.nw_src_address.as_ref()), ("nwDstAddress", self.nw_dst_address.as_ref())];
        let addresses = addresses.into_iter().chain(targets.map(|text| ("natTargets", text.as_ref())));
        let lengths = [
            ("nwSrcLength", Some(self.nw_src_length.into())),
            ("nwDstLength", Some(self.nw_dst_length.into())),
        ];
        let mac = || {
            let wrong = self.dl_src.as_ref().filter(|text| mac_of(text).is_none())?;
            Some(Malformed { field: "dlSrc", value: wrong.clone() })
        };
        malformed_address(addresses).or_else(|| malformed_length(lengths)).or_else(mac)
    }

    fn target(&self) -> Option<NatTarget> {
        let [target] = self.nat_targets.as_deref()? else { return None };
        Some(NatTarget {
            first: target.address_from.as_deref()?.parse().ok()?,
            last: target.address_to.as_deref()?.parse().ok()?,
            ports: PortRange { start: target.port_from, end: target.port_to },
        })
    }
}

/// The fields among [`Condition::others`] that say nothing alone: they change the meaning of another field.
const MODIFIERS: [&str; 9] = [
    "invPortGroup",
    "invInPortGroup",
    "invOutPortGroup",
    "invIpAddrGroupSrc",
    "invIpAddrGroupDst",
    "invTraversedDevice",
    "invDlDst",
    "invNwTos",
    "dlDstMask",
];

fn mac_of(text: &str) -> Option<MacAddress> {
    text.to_lowercase().parse().ok()
}

/// Returns true for a mask of a MAC address that compares every bit.
fn is_full_mask(mask: &str) -> bool {
    mask.eq_ignore_ascii_case("ffff.ffff.ffff") || mask.is_empty()
}
