//! Reads rows as switches and routers. What the sets can't say is an error: nothing is then proven.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::matches::Match;
use super::network::{
    Allowed, Balancer, Decision, List, Network, Route, Router, RouterPort, Switch, SwitchPort, Verdict,
    routed,
};
use crate::semantics::id_of;
use crate::verify::header::{Protocols, Range, united};
use midoform_compiler::ovn::expression::meaning::Contents;
use midoform_compiler::ovn::expression::{self, Sets};
use midoform_compiler::topology::kinds::row::Value;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Object, Reference, Row};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::values::MacAddress;

/// The protocols that load balancers, connection tracking and the sets tell apart.
const KNOWN: [u8; 3] = [6, 17, 1];

/// The rows of some tenants by id, and by name.
struct Rows<'t> {
    topology: &'t Topology,
    all: Vec<(Uuid, &'t Entry, &'t Row)>,
    ports: BTreeMap<(Table, &'t str), Uuid>,
    sets: BTreeMap<&'t str, &'t Row>,
    groups: BTreeMap<&'t str, &'t Row>,
}

/// Reads the rows among some entries.
///
/// # Errors
/// Returns the row that the sets can't say, and why.
pub(super) fn network<'t>(
    topology: &'t Topology,
    entries: impl Iterator<Item = &'t Entry>,
) -> Result<Network, String> {
    let rows = Rows::new(topology, entries);
    let mut network = Network::default();
    for (id, entry, row) in &rows.all {
        let read = match row.table {
            Table::LogicalSwitch => rows.switch(row).map(|switch| {
                network.switches.insert(*id, switch);
            }),
            Table::LogicalRouter => rows.router(row).map(|router| {
                network.routers.insert(*id, router);
            }),
            _ => Ok(()),
        };
        read.map_err(|problem| format!("{}: {problem}", entry.key))?;
    }
    // A switch's port names the router's port that it is connected to.
    for table in [Table::LogicalRouterPort, Table::LogicalSwitchPort] {
        for (id, entry, row) in rows.all.iter().filter(|(.., row)| row.table == table) {
            let read = match table {
                Table::LogicalRouterPort => rows.router_port(&mut network, *id, row),
                _ => rows.switch_port_of(&mut network, *id, row),
            };
            read.map_err(|problem| format!("{}: {problem}", entry.key))?;
        }
    }
    let mut routes: BTreeMap<Uuid, Vec<Route>> = BTreeMap::new();
    for (id, entry, row) in &rows.all {
        rows.part(&mut network, &mut routes, *id, row)
            .map_err(|problem| format!("{}: {problem}", entry.key))?;
    }
    finish(&mut network, routes);
    Ok(network)
}

/// Puts lists in their order, finds the routes, and the protocols that are told apart.
fn finish(network: &mut Network, mut routes: BTreeMap<Uuid, Vec<Route>>) {
    let mut kinds: Vec<Protocols> = KNOWN.iter().map(|number| Protocols::of(&[*number])).collect();
    let mut number = 0;
    let mut sort = |list: &mut List| {
        list.number = number;
        number += 1;
        list.rows.sort_by_key(|row| std::cmp::Reverse(row.priority));
        for row in &list.rows {
            row.matched.each_protocols(&mut |protocols| kinds.push(protocols));
        }
    };
    for switch in network.switches.values_mut() {
        [&mut switch.from, &mut switch.from_translated, &mut switch.to].into_iter().for_each(&mut sort);
    }
    for (id, router) in &mut network.routers {
        sort(&mut router.policies);
        router.translations.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        let mut all = routes.remove(id).unwrap_or_default();
        for port in &router.ports {
            let connected = network.router_ports.get(port).into_iter().flat_map(|own| &own.addresses);
            all.extend(connected.map(|(_, own)| Route {
                destination: own.trunc(),
                next_hop: None,
                port: Some(*port),
                row: None,
            }));
        }
        router.routed = routed(all);
    }
    network.kinds = apart(kinds);
}

/// Returns disjoint sets of protocols, of which each is in or outside of each of these, and which have all protocols.
fn apart(kinds: Vec<Protocols>) -> Vec<Protocols> {
    let kinds: BTreeSet<Protocols> = kinds.into_iter().collect();
    kinds.into_iter().fold(vec![Protocols::ALL], |parts, kind| {
        let split = |part: Protocols| [part.and(kind), part.without(kind)];
        parts.into_iter().flat_map(split).filter(|part| !part.is_empty()).collect()
    })
}

