//! What is asked of every tenant. `docs/verify.md` explains each question.

mod answered;
mod apart;
mod outside;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde::Serialize;

use super::dead;
use super::header::{Fragments, Headers, Range};
use super::model::{Model, Segment, Uplink};
use super::reach::neighbourhood;
use super::walk::{End, Outcome, TooMany};
use super::witness::{self, Origin, pick};
use crate::trace::TraceReport;
use midoform_compiler::diagnostic::Code;
use midoform_compiler::network::{BridgeIndex, Tenant};
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, SITE};

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

    /// The name by which code hosts know a finding.
    pub fn code(self) -> Code {
        match self {
            Question::Isolation => Code::VerifyIsolation,
            Question::Links => Code::VerifyLinks,
            Question::Spoofing => Code::VerifySpoofing,
            Question::Connected => Code::VerifyConnected,
            Question::Closed => Code::VerifyClosed,
            Question::Outside => Code::VerifyOutside,
            Question::Loops => Code::VerifyLoops,
            Question::Dead => Code::VerifyDead,
        }
    }

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
    /// The tenants that it was made of, sorted by name.
    pub tenants: &'a [Tenant],
    /// The networks of link addresses.
    pub links: &'a [Ipv4Net],
}

impl<'a> Subject<'a> {
    /// The tenant with this name.
    pub(crate) fn tenant(self, name: &str) -> Option<&'a Tenant> {
        let place = self.tenants.binary_search_by(|tenant| (*tenant.name).cmp(name)).ok();
        place.and_then(|place| self.tenants.get(place))
    }
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
    let by_name: BTreeMap<&str, &Tenant> =
        group.iter().filter_map(|name| Some((*name, subject.tenant(name)?))).collect();
    let mut asking = Asking { subject, model: &model, group, by_name: &by_name, answers: Answers::default() };
    for (name, tenant) in &by_name {
        if let Err(TooMany) = asking.tenant(name, tenant) {
            asking.answers.unproven.push((*name).to_owned());
        }
    }
    asking.answers
}

/// Asks about what the tenants share: no destination leads to two of them.
pub fn ask_provider(topology: &Topology) -> Vec<Violation> {
    let mut owners: BTreeMap<(Ipv4Net, u32), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in topology.entries() {
        let midoform_compiler::topology::object::Object::Route(route) = &entry.object else { continue };
        let tenant = entry.key.owner();
        let own = route.router.key().is_some_and(|router| router.owner() == tenant);
        if own || tenant == SITE {
            continue;
        }
        let other = owners.insert((route.destination, route.weight), tenant).filter(|other| *other != tenant);
        if let Some(other) = other {
            let headers = Headers::all(Range::ADDRESSES, Range::network(route.destination));
            let both = BTreeSet::from([other, tenant]);
            let show = |headers: &Headers| witness::trace(topology, &both, Origin::World, pick(headers));
            found.push(Violation {
                question: Question::Isolation,
                tenant: tenant.to_owned(),
                message: format!(
                    "the provider router has equal routes to {} for {other} and {tenant}",
                    route.destination
                ),
                source: entry.provenance.clone(),
                trace: headers.first().and_then(show),
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
    at: BridgeIndex,
    segment: &'a Segment,
    /// To the gateway.
    routed: Vec<Outcome>,
    /// To a neighbour's MAC address.
    inside: Vec<Outcome>,
}

impl<'a> Asking<'a> {
    fn tenant(&mut self, name: &str, tenant: &Tenant) -> Result<(), TooMany> {
        let everything = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
        let segments = tenant.indexed_bridges().filter_map(|(at, bridge)| {
            let key = Key::tenant(name).bridge(&bridge.name).device();
            Some((at, self.model.segment(&key)?))
        });
        let sent: Vec<Sent<'a>> = segments
            .map(|(at, segment)| {
                Ok(Sent {
                    at,
                    segment,
                    routed: whole_first(self.model.sent_by_pod(segment, &everything)?),
                    inside: whole_first(self.model.inside(segment, &everything)?),
                })
            })
            .collect::<Result<_, TooMany>>()?;
        let uplinks = self.model.uplinks.iter().filter(|uplink| uplink.tenant == name);
        let incoming: Vec<(&Uplink, Vec<Outcome>)> = uplinks
            .map(|uplink| {
                let headers: Vec<Headers> =
                    uplink.destinations.iter().flat_map(|to| Headers::all(Range::ADDRESSES, *to)).collect();
                Ok((uplink, self.model.sent_by_world(uplink, &headers)?))
            })
            .collect::<Result<_, TooMany>>()?;
        for sent in &sent {
            self.isolation(tenant, sent);
            self.links(tenant, sent);
            self.spoofing(tenant, sent);
            self.between_bridges(tenant, sent)?;
            self.outside(tenant, sent)?;
            self.loops(tenant, sent);
        }
        for (uplink, outcomes) in &incoming {
            self.doors(tenant, uplink, outcomes);
        }
        self.answers.violations.extend(dead::rules_and_routes(self.model, tenant));
        Ok(())
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
        let router = self.subject.topology.get(Key::tenant(&tenant.name).router().as_str());
        let own = router.and_then(|router| router.provenance.clone());
        // What another tenant does with the packet is not this one's line.
        let by_rule = trace.as_ref().and_then(|trace| match &trace.ending {
            crate::trace::Ending::Dropped { source, .. } => source.clone(),
            _ => None,
        });
        let by_rule = by_rule.filter(|rule| own.as_ref().is_none_or(|own| own.file == rule.file));
        let source = by_rule.or(own);
        let tenant = tenant.name.to_string();
        self.answers.violations.push(Violation { question, tenant, message, source, trace });
    }

    fn segment_at(&self, end: &End) -> Option<&'a Segment> {
        match end {
            End::Delivered(ports) => ports.first().and_then(|port| self.model.segment_of(*port)),
            _ => None,
        }
    }
}

/// People know whole packets better than fragments: what shows a violation is one where it can be.
pub(crate) fn whole_first(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    outcomes.sort_by_key(|outcome| outcome.path.fragments.and(Fragments::WHOLE).is_empty());
    outcomes
}
