//! A small model of the API's objects while a plan is executed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Code, Problem};
use crate::plan::Plan;
use crate::topology::key::{Key, Namespace};
use crate::topology::kinds::{Kind, NextHop, Object, Reference};
use crate::topology::observed::Observed;

/// Ids are text: UUIDs, or `${KEY}` for those that the server will choose.
#[derive(Default)]
pub(super) struct Model {
    objects: BTreeMap<String, Held>,
    /// The other objects that the server has.
    others: BTreeMap<String, Kind>,
    /// Rules in each chain.
    rules: BTreeMap<String, usize>,
    /// The other end of each linked port.
    links: BTreeMap<String, String>,
    /// Host and interface of each bound port.
    bound: BTreeMap<String, (String, String)>,
    /// Port group and port, tunnel zone and host.
    members: BTreeSet<(String, String)>,
    /// The interfaces that are bound.
    interfaces: BTreeSet<(String, String)>,
    /// By object, the objects that refer to it.
    users: BTreeMap<String, BTreeSet<String>>,
    /// By object, the objects that it refers to.
    uses: BTreeMap<String, Vec<String>>,
}

/// One object: its kind, and its parent.
struct Held {
    kind: Kind,
    parent: String,
}

impl Model {
    /// Makes a model of the observed objects.
    pub(super) fn of(plan: &Plan, observed: &Observed) -> Model {
        let namespace = Namespace::of_site(&plan.site);
        let id = |key: &Key| observed.id_of(namespace, key).to_string();
        let reference = |reference: &Reference| match reference {
            Reference::Key(key) => id(key),
            Reference::External(id) => id.to_string(),
            Reference::Named(name) => name.clone(),
        };
        let mut model = Model::default();
        let planned: BTreeSet<&Key> = plan.steps.iter().map(|step| &step.key).collect();
        for entry in observed.topology.entries() {
            let own = id(&entry.key);
            match &entry.object {
                Object::PortLink(link) => {
                    let (port, peer) = (reference(&link.port), reference(&link.peer));
                    model.links.insert(port.clone(), peer.clone());
                    model.links.insert(peer, port);
                }
                Object::HostInterfacePort(binding) => {
                    let bound = (binding.host.to_string(), binding.interface.clone());
                    // An interface of a port that the plan leaves alone is no fault of the plan.
                    if planned.contains(&entry.key) {
                        model.interfaces.insert(bound.clone());
                    }
                    model.bound.insert(reference(&binding.port), bound);
                }
                Object::PortGroupPort(member) => {
                    model.members.insert((reference(&member.group), reference(&member.port)));
                }
                Object::TunnelZoneHost(member) => {
                    model.members.insert((reference(&member.zone), member.host.to_string()));
                }
                Object::Rule(rule) => {
                    let chain = reference(&rule.chain);
                    model.hold(own, Kind::Rule, chain);
                }
                Object::Route(route) => {
                    let router = reference(&route.router);
                    if let NextHop::Port { port, .. } = &route.next_hop {
                        model.refer(&own, &reference(port));
                    }
                    model.hold(own, Kind::Route, router);
                }
                Object::RouterPort(port) => model.hold(own, Kind::RouterPort, reference(&port.router)),
                Object::BridgePort(port) => model.hold(own, Kind::BridgePort, reference(&port.bridge)),
                other => model.hold(own, Kind::of(other), String::new()),
            }
        }
        for (chain, rules) in &observed.rules {
            model.rules.insert(id(chain), rules.len());
        }
        for (id, kind) in &observed.present {
            let id = id.to_string();
            if !model.objects.contains_key(&id) {
                model.others.insert(id, *kind);
            }
        }
        model
    }

    fn hold(&mut self, id: String, kind: Kind, parent: String) {
        if !parent.is_empty() {
            self.refer(&id, &parent);
        }
        self.objects.insert(id, Held { kind, parent });
    }

    fn refer(&mut self, from: &str, to: &str) {
        self.users.entry(to.to_owned()).or_default().insert(from.to_owned());
        self.uses.entry(from.to_owned()).or_default().push(to.to_owned());
    }

    /// Returns true if an object of one of these kinds exists: the server has it, or the plan creates it earlier.
    fn has(&self, id: &str, kinds: &[Kind]) -> bool {
        let kind = self.objects.get(id).map(|held| held.kind).or_else(|| self.others.get(id).copied());
        kind.is_some_and(|kind| kinds.contains(&kind))
    }

    fn demand(&self, id: &str, kinds: &[Kind], problems: &mut Vec<Problem>) {
        if !self.has(id, kinds) {
            let kind = kinds.first().map(|kind| kind.name()).unwrap_or_default();
            problems.push((Code::UnknownReference, format!("there is no {kind} {id} when the call is made")));
        }
    }

