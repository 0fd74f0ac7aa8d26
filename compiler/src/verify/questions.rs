//! What is asked of every tenant. `docs/verify.md` explains each question.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde::Serialize;
use uuid::Uuid;

use super::dead;
use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT, difference,
    rest, united,
};
use super::model::{Model, Segment, Uplink};
use super::oracle;
use super::path::Path;
use super::reach::{bridge_name, neighbourhood, own_sources};
use super::walk::{End, Outcome};
use super::witness::{self, Origin, between, pick};
use crate::key::SITE;
use crate::network::{RouteTarget, Tenant};
use crate::object::MacAddress;
use crate::source::Provenance;
use crate::spec::Egress;
use crate::topology::Topology;
use crate::trace::TraceReport;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// No packet from a port of a tenant reaches a port of another, but for peers and what is exposed.
    Isolation,
    /// No new connection of a pod goes to link addresses: other tenants' routers, the provider's ports.
    Links,
    /// A packet with a source that is not its sender's goes nowhere.
    Spoofing,
    /// What the rules let pass between a tenant's bridges, and to exposed ports, arrives, and is answered.
    Connected,
    /// What the rules forbid between a tenant's bridges does not arrive.
    Closed,
    /// Pods reach the outside, with their tenant's own address, and are answered.
    Outside,
    /// No packet goes round in circles.
    Loops,
    /// Every rule and route of the spec can match something.
    Dead,
}

impl Question {
    /// All of them, in the order in which they are told.
    pub const ALL: [Question; 8] = [
        Question::Isolation,
        Question::Links,
        Question::Spoofing,
        Question::Connected,
        Question::Closed,
        Question::Outside,
        Question::Loops,
        Question::Dead,
    ];

    /// The question in words.
    pub fn words(self) -> &'static str {
        match self {
            Question::Isolation => "tenants reach each other only as peers and by what is exposed",
            Question::Links => "no pod opens connections to link addresses",
            Question::Spoofing => "spoofed sources go nowhere",
            Question::Connected => "what the rules allow arrives and is answered",
            Question::Closed => "what the rules forbid does not arrive",
            Question::Outside => "pods reach the outside by their tenant's own address",
            Question::Loops => "nothing goes round in circles",
            Question::Dead => "every rule and route can match",
        }
    }
}

/// Where an answer is no.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The question.
    pub question: Question,
    /// The tenant.
    pub tenant: String,
    /// What is wrong, in one line.
    pub message: String,
    /// The line of the spec that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
    /// A packet that shows it, on its way through the interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceReport>,
}

/// The answers about some tenants.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Answers {
    /// Where an answer is no.
    pub violations: Vec<Violation>,
    /// Tenants whose rules are too many to be followed: nothing is proven of them.
    pub unproven: Vec<String>,
}

/// What the questions are about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The tenants that it was made of.
    pub tenants: &'a [Tenant],
    /// The networks of link addresses.
    pub links: &'a [Ipv4Net],
}

/// Groups of tenants that are linked to each other: each can be asked about on its own.
pub fn groups(topology: &Topology) -> Vec<BTreeSet<&str>> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for tenant in topology.tenants() {
        if !done.contains(tenant) {
            let group = neighbourhood(topology, tenant);
            done.extend(&group);
            found.push(group);
        }
    }
    found
}

/// Asks everything about one group of tenants.
pub fn ask(subject: Subject<'_>, group: &BTreeSet<&str>) -> Answers {
    let model = Model::new(subject.topology, group);
    let by_name: BTreeMap<&str, &Tenant> = subject
        .tenants
        .iter()
        .filter(|tenant| group.contains(&*tenant.name))
        .map(|tenant| (&*tenant.name, tenant))
        .collect();
    let mut asking = Asking { subject, model: &model, group, by_name: &by_name, answers: Answers::default() };
    for (name, tenant) in &by_name {
        asking.tenant(name, tenant);
    }
    asking.answers
}

