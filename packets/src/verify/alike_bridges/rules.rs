//! The rules of routers' chains, as far as they tell bridges apart.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::semantics::world::{Rule, RuleKind};
use crate::verify::header::Range;
use crate::verify::model::Model;
use midoform_compiler::topology::kinds::FragmentPolicy;

/// A rule of a router's chain.
pub(super) struct RouterRule<'m> {
    pub(super) rule: &'m Rule,
    chain: Uuid,
    place: usize,
    /// True if it matches only packets that enter from outside: no pod's packets.
    pub(super) is_from_outside: bool,
    /// True if it may match replies to a bridge.
    pub(super) sees_replies: bool,
}

impl RouterRule<'_> {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.chain, self.place)
    }

    /// Returns the source addresses that it names.
    pub(super) fn source(&self) -> Option<Range> {
        source(self.rule)
    }

    /// Returns the destinations that it names.
    pub(super) fn destination(&self) -> Option<Range> {
        destination(self.rule)
    }
}

/// Returns the source addresses that a rule names.
pub(super) fn source(rule: &Rule) -> Option<Range> {
    network(rule.nw_src_address, rule.nw_src_length)
}

/// Returns the destinations that a rule names.
pub(super) fn destination(rule: &Rule) -> Option<Range> {
    network(rule.nw_dst_address, rule.nw_dst_length)
}

fn network(address: Option<std::net::Ipv4Addr>, length: u8) -> Option<Range> {
    ipnet::Ipv4Net::new(address?, length.min(32)).ok().map(Range::network)
}

/// Returns true if a rule has only conditions about ports, flows, addresses, protocols and fragments. The pattern names
/// every field, so that a new one is not forgotten.
#[allow(clippy::too_many_lines, reason = "one pattern, field by field")]
pub(super) fn is_plain(rule: &Rule) -> bool {
    let Rule {
        id: _,
        kind: _,
        position: _,
        flow_action: _,
        jump_chain_id: _,
        nat_targets: _,
        cond_invert,
        match_forward_flow: _,
        match_return_flow: _,
        in_ports: _,
        inv_in_ports: _,
        out_ports: _,
        inv_out_ports: _,
        port_group,
        inv_port_group: _,
        in_port_group,
        inv_in_port_group: _,
        out_port_group,
        inv_out_port_group: _,
        ip_addr_group_src,
        inv_ip_addr_group_src: _,
        ip_addr_group_dst,
        inv_ip_addr_group_dst: _,
        traversed_device,
        inv_traversed_device: _,
        // The same for all packets that are sent: no VLAN, IPv4, no type of service.
        vlan: _,
        no_vlan: _,
        dl_type: _,
        inv_dl_type: _,
        nw_tos: _,
        inv_nw_tos: _,
        dl_src,
        dl_src_mask: _,
        inv_dl_src: _,
        dl_dst,
        dl_dst_mask: _,
        inv_dl_dst: _,
        nw_proto: _,
        inv_nw_proto: _,
        nw_src_address: _,
        nw_src_length: _,
        inv_nw_src: _,
        nw_dst_address: _,
        nw_dst_length: _,
        inv_nw_dst: _,
        match_nw_dst_rewritten,
        tp_src: _,
        inv_tp_src: _,
        tp_dst: _,
        inv_tp_dst: _,
        icmp_data_src_ip_address,
        inv_icmp_data_src_ip: _,
        icmp_data_dst_ip_address,
        inv_icmp_data_dst_ip: _,
        fragment_policy: _,
    } = rule;
    let groups = [port_group, in_port_group, out_port_group, ip_addr_group_src, ip_addr_group_dst];
    let stations = dl_src.is_some() || dl_dst.is_some() || traversed_device.is_some();
    let quoted = icmp_data_src_ip_address.is_some() || icmp_data_dst_ip_address.is_some();
    !cond_invert
        && !match_nw_dst_rewritten
        && !stations
        && !quoted
        && groups.iter().all(|group| group.is_none())
}

