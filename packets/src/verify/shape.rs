//! Finds groups of tenants that are alike: a proof for one of them holds for all.
//!
//! A shape is a group's topology and tenants without their names: objects are named by their position in the group, and
//! sets of addresses by the order in which they are met. Of the sets the shape has only their sizes, and which lies in
//! which. No two of them cross (else the group has no shape, and is verified on its own), so they are a tree; two trees
//! that are alike, with the same sizes, leave equally many addresses between a set and those in it. So there is a
//! permutation of all addresses that takes each set of the one group to the set with the same number of the other.
//!
//! MidoNet and OVN only test whether addresses lie in such a set or are equal, and choose some of a set; lengths of prefixes,
//! which decide between routes, follow from sizes. MAC addresses are made up for ports, each its own, and rules that
//! match one have no shape. So the permutation takes every packet's path through the one group to a path through the
//! other, rule by rule, and every check, which uses the same sets, to the same check: a packet that violates a check in
//! one group has a counterpart in the other. Only the absence of violations is carried over. If there is a violation,
//! each group is verified on its own, for a packet and a line of its own.
//!
//! Everything that the checks read of an object or a tenant has to be in its shape. The patterns here name every
//! field, so that a new one is not forgotten.

mod rows;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::header::Range;
use super::report::Subject;
use super::rows::NO_HOSTS;
use midoform_compiler::network;
use midoform_compiler::network::{RouteTarget, Selector};
use midoform_compiler::spec::{Action, AntiSpoof, Egress, Profile, Protocol};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{
    BridgePort, Device, HostInterfacePort, NextHop, Object, PortGroupPort, PortLink, Reference, Route,
    RouterPort,
};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::values::{MacAddress, PortRange};

/// Returns the groups that are alike, as positions in the list: a proof for the first of them holds for all.
pub fn alike<'t>(subject: Subject<'t>, groups: &[std::collections::BTreeSet<&'t str>]) -> Vec<Vec<usize>> {
    let mut known: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut found: Vec<Vec<usize>> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let names: Vec<&str> = group.iter().copied().collect();
        let index = shape(subject, &names).map(|shape| *known.entry(shape).or_insert(found.len()));
        match index.and_then(|index| found.get_mut(index)) {
            Some(same) => same.push(at),
            None => found.push(vec![at]),
        }
    }
    found
}

/// Returns the shape of one group; none if it can't be compared.
fn shape<'t>(subject: Subject<'t>, names: &[&'t str]) -> Option<Vec<u8>> {
    let members = names.iter().map(|name| subject.topology.of_tenant(name).map(|(_, entry)| entry).collect());
    let members: Vec<Vec<&Entry>> = members.collect();
    let mut writer = Writer::new(subject.topology, names, &members);
    writer.addresses(Range::ADDRESSES);
    if crate::ovn::has_rows(subject.topology) {
        // OVN tells these apart.
        NO_HOSTS.iter().for_each(|range| writer.addresses(*range));
        writer.address(Ipv4Addr::UNSPECIFIED);
    }
    writer.all(subject.links, |writer, pool| writer.network(*pool));
    for (tenant, entries) in members.iter().enumerate() {
        writer.all(entries, |writer, entry| writer.entry(tenant, entry));
    }
    for name in names {
        match subject.tenant(name) {
            Some(tenant) => writer.tenant(tenant),
            None => writer.tag(0),
        }
    }
    writer.done()
}

/// Serializes a shape: different shapes have different bytes.
struct Writer<'a> {
    topology: &'a Topology,
    names: &'a [&'a str],
    /// The entries of each tenant, by key.
    members: &'a [Vec<&'a Entry>],
    bytes: Vec<u8>,
    /// Sets of addresses, with their numbers.
    sets: BTreeMap<Range, u32>,
    /// Objects outside the group: only their identity matters.
    outside: BTreeMap<&'a Reference, u32>,
    /// The names of rows, each with its tenant and its place among that tenant's entries.
    named: BTreeMap<&'a str, (usize, usize)>,
    /// The MAC addresses of rows, with their numbers.
    macs: BTreeMap<MacAddress, u32>,
    /// True if the group has an object that can't be compared.
    unlike: bool,
}