/// Asks about what the tenants share: no destination leads to two of them.
pub fn ask_provider(topology: &Topology) -> Vec<Violation> {
    let mut owners: BTreeMap<(Ipv4Net, u32), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in topology.entries() {
        let crate::object::Object::Route(route) = &entry.object else { continue };
        let tenant = entry.key.tenant();
        let own = route.router.key().is_some_and(|router| router.tenant() == tenant);
        if own || tenant == SITE {
            continue;
        }
        let other = owners.insert((route.destination, route.weight), tenant).filter(|other| *other != tenant);
        if let Some(other) = other {
            found.push(Violation {
                question: Question::Isolation,
                tenant: tenant.to_owned(),
                message: format!(
                    "the provider router has equal routes to {} for {other} and {tenant}",
                    route.destination
                ),
                source: entry.provenance.clone(),
                trace: None,
            });
        }
    }
    found
}

struct Asking<'a> {
    subject: Subject<'a>,
    model: &'a Model<'a>,
    group: &'a BTreeSet<&'a str>,
    by_name: &'a BTreeMap<&'a str, &'a Tenant>,
    answers: Answers,
}

/// What becomes of everything that a pod of one segment can send.
struct Sent<'a> {
    at: usize,
    segment: &'a Segment,
    /// To the gateway.
    routed: Vec<Outcome>,
    /// To a neighbour's MAC address.
    inside: Vec<Outcome>,
}

impl<'a> Asking<'a> {
    fn tenant(&mut self, name: &str, tenant: &Tenant) {
        let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
        let segments = tenant.bridges.iter().enumerate().filter_map(|(at, bridge)| {
            let key = format!("{name}/bridge/{}", bridge.name);
            Some((at, self.model.segment(&key.as_str().into())?))
        });
        let sent: Vec<Sent<'a>> = segments
            .map(|(at, segment)| Sent {
                at,
                segment,
                routed: whole_first(self.model.sent_by_pod(segment, &everything)),
                inside: whole_first(self.model.inside(segment, &everything)),
            })
            .collect();
        let uplinks: Vec<&Uplink> =
            self.model.uplinks.iter().filter(|uplink| uplink.tenant == name).collect();
        let incoming: Vec<(&Uplink, Vec<Outcome>)> = uplinks
            .into_iter()
            .map(|uplink| {
                let headers: Vec<Headers> =
                    uplink.destinations.iter().flat_map(|to| Headers::all(Range::ADDRESSES, *to)).collect();
                (uplink, self.model.sent_by_world(uplink, &headers))
            })
            .collect();
        let all = sent.iter().flat_map(|sent| sent.routed.iter().chain(&sent.inside));
        let mut all = all.chain(incoming.iter().flat_map(|(_, outcomes)| outcomes));
        if all.any(|outcome| outcome.end == End::Unknown) {
            self.answers.unproven.push(name.to_owned());
            return;
        }
        for sent in &sent {
            self.isolation(tenant, sent);
            self.links(tenant, sent);
            self.spoofing(tenant, sent);
            self.between_bridges(tenant, sent);
            self.outside(tenant, sent);
            self.loops(tenant, sent);
        }
        for (uplink, outcomes) in &incoming {
            self.doors(tenant, uplink, outcomes);
        }
        self.answers.violations.extend(dead::rules_and_routes(self.model, tenant));
    }

    fn no(
        &mut self,
        question: Question,
        tenant: &Tenant,
        message: String,
        origin: Origin<'_>,
        headers: &Headers,
    ) {
        self.no_with(question, tenant, message, origin, headers, None);
    }

