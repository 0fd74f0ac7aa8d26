//! Whether a rule matches a packet.

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::Packet;
use super::world::{MacMask, Rule, World};
use midoform_compiler::values::{MacAddress, PortRange};

/// The EtherType of IPv4, which every packet here has.
const IPV4: u32 = 2048;

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

/// What became of the packet on its way here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The devices and ports that it passed, this one as well.
    pub(super) traversed: &'a [Uuid],
    /// Whether its destination was translated on this device.
    pub(super) rewritten: bool,
}

/// Whether the rule matches. `is_forward` is asked only by rules that want to know: asking starts tracking.
pub(super) fn matches(
    world: &World,
    rule: &Rule,
    packet: &Packet,
    place: Place,
    seen: Seen<'_>,
    is_forward: &mut dyn FnMut() -> bool,
) -> bool {
    // Which fragments a rule looks at is not turned round by `condInvert`.
    packet.fragment.fits(rule.fragments())
        && matches_all(world, rule, packet, place, seen, is_forward) != rule.cond_invert
}

fn matches_all(
    world: &World,
    rule: &Rule,
    packet: &Packet,
    place: Place,
    seen: Seen<'_>,
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
        && way_matches(rule, seen)
}

/// Conditions on the way of the packet, and on what these packets never have: a VLAN, or the data of an ICMP error.
fn way_matches(rule: &Rule, seen: Seen<'_>) -> bool {
    rule.vlan.is_none_or(|vlan| vlan == 0)
        && rule
            .traversed_device
            .is_none_or(|device| seen.traversed.contains(&device) != rule.inv_traversed_device)
        && (!rule.match_nw_dst_rewritten || seen.rewritten)
        && (rule.icmp_data_src_ip_address.is_none() || rule.inv_icmp_data_src_ip)
        && (rule.icmp_data_dst_ip_address.is_none() || rule.inv_icmp_data_dst_ip)
}

fn ports_match(world: &World, rule: &Rule, place: Place) -> bool {
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
    one_of(&rule.in_ports, place.in_port, rule.inv_in_ports)
        && one_of(&rule.out_ports, place.out_port, rule.inv_out_ports)
        && in_group(rule.port_group, Some(place.ingress), rule.inv_port_group)
        && in_group(rule.in_port_group, place.in_port, rule.inv_in_port_group)
        && in_group(rule.out_port_group, place.out_port, rule.inv_out_port_group)
}

fn link_layer_matches(rule: &Rule, packet: &Packet) -> bool {
    rule.dl_type.is_none_or(|kind| (kind == IPV4) != rule.inv_dl_type)
        && mac_matches(rule.dl_src.as_ref(), rule.dl_src_mask.as_ref(), packet.source_mac, rule.inv_dl_src)
        && mac_matches(
            rule.dl_dst.as_ref(),
            rule.dl_dst_mask.as_ref(),
            packet.destination_mac,
            rule.inv_dl_dst,
        )
}

/// A mask chooses which bits are compared.
fn mac_matches(wanted: Option<&MacAddress>, mask: Option<&MacMask>, mac: MacAddress, inverted: bool) -> bool {
    let mask = mask.map_or([0xff; 6], |mask| mask.0);
    let same = |wanted: &MacAddress| {
        wanted.0.iter().zip(mac.0).zip(mask).all(|((wanted, own), mask)| (wanted ^ own) & mask == 0)
    };
    wanted.is_none_or(|wanted| same(wanted) != inverted)
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
    rule.nw_proto.is_none_or(|protocol| (protocol == packet.protocol) != rule.inv_nw_proto)
        && rule.nw_tos.is_none_or(|tos| (tos == 0) != rule.inv_nw_tos)
        && inside(rule.tp_src, packet.source_port, rule.inv_tp_src)
        && inside(rule.tp_dst, packet.destination_port, rule.inv_tp_dst)
}
