//! `[[assert]]`: statements that have to hold for the network, independent of the rules.

use super::checks::whole_first;
use super::counterexample::{self, Origin, Picked, pick};
use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Range, SOURCE, SOURCE_PORT, rest, united,
};
use super::model::Model;
use super::packet_set::{Fields, PacketSet, difference};
use super::path::Path;
use super::reach::linked_tenants;
use super::report::Subject;
use super::rows;
use super::segment::Segment;
use super::spec_rules::carried;
use super::walk::{End, Outcome, TooMany};
use crate::trace::{Ending, TraceReport};
use ipnet::Ipv4Net;
use midoform_compiler::Compiled;
use midoform_compiler::diagnostic::{Code, Diagnostic, Diagnostics};
use midoform_compiler::network::{Assert, BridgeIndex, PeerIndex, Selector, Tenant};
use midoform_compiler::topology::key::view::{BridgeKey, KeyView, TenantKey};

/// Checks the assertions of a compiled project, and returns it if all of them hold.
///
/// # Errors
/// Returns every diagnostic of the project where an assertion does not hold or can't be decided.
pub fn enforce(compiled: Compiled) -> Result<Compiled, Vec<Diagnostic>> {
    let links: Vec<Ipv4Net> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    let found = check(subject);
    if found.is_empty() {
        return Ok(compiled);
    }
    let mut all = Diagnostics::default();
    compiled.warnings.into_iter().chain(found).for_each(|diagnostic| all.push(diagnostic));
    Err(all.into_sorted())
}

/// Checks every assertion against the topology, and returns an error for each that does not hold.
pub fn check(subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for tenant in subject.tenants.iter().filter(|tenant| !tenant.asserts.is_empty()) {
        let group = linked_tenants(subject.topology, &tenant.name);
        let model = Model::new(subject.topology, &group, subject.tenants);
        let checker = Checker { subject, tenant, model: &model, group: &group };
        found.extend(tenant.asserts.iter().filter_map(|assert| checker.check(assert)));
    }
    found
}

struct Checker<'a> {
    subject: Subject<'a>,
    tenant: &'a Tenant,
    model: &'a Model<'a>,
    group: &'a std::collections::BTreeSet<&'a str>,
}

/// A sender of packets, with its source addresses.
struct Start<'a> {
    origin: Origin<'a>,
    sources: Vec<Range>,
}

impl<'a> Checker<'a> {
    fn check(&self, assert: &Assert) -> Option<Diagnostic> {
        let mut seen = false;
        for start in self.starts(&assert.from) {
            seen |= !start.sources.is_empty();
            let Ok(outcomes) = self.outcomes(&start).map(whole_first) else {
                return Some(self.undecided(assert));
            };
            let found = match assert.allowed {
                false => self.passing(assert, &outcomes),
                true => self.missing(assert, &start, &outcomes),
            };
            if self.model.sets.is_full() || self.model.failure().is_some() {
                return Some(self.undecided(assert));
            }
            if let Some(packets) = found {
                let picked = pick(&packets.first(&self.model.sets)?);
                let trace = counterexample::trace(self.subject, self.group, start.origin, picked);
                return Some(failed(assert, trace, &picked));
            }
        }
        if !seen {
            let message = "the assertion matches no packet: nothing sends from this selector";
            return Some(Diagnostic::error(Code::AssertionEmpty, assert.span, message));
        }
        None
    }

    fn undecided(&self, assert: &Assert) -> Diagnostic {
        let (why, help) = match self.model.failure() {
            Some(why) => (why, "`midoform verify` tells what else is not proven"),
            None => (
                "the tenant has too many rules to verify".to_owned(),
                "make the assertion narrower, or split the tenant's rules",
            ),
        };
        let message = format!("the assertion can't be decided: {why}");
        Diagnostic::error(Code::AssertionUndecided, assert.span, message).help(help)
    }