impl<'a> Writer<'a> {
    fn new(topology: &'a Topology, names: &'a [&'a str], members: &'a [Vec<&'a Entry>]) -> Writer<'a> {
        let (sets, outside) = (BTreeMap::new(), BTreeMap::new());
        let places = members.iter().enumerate().flat_map(|(tenant, entries)| {
            entries.iter().enumerate().map(move |(at, entry)| (*entry, (tenant, at)))
        });
        let name = |entry: &'a Entry| entry.object.row().and_then(|row| row.text_of("name"));
        let named = places.filter_map(|(entry, place)| Some((name(entry)?, place))).collect();
        let (bytes, macs) = (Vec::new(), BTreeMap::new());
        Writer { topology, names, members, bytes, sets, outside, named, macs, unlike: false }
    }

    fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn index(&mut self, index: usize) {
        self.number(u32::try_from(index).unwrap_or(u32::MAX));
    }

    fn all<T>(&mut self, items: &'a [T], write: impl Fn(&mut Self, &'a T)) {
        self.index(items.len());
        items.iter().for_each(|item| write(self, item));
    }

    fn maybe<T>(&mut self, item: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.tag(item.is_some().into());
        if let Some(item) = item {
            write(self, item);
        }
    }

    fn addresses(&mut self, range: Range) {
        let next = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        let number = *self.sets.entry(range).or_insert(next);
        self.number(number);
    }

    fn network(&mut self, network: Ipv4Net) {
        self.addresses(Range::network(network));
    }

    fn address(&mut self, address: Ipv4Addr) {
        self.addresses(Range::address(address));
    }

    fn ports(&mut self, ports: PortRange) {
        let PortRange { start, end } = ports;
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend(end.to_le_bytes());
    }

    /// Notes a MAC address that can't be compared, as it looks like one that midoform makes up. Other MAC addresses
    /// make no difference: no packet has a MAC address that people chose.
    fn mac(&mut self, mac: MacAddress) {
        let MacAddress([first, family, ..]) = mac;
        self.unlike |= first == 2 && matches!(family, 0 | 0xaa | 0xab | 0xfd | 0xfe);
    }

    fn reference(&mut self, reference: &'a Reference) {
        if let Some((tenant, entry)) = reference.key().and_then(|key| self.member(key)) {
            self.tag(1);
            self.index(tenant);
            return self.index(entry);
        }
        let next = u32::try_from(self.outside.len()).unwrap_or(u32::MAX);
        let number = *self.outside.entry(reference).or_insert(next);
        let known = reference.key().is_none_or(|key| self.topology.index(key.as_str()).is_some());
        self.tag(if known { 2 } else { 3 });
        self.number(number);
    }

    /// Returns the tenant that an entry belongs to, and its index among that tenant's entries.
    fn member(&self, key: &Key) -> Option<(usize, usize)> {
        let tenant = self.names.iter().position(|name| *name == key.owner())?;
        let entries = self.members.get(tenant)?;
        Some((tenant, entries.binary_search_by(|entry| entry.key.cmp(key)).ok()?))
    }

    /// Writes an entry, with the role that its key has in the layout. Numbers in a key say nothing of the role.
    fn entry(&mut self, tenant: usize, entry: &'a Entry) {
        let Entry { key, object, provenance: _ } = entry;
        self.index(tenant);
        let behind = key.path();
        let mut in_number = false;
        for letter in behind.bytes() {
            match (letter.is_ascii_digit(), in_number) {
                (true, true) => {}
                (true, false) => self.tag(b'#'),
                (false, _) => self.tag(letter),
            }
            in_number = letter.is_ascii_digit();
        }
        self.tag(0);
        self.object(object);
    }

    fn object(&mut self, object: &'a Object) {
        match object {
            Object::TunnelZone(_) | Object::TunnelZoneHost(_) => self.tag(1),
            Object::Row(row) => self.row(row),
            Object::Chain(_) => self.tag(2),
            Object::Router(device) => {
                self.tag(3);
                self.device(device);
            }
            Object::Bridge(device) => {
                self.tag(4);
                self.device(device);
            }
            Object::RouterPort(RouterPort {
                router,
                address,
                network,
                inbound_filter,
                outbound_filter,
                admin_state_up,
            }) => {
                self.tag(if *admin_state_up { 5 } else { 15 });
                self.reference(router);
                self.maybe(inbound_filter.as_ref(), Writer::reference);
                self.maybe(outbound_filter.as_ref(), Writer::reference);
                self.address(*address);
                self.network(*network);
                // No pod has these two.
                self.address(network.network());
                self.address(network.broadcast());
            }
            Object::BridgePort(BridgePort { bridge, inbound_filter, outbound_filter, admin_state_up }) => {
                self.tag(if *admin_state_up { 6 } else { 16 });
                self.reference(bridge);
                self.maybe(inbound_filter.as_ref(), Writer::reference);
                self.maybe(outbound_filter.as_ref(), Writer::reference);
            }
            Object::PortLink(PortLink { port, peer }) => {
                self.tag(7);
                self.reference(port);
                self.reference(peer);
            }
            Object::Route(route) => self.route(route),
            Object::Rule(rule) => self.rule(rule),
            Object::PortGroup(_) => self.tag(10),
            Object::PortGroupPort(PortGroupPort { group, port }) => {
                self.tag(11);
                self.reference(group);
                self.reference(port);
            }
            Object::HostInterfacePort(HostInterfacePort { port, host: _, interface: _ }) => {
                self.tag(12);
                self.reference(port);
            }
        }
    }

    fn device(&mut self, device: &'a Device) {
        let Device { name: _, tenant_id: _, inbound_filter, outbound_filter, admin_state_up } = device;
        self.tag(if *admin_state_up { 1 } else { 2 });
        self.maybe(inbound_filter.as_ref(), Writer::reference);
        self.maybe(outbound_filter.as_ref(), Writer::reference);
    }

    fn route(&mut self, route: &'a Route) {
        let Route { router, source, destination, next_hop, weight } = route;
        self.tag(8);
        self.reference(router);
        self.network(*source);
        self.network(*destination);
        self.number(*weight);
        match next_hop {
            NextHop::Port { port, gateway } => {
                self.tag(1);
                self.reference(port);
                self.maybe(*gateway, Writer::address);
            }
            NextHop::BlackHole => self.tag(2),
            NextHop::Reject => self.tag(3),
        }
    }

    fn tenant(&mut self, tenant: &'a network::Tenant) {
        let network::Tenant {
            name: _,
            tenant_id: _,
            profile,
            anti_spoof,
            ethertypes,
            matches_tags: _,
            mtu: _,
            protect: _,
            egress,
            egress_span: _,
            link,
            bridges,
            ports,
            routes,
            rules,
            address_groups: _,
            port_groups: _,
            exposes,
            peers,
            asserts: _,
            span: _,
        } = tenant;
        self.tag(1);
        self.layer_2(*profile, *anti_spoof, ethertypes);
        self.egress(*egress);
        self.link(*link);
        self.all(bridges, |writer, bridge| {
            let network::Bridge { name, cidr, gateway, grown_from, is_sound: _, span: _ } = bridge;
            let key = Key::tenant(&tenant.name).bridge(name).device();
            writer.maybe(writer.member(&key), |writer, (_, entry)| writer.index(entry));
            writer.network(*cidr);
            writer.address(*gateway);
            writer.maybe(grown_from.as_ref(), |writer, from| {
                writer.maybe(bridges.iter().position(|bridge| bridge.name == *from), Writer::index);
            });
        });
        self.all(ports, |writer, port| {
            let network::Port { name: _, bridge, host: _, interface: _, mac: _, address, span: _ } = port;
            writer.index(bridge.0);
            writer.address(*address);
        });
        self.all(routes, |writer, route| {
            let network::Route { destination, target, weight, span: _ } = route;
            writer.network(*destination);
            writer.number(*weight);
            writer.target(*target);
        });
        self.all(rules, Writer::said);
        self.all(exposes, Writer::expose);
        self.all(peers, |writer, peer| {
            let network::Peer { name, own_bridges, networks, link, owns_link: _, span: _ } = peer;
            writer.maybe(writer.names.iter().position(|member| **member == **name), Writer::index);
            writer.all(own_bridges, |writer, bridge| writer.index(bridge.0));
            writer.all(networks, |writer, network| writer.network(*network));
            writer.link(*link);
        });
    }

    fn layer_2(&mut self, profile: Profile, anti_spoof: AntiSpoof, ethertypes: &BTreeSet<u16>) {
        self.tag(match profile {
            Profile::Rainbond => 1,
            Profile::Strict => 2,
        });
        self.tag(match anti_spoof {
            AntiSpoof::Bridge => 1,
            AntiSpoof::Port => 2,
            AntiSpoof::None => 3,
        });
        self.index(ethertypes.len());
        ethertypes.iter().for_each(|kind| self.number((*kind).into()));
    }

    fn egress(&mut self, egress: Egress) {
        match egress {
            Egress::SnatToLink => self.tag(1),
            Egress::SnatTo(first, last) => {
                self.tag(2);
                self.addresses(Range { first: first.into(), last: u32::from(last).max(first.into()) });
            }
            Egress::None => self.tag(3),
        }
    }

    fn link(&mut self, link: network::Link) {
        let network::Link { far, near, network } = link;
        self.address(far);
        self.address(near);
        self.network(network);
    }

    fn target(&mut self, target: RouteTarget) {
        match target {
            RouteTarget::Via(bridge, address) => {
                self.tag(1);
                self.index(bridge.0);
                self.address(address);
            }
            RouteTarget::Bridge(bridge) => {
                self.tag(2);
                self.index(bridge.0);
            }
            RouteTarget::Blackhole => self.tag(3),
            RouteTarget::Reject => self.tag(4),
        }
    }

    fn expose(&mut self, expose: &'a network::Expose) {
        let network::Expose { public, public_port, protocol, bridge, address, target_port, span: _ } = expose;
        self.address(*public);
        self.number((*public_port).into());
        self.tag(*protocol);
        self.index(bridge.0);
        self.address(*address);
        self.number((*target_port).into());
    }

    /// Writes a rule as the spec says it.
    fn said(&mut self, rule: &'a network::Rule) {
        let network::Rule { name: _, from, to, protocols, action, stateful, span: _ } = rule;
        self.end(from);
        self.end(to);
        self.all(protocols, |writer, protocol| {
            let Protocol { number, source, destination } = *protocol;
            writer.tag(number);
            writer.maybe(source, Writer::ports);
            writer.maybe(destination, Writer::ports);
        });
        self.tag(match action {
            Action::Accept => 1,
            Action::Drop => 2,
            Action::Reject => 3,
        });
        self.tag((*stateful).into());
    }

    fn end(&mut self, selector: &'a Selector) {
        match selector {
            Selector::Anywhere => self.tag(1),
            Selector::World => self.tag(2),
            Selector::Bridge(bridge) => {
                self.tag(3);
                self.index(bridge.0);
            }
            Selector::Peer(peer) => {
                self.tag(4);
                self.index(peer.0);
            }
            Selector::Addresses(networks) => {
                self.tag(5);
                self.all(networks, |writer, network| writer.network(*network));
            }
            Selector::Ports(ports) => {
                self.tag(6);
                self.all(ports, |writer, port| writer.index(port.0));
            }
        }
    }

    /// Adds how the sets lie in each other; none if they cross.
    fn done(mut self) -> Option<Vec<u8>> {
        let mut sorted: Vec<(Range, u32)> =
            self.sets.iter().map(|(range, number)| (*range, *number)).collect();
        // What holds others stands before them.
        sorted.sort_by_key(|(range, _)| (range.first, std::cmp::Reverse(range.last)));
        let mut around: Vec<(Range, u32)> = Vec::new();
        let mut tree: Vec<(u32, u32, u32)> = Vec::with_capacity(sorted.len());
        for (range, number) in sorted {
            while around.last().is_some_and(|(outer, _)| outer.last < range.first) {
                around.pop();
            }
            let outer = around.last();
            self.unlike |= outer.is_some_and(|(outer, _)| !outer.covers(range));
            tree.push((number, outer.map_or(u32::MAX, |(_, outer)| *outer), range.last - range.first));
            around.push((range, number));
        }
        tree.sort_unstable();
        for (_, outer, size) in tree {
            self.number(outer);
            self.number(size);
        }
        (!self.unlike).then_some(self.bytes)
    }
}
