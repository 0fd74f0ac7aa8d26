//! The API's JSON as far as midoform reads it, and from there to neutral objects.
//!
//! One set of types serves all versions: a field that a version does not have is its default
//! (recordings 02 to 14 of v1.7, v5.0 and v5.8).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::topology::object::{
    Condition, FlowAction, FragmentPolicy, NatTarget, Reference, RuleAction,
};
use midoform_compiler::values::PortRange;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A router, a bridge or a chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The device's id.
    pub id: Uuid,
    /// The device's name.
    pub name: Option<String>,
    /// The OpenStack project that owns it, as MidoNet records it.
    pub tenant_id: Option<String>,
    /// The chain for packets that enter the device.
    #[serde(default)]
    pub inbound_filter_id: Option<Uuid>,
    /// The chain for packets that leave the device.
    #[serde(default)]
    pub outbound_filter_id: Option<Uuid>,
}

/// A port of any kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The port's id.
    pub id: Uuid,
    /// The type: `Router` or `Bridge`, or one that midoform does not use.
    #[serde(rename = "type")]
    pub kind: String,
    /// The router or bridge of the port.
    pub device_id: Uuid,
    /// The port that it is linked to.
    #[serde(default)]
    pub peer_id: Option<Uuid>,
    /// The host that it is bound to.
    #[serde(default)]
    pub host_id: Option<Uuid>,
    /// The host's interface that it is bound to.
    #[serde(default)]
    pub interface_name: Option<String>,
    /// The mark of a pod's port on 1.x.
    #[serde(default)]
    pub vif_id: Option<Uuid>,
    /// The chain for packets that enter the network by the port.
    #[serde(default)]
    pub inbound_filter_id: Option<Uuid>,
    /// The chain for packets that leave the network by the port.
    #[serde(default)]
    pub outbound_filter_id: Option<Uuid>,
    /// The address of a router's port.
    #[serde(default)]
    pub port_address: Option<String>,
    #[serde(default)]
    network_address: Option<String>,
    /// 1.7 shows -1 for a bridge's port in a list (16-lists).
    #[serde(default)]
    network_length: Option<i64>,
}

impl Port {
    /// Returns the port's own address.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.port_address.as_deref()?.parse().ok()
    }

    /// Returns the port's network without host bits.
    pub fn network(&self) -> Option<Ipv4Net> {
        network(self.network_address.as_deref(), u8::try_from(self.network_length?).ok()?)
    }
}

fn network(address: Option<&str>, length: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(address?.parse().ok()?, length).ok()
}

/// A route.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The route's id.
    pub id: Uuid,
    /// The type: `Normal`, `BlackHole`, `Reject`, or `Local`.
    #[serde(rename = "type")]
    pub kind: String,
    src_network_addr: Option<String>,
    #[serde(default)]
    src_network_length: u8,
    dst_network_addr: Option<String>,
    #[serde(default)]
    dst_network_length: u8,
    /// The weight: of several matching routes, the one with the lowest is used.
    #[serde(default)]
    pub weight: u32,
    /// The router's port to which packets are sent.
    #[serde(default)]
    pub next_hop_port: Option<Uuid>,
    #[serde(default)]
    next_hop_gateway: Option<String>,
}

impl Route {
    /// Returns the source network.
    pub fn source(&self) -> Option<Ipv4Net> {
        network(self.src_network_addr.as_deref(), self.src_network_length)
    }

    /// Returns the destination network.
    pub fn destination(&self) -> Option<Ipv4Net> {
        network(self.dst_network_addr.as_deref(), self.dst_network_length)
    }

    /// Returns the gateway. 5.0.2 shows 255.255.255.255 for a local route without one.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        let gateway: Ipv4Addr = self.next_hop_gateway.as_deref()?.parse().ok()?;
        (gateway != Ipv4Addr::BROADCAST).then_some(gateway)
    }

    /// Returns true for a route that the server created for a port: type `Local` on 5.x; on 1.x `Normal`, with weight 0, to
    /// the port's own address (05-router-port).
    pub fn is_automatic(&self, port_address: Option<Ipv4Addr>) -> bool {
        let own = port_address.map(Ipv4Net::from);
        self.kind == "Local"
            || (self.weight == 0 && self.gateway().is_none() && own.is_some() && self.destination() == own)
    }
}

