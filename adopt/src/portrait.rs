//! A router and what hangs on it, said as a spec: as far as the grammar can say it.
//!
//! The layout is not guessed whole: each part of the spec is read off the objects that it would become. What the
//! spec then becomes is compared with what is there by whoever adopts; here nothing has to be right for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::spec::parse::LONGEST_NAME;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::ChainKey;
use midoform_compiler::topology::object::{Condition, FlowAction, NatTarget, NextHop, Reference, RuleAction};
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use super::Survey;
use midoform_reconcile::recognise::Raw;
use midoform_reconcile::wire::{Device, Port};

/// A router as a spec, with the ids of what the spec speaks of.
#[derive(Debug)]
pub struct Portrait {
    /// The tenant file's text.
    pub spec: String,
    /// The ids of the devices and ports, by the keys that they will have.
    pub ids: BTreeMap<Key, Uuid>,
    /// What the grammar has no words for.
    pub unsaid: Vec<String>,
    /// What is bound to the bridges' ports: pods. They stay as they are.
    pub attached: Vec<Attached>,
    /// Objects with the tenant's names that nothing uses: what a failed or repeated call of the plugin left.
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

/// An object that is left over.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// What it is, with its name.
    pub what: String,
    /// Its id.
    pub id: Uuid,
}

/// A link from the router to a neighbour.
pub(super) struct Link<'a> {
    pub(super) port: &'a Port,
    pub(super) peer: &'a Port,
}

/// A bridge of the router.
pub(super) struct Bridge<'a> {
    pub(super) name: String,
    pub(super) device: &'a Device,
    pub(super) link: Link<'a>,
    pub(super) cidr: Ipv4Net,
    pub(super) gateway: Ipv4Addr,
}

/// A port that the spec can name: its own address and MAC are known.
pub(super) struct StaticPort<'a> {
    pub(super) name: String,
    pub(super) port: &'a Port,
    pub(super) bridge: usize,
    pub(super) address: Ipv4Addr,
    pub(super) mac: MacAddress,
    pub(super) chain: Uuid,
}

/// A rule as conditions and action, its references being ids.
pub(super) type Said = (Condition, Option<RuleAction>);

/// What a portrait is painted from.
pub(super) struct Sitter<'a> {
    pub(super) raw: &'a Raw,
    pub(super) tenant: &'a str,
    pub(super) router: &'a Device,
    pub(super) uplink: Option<Link<'a>>,
    pub(super) bridges: Vec<Bridge<'a>>,
    pub(super) ports: Vec<StaticPort<'a>>,
    /// Port groups: the name, the id, the ports.
    pub(super) groups: Vec<(String, Uuid, bool, Vec<usize>)>,
    pub(super) unsaid: Vec<String>,
}

/// A value as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Survey {
    /// Paints the router with this id as the tenant of this name, behind this provider router. None when there is no
    /// such router.
    pub fn portrait(&self, router: Uuid, tenant: &str, provider: Option<Uuid>) -> Option<Portrait> {
        let router =
            self.raw.routers.iter().map(|router| &router.value).find(|device| device.id == router)?;
        let mut sitter = Sitter {
            raw: &self.raw,
            tenant,
            router,
            uplink: None,
            bridges: Vec::new(),
            ports: Vec::new(),
            groups: Vec::new(),
            unsaid: Vec::new(),
        };
        sitter.find_links(provider);
        sitter.find_ports();
        sitter.find_groups();
        Some(sitter.paint())
    }
}

impl<'a> Sitter<'a> {
    /// A chain's rules.
    pub(super) fn said(&self, chain: Option<Uuid>) -> Vec<Said> {
        let rules = chain.and_then(|chain| self.raw.rules.get(&chain)).into_iter().flatten();
        let said = |rule: &midoform_reconcile::wire::Rule| {
            (rule.condition(&Reference::External), rule.action(&Reference::External))
        };
        rules.map(said).collect()
    }

    pub(super) fn chain_named(&self, name: &str) -> Option<Uuid> {
        let wanted = format!("{} {name}", self.tenant);
        self.raw.chains.iter().find(|chain| chain.name.as_deref() == Some(&wanted)).map(|chain| chain.id)
    }

    fn paint(mut self) -> Portrait {
        let mut text = format!("name = \"{}\"\n", self.tenant);
        let tenant_id = self.router.tenant_id.clone().unwrap_or_default();
        if !tenant_id.is_empty() && tenant_id != self.tenant {
            let _ = writeln!(text, "tenant_id = {}", quoted(&tenant_id));
        }
        let _ = writeln!(text, "profile = \"{}\"", if self.is_closed() { "strict" } else { "rainbond" });
        let _ = writeln!(text, "anti_spoof = \"{}\"", self.anti_spoof());
        self.paint_uplink(&mut text);
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
        self.paint_routes(&mut text);
        let policy = self.policy_chains();
        self.paint_rules(&policy, &mut text);
        self.paint_exposes(&mut text);
        let (ids, attached, leftovers) = (self.ids(&policy), self.attached(), self.leftovers(&policy));
        Portrait { spec: text, ids, unsaid: self.unsaid, attached, leftovers }
    }

