//! Random worlds: everything that a topology can be made of, from small pools, so that things meet.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::semantics::world::{Device, Port, Route, RouteKind, Rule, RuleKind, Target, World};
use crate::semantics::{Fragment, Packet, Station};
use midoform_compiler::topology::kinds::{FlowAction, FragmentPolicy};
use midoform_compiler::values::{MacAddress, PortRange};

/// The size of a random topology.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) routers: usize,
    pub(crate) bridges: usize,
    pub(crate) rules: usize,
    pub(crate) routes: usize,
    /// Translations that choose from more than one address or port, and equal routes.
    pub(crate) choices: bool,
    /// Paths note the rules that their packets match.
    pub(crate) keeps_rules: bool,
}

/// A world with what is attached to it.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) world: World,
    pub(crate) stations: Vec<Station>,
    dice: Dice,
    size: Size,
    chains: Vec<Uuid>,
    groups: Vec<Uuid>,
    address_groups: Vec<Uuid>,
}

/// SplitMix64: the same numbers for the same seed on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Returns true once in so many times.
    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

const OUTSIDE: [Ipv4Addr; 3] =
    [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(192, 0, 2, 1)];

fn address(dice: &mut Dice, routers: usize) -> Ipv4Addr {
    match dice.below(8) {
        0 => dice.pick(&OUTSIDE),
        1 => Ipv4Addr::new(172, 16, dice.below(routers + 1) as u8, 1 + dice.below(2) as u8),
        2 => Ipv4Addr::new(10, dice.below(routers + 1) as u8, dice.below(2) as u8, 254),
        _ => Ipv4Addr::new(10, dice.below(routers) as u8, dice.below(2) as u8, 1 + dice.below(4) as u8),
    }
}

fn network(dice: &mut Dice, routers: usize) -> Ipv4Net {
    let address = address(dice, routers);
    Ipv4Net::new(address, dice.pick(&[0, 8, 16, 24, 31, 32, 32])).unwrap().trunc()
}

fn number(dice: &mut Dice) -> u16 {
    dice.pick(&[0, 1, 2, 3, 8, 53, 80, 1024, 1025, 65535])
}

fn range(dice: &mut Dice) -> PortRange {
    let (one, other) = (number(dice), number(dice));
    if dice.one_in(2) {
        return PortRange { start: one, end: one };
    }
    PortRange { start: one.min(other), end: one.max(other) }
}

fn protocol(dice: &mut Dice) -> u8 {
    dice.pick(&[1, 6, 6, 17, 17, 47])
}

