//! Reads the rows of a topology.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::network::{
    Acl, AclAction, Fault, LoadBalancer, Network, Policy, Router, RouterIndex, RouterPort, RouterPortIndex,
    Security, StaticRoute, Switch, SwitchIndex, SwitchPort, SwitchPortKind, Translation,
};
use midoform_compiler::ovn::expression::meaning::Condition;
use midoform_compiler::ovn::expression::parse;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Object, Reference, Row};
use midoform_compiler::topology::{Entry, Topology};

impl Network {
    /// Reads the rows of a topology. What OVN can't use is left out, and is in [`Network::faults`].
    pub fn of_topology(topology: &Topology) -> Network {
        Network::of_entries(topology.entries().iter())
    }

    /// Reads these rows.
    pub fn of_entries<'t>(entries: impl Iterator<Item = &'t Entry> + Clone) -> Network {
        let rows = entries.filter_map(|entry| match &entry.object {
            Object::Row(row) => Some((&entry.key, row.as_ref())),
            _ => None,
        });
        let mut reader = Reader { network: Network::default(), rows: rows.collect() };
        reader.devices();
        reader.router_ports();
        reader.switch_ports();
        reader.sets();
        reader.lists();
        reader.of_routers();
        reader.network
    }
}

struct Reader<'t> {
    network: Network,
    rows: Vec<(&'t Key, &'t Row)>,
}

/// A value that could not be read.
type Unread = String;

impl<'t> Reader<'t> {
    fn of(&self, table: Table) -> Vec<(&'t Key, &'t Row)> {
        self.rows.iter().copied().filter(|(_, row)| row.table == table).collect()
    }

    /// Reads each row of a table; what can't be read is a fault.
    fn each(
        &mut self,
        table: Table,
        mut read: impl FnMut(&mut Network, &'t Key, &'t Row) -> Result<(), Unread>,
    ) {
        for (key, row) in self.of(table) {
            if let Err(reason) = read(&mut self.network, key, row) {
                self.network.faults.push(Fault { key: key.clone(), reason });
            }
        }
    }

    fn devices(&mut self) {
        let mut balancers: BTreeMap<Reference, Vec<LoadBalancer>> = BTreeMap::new();
        self.each(Table::LoadBalancer, |_, key, row| {
            balancers.insert(key.into(), load_balancers(key, row)?);
            Ok(())
        });
        let of_row = |network: &mut Network, key: &Key, row: &Row| {
            let mut found = Vec::new();
            for one in row.references_in("load_balancer") {
                match balancers.get(one) {
                    Some(known) => found.extend(known.iter().cloned()),
                    None => {
                        let reason = format!("there is no load balancer {one}");
                        network.faults.push(Fault { key: key.clone(), reason });
                    }
                }
            }
            found
        };
        self.each(Table::LogicalSwitch, |network, key, row| {
            let load_balancers = of_row(network, key, row);
            let made = Switch {
                row: key.into(),
                ports: Vec::new(),
                from_port: Vec::new(),
                to_port: Vec::new(),
                load_balancers,
                passes_tags: row.option_of("other_config", "vlan-passthru") == Some("true"),
            };
            network.switches_by_row.insert(key.into(), SwitchIndex(network.switches.len()));
            network.switches.push(made);
            Ok(())
        });
        self.each(Table::LogicalRouter, |network, key, row| {
            let load_balancers = of_row(network, key, row);
            let at = router(network, &key.into());
            if let Some(router) = network.routers.get_mut(at.0) {
                router.load_balancers = load_balancers;
            }
            Ok(())
        });
    }