    /// Whether the inbound chain ends with a door that is shut: the mark of a strict tenant.
    fn is_closed(&self) -> bool {
        let shut = |(condition, action): &Said| {
            let only_port = Condition { in_ports: condition.in_ports.clone(), ..Condition::default() };
            *action == Some(RuleAction::Drop)
                && condition.canonical(&RuleAction::Drop) == only_port.canonical(&RuleAction::Drop)
                && self.is_uplink(&condition.in_ports)
        };
        self.said(self.router.inbound_filter_id).iter().any(shut)
    }

    pub(super) fn is_uplink(&self, ports: &[Reference]) -> bool {
        let uplink = self.uplink.as_ref().map(|link| Reference::External(link.port.id));
        matches!((ports, uplink), ([port], Some(uplink)) if *port == uplink)
    }

    fn anti_spoof(&self) -> &'static str {
        let guards = |bridge: &Bridge<'_>| {
            let own = |(said, action): &Said| {
                said.not_in_ports
                    && said.not_source
                    && said.source == Some(bridge.cidr)
                    && *action == Some(RuleAction::Drop)
            };
            self.said(bridge.device.inbound_filter_id).iter().any(own)
        };
        if !self.ports.is_empty() {
            return "port";
        }
        if self.bridges.iter().any(guards) { "bridge" } else { "none" }
    }

    fn paint_uplink(&self, text: &mut String) {
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

    /// How sources are translated on their way out by the uplink.
    fn translation(&self) -> Option<NatTarget> {
        let rules = self.said(self.router.outbound_filter_id);
        rules.into_iter().find_map(|(condition, action)| match action {
            Some(RuleAction::SourceNat(target, FlowAction::Accept))
                if self.is_uplink(&condition.out_ports) =>
            {
                Some(target)
            }
            _ => None,
        })
    }

    /// The bridge whose gateway port this is.
    pub(super) fn bridge_by_port(&self, port: &Reference) -> Option<usize> {
        let Reference::External(id) = port else { return None };
        self.bridges.iter().position(|bridge| bridge.link.port.id == *id)
    }

    /// Routes of the router's own that the layout does not make by itself.
    fn paint_routes(&mut self, text: &mut String) {
        let addresses: BTreeMap<Uuid, Option<Ipv4Addr>> =
            self.raw.ports.iter().map(|port| (port.value.id, port.value.address())).collect();
        let mut routes = Vec::new();
        for route in self.raw.routes.get(&self.router.id).into_iter().flatten() {
            let port = route.next_hop_port;
            if route.is_automatic(port.and_then(|port| addresses.get(&port)).copied().flatten()) {
                continue;
            }
            let (Some(source), Some(destination)) = (route.source(), route.destination()) else { continue };
            let next_hop = match (route.kind.as_str(), port) {
                ("BlackHole", _) => NextHop::BlackHole,
                ("Reject", _) => NextHop::Reject,
                (_, Some(port)) => {
                    NextHop::Port { port: Reference::External(port), gateway: route.gateway() }
                }
                (_, None) => continue,
            };
            if source.prefix_len() > 0 {
                self.unsaid.push(format!("a route to {destination} for sources of {source} alone"));
            } else if !self.is_of_the_layout(destination, &next_hop) {
                routes.push((destination, next_hop, route.weight));
            }
        }
        // In a bridge's chain the rules that let routed sources in stand in the order of the spec's routes.
        let chains = self.bridges.iter().flat_map(|bridge| self.said(bridge.device.inbound_filter_id));
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
                None => {
                    self.unsaid.push(format!("a route to {destination} that leads to no bridge of the spec"))
                }
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

    fn paint_exposes(&mut self, text: &mut String) {
        for (condition, action) in self.said(self.router.inbound_filter_id) {
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
                _ => self.unsaid.push(format!("a translation of destinations to {}", target.first)),
            }
        }
    }

    /// Returns the chains of the spec's rules, which the router's outbound chain jumps to.
    fn policy_chains(&self) -> Vec<(ChainKey<'static>, Uuid)> {
        let jumped: BTreeSet<Uuid> = self
            .said(self.router.outbound_filter_id)
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

/// A name that the grammar takes, as like this one as may be.
pub fn legal_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(fits).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let short: String = name.chars().take(LONGEST_NAME).collect();
    if short.is_empty() { "unnamed".to_owned() } else { short }
}
