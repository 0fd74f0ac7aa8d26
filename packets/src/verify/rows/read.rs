//! Makes switches and routers for sets of what was read of the rows. What the sets can't say is an error: nothing is then proven.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::matches::Match;
use super::network::{
    Allowed, Balancer, Decision, List, Network, Route, Router, RouterPort, Switch, SwitchPort, Verdict,
    routed,
};
use crate::ovn::network as rows;
use crate::ovn::network::{AclAction, LoadBalancer, SwitchPortKind};
use crate::semantics::id_of;
use crate::verify::header::{Protocols, Range, united};
use midoform_compiler::ovn::expression::meaning::Condition;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::{Entry, Topology};

/// The protocols that load balancers, connection tracking and the sets tell apart.
const KNOWN: [u8; 3] = [6, 17, 1];

/// Reads the rows among some entries.
///
/// # Errors
/// Returns the row that the sets can't say, and why.
pub(super) fn network<'t>(
    topology: &'t Topology,
    entries: impl Iterator<Item = &'t Entry> + Clone,
) -> Result<Network, String> {
    let keys: BTreeSet<&Key> = entries.clone().map(|entry| &entry.key).collect();
    let rows = rows::Network::of_entries(entries);
    if let Some(fault) = rows.faults.first() {
        return Err(format!("{}: {}", fault.key, fault.reason));
    }
    let reader = Reader { topology, rows: &rows };
    let mut network = Network::default();
    for switch in &rows.switches {
        let Some(id) = id_of(topology, &switch.row) else { continue };
        network.switches.insert(id, reader.switch(switch)?);
    }
    for port in &rows.switch_ports {
        let (id, port) = reader.switch_port(port)?;
        network.switch_ports.insert(id, port);
    }
    for port in &rows.router_ports {
        network.router_ports.insert(reader.id(&port.key)?, reader.router_port(port)?);
    }
    for router in &rows.routers {
        // A router that only holds rows of these tenants is none of theirs.
        let is_own = router.row.key().is_some_and(|key| keys.contains(key));
        let Some(id) = id_of(topology, &router.row).filter(|_| is_own) else { continue };
        network.routers.insert(id, reader.router(router)?);
    }
    finish(&mut network);
    Ok(network)
}

/// Gives lists their numbers, and finds the protocols that are told apart.
fn finish(network: &mut Network) {
    let mut kinds: Vec<Protocols> = KNOWN.iter().map(|number| Protocols::of(&[*number])).collect();
    let mut number = 0;
    let mut note = |list: &mut List| {
        list.number = number;
        number += 1;
        for row in &list.rows {
            row.matched.each_protocols(&mut |protocols| kinds.push(protocols));
        }
    };
    for switch in network.switches.values_mut() {
        [&mut switch.from, &mut switch.from_translated, &mut switch.to].into_iter().for_each(&mut note);
    }
    network.routers.values_mut().for_each(|router| note(&mut router.policies));
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

/// The rows as they were read, with the ids that the sets know them by.
struct Reader<'r> {
    topology: &'r Topology,
    rows: &'r rows::Network,
}