    /// Returns the pods, and the world, that a selector selects.
    fn starts(&self, selector: &Selector) -> Vec<Start<'a>> {
        let own = |segment: &Segment| segment.key.owner() == &*self.tenant.name;
        let pods = |segment: &'a Segment, networks: &[Range]| Start {
            origin: Origin::Pod(segment),
            sources: segment
                .pods
                .iter()
                .flat_map(|pods| networks.iter().filter_map(|network| network.common(*pods)))
                .collect(),
        };
        let segments = self.model.segments.iter();
        let mut found: Vec<Start<'a>> = match selector {
            Selector::Anywhere | Selector::World => Vec::new(),
            Selector::Bridge(at) => segments
                .filter(|segment| self.is_of_bridge(segment, *at))
                .map(|segment| pods(segment, &[Range::ADDRESSES]))
                .collect(),
            Selector::Peer(at) => {
                let name = self.tenant.peer(*at).map(|peer| &*peer.name);
                let theirs = segments.filter(|segment| Some(segment.key.owner()) == name);
                theirs.map(|segment| pods(segment, &self.peer_networks(*at))).collect()
            }
            Selector::Addresses(networks) => {
                let networks: Vec<Range> = united(networks.iter().map(|net| Range::network(*net)).collect());
                segments.filter(|segment| own(segment)).map(|segment| pods(segment, &networks)).collect()
            }
            Selector::Ports(ports) => {
                let ports = ports.iter().filter_map(|at| self.tenant.port(*at));
                let all = ports.flat_map(|port| {
                    let segments = self.model.segments.iter();
                    let there = segments.filter(|segment| self.is_bridge(segment, port.bridge));
                    there.map(|segment| pods(segment, &[Range::address(port.address)])).collect::<Vec<_>>()
                });
                all.collect()
            }
        };
        let outside = self.outside();
        match selector {
            Selector::World => found.push(Start { origin: Origin::World, sources: outside }),
            Selector::Addresses(networks) => {
                let networks = networks.iter().map(|network| Range::network(*network));
                let sources = networks
                    .flat_map(|network| {
                        outside.iter().filter_map(move |range| range.common(network)).collect::<Vec<_>>()
                    })
                    .collect();
                found.push(Start { origin: Origin::World, sources });
            }
            _ => {}
        }
        found.retain(|start| !start.sources.is_empty());
        found
    }

    /// Returns true if the segment is this bridge, or a bridge that was added because this one was full.
    fn is_of_bridge(&self, segment: &Segment, at: BridgeIndex) -> bool {
        self.tenant.with_grown(at).any(|at| self.is_bridge(segment, at))
    }

    fn is_bridge(&self, segment: &Segment, at: BridgeIndex) -> bool {
        let KeyView::Tenant(tenant, TenantKey::Bridge(name, BridgeKey::Device)) = segment.key.view() else {
            return false;
        };
        let bridge = self.tenant.bridge(at);
        *tenant == *self.tenant.name && bridge.is_some_and(|bridge| *bridge.name == *name)
    }

    fn peer_networks(&self, at: PeerIndex) -> Vec<Range> {
        let peer = self.tenant.peer(at);
        peer.into_iter().flat_map(|peer| &peer.networks).map(|network| Range::network(*network)).collect()
    }

    /// Returns the addresses that no pod of these tenants has.
    fn outside(&self) -> Vec<Range> {
        let networks = self.model.segments.iter().flat_map(|segment| &segment.networks);
        rest(Range::ADDRESSES, &united(networks.map(|network| Range::network(*network)).collect()))
    }

    fn outcomes(&self, start: &Start<'_>) -> Result<Vec<Outcome>, TooMany> {
        let all = |to: Range| {
            start.sources.iter().flat_map(move |from| Headers::all(*from, to)).collect::<Vec<_>>()
        };
        match start.origin {
            Origin::World => {
                let uplinks = self.model.uplinks.iter().filter(|uplink| uplink.tenant == *self.tenant.name);
                let mut outcomes = Vec::new();
                for uplink in uplinks {
                    let headers: Vec<Headers> = uplink.destinations.iter().flat_map(|to| all(*to)).collect();
                    outcomes.extend(self.model.sent_by_world(uplink, &headers)?);
                }
                Ok(outcomes)
            }
            // Static ports are treated as pods.
            Origin::Port(..) => Ok(Vec::new()),
            Origin::Pod(segment) => {
                let near = segment.pods.iter().flat_map(|pods| all(*pods)).collect::<Vec<_>>();
                let far = rest(Range::ADDRESSES, &segment.pods).into_iter().flat_map(all).collect::<Vec<_>>();
                let mut outcomes = self.model.inside(segment, &near)?;
                outcomes.extend(self.model.sent_by_pod(segment, &far)?);
                Ok(outcomes)
            }
        }
    }

    /// Returns the destinations with which packets that end here are sent to the selector; none if they end elsewhere.
    fn at(&self, end: &End, selector: &Selector) -> Vec<Range> {
        let everywhere = vec![Range::ADDRESSES];
        let segment = match end {
            End::Delivered(ports) => ports.first().and_then(|port| self.model.segment_of(*port)),
            _ => None,
        };
        match (selector, segment, end) {
            (Selector::World, None, End::Left(_)) | (Selector::Anywhere, Some(_), _) => everywhere,
            (Selector::Bridge(at), Some(segment), _) if self.is_of_bridge(segment, *at) => everywhere,
            (Selector::Peer(at), Some(segment), _) => {
                let peer = self.tenant.peer(*at);
                let there = peer.is_some_and(|peer| segment.key.owner() == &*peer.name);
                if there { everywhere } else { Vec::new() }
            }
            (Selector::Addresses(networks), Some(_), _)
            | (Selector::Addresses(networks), None, End::Left(_)) => {
                networks.iter().map(|network| Range::network(*network)).collect()
            }
            (Selector::Ports(ports), Some(segment), _) => {
                let ports = ports.iter().filter_map(|at| self.tenant.port(*at));
                let there = ports.filter(|port| self.is_bridge(segment, port.bridge));
                there.map(|port| Range::address(port.address)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns a packet that passes although none may. Its protocol and ports are those at its arrival.
    fn passing(&self, assert: &Assert, outcomes: &[Outcome]) -> Option<PacketSet> {
        let sets = &self.model.sets;
        for outcome in outcomes {
            let ranges = self.at(&outcome.end, &assert.to);
            for carried in carried(&assert.protocols) {
                if outcome.path.protocols.and(carried.protocols).is_empty() {
                    continue;
                }
                let (path, _) = outcome.path.clone().split_protocols(carried.protocols);
                let path = path.and_then(|path| path.split(sets, SOURCE_PORT, carried.fields[SOURCE_PORT]).0);
                let port = carried.fields[DESTINATION_PORT];
                let path = path.and_then(|path| path.split(sets, DESTINATION_PORT, port).0);
                let Some(path) = path else { continue };
                let hit = ranges.iter().find_map(|range| path.clone().split(sets, DESTINATION, *range).0);
                if let Some(path) = hit {
                    return Some(path.sent());
                }
            }
        }
        None
    }

    /// Returns a packet that does not pass although all have to.
    fn missing(&self, assert: &Assert, start: &Start<'_>, outcomes: &[Outcome]) -> Option<PacketSet> {
        let sets = &self.model.sets;
        let whole = |headers: &Headers| Headers { fragments: Fragments::WHOLE, ..*headers };
        let from_world = matches!(start.origin, Origin::World);
        let mut passing: Vec<PacketSet> = Vec::new();
        for outcome in outcomes.iter().filter(|outcome| !self.at(&outcome.end, &assert.to).is_empty()) {
            passing.push(match from_world {
                true => self.as_inside(&outcome.path),
                false => outcome.path.sent(),
            });
        }
        let destinations = if from_world { vec![Range::ADDRESSES] } else { self.destinations(&assert.to) };
        let destinations = united(destinations);
        let wanted = carried(&assert.protocols).into_iter().flat_map(|carried| {
            let all = Headers::all(Range::ADDRESSES, Range::ADDRESSES);
            // OVN takes an answer without a connection for invalid.
            let all = if self.model.rows.is_some() { rows::beginning(all) } else { all }.into_iter();
            let all = all.filter_map(move |headers| headers.common(whole(&carried)));
            let all = all.filter_map(|headers| {
                let packets = PacketSet::of(&headers).within(sets, SOURCE, &start.sources)?;
                packets.within(sets, DESTINATION, &destinations)
            });
            all.collect::<Vec<_>>()
        });
        let missing = difference(sets, wanted.collect(), &passing).first().copied()?;
        // An address that is routed here: the provider routes no other here.
        let public = self.model.uplinks.iter().filter(|uplink| uplink.tenant == *self.tenant.name);
        let public = public.flat_map(|uplink| uplink.destinations.first()).next().filter(|_| from_world);
        let routed = public.and_then(|public| missing.within(sets, DESTINATION, &[*public]));
        Some(routed.unwrap_or(missing))
    }

    /// Returns packets from outside as they are asked about: a selector is reached by any address that leads to it, at the
    /// port that it has inside.
    fn as_inside(&self, path: &Path) -> PacketSet {
        let sets = &self.model.sets;
        let sent = path.sent();
        let mut set = sets.any(sent.fields.set(sets), DESTINATION);
        if path.header[DESTINATION_PORT] != DESTINATION_PORT {
            let port = sets.field(DESTINATION_PORT, path.field(DESTINATION_PORT));
            set = sets.common(sets.any(set, DESTINATION_PORT), port);
        }
        PacketSet { fields: Fields::Diagram(set), ..sent }
    }

    /// Returns the addresses of a selector, as a sender inside uses them.
    fn destinations(&self, selector: &Selector) -> Vec<Range> {
        let pods = |at: BridgeIndex| {
            let there = self.model.segments.iter().filter(|segment| self.is_of_bridge(segment, at));
            there.flat_map(|segment| segment.pods.clone()).collect::<Vec<_>>()
        };
        match selector {
            Selector::Bridge(at) => pods(*at),
            Selector::Peer(at) => {
                let networks = self.peer_networks(*at);
                let theirs = self.model.segments.iter().filter(|segment| {
                    segment.networks.iter().any(|network| networks.contains(&Range::network(*network)))
                        && segment.key.owner() != &*self.tenant.name
                });
                theirs.flat_map(|segment| segment.pods.clone()).collect()
            }
            Selector::Addresses(networks) => {
                networks.iter().map(|network| Range::network(*network)).collect()
            }
            Selector::Ports(ports) => {
                let ports = ports.iter().filter_map(|at| self.tenant.port(*at));
                ports.map(|port| Range::address(port.address)).collect()
            }
            Selector::World => self.public(),
            Selector::Anywhere => Vec::new(),
        }
    }

    /// Returns the addresses that can only be outside: no private ones, and none that the spec uses otherwise.
    fn public(&self) -> Vec<Range> {
        let private = [
            (0, 0, 8),
            (10, 0, 8),
            (100, 64, 10),
            (127, 0, 8),
            (169, 254, 16),
            (172, 16, 12),
            (192, 168, 16),
            (224, 0, 3),
        ];
        let private = private.into_iter().filter_map(|(a, b, length)| {
            ipnet::Ipv4Net::new(std::net::Ipv4Addr::new(a, b, 0, 0), length).ok()
        });
        let tenant = self.tenant;
        let own = tenant.bridges.iter().map(|bridge| bridge.cidr).chain(self.subject.links.iter().copied());
        let own = own.chain(tenant.exposes.iter().map(|expose| expose.public.into()));
        let own = own.chain(tenant.peers.iter().flat_map(|peer| peer.networks.iter().copied()));
        rest(Range::ADDRESSES, &united(private.chain(own).map(Range::network).collect()))
    }
}

fn failed(assert: &Assert, trace: Option<TraceReport>, picked: &Picked) -> Diagnostic {
    let says = if assert.allowed { "does not pass" } else { "passes" };
    let Some(trace) = trace else {
        let message = format!("the assertion does not hold: {} {says}", picked.in_words());
        return Diagnostic::error(Code::AssertionFailed, assert.span, message);
    };
    let message = format!("the assertion does not hold: {} from {} {says}", trace.packet, trace.from);
    let mut diagnostic =
        Diagnostic::error(Code::AssertionFailed, assert.span, message).here(format!("{}", trace.ending));
    let decides = match &trace.ending {
        Ending::Dropped { rule: Some(_), .. } | Ending::Rejected { rule: Some(_), .. } => None,
        _ => trace.hops.iter().flat_map(|hop| &hop.rules).rfind(|rule| rule.matched && rule.source.is_some()),
    };
    if let Some(rule) = decides {
        let source = rule.source.as_ref().map(ToString::to_string).unwrap_or_default();
        diagnostic = diagnostic.help(format!("decided by the rule {} ({source})", rule.rule));
    } else if !assert.allowed {
        diagnostic = diagnostic.help("no rule matches the packet, and unmatched packets pass");
    }
    diagnostic.help("`midoform trace` shows the packet's path, rule by rule")
}