    fn router_ports(&mut self) {
        let mut chassis: BTreeMap<&Reference, Vec<(Reverse<i64>, &str)>> = BTreeMap::new();
        for (_, row) in self.of(Table::GatewayChassis) {
            if let (Some(holder), Some(name)) = (&row.holder, row.text_of("chassis_name")) {
                let priority = Reverse(row.integer_of("priority").unwrap_or(0));
                chassis.entry(&holder.row).or_default().push((priority, name));
            }
        }
        self.each(Table::LogicalRouterPort, |network, key, row| {
            let mut on = chassis.remove(&Reference::from(key)).unwrap_or_default();
            on.sort_unstable();
            let networks = row.texts_of("networks").filter(|text| !is_ipv6(text));
            let networks = networks.map(|text| read(text, "networks")).collect::<Result<_, _>>()?;
            let made = RouterPort {
                key: key.clone(),
                name: text(row, "name")?.to_owned(),
                router: router(network, holder(row)?),
                mac: read(text(row, "mac")?, "mac")?,
                networks,
                peer: None,
                switch_port: None,
                gateway_chassis: on.into_iter().map(|(_, name)| name.to_owned()).collect(),
                mtu: row
                    .option_of("options", "gateway_mtu")
                    .map(|mtu| read(mtu, "gateway_mtu"))
                    .transpose()?,
            };
            let at = RouterPortIndex(network.router_ports.len());
            network.router_ports_by_name.insert(made.name.clone(), at);
            network.router_ports_by_key.insert(key.clone(), at);
            if let Some(router) = network.routers.get_mut(made.router.0) {
                router.ports.push(at);
            }
            network.router_ports.push(made);
            Ok(())
        });
        self.each(Table::LogicalRouterPort, |network, key, row| {
            let Some(peer) = row.text_of("peer") else { return Ok(()) };
            let found = network.router_port_named(peer);
            let own = network.router_port_of(key).and_then(|at| network.router_ports.get_mut(at.0));
            if let Some(port) = own {
                port.peer = Some(found.ok_or_else(|| format!("there is no port {peer}"))?);
            }
            Ok(())
        });
    }

    fn switch_ports(&mut self) {
        self.each(Table::LogicalSwitchPort, |network, key, row| {
            let row_of_switch = holder(row)?;
            let switch = network.switch_of(row_of_switch);
            let mut addresses = Vec::new();
            let mut has_unknown = false;
            for text in row.texts_of("addresses") {
                match text {
                    "unknown" => has_unknown = true,
                    "router" => {}
                    other => {
                        let Security { mac, networks } = security(other)?;
                        addresses.push((mac, networks.iter().map(Ipv4Net::addr).collect()));
                    }
                }
            }
            let at = network.attach(SwitchPort {
                key: Some(key.clone()),
                name: text(row, "name")?.to_owned(),
                switch: switch.ok_or_else(|| format!("there is no switch {row_of_switch}"))?,
                kind: kind_of_port(row)?,
                addresses,
                has_unknown,
                security: row.texts_of("port_security").map(security).collect::<Result<_, _>>()?,
            });
            // The addresses of a port of type router are those of the router's port.
            let behind = network.switch_port(at).and_then(|port| network.behind(port));
            if let Some(router_port) = behind.and_then(|at| network.router_ports.get_mut(at.0)) {
                router_port.switch_port = Some(at);
                let own = (router_port.mac, router_port.networks.iter().map(Ipv4Net::addr).collect());
                if let Some(port) = network.switch_ports.get_mut(at.0) {
                    port.addresses.push(own);
                }
            }
            Ok(())
        });
    }

    fn sets(&mut self) {
        self.each(Table::AddressSet, |network, _, row| {
            let addresses = row.texts_of("addresses").map(address_or_network).collect::<Result<_, _>>()?;
            network.address_sets.insert(text(row, "name")?.to_owned(), addresses);
            Ok(())
        });
        self.each(Table::PortGroup, |network, _, row| {
            let ports: BTreeSet<String> = row
                .references_in("ports")
                .filter_map(|port| network.switch_port(network.switch_port_of(port.key()?)?))
                .map(|port| port.name.clone())
                .collect();
            network.port_groups.insert(text(row, "name")?.to_owned(), ports);
            Ok(())
        });
    }

    /// Returns the switches on which port groups have ports, by the rows of the groups.
    fn switches_of_groups(&self) -> BTreeMap<Reference, BTreeSet<SwitchIndex>> {
        let network = &self.network;
        let switches = |row: &Row| {
            let ports = row.references_in("ports").filter_map(|port| network.switch_port_of(port.key()?));
            ports.filter_map(|at| Some(network.switch_port(at)?.switch)).collect()
        };
        self.of(Table::PortGroup).into_iter().map(|(key, row)| (key.into(), switches(row))).collect()
    }

