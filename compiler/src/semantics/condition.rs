//! Whether a rule matches a packet.

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::Packet;
use super::world::{Rule, World};
use crate::object::{MacAddress, PortRange};

/// Where a chain is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The router or bridge.
    pub(super) device: Uuid,
    /// The port that the packet came in by.
    pub(super) in_port: Option<Uuid>,
    /// The port that the packet entered the network by: what port groups are about.
    pub(super) ingress: Uuid,
    /// The port that it will go out by; not known in an inbound chain.
    pub(super) out_port: Option<Uuid>,
}

/// Whether the rule matches. `is_forward` is asked only by rules that want to know: asking starts tracking.
pub(super) fn matches(
    world: &World,
    rule: &Rule,
    packet: &Packet,
    place: Place,
    is_forward: &mut dyn FnMut() -> bool,
) -> bool {
    matches_all(world, rule, packet, place, is_forward) != rule.cond_invert
}

fn matches_all(
    world: &World,
    rule: &Rule,
    packet: &Packet,
    place: Place,
    is_forward: &mut dyn FnMut() -> bool,
) -> bool {
    if rule.match_forward_flow && !is_forward() {
        return false;
    }
    if rule.match_return_flow && is_forward() {
        return false;
    }
    ports_match(world, rule, place)
        && link_layer_matches(rule, packet)
        && addresses_match(world, rule, packet)
        && transport_matches(rule, packet)
}

fn ports_match(world: &World, rule: &Rule, place: Place) -> bool {
    let one_of = |ports: &[Uuid], port: Option<Uuid>, inverted: bool| {
        ports.is_empty() || port.is_some_and(|port| ports.contains(&port)) != inverted
    };
    let in_group = |group: Option<Uuid>, inverted: bool| match group {
        None => true,
        Some(group) => {
            let members = world.port_groups.get(&group);
            members.is_some_and(|members| members.contains(&place.ingress)) != inverted
        }
    };
    one_of(&rule.in_ports, place.in_port, rule.inv_in_ports)
        && one_of(&rule.out_ports, place.out_port, rule.inv_out_ports)
        && in_group(rule.port_group, rule.inv_port_group)
}

fn link_layer_matches(rule: &Rule, packet: &Packet) -> bool {
    let mac = |wanted: &Option<String>, mac: MacAddress, inverted: bool| match wanted {
        None => true,
        Some(wanted) => (wanted.to_lowercase().parse() == Ok(mac)) != inverted,
    };
    rule.dl_type.is_none_or(|kind| (kind == 2048) != rule.inv_dl_type)
        && mac(&rule.dl_src, packet.source_mac, rule.inv_dl_src)
        && mac(&rule.dl_dst, packet.destination_mac, rule.inv_dl_dst)
}

fn addresses_match(world: &World, rule: &Rule, packet: &Packet) -> bool {
    let inside = |address, length: u8, own, inverted: bool| match address {
        None => true,
        Some(address) => {
            Ipv4Net::new(address, length.min(32)).is_ok_and(|network| network.contains(&own)) != inverted
        }
    };
    let in_group = |group: Option<Uuid>, own, inverted: bool| match group {
        None => true,
        Some(group) => world.address_groups.get(&group).is_some_and(|group| group.contains(&own)) != inverted,
    };
    inside(rule.nw_src_address, rule.nw_src_length, packet.source, rule.inv_nw_src)
        && inside(rule.nw_dst_address, rule.nw_dst_length, packet.destination, rule.inv_nw_dst)
        && in_group(rule.ip_addr_group_src, packet.source, rule.inv_ip_addr_group_src)
        && in_group(rule.ip_addr_group_dst, packet.destination, rule.inv_ip_addr_group_dst)
}

fn transport_matches(rule: &Rule, packet: &Packet) -> bool {
    let inside = |range: Option<PortRange>, port: u16, inverted: bool| match range {
        None => true,
        Some(range) => (range.start..=range.end).contains(&port) != inverted,
    };
    // Every packet here is whole.
    let fragments = rule.fragment_policy.as_deref() != Some("nonheader");
    fragments
        && rule.nw_proto.is_none_or(|protocol| (protocol == packet.protocol) != rule.inv_nw_proto)
        && rule.nw_tos.is_none_or(|tos| (tos == 0) != rule.inv_nw_tos)
        && inside(rule.tp_src, packet.source_port, rule.inv_tp_src)
        && inside(rule.tp_dst, packet.destination_port, rule.inv_tp_dst)
}
