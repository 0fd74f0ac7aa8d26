//! What hangs on the router that is painted: its links, bridges, ports and port groups.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use midoform_compiler::spec::parse::name_problem;
use midoform_compiler::topology::object::RuleAction;
use uuid::Uuid;

use super::ROUTER_SUFFIX;
use super::portrait::{Bridge, Link, Said, Sitter, StaticPort, legal_name};
use midoform_reconcile::wire::{Device, Port};

impl<'a> Sitter<'a> {
    pub(super) fn find_links(&mut self, provider: Option<Uuid>) {
        let raw = self.raw;
        let by_id: BTreeMap<Uuid, &Port> =
            raw.ports.iter().map(|port| (port.value.id, &port.value)).collect();
        let own = by_id.values().filter(|port| port.device_id == self.router.id);
        let default_port = self.default_port();
        let mut bridges: Vec<(&Device, Link<'a>)> = Vec::new();
        for port in own {
            let Some(peer) = port.peer_id.and_then(|id| by_id.get(&id)) else { continue };
            let link = Link { port, peer };
            if peer.kind == "Bridge" {
                let device = raw.bridges.iter().map(|bridge| &bridge.value).find(|d| d.id == peer.device_id);
                bridges.extend(device.map(|device| (device, link)));
            } else if Some(peer.device_id) == provider {
                // Of several the one that the default route leads through.
                let better = self.uplink.is_none() || default_port == Some(port.id);
                let other = if better { self.uplink.replace(link) } else { Some(link) };
                self.unsaid
                    .extend(other.map(|other| {
                        format!("a second link to the provider router, port {}", other.port.id)
                    }));
            } else {
                let name = raw.routers.iter().find(|router| router.value.id == peer.device_id);
                let name = name.and_then(|router| router.value.name.as_deref()).unwrap_or("without a name");
                let what = match name.strip_suffix(ROUTER_SUFFIX) {
                    Some(peer) => format!("peer `{peer}`: a [[peer]] stands in both tenants' files"),
                    None => "not the site's provider router".to_owned(),
                };
                self.unsaid.push(format!("a link to the router `{name}` ({}): {what}", peer.device_id));
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

    fn add_bridge(&mut self, device: &'a Device, link: Link<'a>) {
        let full = device.name.clone().unwrap_or_default();
        let (Some(cidr), Some(gateway)) = (link.port.network(), link.port.address()) else { return };
        if self.bridges.iter().any(|known| known.device.id == device.id) {
            self.unsaid.push(format!("a second port of the router on the bridge `{full}`, {gateway}"));
            return;
        }
        let own = full.strip_prefix(self.tenant).and_then(|rest| rest.strip_prefix(' ')).unwrap_or(&full);
        let mut name = legal_name(own);
        while self.bridges.iter().any(|known| known.name == name) {
            name.push_str("-2");
        }
        self.bridges.push(Bridge { name, device, link, cidr: cidr.trunc(), gateway });
    }

    /// The port that the default route of the lowest weight leads through.
    fn default_port(&self) -> Option<Uuid> {
        let routes = self.raw.routes.get(&self.router.id)?;
        let defaults =
            routes.iter().filter(|route| route.destination().is_some_and(|to| to.prefix_len() == 0));
        defaults.min_by_key(|route| route.weight)?.next_hop_port
    }

    /// The networks that a strict router's door names, in its order: that of the spec's bridges.
    fn source_order(&self) -> Vec<Ipv4Net> {
        let rules = self.said(self.router.inbound_filter_id);
        let drops = rules.into_iter().filter(|(condition, action)| {
            *action == Some(RuleAction::Drop) && !condition.not_source && !condition.in_ports.is_empty()
        });
        drops.filter_map(|(condition, _)| condition.source).collect()
    }

    /// Bound ports whose own chain says which address and MAC they have.
    pub(super) fn find_ports(&mut self) {
        for (bridge, at) in self.bridges.iter().zip(0..) {
            for port in self.raw.ports.iter().map(|port| &port.value) {
                if port.device_id != bridge.device.id || port.host_id.is_none() {
                    continue;
                }
                let Some(chain) = port.inbound_filter_id else { continue };
                let name = self
                    .raw
                    .chains
                    .iter()
                    .find(|known| known.id == chain)
                    .and_then(|chain| chain.name.as_deref());
                let name = name
                    .and_then(|name| name.strip_prefix(self.tenant)?.strip_prefix(' ')?.strip_suffix(" in"));
                let rules = self.said(Some(chain));
                let mac = rules.iter().find_map(|(said, _)| said.source_mac.filter(|_| said.not_source_mac));
                let address = rules.iter().find_map(|(said, _)| said.source.filter(|_| said.not_source));
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
        let rules: Vec<Said> = chains.into_iter().flat_map(|chain| self.said(chain)).collect();
        let named =
            rules.iter().flat_map(|(condition, _)| [condition.source, condition.destination]).flatten();
        let order: Vec<Ipv4Net> = named.collect();
        let place = |port: &StaticPort<'_>| {
            order.iter().position(|network| *network == port.address.into()).unwrap_or(usize::MAX)
        };
        self.ports.sort_by(|a, b| (place(a), &a.name).cmp(&(place(b), &b.name)));
    }

    /// Port groups of the tenant's name that hold ports of the spec alone.
    pub(super) fn find_groups(&mut self) {
        for group in &self.raw.groups {
            let name =
                group.name.as_deref().and_then(|name| name.strip_prefix(self.tenant)?.strip_prefix(' '));
            let Some(name) = name.filter(|name| name_problem(name).is_none()) else { continue };
            let members = self.raw.members.get(&group.id).into_iter().flatten();
            let at = |id: Uuid| self.ports.iter().position(|port| port.port.id == id);
            let Some(mut ports) = members.map(|member| at(member.port_id)).collect::<Option<Vec<usize>>>()
            else {
                self.unsaid.push(format!("the port group `{name}` holds ports that the spec can't name"));
                continue;
            };
            ports.sort_unstable();
            self.groups.push((name.to_owned(), group.id, group.stateful, ports));
        }
        self.groups.sort();
    }
}