    fn lists(&mut self) {
        let groups = self.switches_of_groups();
        self.each(Table::Acl, |network, key, row| {
            let made = acl(network, key, row)?;
            let is_from_port = text(row, "direction")? == "from-lport";
            let holder = holder(row)?;
            // An ACL of a port group is in the switches of its ports. midoform writes none.
            let of_group = groups.get(holder).cloned();
            for at in of_group.unwrap_or_else(|| network.switch_of(holder).into_iter().collect()) {
                let Some(switch) = network.switches.get_mut(at.0) else { continue };
                let list = if is_from_port { &mut switch.from_port } else { &mut switch.to_port };
                list.push(made.clone());
            }
            Ok(())
        });
        for switch in &mut self.network.switches {
            switch.from_port.sort_by_key(|acl| Reverse(acl.priority));
            switch.to_port.sort_by_key(|acl| Reverse(acl.priority));
        }
    }

    /// Reads the routes, the policies and the translations of routers.
    fn of_routers(&mut self) {
        self.each(Table::LogicalRouterStaticRoute, |network, key, row| {
            let port = row.text_of("output_port");
            if row.text_of("ip_prefix").is_some_and(is_ipv6) {
                return Ok(());
            }
            let route = StaticRoute {
                key: key.clone(),
                destination: address_or_network(text(row, "ip_prefix")?)?,
                next_hop: match text(row, "nexthop")? {
                    "discard" => None,
                    address => Some(read(address, "nexthop")?),
                },
                port: port.and_then(|name| network.router_port_named(name)),
            };
            if let (Some(name), None) = (port, route.port) {
                return Err(format!("there is no port {name}"));
            }
            on_router(network, row, |router| router.routes.push(route))
        });
        self.each(Table::LogicalRouterPolicy, |network, key, row| {
            let (text_of_match, condition) = condition(network, row)?;
            let policy = Policy {
                key: key.clone(),
                priority: row.integer_of("priority").unwrap_or(0),
                text: text_of_match,
                condition,
                drops: match text(row, "action")? {
                    "allow" => false,
                    "drop" => true,
                    other => return Err(format!("policies with the action {other} are not known here")),
                },
            };
            on_router(network, row, |router| router.policies.push(policy))
        });
        self.each(Table::Nat, |network, key, row| {
            if row.text_of("logical_ip").is_some_and(is_ipv6) {
                return Ok(());
            }
            let translation = Translation {
                key: key.clone(),
                external: read(text(row, "external_ip")?, "external_ip")?,
                logical: address_or_network(text(row, "logical_ip")?)?,
            };
            match text(row, "type")? {
                "snat" => on_router(network, row, |router| router.translations.push(translation)),
                other => Err(format!("translations of the type {other} are not known here")),
            }
        });
        for router in &mut self.network.routers {
            router.policies.sort_by_key(|policy| Reverse(policy.priority));
        }
    }
}

/// Returns the router with this row, which is made if there is none.
fn router(network: &mut Network, row: &Reference) -> RouterIndex {
    if let Some(at) = network.router_of(row) {
        return at;
    }
    let at = RouterIndex(network.routers.len());
    network.routers_by_row.insert(row.clone(), at);
    network.routers.push(Router {
        row: row.clone(),
        ports: Vec::new(),
        routes: Vec::new(),
        policies: Vec::new(),
        translations: Vec::new(),
        load_balancers: Vec::new(),
    });
    at
}

fn on_router(network: &mut Network, row: &Row, change: impl FnOnce(&mut Router)) -> Result<(), Unread> {
    let at = router(network, holder(row)?);
    if let Some(router) = network.routers.get_mut(at.0) {
        change(router);
    }
    Ok(())
}