    /// The same, with another tenant on the packet's way.
    fn no_with(
        &mut self,
        question: Question,
        tenant: &Tenant,
        message: String,
        origin: Origin<'_>,
        headers: &Headers,
        other: Option<&str>,
    ) {
        let picked = pick(headers);
        let tenants: BTreeSet<&str> = self.group.iter().copied().chain(other).collect();
        let trace = witness::trace(self.subject.topology, &tenants, origin, picked);
        let by_rule = trace.as_ref().and_then(|trace| match &trace.ending {
            crate::trace::Ending::Dropped { source, .. } => source.clone(),
            _ => None,
        });
        let router = self.subject.topology.get(&format!("{}/router", tenant.name));
        let source = by_rule.or_else(|| router.and_then(|router| router.provenance.clone()));
        let tenant = tenant.name.to_string();
        self.answers.violations.push(Violation { question, tenant, message, source, trace });
    }

    fn segment_at(&self, end: &End) -> Option<&'a Segment> {
        match end {
            End::Delivered(ports) => ports.first().and_then(|port| self.model.segment_of(*port)),
            _ => None,
        }
    }

    /// What arrives at other tenants' pods without being asked for by both.
    fn isolation(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        for outcome in &sent.routed {
            let Some(reached) = self.segment_at(&outcome.end) else { continue };
            let other = reached.key.tenant();
            if other == &*tenant.name || self.are_peers(tenant, sent.at, reached) {
                continue;
            }
            let message = format!(
                "{} reaches {}",
                bridge_name(sent.segment.key.as_str()),
                bridge_name(reached.key.as_str())
            );
            return self.no(
                Question::Isolation,
                tenant,
                message,
                Origin::Pod(sent.segment),
                &outcome.path.sent(),
            );
        }
    }

    fn are_peers(&self, tenant: &Tenant, bridge: usize, reached: &Segment) -> bool {
        let Some(other) = self.by_name.get(reached.key.tenant()) else { return false };
        let target = other
            .bridges
            .iter()
            .position(|bridge| reached.key.as_str().ends_with(&format!("/bridge/{}", bridge.name)));
        let chose = |of: &Tenant, who: &str, at: usize| {
            of.peers.iter().any(|peer| *peer.name == *who && peer.own_bridges.contains(&at))
        };
        chose(tenant, &other.name, bridge) && target.is_some_and(|at| chose(other, &tenant.name, at))
    }

    /// New connections that leave the tenant towards link addresses, or that another tenant's router takes.
    fn links(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let pools: Vec<Range> = united(self.subject.links.iter().map(|pool| Range::network(*pool)).collect());
        for outcome in &sent.routed {
            let towards = match &outcome.end {
                End::Left(_) => true,
                End::Consumed(router) | End::Dropped { at: router, .. } => {
                    self.model.entry(*router).is_some_and(|entry| {
                        entry.key.tenant() != &*tenant.name && entry.key.as_str().ends_with("/router")
                    })
                }
                _ => false,
            };
            let own = [Range::address(tenant.link.near)];
            let foreign: Vec<Range> = pools.iter().flat_map(|pool| rest(*pool, &own)).collect();
            let hit = outcome.path.now().fields[DESTINATION];
            let Some(hit) = foreign.iter().find_map(|pool| pool.common(hit)).filter(|_| towards) else {
                continue;
            };
            let (address, shown, owner) = self.another_link(tenant, hit);
            let message =
                format!("{} reaches link addresses, such as {shown}", bridge_name(sent.segment.key.as_str()));
            let headers = outcome.path.sent().with(DESTINATION, Range::one(address));
            let own = between(headers, &sent.segment.pods, &[Range::ADDRESSES]);
            let headers = own.first().copied().unwrap_or(headers);
            let origin = Origin::Pod(sent.segment);
            return self.no_with(Question::Links, tenant, message, origin, &headers, owner);
        }
    }

    /// An address that people know, if one of them is in the range: another tenant's, else the provider's port.
    fn another_link(&self, tenant: &Tenant, hit: Range) -> (u32, String, Option<&'a str>) {
        let mut others = self.subject.tenants.iter().filter(|other| other.name != tenant.name);
        if let Some(other) = others.find(|other| hit.has(other.link.near.into())) {
            let shown = format!("{} of {}", other.link.near, other.name);
            return (other.link.near.into(), shown, Some(&other.name));
        }
        let far = tenant.link.far;
        match hit.has(far.into()) {
            true => (far.into(), format!("{far} of the provider router"), None),
            false => (hit.first, std::net::Ipv4Addr::from(hit.first).to_string(), None),
        }
    }

    /// Sources that are neither of the bridge's network nor routed by it.
    fn spoofing(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let routed = tenant.routes.iter().filter(|route| {
            matches!(route.target, RouteTarget::Via(by, _) | RouteTarget::Bridge(by) if by == sent.at)
        });
        let networks = sent.segment.networks.iter().copied().chain(routed.map(|route| route.destination));
        let own = united(networks.map(Range::network).collect());
        let somewhere = |end: &End| matches!(end, End::Delivered(_) | End::Left(_) | End::Consumed(_));
        let routed = sent.routed.iter().filter(|outcome| somewhere(&outcome.end));
        let inside = sent.inside.iter().filter(|outcome| somewhere(&outcome.end));
        for outcome in routed.chain(inside) {
            let headers = outcome.path.sent();
            let foreign = rest(headers.fields[SOURCE], &own);
            let known = foreign.iter().find(|range| range.has(FOREIGN.into()));
            let Some(source) = known.or(foreign.first()) else { continue };
            // An inside neighbour is found by its address.
            let headers = headers.with(SOURCE, spoofed(*source));
            let near = between(headers, &[Range::ADDRESSES], &sent.segment.pods).first().copied();
            let left = matches!(outcome.end, End::Left(_));
            let headers = if left { headers } else { near.unwrap_or(headers) };
            let place = match &outcome.end {
                End::Left(_) => "the outside".to_owned(),
                End::Consumed(_) => "its gateway".to_owned(),
                end => self
                    .segment_at(end)
                    .map_or_else(|| "another pod".to_owned(), |segment| bridge_name(segment.key.as_str())),
            };
            let message = format!(
                "{} can send with a foreign source, such as {}, to {place}",
                bridge_name(sent.segment.key.as_str()),
                pick(&headers).source
            );
            return self.no(Question::Spoofing, tenant, message, Origin::Pod(sent.segment), &headers);
        }
    }

    /// What the rules say between this bridge and each of the tenant's, against what happens.
    fn between_bridges(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let routed: Vec<Range> =
            united(tenant.routes.iter().map(|route| Range::network(route.destination)).collect());
        for (to, bridge) in tenant.bridges.iter().enumerate() {
            let key = format!("{}/bridge/{}", tenant.name, bridge.name);
            let Some(target) = self.model.segment(&key.as_str().into()) else { continue };
            let inside = to == sent.at;
            // A route of the spec inside the network leads elsewhere; on the bridge itself none is asked.
            let pods: Vec<Range> = match inside {
                true => target.pods.clone(),
                false => target.pods.iter().flat_map(|range| rest(*range, &routed)).collect(),
            };
            let asked: Vec<Headers> = own_sources(sent.segment)
                .into_iter()
                .flat_map(|own| between(own, &[Range::ADDRESSES], &pods))
                .collect();
            let said =
                oracle::allowed(tenant, oracle::End::Bridge(sent.at), oracle::End::Bridge(to), asked.clone());
            let outcomes = if inside { &sent.inside } else { &sent.routed };
            let arrived: Vec<&Outcome> = outcomes
                .iter()
                .filter(|outcome| self.segment_at(&outcome.end).is_some_and(|at| at.key == target.key))
                .collect();
            let does: Vec<Headers> = arrived.iter().map(|outcome| outcome.path.sent()).collect();
            let names = || (bridge_name(sent.segment.key.as_str()), bridge_name(target.key.as_str()));
            let origin = Origin::Pod(sent.segment);
            if let Some(headers) = difference(said.clone(), &does).first() {
                let (from, to) = names();
                let message = format!("the rules allow it, and it does not arrive: {from} to {to}");
                self.no(Question::Connected, tenant, message, origin, headers);
            }
            let forbidden = difference(asked, &said);
            let leak =
                does.iter().flat_map(|own| forbidden.iter().filter_map(|other| own.common(*other))).next();
            if let Some(headers) = leak {
                let (from, to) = names();
                let message = format!("the rules forbid it, and it arrives: {from} to {to}");
                self.no(Question::Closed, tenant, message, origin, &headers);
            }
            let lost = arrived
                .iter()
                .filter(|outcome| !difference(vec![outcome.path.sent()], &forbidden).is_empty());
            let lost = lost.filter_map(|outcome| self.lost_answer(outcome, sent.segment, target)).next();
            if let Some(headers) = lost {
                let (from, to) = names();
                let message = format!("it arrives, and the answer is lost: {from} to {to}");
                self.no(Question::Connected, tenant, message, origin, &headers);
            }
        }
    }

    /// What of some packets that arrived is not answered, other than by a rule of the spec that sees answers.
    fn lost_answer(&self, outcome: &Outcome, from: &Segment, at: &Segment) -> Option<Headers> {
        let (port, own, next) = match from.key == at.key {
            true => (at.neighbour, at.neighbour_mac, from.pod_mac),
            false => (at.pod, at.pod_mac, at.gateways.first()?.1),
        };
        self.lost(outcome, (port, own, next), from, &at.pods)
    }

    /// Of packets from a segment's pods to these destinations. The answer starts at a port, with its own MAC address and
    /// the one that it is sent to.
    fn lost(
        &self,
        outcome: &Outcome,
        (port, own, next): (Uuid, MacAddress, MacAddress),
        to: &Segment,
        destinations: &[Range],
    ) -> Option<Headers> {
        let walker = self.model.walker();
        for path in answered(outcome, &to.pods, destinations) {
            for back in walker.follow(path.answer(port, own, next)) {
                let home = matches!(&back.end, End::Delivered(ports) if ports.contains(&to.pod));
                let meant = match &back.end {
                    End::Dropped { rule: Some(rule), .. } => self.is_stateless(*rule),
                    _ => false,
                };
                if !home && !meant {
                    return Some(back.path.sent());
                }
            }
        }
        None
    }

    fn is_stateless(&self, rule: Uuid) -> bool {
        let key = self.model.entry(rule).map(|entry| entry.key.as_str()).unwrap_or_default();
        key.contains("/chain/stateless/") || key.contains("/rule/inside/")
    }

    /// What leaves the tenant for the world.
    fn outside(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let own = match tenant.egress {
            Egress::SnatToLink => vec![Range::address(tenant.link.near)],
            Egress::SnatTo(first, last) => vec![Range { first: first.into(), last: last.into() }],
            Egress::None => tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr)).collect(),
        };
        let own = united(own);
        let name = bridge_name(sent.segment.key.as_str());
        let origin = Origin::Pod(sent.segment);
        let left = || sent.routed.iter().filter(|outcome| matches!(outcome.end, End::Left(_)));
        let foreign = left().find_map(|outcome| {
            let pods = between(outcome.path.sent(), &sent.segment.pods, &[Range::ADDRESSES]);
            let other = !rest(outcome.path.now().fields[SOURCE], &own).is_empty();
            let translated = outcome.path.header[SOURCE] >= 4;
            // An untranslated source is the pod's own only where the tenant has no translation.
            let other = if translated { other } else { other && tenant.egress != Egress::None };
            pods.first().copied().filter(|_| other)
        });
        if let Some(headers) = foreign {
            let message = format!("{name} can leave with an address that is not its tenant's own");
            self.no(Question::Outside, tenant, message, origin, &headers);
        }
        let wanted: Vec<Headers> = own_sources(sent.segment)
            .into_iter()
            .flat_map(|own| between(own, &[Range::ADDRESSES], &self.world_of(tenant)))
            .flat_map(connections)
            .collect();
        let said = oracle::allowed(tenant, oracle::End::Bridge(sent.at), oracle::End::World, wanted);
        let does: Vec<Headers> = left().map(|outcome| outcome.path.sent()).collect();
        if let Some(headers) = difference(said, &does).first() {
            let message = format!("the rules allow it, and it does not leave: {name} to the world");
            self.no(Question::Outside, tenant, message, origin, headers);
        }
        let lost = left().find_map(|outcome| {
            let End::Left(provider_port) = outcome.end else { return None };
            let uplink = self.model.uplink_of(provider_port)?;
            let mac = |port| self.model.world.port_mac(port);
            let start = (uplink.port, mac(provider_port)?, mac(uplink.port)?);
            self.lost(outcome, start, sent.segment, &self.world_of(tenant))
        });
        if let Some(headers) = lost {
            let message = format!("it leaves, and the answer is lost: {name} to the world");
            self.no(Question::Outside, tenant, message, origin, &headers);
        }
    }

    /// Addresses that nothing of the tenant's makes another place of than the world.
    fn world_of(&self, tenant: &Tenant) -> Vec<Range> {
        let bridges = tenant.bridges.iter().map(|bridge| bridge.cidr);
        let peers = tenant.peers.iter().flat_map(|peer| peer.networks.iter().copied());
        let routes = tenant.routes.iter().map(|route| route.destination);
        let links = self.subject.links.iter().copied().chain([tenant.link.network]);
        let exposed = tenant.exposes.iter().map(|expose| Ipv4Net::from(expose.public));
        let peer_links = tenant.peers.iter().map(|peer| peer.link.network);
        let taken = bridges.chain(peers).chain(routes).chain(links).chain(exposed).chain(peer_links);
        rest(Range::ADDRESSES, &united(taken.map(Range::network).collect()))
    }

    fn loops(&mut self, tenant: &Tenant, sent: &Sent<'_>) {
        let looped = |outcome: &&Outcome| matches!(outcome.end, End::Dropped { looped: true, .. });
        if let Some(outcome) = sent.routed.iter().find(looped) {
            let message =
                format!("what {} sends goes round in circles", bridge_name(sent.segment.key.as_str()));
            self.no(Question::Loops, tenant, message, Origin::Pod(sent.segment), &outcome.path.sent());
        }
    }

    /// What comes in from outside, whoever sends it: the world, or any other tenant.
    fn doors(&mut self, tenant: &Tenant, uplink: &Uplink, outcomes: &[Outcome]) {
        let open = oracle::doors(tenant);
        for outcome in outcomes {
            let Some(reached) = self.segment_at(&outcome.end) else { continue };
            let own = reached.key.tenant() == &*tenant.name;
            let open: &[Headers] = if own { &open } else { &[] };
            if let Some(headers) = difference(vec![outcome.path.sent()], open).first() {
                let message = format!(
                    "the world, and so every other tenant, reaches {}",
                    bridge_name(reached.key.as_str())
                );
                self.no(Question::Isolation, tenant, message, Origin::World, headers);
                break;
            }
        }
        let back = outcomes.iter().find(|outcome| {
            let to = outcome.path.now().fields[DESTINATION];
            matches!(outcome.end, End::Dropped { looped: true, .. })
                || (matches!(outcome.end, End::Left(port) if port == uplink.provider_port)
                    && uplink.destinations.iter().any(|own| own.common(to).is_some()))
        });
        if let Some(outcome) = back {
            let message =
                "what comes in for its public addresses goes back and forth with the provider".to_owned();
            self.no(Question::Loops, tenant, message, Origin::World, &outcome.path.sent());
        }
        self.exposed(tenant, outcomes);
    }

    /// Exposed ports are reached by everybody whom the rules let in.
    fn exposed(&mut self, tenant: &Tenant, outcomes: &[Outcome]) {
        let networks = united(tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr)).collect());
        let outside = rest(Range::ADDRESSES, &networks);
        for expose in &tenant.exposes {
            let port = Range::one(expose.target_port.into());
            let all = Headers::all(Range::ADDRESSES, Range::address(expose.address)).into_iter();
            let all = all.flat_map(|headers| between(headers, &outside, &[Range::ADDRESSES])).filter_map(
                |headers| {
                    let wanted = Headers {
                        protocols: Protocols::of(&[expose.protocol]),
                        fragments: Fragments::WHOLE,
                        ..headers
                    };
                    headers.common(wanted.with(DESTINATION_PORT, port))
                },
            );
            let to = oracle::End::Bridge(expose.bridge);
            let said = oracle::allowed(tenant, oracle::End::World, to, all.collect());
            let public = (Range::address(expose.public), Range::one(expose.public_port.into()));
            let as_sent = said
                .into_iter()
                .map(|headers| headers.with(DESTINATION, public.0).with(DESTINATION_PORT, public.1));
            let does: Vec<Headers> = outcomes
                .iter()
                .filter(|outcome| self.segment_at(&outcome.end).is_some())
                .map(|outcome| outcome.path.sent())
                .collect();
            if let Some(headers) = difference(as_sent.collect(), &does).first() {
                let message = format!("{}:{} is exposed, and not reached", expose.public, expose.public_port);
                self.no(Question::Connected, tenant, message, Origin::World, headers);
            }
        }
    }
}