impl<'t> Rows<'t> {
    fn new(topology: &'t Topology, entries: impl Iterator<Item = &'t Entry>) -> Rows<'t> {
        let mut rows = Rows {
            topology,
            all: Vec::new(),
            ports: BTreeMap::new(),
            sets: BTreeMap::new(),
            groups: BTreeMap::new(),
        };
        for entry in entries {
            let Object::Row(row) = &entry.object else { continue };
            let Some(id) = id_of(topology, &Reference::from(&entry.key)) else { continue };
            rows.all.push((id, entry, row));
            let Some(name) = row.text_of("name") else { continue };
            match row.table {
                Table::LogicalSwitchPort | Table::LogicalRouterPort => {
                    rows.ports.insert((row.table, name), id);
                }
                Table::AddressSet => drop(rows.sets.insert(name, row)),
                Table::PortGroup => drop(rows.groups.insert(name, row)),
                _ => {}
            }
        }
        rows
    }

    /// Returns the row that holds another one.
    fn holder(&self, row: &Row) -> Option<Uuid> {
        row.holder.as_ref().and_then(|holder| id_of(self.topology, &holder.row))
    }

    fn switch(&self, row: &Row) -> Result<Switch, String> {
        let passes_tags = option(row, "other_config", "vlan-passthru") == Some("true");
        Ok(Switch { passes_tags, balancers: self.balancers(row)?, ..Switch::default() })
    }

    fn router(&self, row: &Row) -> Result<Router, String> {
        Ok(Router { balancers: self.balancers(row)?, ..Router::default() })
    }

    /// Returns the load balancers that a switch or a router refers to.
    fn balancers(&self, row: &Row) -> Result<Vec<Balancer>, String> {
        let Some(Value::References(all)) = row.columns.get("load_balancer") else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for reference in all {
            let entry = reference.key().and_then(|key| self.topology.get(key.as_str()));
            let Some(Object::Row(row)) = entry.map(|entry| &entry.object) else {
                return Err(format!("there is no load balancer {reference}"));
            };
            let protocol = match row.text_of("protocol") {
                None | Some("tcp") => 6,
                Some("udp") => 17,
                Some(other) => return Err(format!("a load balancer for {other}")),
            };
            let Some(Value::Map(vips)) = row.columns.get("vips") else { continue };
            for (public, targets) in vips {
                let end = |text: &str| {
                    let end = text.trim().parse::<SocketAddrV4>();
                    end.map(|end| (*end.ip(), end.port()))
                        .map_err(|_| format!("the load balancer's `{text}` is no address with a port"))
                };
                let targets = targets.split(',').map(end).collect::<Result<_, String>>()?;
                found.push(Balancer { protocol, public: end(public)?, targets });
            }
        }
        Ok(found)
    }

    fn switch_port_of(&self, network: &mut Network, id: Uuid, row: &Row) -> Result<(), String> {
        let Some(switch) = self.holder(row) else { return Ok(()) };
        let Some(own) = network.switches.get_mut(&switch) else { return Ok(()) };
        own.ports.push(id);
        let port = self.switch_port(switch, row)?;
        if let Some(end) = port.router_port.and_then(|port| network.router_ports.get_mut(&port)) {
            end.switch_port = Some(id);
        }
        network.switch_ports.insert(id, port);
        Ok(())
    }

    fn switch_port(&self, switch: Uuid, row: &Row) -> Result<SwitchPort, String> {
        let kind = row.text_of("type").unwrap_or_default();
        let router_port = match kind {
            "" => None,
            "router" => {
                let name = option(row, "options", "router-port").unwrap_or_default();
                let port = self.ports.get(&(Table::LogicalRouterPort, name));
                Some(*port.ok_or_else(|| format!("there is no router's port `{name}`"))?)
            }
            other => return Err(format!("a port of the type `{other}`")),
        };
        let addresses = texts(row, "addresses");
        let first = |text: &&str| text.split_whitespace().next().and_then(|mac| mac.parse().ok());
        let macs: BTreeSet<MacAddress> = addresses.iter().filter_map(first).collect();
        let has_unknown = addresses.contains(&"unknown");
        let allowed = texts(row, "port_security").into_iter().map(allowed).collect::<Result<_, String>>()?;
        Ok(SwitchPort { switch, router_port, macs, has_unknown, allowed, is_station: false })
    }

    fn router_port(&self, network: &mut Network, id: Uuid, row: &Row) -> Result<(), String> {
        // A router that is named by others only has no id here: it is none of these.
        let router = self.holder(row).unwrap_or_default();
        let mac = row.text_of("mac").and_then(|mac| mac.parse().ok());
        let mac = mac.ok_or_else(|| "a router's port without a MAC address".to_owned())?;
        let mut addresses = Vec::new();
        for text in texts(row, "networks") {
            let own: Ipv4Net =
                text.parse().map_err(|_| format!("the network `{text}` is no IPv4 network"))?;
            addresses.push((own.addr(), own));
        }
        let peer = match row.text_of("peer") {
            None => None,
            Some(name) => {
                let peer = self.ports.get(&(Table::LogicalRouterPort, name));
                Some(*peer.ok_or_else(|| format!("there is no router's port `{name}`"))?)
            }
        };
        if let Some(own) = network.routers.get_mut(&router) {
            own.ports.push(id);
        }
        let port = RouterPort { router, mac, addresses, peer, switch_port: None, is_gateway: false };
        network.router_ports.insert(id, port);
        Ok(())
    }

    /// Reads what a switch, a router or a port holds.
    fn part(
        &self,
        network: &mut Network,
        routes: &mut BTreeMap<Uuid, Vec<Route>>,
        id: Uuid,
        row: &Row,
    ) -> Result<(), String> {
        let Some(holder) = self.holder(row) else { return Ok(()) };
        match row.table {
            Table::Acl => {
                let verdict = match row.text_of("action").unwrap_or_default() {
                    "allow" | "allow-related" => Verdict::Accept,
                    "allow-stateless" => Verdict::AcceptUntracked,
                    "drop" | "reject" => Verdict::Drop,
                    other => return Err(format!("the action `{other}`")),
                };
                let decision = self.decision(id, row, verdict)?;
                let Some(switch) = network.switches.get_mut(&holder) else { return Ok(()) };
                switch.has_stateful |= row.text_of("action") == Some("allow-related");
                let is_from = row.text_of("direction") == Some("from-lport");
                if verdict == Verdict::AcceptUntracked {
                    let list = if is_from { &mut switch.untracked_from } else { &mut switch.untracked_to };
                    list.push(decision.matched.clone());
                }
                let is_translated = option(row, "options", "apply-after-lb") == Some("true");
                let list = match (is_from, is_translated) {
                    (true, false) => &mut switch.from,
                    (true, true) => &mut switch.from_translated,
                    (false, _) => &mut switch.to,
                };
                list.rows.push(decision);
            }
            Table::LogicalRouterPolicy => {
                let verdict = match row.text_of("action").unwrap_or_default() {
                    "allow" => Verdict::Accept,
                    "drop" => Verdict::Drop,
                    other => return Err(format!("the action `{other}`")),
                };
                let decision = self.decision(id, row, verdict)?;
                if let Some(router) = network.routers.get_mut(&holder) {
                    router.policies.rows.push(decision);
                }
            }
            Table::LogicalRouterStaticRoute if network.routers.contains_key(&holder) => {
                let route = self.route(network, holder, id, row)?;
                routes.entry(holder).or_default().extend(route);
            }
            Table::Nat => {
                let translation = translation(row)?;
                if let Some(router) = network.routers.get_mut(&holder) {
                    router.translations.push(translation);
                }
            }
            Table::GatewayChassis => {
                if let Some(port) = network.router_ports.get_mut(&holder) {
                    port.is_gateway = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn decision(&self, id: Uuid, row: &Row, verdict: Verdict) -> Result<Decision, String> {
        let text = row.text_of("match").unwrap_or_default();
        let parsed = expression::parse(text, self)
            .map_err(|error| format!("its match is not one of OVN's: {}", error.message))?;
        let port = |name: &str| {
            let of = |table| self.ports.get(&(table, name)).copied();
            of(Table::LogicalSwitchPort).or_else(|| of(Table::LogicalRouterPort))
        };
        let matched = Match::of(&parsed.meaning(self), &port);
        let matched = matched.map_err(|what| format!("its match names {what}, which sets can't tell"))?;
        Ok(Decision { id, priority: row.integer_of("priority").unwrap_or_default(), matched, verdict })
    }

    fn route(&self, network: &Network, router: Uuid, id: Uuid, row: &Row) -> Result<Option<Route>, String> {
        let destination = network_of(row.text_of("ip_prefix").unwrap_or_default())?.trunc();
        let next_hop = row.text_of("nexthop").unwrap_or_default();
        if next_hop == "discard" {
            return Ok(Some(Route { destination, next_hop: None, port: None, row: Some(id) }));
        }
        let next_hop: Ipv4Addr =
            next_hop.parse().map_err(|_| format!("the next hop `{next_hop}` is no address"))?;
        let port = match row.text_of("output_port") {
            Some(name) => self.ports.get(&(Table::LogicalRouterPort, name)).copied(),
            None => {
                let ports = network.routers.get(&router).map(|router| router.ports.as_slice());
                let is_near = |port: &&Uuid| {
                    let own = network.router_ports.get(port).into_iter().flat_map(|port| &port.addresses);
                    own.into_iter().any(|(_, own)| own.contains(&next_hop))
                };
                ports.unwrap_or_default().iter().find(is_near).copied()
            }
        };
        // OVN makes nothing of a route that no port leads to.
        Ok(port.map(|port| Route { destination, next_hop: Some(next_hop), port: Some(port), row: Some(id) }))
    }
}

impl Sets for Rows<'_> {
    fn has_address_set(&self, name: &str) -> bool {
        let of_group = name.strip_suffix("_ip4").is_some_and(|group| self.groups.contains_key(group));
        of_group || self.sets.contains_key(name)
    }

    fn has_port_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }
}

impl Contents for Rows<'_> {
    fn addresses(&self, set: &str) -> Vec<Ipv4Net> {
        if let Some(row) = self.sets.get(set) {
            return texts(row, "addresses").into_iter().filter_map(|text| network_of(text).ok()).collect();
        }
        let group = set.strip_suffix("_ip4").and_then(|group| self.groups.get(group));
        let ports = group.into_iter().flat_map(|group| self.members(group));
        let addresses = ports.flat_map(|(_, port)| texts(port, "addresses"));
        let own = addresses.flat_map(|text| text.split_whitespace().skip(1));
        own.filter_map(|address| address.parse::<Ipv4Addr>().ok()).map(Ipv4Net::from).collect()
    }

    fn ports(&self, group: &str) -> BTreeSet<String> {
        let members = self.groups.get(group).into_iter().flat_map(|group| self.members(group));
        members.filter_map(|(_, port)| port.text_of("name")).map(str::to_owned).collect()
    }
}