fn acl(network: &Network, key: &Key, row: &Row) -> Result<Acl, Unread> {
    let (text_of_match, condition) = condition(network, row)?;
    Ok(Acl {
        key: key.clone(),
        priority: row.integer_of("priority").unwrap_or(0),
        text: text_of_match,
        condition,
        action: match text(row, "action")? {
            "allow" => AclAction::Allow,
            "allow-related" => AclAction::AllowRelated,
            "allow-stateless" => AclAction::AllowStateless,
            "drop" => AclAction::Drop,
            "reject" => AclAction::Reject,
            other => return Err(format!("ACLs with the action {other} are not known here")),
        },
        is_after_balancing: row.option_of("options", "apply-after-lb") == Some("true"),
    })
}

/// Returns a row's match, and what it means.
fn condition(network: &Network, row: &Row) -> Result<(String, Condition), Unread> {
    let text = text(row, "match")?;
    let expression = parse(text, network).map_err(|error| format!("the match {text} is wrong: {error}"))?;
    Ok((text.to_owned(), expression.meaning(network)))
}

fn load_balancers(key: &Key, row: &Row) -> Result<Vec<LoadBalancer>, Unread> {
    let protocol = match row.text_of("protocol") {
        Some("udp") => 17,
        Some("sctp") => 132,
        _ => 6,
    };
    let Some(vips) = row.map_of("vips") else { return Ok(Vec::new()) };
    let one = |(public, targets): (&Arc<str>, &Arc<str>)| {
        let targets = targets.split(',').filter(|text| !text.is_empty());
        Ok(LoadBalancer {
            key: key.clone(),
            protocol,
            public: socket(public)?,
            targets: targets.map(socket).collect::<Result<_, Unread>>()?,
        })
    };
    vips.iter().filter(|(public, _)| !public.starts_with('[')).map(one).collect()
}

fn socket(text: &str) -> Result<(Ipv4Addr, u16), Unread> {
    let socket: SocketAddrV4 = read(text, "vips")?;
    Ok((*socket.ip(), socket.port()))
}

fn kind_of_port(row: &Row) -> Result<SwitchPortKind, Unread> {
    let named = |name| row.option_of("options", name).unwrap_or_default().to_owned();
    match row.text_of("type").unwrap_or_default() {
        "" => Ok(SwitchPortKind::Interface),
        "router" => Ok(SwitchPortKind::Router(named("router-port"))),
        "localnet" => Ok(SwitchPortKind::Localnet {
            network: named("network_name"),
            tag: row.integer_of("tag").and_then(|tag| u16::try_from(tag).ok()),
        }),
        other => Err(format!("ports of the type {other} are not known here")),
    }
}

/// Reads a MAC address with addresses or networks behind it.
fn security(text: &str) -> Result<Security, Unread> {
    let mut words = text.split_whitespace();
    let mac = read(words.next().unwrap_or_default(), "a MAC address")?;
    // The address of a port may stand with its network.
    let networks = words.filter(|text| !is_ipv6(text)).map(network_of);
    Ok(Security { mac, networks: networks.collect::<Result<_, _>>()? })
}

/// Returns true for an address or a network of IPv6: what a row says about these decides about no packet here.
fn is_ipv6(text: &str) -> bool {
    text.contains(':')
}

/// Reads a network, or an address as one.
pub(crate) fn network_of(text: &str) -> Result<Ipv4Net, String> {
    let network = text.parse::<Ipv4Net>().or_else(|_| text.parse::<Ipv4Addr>().map(Ipv4Net::from));
    network.map_err(|_| format!("{text} is no network"))
}

fn address_or_network(text: &str) -> Result<Ipv4Net, Unread> {
    Ok(network_of(text)?.trunc())
}

fn holder(row: &Row) -> Result<&Reference, Unread> {
    row.holder.as_ref().map(|holder| &holder.row).ok_or_else(|| "no row holds it".to_owned())
}

fn text<'r>(row: &'r Row, column: &str) -> Result<&'r str, Unread> {
    row.text_of(column).ok_or_else(|| format!("it has no `{column}`"))
}

fn read<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Unread> {
    text.parse().map_err(|_| format!("`{what}` can't be {text}"))
}
