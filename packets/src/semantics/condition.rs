//! Matches a packet against a rule's conditions.

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::Packet;
use super::world::{MacMask, Rule, World};
use midoform_compiler::values::{MacAddress, PortRange};

/// The position of a packet when a chain is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// The router or bridge.
    pub(super) device: Uuid,
    /// The input port.
    pub(super) in_port: Option<Uuid>,
    /// The port by which the packet entered the network. Port groups are matched against it.
    pub(super) ingress: Uuid,
    /// The output port; not known in an inbound chain.
    pub(super) out_port: Option<Uuid>,
}

/// The history of the packet on its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The devices and ports that it passed, including this one.
    pub(super) traversed: &'a [Uuid],
    /// True if its destination was translated on this device.
    pub(super) rewritten: bool,
}

/// Returns true if the rule matches. `is_forward` is called only for rules with a flow condition: the call starts
/// tracking.
pub(super) fn matches(
    world: &World,
    rule: &Rule,
    packet: &Packet,
    position: Position,
    seen: Seen<'_>,
    is_forward: &mut dyn FnMut() -> bool,
) -> bool {
    // `condInvert` does not invert the fragment policy.
    packet.fragment.fits(rule.fragments())
        && matches_all(world, rule, packet, position, seen, is_forward) != rule.cond_invert
}

fn matches_all(
    world: &World,
    rule: &Rule,
    packet: &Packet,
    position: Position,
    seen: Seen<'_>,
    is_forward: &mut dyn FnMut() -> bool,
) -> bool {
    if rule.match_forward_flow && !is_forward() {
        return false;
    }
    if rule.match_return_flow && is_forward() {
        return false;
    }
    ports_match(world, rule, position)
        && link_layer_matches(rule, packet)
        && addresses_match(world, rule, packet)
        && transport_matches(rule, packet)
        && way_matches(rule, packet, seen)
}

/// Matches the conditions on the packet's tag and path, and those on a part that these packets never have: the data of an
/// ICMP error.
fn way_matches(rule: &Rule, packet: &Packet, seen: Seen<'_>) -> bool {
    rule.vlan.is_none_or(|vlan| vlan == 0 || packet.vlan == Some(vlan))
        && (!rule.no_vlan || packet.vlan.is_none())
        && rule
            .traversed_device
            .is_none_or(|device| seen.traversed.contains(&device) != rule.inv_traversed_device)
        && (!rule.match_nw_dst_rewritten || seen.rewritten)
        && (rule.icmp_data_src_ip_address.is_none() || rule.inv_icmp_data_src_ip)
        && (rule.icmp_data_dst_ip_address.is_none() || rule.inv_icmp_data_dst_ip)
}

fn ports_match(world: &World, rule: &Rule, position: Position) -> bool {
    let one_of = |ports: &[Uuid], port: Option<Uuid>, inverted: bool| {
        ports.is_empty() || port.is_some_and(|port| ports.contains(&port)) != inverted
    };
    let in_group = |group: Option<Uuid>, port: Option<Uuid>, inverted: bool| match group {
        None => true,
        Some(group) => {
            let members = world.port_groups.get(&group);
            members.is_some_and(|members| port.is_some_and(|port| members.contains(&port))) != inverted
        }
    };
    one_of(&rule.in_ports, position.in_port, rule.inv_in_ports)
        && one_of(&rule.out_ports, position.out_port, rule.inv_out_ports)
        && in_group(rule.port_group, Some(position.ingress), rule.inv_port_group)
        && in_group(rule.in_port_group, position.in_port, rule.inv_in_port_group)
        && in_group(rule.out_port_group, position.out_port, rule.inv_out_port_group)
}

fn link_layer_matches(rule: &Rule, packet: &Packet) -> bool {
    rule.dl_type.is_none_or(|kind| (kind == u32::from(packet.ethertype)) != rule.inv_dl_type)
        && mac_matches(rule.dl_src.as_ref(), rule.dl_src_mask.as_ref(), packet.source_mac, rule.inv_dl_src)
        && mac_matches(
            rule.dl_dst.as_ref(),
            rule.dl_dst_mask.as_ref(),
            packet.destination_mac,
            rule.inv_dl_dst,
        )
}

/// Compares a MAC address under a mask.
fn mac_matches(wanted: Option<&MacAddress>, mask: Option<&MacMask>, mac: MacAddress, inverted: bool) -> bool {
    let mask = mask.map_or([0xff; 6], |mask| mask.0);
    let same = |wanted: &MacAddress| {
        wanted.0.iter().zip(mac.0).zip(mask).all(|((wanted, own), mask)| (wanted ^ own) & mask == 0)
    };
    wanted.is_none_or(|wanted| same(wanted) != inverted)
}

fn addresses_match(world: &World, rule: &Rule, packet: &Packet) -> bool {
    // A frame without addresses is in no network and in no group.
    let has_addresses = packet.frame().has_addresses();
    let inside = |address, length: u8, own, inverted: bool| match address {
        None => true,
        Some(address) => {
            let network = Ipv4Net::new(address, length.min(32));
            (has_addresses && network.is_ok_and(|network| network.contains(&own))) != inverted
        }
    };
    let in_group = |group: Option<Uuid>, own, inverted: bool| match group {
        None => true,
        Some(group) => {
            let group = world.address_groups.get(&group);
            (has_addresses && group.is_some_and(|group| group.contains(&own))) != inverted
        }
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
    rule.nw_proto.is_none_or(|protocol| (protocol == packet.protocol) != rule.inv_nw_proto)
        && rule.nw_tos.is_none_or(|tos| (tos == 0) != rule.inv_nw_tos)
        && inside(rule.tp_src, packet.source_port, rule.inv_tp_src)
        && inside(rule.tp_dst, packet.destination_port, rule.inv_tp_dst)
}