    /// Executes a POST.
    pub(super) fn post(
        &mut self,
        path: &[&str],
        body: &Value,
        id: Option<String>,
        problems: &mut Vec<Problem>,
    ) {
        let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match path {
            ["chains"] => self.create(id, Kind::Chain, String::new(), problems),
            ["port_groups"] => self.create(id, Kind::PortGroup, String::new(), problems),
            ["tunnel_zones"] => self.create(id, Kind::TunnelZone, String::new(), problems),
            ["routers" | "bridges"] => {
                self.filters(body, problems);
                let kind = if path == ["routers"] { Kind::Router } else { Kind::Bridge };
                self.create(id, kind, String::new(), problems);
            }
            ["routers", router, "ports"] => {
                self.demand(router, &[Kind::Router], problems);
                self.create(id, Kind::RouterPort, (*router).to_owned(), problems);
            }
            ["bridges", bridge, "ports"] => {
                self.demand(bridge, &[Kind::Bridge], problems);
                self.filters(body, problems);
                self.create(id, Kind::BridgePort, (*bridge).to_owned(), problems);
            }
            ["routers", router, "routes"] => self.route(router, body, id, problems),
            ["chains", chain, "rules"] => self.rule(chain, body, id, problems),
            ["ports", port, "link"] => self.link(port, &field("peerId"), problems),
            ["hosts", host, "ports"] => self.bind(host, &field("portId"), field("interfaceName"), problems),
            ["port_groups", group, "ports"] => {
                self.demand(group, &[Kind::PortGroup], problems);
                self.demand(&field("portId"), &[Kind::RouterPort, Kind::BridgePort], problems);
                self.join(group, field("portId"), problems);
            }
            ["tunnel_zones", zone, "hosts"] => {
                self.demand(zone, &[Kind::TunnelZone], problems);
                self.join(zone, field("hostId"), problems);
            }
            _ => problems.push((Code::BadPath, format!("nothing is posted to /{}", path.join("/")))),
        }
    }

    fn create(&mut self, id: Option<String>, kind: Kind, parent: String, problems: &mut Vec<Problem>) {
        let Some(id) = id else {
            problems.push((Code::NoId, "the object has no id that later calls could name".to_owned()));
            return;
        };
        if self.objects.contains_key(&id) {
            problems.push((Code::DuplicateId, format!("{id} is there already")));
        }
        self.hold(id, kind, parent);
    }

    fn filters(&self, body: &Value, problems: &mut Vec<Problem>) {
        for filter in ["inboundFilterId", "outboundFilterId"] {
            if let Some(chain) = body.get(filter).and_then(Value::as_str) {
                self.demand(chain, &[Kind::Chain], problems);
            }
        }
    }

    fn route(&mut self, router: &str, body: &Value, id: Option<String>, problems: &mut Vec<Problem>) {
        self.demand(router, &[Kind::Router], problems);
        let port = body.get("nextHopPort").and_then(Value::as_str);
        let normal = body.get("type").and_then(Value::as_str) == Some("Normal");
        match port {
            Some(port) => {
                self.demand(port, &[Kind::RouterPort], problems);
                if self.objects.get(port).is_some_and(|held| held.parent != router) {
                    problems.push((
                        Code::ForeignPort,
                        format!("the next hop port {port} is not on router {router}"),
                    ));
                }
                if let Some(id) = &id {
                    self.refer(id, port);
                }
            }
            None if normal => {
                problems.push((Code::NoPort, "a normal route needs a next hop port".to_owned()))
            }
            None => {}
        }
        self.create(id, Kind::Route, router.to_owned(), problems);
    }

    fn rule(&mut self, chain: &str, body: &Value, id: Option<String>, problems: &mut Vec<Problem>) {
        self.demand(chain, &[Kind::Chain], problems);
        let count = self.rules.entry(chain.to_owned()).or_default();
        let position = body.get("position").and_then(Value::as_u64).unwrap_or(1);
        if position < 1 || position > *count as u64 + 1 {
            problems.push((Code::BadPosition, format!("position {position} in a chain of {count} rules")));
        }
        *count += 1;
        if let Some(jump) = body.get("jumpChainId").and_then(Value::as_str) {
            self.demand(jump, &[Kind::Chain], problems);
        }
        for ports in ["inPorts", "outPorts"] {
            for port in
                body.get(ports).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
            {
                self.demand(port, &[Kind::RouterPort, Kind::BridgePort], problems);
            }
        }
        self.create(id, Kind::Rule, chain.to_owned(), problems);
    }

