//! Writes a spec for a router and its objects, as far as the grammar can express them.
//!
//! Each part of the spec is derived from the objects that it would become. The caller compiles the draft and compares
//! the result with the network, so the draft does not have to be exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::ChainKey;
use midoform_compiler::topology::kinds::{
    Condition, FlowAction, Listed, NatTarget, NextHop, Reference, Resource, Route, RuleAction,
};
use midoform_compiler::values::ethertype;
use uuid::Uuid;

use super::router_view::{Bridge, RouterView, RuleParts, StaticPort};
use super::{Survey, chain_uses};

/// A router as a spec, with the ids of the spec's objects.
#[derive(Debug)]
pub struct SpecDraft {
    /// The tenant file's text.
    pub spec: String,
    /// The ids of the devices and ports, by the keys that they will have.
    pub ids: BTreeMap<Key, Uuid>,
    /// Objects and settings that the grammar can't express.
    pub unsupported: Vec<String>,
    /// The bound ports of the bridges that are not in the spec: pods. They stay as they are.
    pub attached: Vec<Attached>,
    /// Unused objects with the tenant's name: a failed or repeated call of the plugin left them.
    pub leftovers: Vec<Leftover>,
}

/// A bound port of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attached {
    /// The port.
    pub port: Uuid,
    /// The bridge's name in the spec.
    pub bridge: String,
    /// The host.
    pub host: Uuid,
    /// The interface there.
    pub interface: String,
}

/// An unused object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// The kind and the name of the object.
    pub what: String,
    /// Its id.
    pub id: Uuid,
}

/// Returns a value in TOML's form.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Survey {
    /// Drafts the spec of the router with this id as the tenant with this name, behind this provider router. None if
    /// there is no such router.
    pub fn spec_draft(&self, router: Uuid, tenant: &str, provider: Option<Uuid>) -> Option<SpecDraft> {
        let router = self.inventory.routers.iter().find(|device| device.id == router)?;
        let mut view = RouterView {
            inventory: &self.inventory,
            tenant,
            router,
            uplink: None,
            bridges: Vec::new(),
            ports: Vec::new(),
            groups: Vec::new(),
            unsupported: self.unsupported.clone(),
            chain_uses: chain_uses::counts(&self.inventory),
        };
        view.find_links(provider);
        view.find_ports();
        view.find_groups();
        Some(view.draft())
    }
}

impl<'a> RouterView<'a> {
    fn draft(mut self) -> SpecDraft {
        let mut text = format!("name = \"{}\"\n", self.tenant);
        let tenant_id = self.router.tenant_id.clone().unwrap_or_default();
        if !tenant_id.is_empty() && tenant_id != self.tenant {
            let _ = writeln!(text, "tenant_id = {}", quoted(&tenant_id));
        }
        let _ = writeln!(text, "profile = \"{}\"", if self.is_closed() { "strict" } else { "rainbond" });
        let _ = writeln!(text, "anti_spoof = \"{}\"", self.anti_spoof());
        let ethertypes: Vec<String> = self.ethertypes().iter().map(|kind| format!("{kind:#06x}")).collect();
        if !ethertypes.is_empty() {
            let _ = writeln!(text, "ethertypes = [{}]", ethertypes.join(", "));
        }
        self.write_uplink(&mut text);
        for bridge in &self.bridges {
            let Bridge { name, cidr, gateway, .. } = bridge;
            let _ =
                write!(text, "\n[[bridge]]\nname = \"{name}\"\ncidr = \"{cidr}\"\ngateway = \"{gateway}\"\n");
        }
        for port in &self.ports {
            let Some(bridge) = self.bridges.get(port.bridge) else { continue };
            let host = port.port.host_id.unwrap_or_default();
            let interface = quoted(port.port.interface_name.as_deref().unwrap_or_default());
            let StaticPort { name, mac, address, .. } = port;
            let _ = write!(
                text,
                "\n[[port]]\nname = \"{name}\"\nbridge = \"{}\"\nhost = \"{host}\"\ninterface = {interface}\nmac = \
                 \"{mac}\"\naddress = \"{address}\"\n",
                bridge.name
            );
        }
        for (name, _, stateful, ports) in &self.groups {
            let ports: Vec<String> =
                ports.iter().filter_map(|at| self.ports.get(*at)).map(|port| quoted(&port.name)).collect();
            let _ = write!(text, "\n[[port_group]]\nname = \"{name}\"\nports = [{}]\n", ports.join(", "));
            if *stateful {
                text.push_str("stateful = true\n");
            }
        }
        self.write_routes(&mut text);
        let policy = self.policy_chains();
        self.write_rules(&policy, &mut text);
        self.write_exposes(&mut text);
        let shared = self.shared_filters();
        self.unsupported.extend(shared);
        let (ids, attached, leftovers) = (self.ids(&policy), self.attached(), self.leftovers(&policy));
        SpecDraft { spec: text, ids, unsupported: self.unsupported, attached, leftovers }
    }

