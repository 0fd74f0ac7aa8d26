//! The objects of one router: its links, bridges, static ports and port groups.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::spec::parse::{LONGEST_NAME, name_problem};
use midoform_compiler::topology::kinds::{Condition, DeviceJson, PortJson, Reference, RuleAction, RuleJson};
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use super::ROUTER_SUFFIX;
use midoform_reconcile::inventory::Inventory;

/// A link from the router to a bridge or another router.
pub(super) struct Link<'a> {
    pub(super) port: &'a PortJson,
    pub(super) peer: &'a PortJson,
}

/// A bridge of the router.
pub(super) struct Bridge<'a> {
    pub(super) name: String,
    pub(super) device: &'a DeviceJson,
    pub(super) link: Link<'a>,
    pub(super) cidr: Ipv4Net,
    pub(super) gateway: Ipv4Addr,
}

/// A static port of the spec: its address and MAC address are known from its chain.
pub(super) struct StaticPort<'a> {
    pub(super) name: String,
    pub(super) port: &'a PortJson,
    pub(super) bridge: usize,
    pub(super) address: Ipv4Addr,
    pub(super) mac: MacAddress,
    pub(super) chain: Uuid,
}

/// A rule's condition and action, with ids as references; no action if midoform does not know it.
pub(super) type RuleParts = (Condition, Option<RuleAction>);

/// A router with its links, bridges, static ports and port groups.
pub(super) struct RouterView<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) tenant: &'a str,
    pub(super) router: &'a DeviceJson,
    pub(super) uplink: Option<Link<'a>>,
    pub(super) bridges: Vec<Bridge<'a>>,
    pub(super) ports: Vec<StaticPort<'a>>,
    /// Port groups: the name, the id, the ports.
    pub(super) groups: Vec<(String, Uuid, bool, Vec<usize>)>,
    pub(super) unsupported: Vec<String>,
    /// The number of filters and jumps that lead to a chain.
    pub(super) chain_uses: BTreeMap<Uuid, usize>,
}

impl<'a> RouterView<'a> {
    /// Returns the rules of a chain.
    pub(super) fn rules_of(&self, chain: Option<Uuid>) -> Vec<RuleParts> {
        let rules = chain.and_then(|chain| self.inventory.rules.get(&chain)).into_iter().flatten();
        let parts =
            |rule: &RuleJson| (rule.condition(&Reference::External), rule.action(&Reference::External));
        rules.map(parts).collect()
    }

    pub(super) fn chain_named(&self, name: &str) -> Option<Uuid> {
        let wanted = format!("{} {name}", self.tenant);
        self.inventory
            .chains
            .iter()
            .find(|chain| chain.name.as_deref() == Some(&wanted))
            .map(|chain| chain.id)
    }

    pub(super) fn is_uplink(&self, ports: &[Reference]) -> bool {
        let uplink = self.uplink.as_ref().map(|link| Reference::External(link.port.id));
        matches!((ports, uplink), ([port], Some(uplink)) if *port == uplink)
    }

    /// Returns the bridge with this gateway port.
    pub(super) fn bridge_by_port(&self, port: &Reference) -> Option<usize> {
        let Reference::External(id) = port else { return None };
        self.bridges.iter().position(|bridge| bridge.link.port.id == *id)
    }