    fn link(&mut self, port: &str, peer: &str, problems: &mut Vec<Problem>) {
        for end in [port, peer] {
            self.demand(end, &[Kind::RouterPort, Kind::BridgePort], problems);
            if self.links.contains_key(end) {
                problems.push((Code::LinkedTwice, format!("port {end} is linked already")));
            }
            if self.bound.contains_key(end) {
                problems.push((Code::LinkedAndBound, format!("port {end} is bound to an interface")));
            }
        }
        if port == peer {
            problems.push((Code::LinkedToItself, format!("port {port} is linked to itself")));
        }
        self.links.insert(port.to_owned(), peer.to_owned());
        self.links.insert(peer.to_owned(), port.to_owned());
    }

    fn bind(&mut self, host: &str, port: &str, interface: String, problems: &mut Vec<Problem>) {
        self.demand(port, &[Kind::RouterPort, Kind::BridgePort], problems);
        if self.bound.contains_key(port) {
            problems.push((Code::BoundTwice, format!("port {port} is bound already")));
        }
        if self.links.contains_key(port) {
            problems.push((Code::LinkedAndBound, format!("port {port} is linked")));
        }
        let bound = (host.to_owned(), interface);
        if !self.interfaces.insert(bound.clone()) {
            problems.push((
                Code::InterfaceTaken,
                format!("interface {} of host {host} is bound already", bound.1),
            ));
        }
        self.bound.insert(port.to_owned(), bound);
    }

    fn join(&mut self, group: &str, member: String, problems: &mut Vec<Problem>) {
        if !self.members.insert((group.to_owned(), member.clone())) {
            problems.push((Code::JoinedTwice, format!("{member} is in {group} already")));
        }
    }

    /// Executes a PUT.
    pub(super) fn put(&mut self, path: &[&str], body: &Value, problems: &mut Vec<Problem>) {
        let (kinds, id): (&[Kind], &str) = match path {
            ["routers", id] => (&[Kind::Router], id),
            ["bridges", id] => (&[Kind::Bridge], id),
            ["ports", id] => (&[Kind::RouterPort, Kind::BridgePort], id),
            _ => {
                problems.push((Code::BadMethod, format!("the API has no PUT for /{}", path.join("/"))));
                return;
            }
        };
        self.demand(id, kinds, problems);
        self.filters(body, problems);
    }

    /// Executes a DELETE.
    pub(super) fn delete(&mut self, path: &[&str], problems: &mut Vec<Problem>) {
        match path {
            ["ports", port, "link"] => match self.links.remove(*port) {
                Some(peer) => drop(self.links.remove(&peer)),
                None => problems.push((Code::UnknownReference, format!("port {port} is not linked"))),
            },
            ["hosts", _, "ports", port] => match self.bound.remove(*port) {
                Some(bound) => drop(self.interfaces.remove(&bound)),
                None => problems.push((Code::UnknownReference, format!("port {port} is not bound"))),
            },
            ["port_groups", group, "ports", member] | ["tunnel_zones", group, "hosts", member] => {
                if !self.members.remove(&((*group).to_owned(), (*member).to_owned())) {
                    problems.push((Code::UnknownReference, format!("{member} is not in {group}")));
                }
            }
            [collection, id] if kinds_of(collection).is_some_and(|kinds| self.has(id, kinds)) => {
                self.remove(id, problems)
            }
            [_, id] => problems.push((Code::UnknownReference, format!("there is no {id} to delete"))),
            _ => problems.push((Code::BadPath, format!("nothing is deleted at /{}", path.join("/")))),
        }
    }

    fn remove(&mut self, id: &str, problems: &mut Vec<Problem>) {
        if let Some(user) = self.users.get(id).and_then(BTreeSet::first) {
            problems.push((Code::StillUsed, format!("{id} is deleted while {user} depends on it")));
        }
        if self.links.contains_key(id) || self.bound.contains_key(id) {
            problems.push((Code::StillUsed, format!("port {id} is deleted while it is linked or bound")));
        }
        self.others.remove(id);
        let Some(held) = self.objects.remove(id) else { return };
        if held.kind == Kind::Rule
            && let Some(count) = self.rules.get_mut(&held.parent)
        {
            *count = count.saturating_sub(1);
        }
        for used in self.uses.remove(id).unwrap_or_default() {
            if let Some(users) = self.users.get_mut(&used) {
                users.remove(id);
            }
        }
    }
}

fn kinds_of(collection: &str) -> Option<&'static [Kind]> {
    Some(match collection {
        "chains" => &[Kind::Chain],
        "routers" => &[Kind::Router],
        "bridges" => &[Kind::Bridge],
        "ports" => &[Kind::RouterPort, Kind::BridgePort],
        "rules" => &[Kind::Rule],
        "routes" => &[Kind::Route],
        "port_groups" => &[Kind::PortGroup],
        "tunnel_zones" => &[Kind::TunnelZone],
        _ => return None,
    })
}