    /// Returns true if the inbound chain drops all other traffic from the uplink: the mark of a strict tenant.
    fn is_closed(&self) -> bool {
        let shut = |(condition, action): &RuleParts| {
            let only_port = Condition { in_ports: condition.in_ports.clone(), ..Condition::default() };
            *action == Some(RuleAction::Drop)
                && condition.canonical(&RuleAction::Drop) == only_port.canonical(&RuleAction::Drop)
                && self.is_uplink(&condition.in_ports)
        };
        self.rules_of(self.router.inbound_filter_id).iter().any(shut)
    }

    /// Returns the EtherTypes that the bridges' chains accept besides ARP.
    fn ethertypes(&self) -> BTreeSet<u16> {
        let rules = self.bridges.iter().flat_map(|bridge| self.rules_of(bridge.device.inbound_filter_id));
        let accepted = rules.filter_map(|(condition, action)| {
            let alone = Condition { ethertype: condition.ethertype, ..Condition::default() };
            let is_alone = condition.canonical(&RuleAction::Accept) == alone;
            condition.ethertype.filter(|_| is_alone && action == Some(RuleAction::Accept))
        });
        accepted.filter(|kind| ![ethertype::IPV4, ethertype::ARP].contains(kind)).collect()
    }

    fn anti_spoof(&self) -> &'static str {
        let guards = |bridge: &Bridge<'_>| {
            let own = |(condition, action): &RuleParts| {
                condition.not_in_ports
                    && condition.not_source
                    && condition.source == Some(bridge.cidr)
                    && *action == Some(RuleAction::Drop)
            };
            self.rules_of(bridge.device.inbound_filter_id).iter().any(own)
        };
        if !self.ports.is_empty() {
            return "port";
        }
        if self.bridges.iter().any(guards) { "bridge" } else { "none" }
    }

    fn write_uplink(&self, text: &mut String) {
        let Some(link) = &self.uplink else {
            text.push_str("egress = \"none\"\n");
            return;
        };
        if let (Some(far), Some(near), Some(network)) =
            (link.peer.address(), link.port.address(), link.port.network())
        {
            let prefix = network.prefix_len();
            let _ =
                writeln!(text, "link = {{ provider = \"{far}\", tenant = \"{near}\", prefix = {prefix} }}");
        }
        match self.translation() {
            None => text.push_str("egress = \"none\"\n"),
            Some(NatTarget { first, last, .. }) if Some(first) == link.port.address() && first == last => {}
            Some(NatTarget { first, last, .. }) => {
                let _ = writeln!(text, "egress = {{ snat = \"{first}-{last}\" }}");
            }
        }
    }

    /// Returns the SNAT target for traffic that leaves by the uplink.
    fn translation(&self) -> Option<NatTarget> {
        let rules = self.rules_of(self.router.outbound_filter_id);
        rules.into_iter().find_map(|(condition, action)| match action {
            Some(RuleAction::SourceNat(target, FlowAction::Accept))
                if self.is_uplink(&condition.out_ports) =>
            {
                Some(target)
            }
            _ => None,
        })
    }

    /// Writes the router's routes that are not part of the layout.
    fn write_routes(&mut self, text: &mut String) {
        let addresses: BTreeMap<Uuid, Option<Ipv4Addr>> =
            self.inventory.ports.iter().map(|port| (port.id, port.address())).collect();
        let mut routes = Vec::new();
        for route in self.inventory.routes.get(&self.router.id).into_iter().flatten() {
            let port = route.next_hop_port;
            if route.is_automatic(port.and_then(|port| addresses.get(&port)).copied().flatten()) {
                continue;
            }
            let parent = Some(Reference::External(self.router.id));
            let listed = Listed { parent, position: 0, resolve: &Reference::External };
            let Some(Route { source, destination, next_hop, weight, .. }) = Route::read(route, &listed)
            else {
                continue;
            };
            if source.prefix_len() > 0 {
                self.unsupported.push(format!("a route to {destination} for sources in {source} only"));
            } else if !self.is_of_the_layout(destination, &next_hop) {
                routes.push((destination, next_hop, weight));
            }
        }
        // In a bridge's chain the rules that accept routed sources have the order of the spec's routes.
        let chains = self.bridges.iter().flat_map(|bridge| self.rules_of(bridge.device.inbound_filter_id));
        let order: Vec<Ipv4Net> = chains.filter_map(|(condition, _)| condition.source).collect();
        let place = |destination: Ipv4Net| order.iter().position(|known| *known == destination);
        routes.sort_by_key(|(destination, _, weight)| {
            (place(*destination).unwrap_or(usize::MAX), *destination, *weight)
        });
        for (destination, next_hop, weight) in routes {
            match self.route_target(&next_hop) {
                Some(target) => {
                    let _ = write!(
                        text,
                        "\n[[route]]\ndestination = \"{destination}\"\n{target}\nweight = {weight}\n"
                    );
                }
                None => self
                    .unsupported
                    .push(format!("a route to {destination} that does not lead to a bridge of the spec")),
            }
        }
    }

    fn is_of_the_layout(&self, destination: Ipv4Net, next_hop: &NextHop) -> bool {
        let NextHop::Port { port, gateway } = next_hop else { return false };
        let uplink = self.is_uplink(std::slice::from_ref(port));
        let far = self.uplink.as_ref().and_then(|link| link.peer.address());
        let bridge = self.bridge_by_port(port).and_then(|at| self.bridges.get(at));
        (uplink && destination.prefix_len() == 0 && *gateway == far)
            || bridge.is_some_and(|bridge| bridge.cidr == destination && gateway.is_none())
    }

    fn route_target(&self, next_hop: &NextHop) -> Option<String> {
        Some(match next_hop {
            NextHop::BlackHole => "type = \"blackhole\"".to_owned(),
            NextHop::Reject => "type = \"reject\"".to_owned(),
            NextHop::Port { port, gateway } => {
                let bridge = self.bridge_by_port(port).and_then(|at| self.bridges.get(at))?;
                match gateway {
                    None => format!("bridge = \"{}\"", bridge.name),
                    Some(gateway) if bridge.cidr.contains(gateway) => format!("via = \"{gateway}\""),
                    Some(_) => return None,
                }
            }
        })
    }

    fn write_exposes(&mut self, text: &mut String) {
        for (condition, action) in self.rules_of(self.router.inbound_filter_id) {
            let Some(RuleAction::DestinationNat(target, FlowAction::Accept)) = action else { continue };
            let bridge = self.bridges.iter().find(|bridge| bridge.cidr.contains(&target.first));
            let protocol = match condition.protocol {
                Some(6) => "tcp",
                Some(17) => "udp",
                _ => "",
            };
            let public = condition.destination.filter(|to| to.prefix_len() == 32);
            match (public, condition.destination_ports, bridge) {
                (Some(public), Some(ports), Some(bridge))
                    if !protocol.is_empty()
                        && ports.start == ports.end
                        && target.first == target.last
                        && target.ports.start == target.ports.end =>
                {
                    let _ = write!(
                        text,
                        "\n[[expose]]\npublic = \"{}:{}\"\nto = {{ bridge = \"{}\", address = \"{}\", {protocol} = {} }}\n",
                        public.addr(),
                        ports.start,
                        bridge.name,
                        target.first,
                        target.ports.start
                    );
                }
                _ => self.unsupported.push(format!("a DNAT rule to {}", target.first)),
            }
        }
    }

    /// Returns the chains of the spec's rules, which the router's outbound chain jumps to.
    fn policy_chains(&self) -> Vec<(ChainKey<'static>, Uuid)> {
        let jumped: BTreeSet<Uuid> = self
            .rules_of(self.router.outbound_filter_id)
            .into_iter()
            .filter_map(|(_, action)| match action {
                Some(RuleAction::Jump { chain: Reference::External(chain), .. }) => Some(chain),
                _ => None,
            })
            .collect();
        let named = [(ChainKey::Stateless, "stateless"), (ChainKey::Policy, "policy")]
            .map(|(chain, name)| (chain, self.chain_named(name)));
        named
            .into_iter()
            .filter_map(|(chain, id)| Some((chain, id.filter(|id| jumped.contains(id))?)))
            .collect()
    }
}