/// A rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
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
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    address_from: Option<String>,
    address_to: Option<String>,
    #[serde(default)]
    port_from: u16,
    #[serde(default)]
    port_to: u16,
}

impl Rule {
    /// The rule's conditions. 1.7 says 0 for a protocol and a TOS that were not set.
    pub fn condition(&self, reference: &impl Fn(Uuid) -> Reference) -> Condition {
        let ports = |ports: &Option<Vec<Uuid>>| ports.iter().flatten().map(|id| reference(*id)).collect();
        let source_mac = self.dl_src.as_deref().and_then(|mac| mac.to_lowercase().parse().ok());
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
            unspoken: self.has_unspoken_conditions(),
        }
    }

    /// Conditions that midoform never sets.
    fn has_unspoken_conditions(&self) -> bool {
        let full_mask = |mask: &str| mask.eq_ignore_ascii_case("ffff.ffff.ffff") || mask.is_empty();
        let groups = [self.port_group, self.in_port_group, self.out_port_group, self.traversed_device];
        let address_groups = [self.ip_addr_group_src, self.ip_addr_group_dst];
        groups.iter().chain(&address_groups).any(Option::is_some)
            || self.dl_dst.is_some()
            || self.dl_src_mask.as_deref().is_some_and(|mask| !full_mask(mask))
            || self.nw_tos.is_some_and(|tos| tos != 0)
            || self.vlan.is_some()
            || [self.inv_dl_type, self.inv_nw_proto, self.inv_tp_src, self.inv_tp_dst].contains(&true)
            || [self.cond_invert, self.no_vlan, self.match_nw_dst_rewritten].contains(&true)
    }

    /// Returns the action of the rule; none for types that midoform does not know.
    pub fn action(&self, reference: &impl Fn(Uuid) -> Reference) -> Option<RuleAction> {
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

    fn target(&self) -> Option<NatTarget> {
        let [target] = self.nat_targets.as_deref()? else { return None };
        Some(NatTarget {
            first: target.address_from.as_deref()?.parse().ok()?,
            last: target.address_to.as_deref()?.parse().ok()?,
            ports: PortRange { start: target.port_from, end: target.port_to },
        })
    }
}

/// A port group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortGroup {
    /// The group's id.
    pub id: Uuid,
    /// The group's name.
    pub name: Option<String>,
    /// The OpenStack project that owns it, as MidoNet records it.
    pub tenant_id: Option<String>,
    /// True if the ports of the group share connection tracking.
    #[serde(default)]
    pub stateful: bool,
}

/// A port in a port group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortGroupPort {
    /// The port.
    pub port_id: Uuid,
}

/// A tunnel zone.
#[derive(Clone, Debug, Deserialize)]
pub struct TunnelZone {
    /// The zone's id.
    pub id: Uuid,
    /// The zone's name.
    pub name: Option<String>,
    /// The encapsulation: `gre` or `vxlan`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// A host in a tunnel zone.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelZoneHost {
    /// The host.
    pub host_id: Uuid,
    /// The host's address in the underlay.
    pub ip_address: Option<String>,
}

/// An object with the JSON from which it was read.
#[derive(Clone, Debug)]
pub struct WithRaw<T> {
    /// The object.
    pub value: T,
    /// The JSON from which it was read.
    pub raw: Box<RawValue>,
}

/// Reads a list, keeping each item's JSON.
pub fn list_with_raw<T: for<'a> Deserialize<'a>>(body: &str) -> Result<Vec<WithRaw<T>>, serde_json::Error> {
    let items: Vec<&RawValue> = serde_json::from_str(body)?;
    items.into_iter().map(|raw| Ok(WithRaw { value: item(raw)?, raw: raw.to_owned() })).collect()
}

/// Reads a list.
pub fn list<T: for<'a> Deserialize<'a>>(body: &str) -> Result<Vec<T>, serde_json::Error> {
    let items: Vec<&RawValue> = serde_json::from_str(body)?;
    items.into_iter().map(item).collect()
}

/// Reads an item. 1.7 repeats some keys, which serde accepts in a tree but not in a type.
fn item<T: for<'a> Deserialize<'a>>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.get())
        .or_else(|_| T::deserialize(&serde_json::from_str::<serde_json::Value>(raw.get())?))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests read recordings, and fail where they can't go on"
)]
mod tests;