impl<'t> Rows<'t> {
    /// Returns the ports of a port group.
    fn members(&self, group: &Row) -> Vec<(&'t Entry, &'t Row)> {
        let Some(Value::References(ports)) = group.columns.get("ports") else { return Vec::new() };
        let entries = ports.iter().filter_map(|port| self.topology.get(port.key()?.as_str()));
        let row = |entry: &'t Entry| match &entry.object {
            Object::Row(row) => Some((entry, row.as_ref())),
            _ => None,
        };
        entries.filter_map(row).collect()
    }
}

/// Returns the network of a source translation, and the address that it gets.
fn translation(row: &Row) -> Result<(Ipv4Net, Ipv4Addr), String> {
    let text = |column: &str| row.text_of(column).unwrap_or_default();
    if text("type") != "snat" {
        return Err(format!("a translation of the type `{}`", text("type")));
    }
    let outside = text("external_ip").parse().map_err(|_| "no external address".to_owned())?;
    Ok((network_of(text("logical_ip"))?, outside))
}

/// Reads a network, or an address as one.
pub(crate) fn network_of(text: &str) -> Result<Ipv4Net, String> {
    let network = text.parse().or_else(|_| text.parse::<Ipv4Addr>().map(Ipv4Net::from));
    network.map_err(|_| format!("`{text}` is no IPv4 network"))
}

/// Returns the texts of a column.
pub(super) fn texts<'r>(row: &'r Row, column: &str) -> Vec<&'r str> {
    match row.columns.get(column) {
        Some(Value::Texts(texts)) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn option<'r>(row: &'r Row, column: &str, key: &str) -> Option<&'r str> {
    match row.columns.get(column) {
        Some(Value::Map(map)) => map.get(key).map(String::as_str),
        _ => None,
    }
}

/// Reads a text of a port's security: a MAC address, and addresses or networks.
fn allowed(text: &str) -> Result<Allowed, String> {
    let mut words = text.split_whitespace();
    let mac = words.next().and_then(|mac| mac.parse().ok());
    let mac = mac.ok_or_else(|| format!("the port security `{text}` begins with no MAC address"))?;
    let networks = words.map(network_of).collect::<Result<Vec<Ipv4Net>, String>>()?;
    let addresses = match networks.as_slice() {
        [] => None,
        some => Some(united(some.iter().map(|network| Range::network(*network)).collect())),
    };
    Ok(Allowed { mac, addresses })
}