/// People know whole packets better than fragments: what shows a violation is one where it can be.
pub(crate) fn whole_first(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    outcomes.sort_by_key(|outcome| outcome.path.fragments.and(Fragments::WHOLE).is_empty());
    outcomes
}

/// An address that is nobody's (TEST-NET-2): what a spoofed source looks like.
const FOREIGN: std::net::Ipv4Addr = std::net::Ipv4Addr::new(198, 51, 100, 66);

/// One address of a range that looks foreign: not the very first or last of all.
fn spoofed(range: Range) -> Range {
    let wanted = u32::from(FOREIGN);
    Range::one(if range.has(wanted) { wanted } else { range.first.max(1).min(range.last) })
}

/// TCP, UDP and echo requests of a set: what has answers, and is translated.
fn connections(headers: Headers) -> Vec<Headers> {
    let ports = Headers { protocols: headers.protocols.and(Protocols::of(&[6, 17])), ..headers };
    let echo = Headers { protocols: headers.protocols.and(Protocols::of(&[1])), ..headers };
    let echo = echo.fields[SOURCE_PORT].common(Range::one(8)).map(|kind| echo.with(SOURCE_PORT, kind));
    let echo = echo.and_then(|echo| {
        Some(echo.with(DESTINATION_PORT, echo.fields[DESTINATION_PORT].common(Range::one(0))?))
    });
    [Some(ports), echo].into_iter().flatten().filter(|headers| !headers.protocols.is_empty()).collect()
}

/// The parts of what arrived that have answers: whole TCP and UDP packets, and echo requests, between these addresses.
fn answered(outcome: &Outcome, sources: &[Range], destinations: &[Range]) -> Vec<Path> {
    let (whole, _) = outcome.path.clone().split_fragments(Fragments::WHOLE);
    let Some(whole) = whole else { return Vec::new() };
    let (ports, other) = whole.split_protocols(Protocols::of(&[6, 17]));
    let icmp = other.and_then(|other| other.split_protocols(Protocols::of(&[1])).0);
    let requests = icmp.and_then(|icmp| icmp.split_variable(SOURCE_PORT, Range::one(8)).0);
    let echo = requests.and_then(|echo| echo.split_variable(DESTINATION_PORT, Range::one(0)).0);
    let all = ports.into_iter().chain(echo);
    // The first variables are the packet as it was sent.
    let from = all.flat_map(|path| each(path, SOURCE, sources));
    from.flat_map(|path| each(path, DESTINATION, destinations)).collect()
}

fn each(path: Path, variable: usize, ranges: &[Range]) -> Vec<Path> {
    ranges.iter().filter_map(|range| path.clone().split_variable(variable, *range).0).collect()
}