impl Reader<'_> {
    fn id(&self, key: &Key) -> Result<Uuid, String> {
        id_of(self.topology, &Reference::from(key)).ok_or_else(|| format!("{key}: it is not in the topology"))
    }

    fn switch_port_id(&self, at: rows::SwitchPortIndex) -> Option<Uuid> {
        self.id(self.rows.switch_port(at)?.key.as_ref()?).ok()
    }

    fn router_port_id(&self, at: rows::RouterPortIndex) -> Option<Uuid> {
        self.id(&self.rows.router_port(at)?.key).ok()
    }

    fn switch(&self, read: &rows::Switch) -> Result<Switch, String> {
        let mut switch = Switch {
            ports: read.ports.iter().filter_map(|at| self.switch_port_id(*at)).collect(),
            passes_tags: read.passes_tags,
            balancers: balancers(&read.load_balancers)?,
            has_stateful: read.has_stateful_acl(),
            ..Switch::default()
        };
        for acl in &read.from_port {
            let decision = self.acl(acl)?;
            if decision.verdict == Verdict::AcceptUntracked {
                switch.untracked_from.push(decision.matched.clone());
            }
            let list = if acl.is_after_balancing { &mut switch.from_translated } else { &mut switch.from };
            list.rows.push(decision);
        }
        for acl in &read.to_port {
            let decision = self.acl(acl)?;
            if decision.verdict == Verdict::AcceptUntracked {
                switch.untracked_to.push(decision.matched.clone());
            }
            switch.to.rows.push(decision);
        }
        Ok(switch)
    }

    fn acl(&self, acl: &rows::Acl) -> Result<Decision, String> {
        let verdict = match acl.action {
            AclAction::Allow | AclAction::AllowRelated => Verdict::Accept,
            AclAction::AllowStateless => Verdict::AcceptUntracked,
            AclAction::Drop | AclAction::Reject => Verdict::Drop,
        };
        self.decision(&acl.key, acl.priority, &acl.condition, verdict)
    }

    fn decision(
        &self,
        key: &Key,
        priority: i64,
        condition: &Condition,
        verdict: Verdict,
    ) -> Result<Decision, String> {
        let port = |name: &str| {
            let of_switch = self.rows.switch_port_named(name).and_then(|at| self.switch_port_id(at));
            of_switch.or_else(|| self.router_port_id(self.rows.router_port_named(name)?))
        };
        let matched = Match::of(condition, &port)
            .map_err(|what| format!("{key}: its match names {what}, which sets can't tell"))?;
        Ok(Decision { id: self.id(key)?, priority, matched, verdict })
    }

    fn switch_port(&self, read: &rows::SwitchPort) -> Result<(Uuid, SwitchPort), String> {
        let named = read.key.as_ref().ok_or_else(|| format!("{}: a port without a row", read.name))?;
        let wrong = |problem: String| format!("{named}: {problem}");
        let router_port = match &read.kind {
            SwitchPortKind::Interface => None,
            SwitchPortKind::Router(name) => {
                let port = self.rows.behind(read).and_then(|at| self.router_port_id(at));
                Some(port.ok_or_else(|| wrong(format!("there is no router's port `{name}`")))?)
            }
            SwitchPortKind::Localnet { .. } => {
                return Err(wrong("a port of the type `localnet`".to_owned()));
            }
        };
        let switch = self.rows.switch(read.switch).and_then(|switch| id_of(self.topology, &switch.row));
        let port = SwitchPort {
            switch: switch.ok_or_else(|| wrong("there is no switch of it".to_owned()))?,
            router_port,
            // A router's port is found by the port itself.
            macs: read.addresses.iter().filter(|_| router_port.is_none()).map(|(mac, _)| *mac).collect(),
            has_unknown: read.has_unknown,
            allowed: read.security.iter().map(allowed).collect(),
            is_station: false,
        };
        Ok((self.id(named)?, port))
    }

    fn router_port(&self, read: &rows::RouterPort) -> Result<RouterPort, String> {
        let router = self.rows.router(read.router).and_then(|router| id_of(self.topology, &router.row));
        Ok(RouterPort {
            // A router that is named by others only has no id here: it is none of these.
            router: router.unwrap_or_default(),
            mac: read.mac,
            addresses: read.networks.iter().map(|own| (own.addr(), *own)).collect(),
            peer: read.peer.and_then(|at| self.router_port_id(at)),
            switch_port: read.switch_port.and_then(|at| self.switch_port_id(at)),
            is_gateway: !read.gateway_chassis.is_empty(),
        })
    }

    fn router(&self, read: &rows::Router) -> Result<Router, String> {
        let policy = |policy: &rows::Policy| {
            let verdict = if policy.drops { Verdict::Drop } else { Verdict::Accept };
            self.decision(&policy.key, policy.priority, &policy.condition, verdict)
        };
        let policies = read.policies.iter().map(policy).collect::<Result<_, _>>()?;
        let mut translations: Vec<_> =
            read.translations.iter().map(|one| (one.logical, one.external)).collect();
        translations.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        Ok(Router {
            ports: read.ports.iter().filter_map(|at| self.router_port_id(*at)).collect(),
            routed: routed(self.routes(read)?),
            policies: List { number: 0, rows: policies },
            translations,
            balancers: balancers(&read.load_balancers)?,
        })
    }

    /// Returns the static routes of a router, and the networks of its ports.
    fn routes(&self, router: &rows::Router) -> Result<Vec<Route>, String> {
        let mut routes = Vec::new();
        for route in &router.routes {
            let port = self.rows.port_of_route(router, route).and_then(|at| self.router_port_id(at));
            // OVN makes nothing of a route that no port leads to.
            if route.next_hop.is_none() || port.is_some() {
                let row = Some(self.id(&route.key)?);
                routes.push(Route { destination: route.destination, next_hop: route.next_hop, port, row });
            }
        }
        for at in &router.ports {
            let Some(port) = self.rows.router_port(*at) else { continue };
            let id = self.router_port_id(*at);
            let networks = port.networks.iter().map(Ipv4Net::trunc);
            routes.extend(networks.map(|destination| Route {
                destination,
                next_hop: None,
                port: id,
                row: None,
            }));
        }
        Ok(routes)
    }
}

fn balancers(read: &[LoadBalancer]) -> Result<Vec<Balancer>, String> {
    let one = |read: &LoadBalancer| {
        let LoadBalancer { key, protocol, public, targets } = read;
        match (KNOWN.contains(protocol), targets.is_empty()) {
            (true, false) => Ok(Balancer { protocol: *protocol, public: *public, targets: targets.clone() }),
            (false, _) => Err(format!("{key}: a load balancer for the IP protocol {protocol}")),
            (true, true) => Err(format!("{key}: a load balancer without targets")),
        }
    };
    read.iter().map(one).collect()
}

fn allowed(security: &rows::Security) -> Allowed {
    let ranges = security.networks.iter().map(|network| Range::network(*network));
    let addresses = (!security.networks.is_empty()).then(|| united(ranges.collect()));
    Allowed { mac: security.mac, addresses }
}