/// Returns the rules of the chains of all routers; none if one can't be compared.
pub(super) fn of_routers<'m>(model: &'m Model<'_>) -> Option<Vec<RouterRule<'m>>> {
    let world = &model.world;
    let mut waiting: Vec<Uuid> = Vec::new();
    for device in world.devices.values().filter(|device| device.is_router) {
        waiting.extend(device.inbound.into_iter().chain(device.outbound));
        let ports = device.ports.iter().filter_map(|port| world.ports.get(port));
        waiting.extend(ports.flat_map(|port| port.inbound.into_iter().chain(port.outbound)));
    }
    let filters: BTreeSet<Uuid> = waiting.iter().copied().collect();
    let mut chains: BTreeMap<Uuid, &[Rule]> = BTreeMap::new();
    while let Some(chain) = waiting.pop() {
        let rules = world.chains.get(&chain).map(Vec::as_slice).unwrap_or_default();
        if chains.insert(chain, rules).is_none() {
            waiting.extend(rules.iter().filter_map(|rule| rule.jump_chain_id));
        }
    }
    if chains.values().copied().flatten().any(|rule| !is_plain(rule)) {
        return None;
    }
    let tracked = world.devices.values().filter(|device| device.is_router && device.outbound.is_some());
    let tracked = tracked.into_iter().all(|device| {
        let rules = device.outbound.and_then(|chain| chains.get(&chain)).copied().unwrap_or_default();
        let accepting = accepts_replies(rules).filter(|(_, ports)| ports.is_empty());
        let before = accepting.and_then(|(place, _)| rules.get(..place));
        before.is_some_and(|before| before.iter().all(|rule| is_reverse(rule.kind)))
    });
    let outside = |port: &Uuid| model.is_from_boundary(*port);
    let blind = if tracked { blind_chains(&chains, &filters) } else { BTreeSet::new() };
    let mut found = Vec::new();
    for (chain, rules) in &chains {
        let accepting = accepts_replies(rules).filter(|_| tracked);
        for (place, rule) in rules.iter().enumerate() {
            let is_blind = blind.contains(chain)
                || accepting.is_some_and(|accepting| is_behind(accepting, place, rule))
                || tracked && rule.match_forward_flow;
            found.push(RouterRule {
                rule,
                chain: *chain,
                place,
                is_from_outside: !rule.in_ports.is_empty()
                    && !rule.inv_in_ports
                    && rule.in_ports.iter().all(outside),
                sees_replies: !is_blind,
            });
        }
    }
    Some(found)
}

fn is_reverse(kind: RuleKind) -> bool {
    matches!(kind, RuleKind::RevSnat | RuleKind::RevDnat)
}

/// Returns the place of the first rule that accepts all replies, or all from some ports, and these ports.
fn accepts_replies(rules: &[Rule]) -> Option<(usize, &[Uuid])> {
    let accepts = |rule: &Rule| {
        rule.kind == RuleKind::Accept
            && rule.match_return_flow
            && !rule.match_forward_flow
            && rule.fragments() == FragmentPolicy::Any
            && rule.out_ports.is_empty()
            && (rule.in_ports.is_empty() || !rule.inv_in_ports)
            && rule.nw_proto.is_none()
            && rule.dl_type.is_none()
            && rule.nw_src_address.is_none()
            && rule.nw_dst_address.is_none()
            && rule.tp_src.is_none()
            && rule.tp_dst.is_none()
            && rule.nw_tos.is_none()
            && rule.vlan.is_none()
    };
    let place = rules.iter().position(accepts)?;
    Some((place, rules.get(place)?.in_ports.as_slice()))
}

/// Returns true if no reply gets as far as this rule.
fn is_behind((accepting, ports): (usize, &[Uuid]), place: usize, rule: &Rule) -> bool {
    let within = || {
        !rule.in_ports.is_empty()
            && !rule.inv_in_ports
            && rule.in_ports.iter().all(|port| ports.contains(port))
    };
    place > accepting && (ports.is_empty() || within())
}

/// Returns the chains that no reply gets to: every jump to them stands behind a rule that accepts replies.
fn blind_chains(chains: &BTreeMap<Uuid, &[Rule]>, filters: &BTreeSet<Uuid>) -> BTreeSet<Uuid> {
    let mut open: BTreeSet<Uuid> = filters.clone();
    let mut waiting: Vec<Uuid> = filters.iter().copied().collect();
    while let Some(chain) = waiting.pop() {
        let rules = chains.get(&chain).copied().unwrap_or_default();
        let accepting = accepts_replies(rules);
        for (place, rule) in rules.iter().enumerate() {
            let behind = accepting.is_some_and(|accepting| is_behind(accepting, place, rule));
            let jump = rule.jump_chain_id.filter(|_| !behind);
            waiting.extend(jump.filter(|jump| open.insert(*jump)));
        }
    }
    chains.keys().filter(|chain| !open.contains(chain)).copied().collect()
}