impl Random {
    pub(crate) fn new(seed: u64, size: Size) -> Random {
        let mut random = Random {
            world: World::default(),
            stations: Vec::new(),
            dice: Dice::new(seed),
            size,
            chains: Vec::new(),
            groups: Vec::new(),
            address_groups: Vec::new(),
        };
        random.build();
        random
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.dice.next()) << 64 | u128::from(self.dice.next()))
    }

    fn build(&mut self) {
        for _ in 0..self.dice.below(6) {
            let id = self.id();
            self.chains.push(id);
        }
        let provider = self.device(true);
        let station = self.world.attach_world(provider);
        self.stations.push(station);
        let routers: Vec<Uuid> = (0..self.size.routers).map(|_| self.device(true)).collect();
        for (at, router) in routers.iter().enumerate() {
            let upper = if at > 0 && self.dice.one_in(3) { routers[at - 1] } else { provider };
            self.join_routers(upper, *router, at);
            for bridge in 0..self.size.bridges {
                self.bridge(*router, at, bridge);
            }
        }
        if routers.len() > 1 && self.dice.one_in(2) {
            self.peers(&routers);
        }
        self.groups();
        for router in routers.iter().chain([&provider]) {
            for _ in 0..self.dice.below(self.size.routes + 1) {
                self.route(*router);
            }
        }
        let chains = self.chains.clone();
        for chain in chains {
            let rules = (0..self.dice.below(self.size.rules + 1)).map(|_| self.rule()).collect();
            self.world.chains.insert(chain, rules);
        }
        for (at, router) in routers.into_iter().enumerate() {
            if self.dice.one_in(2) {
                self.translates(router, at);
            }
        }
    }

    /// Links two more routers, and gives each a route to the other's networks.
    fn peers(&mut self, routers: &[Uuid]) {
        let (one, other) = (self.dice.below(routers.len()), self.dice.below(routers.len()));
        let (here, there) = (Ipv4Addr::new(172, 16, 9, 1), Ipv4Addr::new(172, 16, 9, 2));
        let port = self.port(routers[one], Some((here, 30)));
        let peer = self.port(routers[other], Some((there, 30)));
        self.world.link(port, peer);
        let networks = |at: usize| Ipv4Net::new(Ipv4Addr::new(10, at as u8, 0, 0), 16).unwrap();
        self.add_route(routers[one], networks(other), port, Some(there));
        self.add_route(routers[other], networks(one), peer, Some(here));
    }

    /// Adds the rules of a tenant's router: an exposed port, SNAT to the link's address, and reverse NAT for both; then
    /// a chain of any rules, if there is one.
    fn translates(&mut self, router: Uuid, at: usize) {
        let (accept, number) = (Some(FlowAction::Accept), at as u8);
        let target = |address: Ipv4Addr, (port_from, port_to)| {
            Some(vec![Target { address_from: address, address_to: address, port_from, port_to }])
        };
        let ports = if self.size.choices { (1024, 65535) } else { (1024, 1024) };
        let exposed = Rule {
            kind: RuleKind::Dnat,
            nw_dst_address: Some(OUTSIDE[1]),
            nw_dst_length: 32,
            nw_proto: Some(self.dice.pick(&[6, 17])),
            nat_targets: target(Ipv4Addr::new(10, number, 0, 1), (80, 80)),
            flow_action: accept,
            ..Rule::default()
        };
        let source = Rule {
            kind: RuleKind::Snat,
            nw_src_address: Some(Ipv4Addr::new(10, number, 0, 0)),
            nw_src_length: 16,
            nat_targets: target(Ipv4Addr::new(172, 16, number, 2), ports),
            flow_action: accept,
            ..Rule::default()
        };
        let back = |kind| Rule { kind, flow_action: accept, ..Rule::default() };
        let inside = vec![back(RuleKind::RevSnat), exposed];
        let outside = vec![back(RuleKind::RevDnat), source];
        let chains = [inside, outside].map(|rules| self.chain_of(rules));
        let device = self.world.devices.get_mut(&router).unwrap();
        [device.inbound, device.outbound] = chains.map(Some);
    }

    fn chain_of(&mut self, mut rules: Vec<Rule>) -> Uuid {
        let id = self.id();
        if let Some(jump) = self.chain() {
            rules.push(Rule { kind: RuleKind::Jump, jump_chain_id: Some(jump), ..Rule::default() });
        }
        for rule in &mut rules {
            rule.id = self.id();
        }
        self.world.chains.insert(id, rules);
        id
    }

    fn chain(&mut self) -> Option<Uuid> {
        (!self.chains.is_empty() && !self.dice.one_in(3)).then(|| self.dice.pick(&self.chains))
    }

    fn device(&mut self, is_router: bool) -> Uuid {
        let id = self.id();
        let (inbound, outbound) = (self.chain(), self.chain());
        let up = !self.dice.one_in(40);
        let device = Device { is_router, up, inbound, outbound, ports: Vec::new(), routes: Vec::new() };
        self.world.devices.insert(id, device);
        id
    }

    fn port(&mut self, device: Uuid, address: Option<(Ipv4Addr, u8)>) -> Uuid {
        let id = self.id();
        let filtered = self.dice.one_in(4);
        let (inbound, outbound) = if filtered { (self.chain(), self.chain()) } else { (None, None) };
        let [a, b, c, ..] = *id.as_bytes();
        self.world.insert_port(Port {
            id,
            device,
            up: !self.dice.one_in(40),
            mac: MacAddress([2, 1, 0, a, b, c]),
            address: address.map(|(address, _)| address),
            network: address.map(|(address, length)| Ipv4Net::new(address, length).unwrap().trunc()),
            inbound,
            outbound,
            peer: None,
        });
        id
    }

    fn add_route(&mut self, router: Uuid, destination: Ipv4Net, port: Uuid, gateway: Option<Ipv4Addr>) {
        let id = self.id();
        let kind = RouteKind::Normal;
        let route = Route {
            id,
            kind,
            source: Ipv4Net::default(),
            destination,
            weight: 100,
            port: Some(port),
            gateway,
        };
        self.world.devices.get_mut(&router).unwrap().routes.push(route);
    }

    fn join_routers(&mut self, upper: Uuid, lower: Uuid, at: usize) {
        let (far, near) = (Ipv4Addr::new(172, 16, at as u8, 1), Ipv4Addr::new(172, 16, at as u8, 2));
        let upper_port = self.port(upper, Some((far, 30)));
        let lower_port = self.port(lower, Some((near, 30)));
        self.world.link(upper_port, lower_port);
        self.add_route(lower, Ipv4Net::default(), lower_port, Some(far));
        self.add_route(upper, near.into(), upper_port, None);
        if !self.dice.one_in(3) {
            let networks = Ipv4Net::new(Ipv4Addr::new(10, at as u8, 0, 0), 16).unwrap();
            self.add_route(upper, networks, upper_port, Some(near));
        }
    }

    fn bridge(&mut self, router: Uuid, at: usize, number: usize) {
        let bridge = self.device(false);
        // Some have the networks of others.
        let second = if self.dice.one_in(5) { 0 } else { at as u8 };
        let net = |last| Ipv4Addr::new(10, second, number as u8, last);
        let gateway = self.port(router, Some((net(254), 24)));
        let peer = self.port(bridge, None);
        self.world.link(gateway, peer);
        self.add_route(router, Ipv4Net::new(net(0), 24).unwrap(), gateway, None);
        for last in 1..=1 + self.dice.below(2) as u8 {
            let port = self.port(bridge, None);
            let mac = MacAddress([2, 0xaa, 0, at as u8, number as u8, last]);
            self.stations.push(Station { port, address: net(last), mac });
        }
    }

    fn groups(&mut self) {
        let ports: Vec<Uuid> = self.world.ports.keys().copied().collect();
        for _ in 0..2 {
            let id = self.id();
            let members = (0..3).map(|_| self.dice.pick(&ports)).collect();
            self.world.port_groups.insert(id, members);
            self.groups.push(id);
            let id = self.id();
            let members = (0..4).map(|_| address(&mut self.dice, self.size.routers)).collect();
            self.world.address_groups.insert(id, members);
            self.address_groups.push(id);
        }
    }

    fn route(&mut self, router: Uuid) {
        let ports = self.world.devices[&router].ports.clone();
        let id = self.id();
        let routers = self.size.routers;
        let dice = &mut self.dice;
        let kind =
            dice.pick(&[RouteKind::Normal, RouteKind::Normal, RouteKind::BlackHole, RouteKind::Reject]);
        let source = if dice.one_in(3) { network(dice, routers) } else { Ipv4Net::default() };
        let destination = network(dice, routers);
        let weight = if self.size.choices { 100 } else { dice.next() as u32 };
        let normal = kind == RouteKind::Normal;
        let port = (normal && !ports.is_empty()).then(|| dice.pick(&ports));
        let gateway = (normal && dice.one_in(2)).then(|| address(dice, routers));
        let route = Route { id, kind, source, destination, weight, port, gateway };
        self.world.devices.get_mut(&router).unwrap().routes.push(route);
    }

    fn some_ports(&mut self) -> Vec<Uuid> {
        if !self.dice.one_in(5) {
            return Vec::new();
        }
        let ports: Vec<Uuid> = self.world.ports.keys().copied().collect();
        (0..=self.dice.below(2)).map(|_| self.dice.pick(&ports)).collect()
    }

    fn maybe<T>(&mut self, many: usize, make: impl FnOnce(&mut Dice, usize) -> T) -> Option<T> {
        let routers = self.size.routers;
        self.dice.one_in(many).then(|| make(&mut self.dice, routers))
    }

    fn inverted(&mut self) -> bool {
        self.dice.one_in(4)
    }

    fn rule(&mut self) -> Rule {
        let kinds = [
            RuleKind::Accept,
            RuleKind::Accept,
            RuleKind::Drop,
            RuleKind::Reject,
            RuleKind::Return,
            RuleKind::Jump,
            RuleKind::Snat,
            RuleKind::Dnat,
            RuleKind::RevSnat,
            RuleKind::RevDnat,
            RuleKind::Other,
        ];
        let mut rule = Rule { id: self.id(), kind: self.dice.pick(&kinds), ..Rule::default() };
        rule.flow_action =
            Some(self.dice.pick(&[FlowAction::Accept, FlowAction::Continue, FlowAction::Return]));
        rule.jump_chain_id = Some(self.dice.pick(&self.chains));
        rule.nat_targets = Some(self.targets());
        self.condition_on_place(&mut rule);
        self.condition_on_header(&mut rule);
        rule
    }

    fn targets(&mut self) -> Vec<Target> {
        let first = address(&mut self.dice, self.size.routers);
        let ports = range(&mut self.dice);
        let (last, port_to) = match self.size.choices {
            true => (Ipv4Addr::from(u32::from(first) + self.dice.below(3) as u32), ports.end),
            false => (first, ports.start),
        };
        vec![Target { address_from: first, address_to: last, port_from: ports.start, port_to }]
    }

    fn condition_on_place(&mut self, rule: &mut Rule) {
        rule.cond_invert = self.dice.one_in(8);
        rule.match_forward_flow = self.dice.one_in(8);
        rule.match_return_flow = self.dice.one_in(8);
        (rule.in_ports, rule.inv_in_ports) = (self.some_ports(), self.inverted());
        (rule.out_ports, rule.inv_out_ports) = (self.some_ports(), self.inverted());
        let groups = self.groups.clone();
        rule.port_group = self.maybe(10, |dice, _| dice.pick(&groups));
        rule.in_port_group = self.maybe(20, |dice, _| dice.pick(&groups));
        rule.out_port_group = self.maybe(20, |dice, _| dice.pick(&groups));
        rule.inv_port_group = self.inverted();
        rule.inv_in_port_group = self.inverted();
        rule.inv_out_port_group = self.inverted();
        let devices: Vec<Uuid> = self.world.devices.keys().copied().collect();
        rule.traversed_device = self.maybe(20, |dice, _| dice.pick(&devices));
        rule.inv_traversed_device = self.inverted();
        rule.match_nw_dst_rewritten = self.dice.one_in(20);
        let macs: Vec<MacAddress> = self.stations.iter().map(|station| station.mac).collect();
        rule.dl_src = self.maybe(12, |dice, _| dice.pick(&macs));
        rule.dl_dst = self.maybe(12, |dice, _| dice.pick(&macs));
        rule.inv_dl_src = self.inverted();
        rule.inv_dl_dst = self.inverted();
        if self.dice.one_in(3) {
            rule.dl_src_mask = "ffff.0000.0000".to_owned().try_into().ok();
        }
        rule.dl_type = self.maybe(12, |dice, _| dice.pick(&[2048, 2054]));
        rule.inv_dl_type = self.inverted();
    }

    fn condition_on_header(&mut self, rule: &mut Rule) {
        if let Some(network) = self.maybe(3, network) {
            (rule.nw_src_address, rule.nw_src_length) = (Some(network.addr()), network.prefix_len());
        }
        if let Some(network) = self.maybe(3, network) {
            (rule.nw_dst_address, rule.nw_dst_length) = (Some(network.addr()), network.prefix_len());
        }
        rule.inv_nw_src = self.inverted();
        rule.inv_nw_dst = self.inverted();
        let groups = self.address_groups.clone();
        rule.ip_addr_group_src = self.maybe(12, |dice, _| dice.pick(&groups));
        rule.ip_addr_group_dst = self.maybe(12, |dice, _| dice.pick(&groups));
        rule.inv_ip_addr_group_src = self.inverted();
        rule.inv_ip_addr_group_dst = self.inverted();
        rule.nw_proto = self.maybe(3, |dice, _| protocol(dice));
        rule.inv_nw_proto = self.inverted();
        rule.tp_src = self.maybe(8, |dice, _| range(dice));
        rule.tp_dst = self.maybe(4, |dice, _| range(dice));
        rule.inv_tp_src = self.inverted();
        rule.inv_tp_dst = self.inverted();
        rule.nw_tos = self.maybe(20, |dice, _| dice.pick(&[0, 4]));
        let policies = [
            FragmentPolicy::Any,
            FragmentPolicy::Any,
            FragmentPolicy::Header,
            FragmentPolicy::Nonheader,
            FragmentPolicy::Unfragmented,
        ];
        rule.fragment_policy = self.maybe(2, |dice, _| dice.pick(&policies));
    }

    /// Returns a station, and a MAC address that something there may send to.
    pub(crate) fn sender(&mut self) -> (Station, MacAddress) {
        let station = self.dice.pick(&self.stations);
        let device = self.world.ports[&station.port].device;
        let ports = &self.world.devices[&device].ports;
        let mut macs: Vec<MacAddress> = vec![MacAddress([2, 9, 9, 9, 9, 9]), MacAddress([0xff; 6])];
        macs.extend(self.stations.iter().map(|station| station.mac));
        for port in ports {
            let port = &self.world.ports[port];
            let there = [port.peer.map(|peer| self.world.ports[&peer].mac), Some(port.mac)];
            // Most packets are for a gateway.
            macs.extend(there.into_iter().flatten().flat_map(|mac| [mac; 10]));
        }
        let mac = self.dice.pick(&macs);
        (station, mac)
    }

    /// Returns a packet that a station sends.
    pub(crate) fn packet(&mut self, from: &Station, destination_mac: MacAddress) -> Packet {
        let dice = &mut self.dice;
        let protocol = protocol(dice);
        let fragment = dice.pick(&[Fragment::Whole, Fragment::Whole, Fragment::First, Fragment::Later]);
        let has_ports = protocol != 47 && fragment != Fragment::Later;
        let mut number = || if has_ports { number(dice) } else { 0 };
        let (mut source_port, mut destination_port) = (number(), number());
        if protocol == 1 {
            (source_port, destination_port) = (source_port.min(255), destination_port.min(255));
        }
        let routers = self.size.routers;
        Packet {
            ethertype: 0x0800,
            vlan: None,
            source: if dice.one_in(2) { from.address } else { address(dice, routers) },
            destination: address(dice, routers),
            protocol,
            source_port,
            destination_port,
            source_mac: if dice.one_in(8) { MacAddress([3, 0, 0, 0, 0, 1]) } else { from.mac },
            destination_mac,
            ttl: crate::semantics::FULL_TTL,
            fragment,
        }
    }
}