    pub(super) fn find_links(&mut self, provider: Option<Uuid>) {
        let inventory = self.inventory;
        let by_id: BTreeMap<Uuid, &PortJson> = inventory.ports.iter().map(|port| (port.id, port)).collect();
        let own = by_id.values().filter(|port| port.device_id == self.router.id);
        let default_port = self.default_port();
        let mut bridges: Vec<(&DeviceJson, Link<'a>)> = Vec::new();
        for port in own {
            let Some(peer) = port.peer_id.and_then(|id| by_id.get(&id)) else { continue };
            let link = Link { port, peer };
            if peer.is_of_bridge() {
                let device = inventory.bridges.iter().find(|d| d.id == peer.device_id);
                bridges.extend(device.map(|device| (device, link)));
            } else if Some(peer.device_id) == provider {
                // Of several links, the uplink is the one of the default route.
                let better = self.uplink.is_none() || default_port == Some(port.id);
                let other = if better { self.uplink.replace(link) } else { Some(link) };
                self.unsupported
                    .extend(other.map(|other| {
                        format!("a second link to the provider router, port {}", other.port.id)
                    }));
            } else {
                let name = inventory.routers.iter().find(|router| router.id == peer.device_id);
                let name = name.and_then(|router| router.name.as_deref()).unwrap_or("without a name");
                let what = match name.strip_suffix(ROUTER_SUFFIX) {
                    Some(peer) => format!("peer `{peer}`: a [[peer]] stands in both tenants' files"),
                    None => "not the site's provider router".to_owned(),
                };
                self.unsupported.push(format!("a link to the router `{name}` ({}): {what}", peer.device_id));
            }
        }
        bridges.sort_by(|(a, a_link), (b, b_link)| (&a.name, a_link.port.id).cmp(&(&b.name, b_link.port.id)));
        for (device, link) in bridges {
            self.add_bridge(device, link);
        }
        let order = self.source_order();
        let place =
            |bridge: &Bridge<'_>| order.iter().position(|cidr| *cidr == bridge.cidr).unwrap_or(usize::MAX);
        self.bridges.sort_by_key(place);
    }

    fn add_bridge(&mut self, device: &'a DeviceJson, link: Link<'a>) {
        let full = device.name.clone().unwrap_or_default();
        let (Some(cidr), Some(gateway)) = (link.port.network(), link.port.address()) else { return };
        if self.bridges.iter().any(|known| known.device.id == device.id) {
            self.unsupported.push(format!("a second port of the router on the bridge `{full}`, {gateway}"));
            return;
        }
        let own = full.strip_prefix(self.tenant).and_then(|rest| rest.strip_prefix(' ')).unwrap_or(&full);
        let mut name = legal_name(own);
        while self.bridges.iter().any(|known| known.name == name) {
            name.push_str("-2");
        }
        self.bridges.push(Bridge { name, device, link, cidr: cidr.trunc(), gateway });
    }

    /// Returns the port of the default route with the lowest weight.
    fn default_port(&self) -> Option<Uuid> {
        let routes = self.inventory.routes.get(&self.router.id)?;
        let defaults =
            routes.iter().filter(|route| route.destination().is_some_and(|to| to.prefix_len() == 0));
        defaults.min_by_key(|route| route.weight)?.next_hop_port
    }

    /// Returns the networks that a strict router's inbound chain drops from outside, in the order of the spec's
    /// bridges.
    fn source_order(&self) -> Vec<Ipv4Net> {
        let rules = self.rules_of(self.router.inbound_filter_id);
        let drops = rules.into_iter().filter(|(condition, action)| {
            *action == Some(RuleAction::Drop) && !condition.not_source && !condition.in_ports.is_empty()
        });
        drops.filter_map(|(condition, _)| condition.source).collect()
    }

    /// Finds the bound ports whose own chain has their address and MAC address.
    pub(super) fn find_ports(&mut self) {
        for (bridge, at) in self.bridges.iter().zip(0..) {
            for port in self.inventory.ports.iter() {
                if port.device_id != bridge.device.id || port.host_id.is_none() {
                    continue;
                }
                let Some(chain) = port.inbound_filter_id else { continue };
                let name = self
                    .inventory
                    .chains
                    .iter()
                    .find(|known| known.id == chain)
                    .and_then(|chain| chain.name.as_deref());
                let name = name
                    .and_then(|name| name.strip_prefix(self.tenant)?.strip_prefix(' ')?.strip_suffix(" in"));
                let rules = self.rules_of(Some(chain));
                let mac = rules
                    .iter()
                    .find_map(|(condition, _)| condition.source_mac.filter(|_| condition.not_source_mac));
                let address =
                    rules.iter().find_map(|(condition, _)| condition.source.filter(|_| condition.not_source));
                if let (Some(name), Some(mac), Some(address)) = (name, mac, address)
                    && name_problem(name).is_none()
                {
                    let address = address.addr();
                    self.ports.push(StaticPort {
                        name: name.to_owned(),
                        port,
                        bridge: at,
                        address,
                        mac,
                        chain,
                    });
                }
            }
        }
        // Rules for a port group stand in the order of the spec's ports.
        let chains = ["stateless", "policy"].map(|name| self.chain_named(name));
        let rules: Vec<RuleParts> = chains.into_iter().flat_map(|chain| self.rules_of(chain)).collect();
        let named =
            rules.iter().flat_map(|(condition, _)| [condition.source, condition.destination]).flatten();
        let order: Vec<Ipv4Net> = named.collect();
        let place = |port: &StaticPort<'_>| {
            order.iter().position(|network| *network == port.address.into()).unwrap_or(usize::MAX)
        };
        self.ports.sort_by(|a, b| (place(a), &a.name).cmp(&(place(b), &b.name)));
    }

    /// Finds the port groups with the tenant's name that have only static ports of the spec.
    pub(super) fn find_groups(&mut self) {
        for group in &self.inventory.groups {
            let name =
                group.name.as_deref().and_then(|name| name.strip_prefix(self.tenant)?.strip_prefix(' '));
            let Some(name) = name.filter(|name| name_problem(name).is_none()) else { continue };
            let members = self.inventory.members.get(&group.id).into_iter().flatten();
            let at = |id: Uuid| self.ports.iter().position(|port| port.port.id == id);
            let Some(mut ports) = members.map(|member| at(member.port_id)).collect::<Option<Vec<usize>>>()
            else {
                self.unsupported.push(format!("the port group `{name}` has ports that the spec can't name"));
                continue;
            };
            ports.sort_unstable();
            self.groups.push((name.to_owned(), group.id, group.stateful, ports));
        }
        self.groups.sort();
    }
}

/// Returns a name that the grammar accepts and that is as similar to this one as possible.
pub fn legal_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(fits).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let short: String = name.chars().take(LONGEST_NAME).collect();
    if short.is_empty() { "unnamed".to_owned() } else { short }
}
