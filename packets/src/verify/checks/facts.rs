//! A tenant, and what follows from its spec for all of its segments.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::verify::box_index::BoxIndex;
use crate::verify::header::{DESTINATION, EVERYTHING, Range, common, rest, united};
use crate::verify::model::Model;
use crate::verify::report::Subject;
use crate::verify::rows;
use crate::verify::segment::Segment;
use crate::verify::spec_rules::SpecRules;
use midoform_compiler::network::{BridgeIndex, RouteTarget, Tenant};
use midoform_compiler::spec::{Action, AntiSpoof, Egress, Profile};
use midoform_compiler::topology::key::Key;

/// A tenant, and what follows from its spec for all of its segments.
pub(super) struct TenantFacts<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) rules: SpecRules<'a>,
    /// The destinations of its own routes.
    pub(super) routed: Vec<Range>,
    /// The destinations of its routes by each bridge.
    routed_by: BTreeMap<BridgeIndex, Vec<Range>>,
    /// The destinations of its routes by each address of a bridge.
    routed_via: BTreeMap<(BridgeIndex, Ipv4Addr), Vec<Range>>,
    /// The public addresses of each bridge's exposed ports.
    exposed: BTreeMap<BridgeIndex, Vec<Range>>,
    /// The source addresses that its packets have outside.
    pub(super) sources: Vec<Range>,
    /// The names of its rules that drop or reject.
    pub(super) closing: BTreeSet<&'a str>,
    /// The addresses that are outside for it.
    pub(super) world: Vec<Range>,
    /// The link addresses that are not its own.
    pub(super) links: Vec<Range>,
    /// Its bridges that have a segment, and the places of these by their networks.
    pub(super) segments: BTreeMap<BridgeIndex, &'a Segment>,
    networks: BoxIndex,
}

impl<'a> TenantFacts<'a> {
    pub(super) fn new(subject: Subject<'_>, model: &'a Model<'a>, tenant: &'a Tenant) -> TenantFacts<'a> {
        let segments: BTreeMap<BridgeIndex, &Segment> = tenant
            .indexed_bridges()
            .filter_map(|(at, bridge)| {
                let key = Key::tenant(&tenant.name).bridge(&bridge.name).device();
                Some((at, model.segment(&key)?))
            })
            .collect();
        let network = |(at, segment): (&BridgeIndex, &&Segment)| {
            let ranges = segment.networks.iter().map(|network| Range::network(*network));
            let at = at.0;
            ranges.map(move |range| (at, EVERYTHING.with(DESTINATION, range))).collect::<Vec<_>>()
        };
        let own = [Range::address(tenant.link.near)];
        let pools: Vec<Range> = united(subject.links.iter().map(|pool| Range::network(*pool)).collect());
        let routed = tenant.routes.iter().map(|route| Range::network(route.destination));
        let (mut routed_by, mut routed_via) = (BTreeMap::new(), BTreeMap::new());
        for route in &tenant.routes {
            let destination = Range::network(route.destination);
            if let RouteTarget::Via(by, _) | RouteTarget::Bridge(by) = route.target {
                routed_by.entry(by).or_insert_with(Vec::new).push(destination);
            }
            if let RouteTarget::Via(by, address) = route.target {
                routed_via.entry((by, address)).or_insert_with(Vec::new).push(destination);
            }
        }
        let mut exposed: BTreeMap<BridgeIndex, Vec<Range>> = BTreeMap::new();
        for expose in &tenant.exposes {
            exposed.entry(expose.bridge).or_default().push(Range::address(expose.public));
        }
        let closing = tenant.rules.iter().filter(|rule| rule.action != Action::Accept);
        TenantFacts {
            tenant,
            rules: SpecRules::new(tenant),
            routed: united(routed.collect()),
            routed_by,
            routed_via,
            exposed: exposed.into_iter().map(|(at, public)| (at, united(public))).collect(),
            sources: united(sources_outside(tenant)),
            closing: closing.map(|rule| &*rule.name).collect(),
            world: match model.rows {
                // OVN's routers pass no packets to these.
                Some(_) => common(&world_of(subject, tenant), &rest(Range::ADDRESSES, &rows::NO_HOSTS)),
                None => world_of(subject, tenant),
            },
            links: pools.iter().flat_map(|pool| rest(*pool, &own)).collect(),
            networks: BoxIndex::new(segments.iter().flat_map(network)),
            segments,
        }
    }

    /// Returns the destinations of the tenant's routes by a bridge.
    pub(super) fn routed_by(&self, at: BridgeIndex) -> &[Range] {
        self.routed_by.get(&at).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the destinations of the tenant's routes by an address of a bridge.
    pub(super) fn routed_via(&self, at: BridgeIndex, address: Ipv4Addr) -> &[Range] {
        self.routed_via.get(&(at, address)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the public addresses of a bridge's exposed ports: sorted, disjoint ranges.
    pub(super) fn exposed(&self, at: BridgeIndex) -> &[Range] {
        self.exposed.get(&at).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the sources from which nothing comes by the uplink on OVN: those of no host, the routers' own, and where sources vouch for
    /// places the networks that the spec routes and those of peers.
    pub(super) fn no_sources_outside(&self) -> Vec<Range> {
        let tenant = self.tenant;
        let links = tenant.peers.iter().map(|peer| peer.link.network).chain([tenant.link.network]);
        let mut found: Vec<Range> = links.map(Range::network).chain(rows::NO_HOSTS).collect();
        let is_open = tenant.profile == Profile::Strict && tenant.egress == Egress::None;
        if tenant.anti_spoof != AntiSpoof::None || is_open {
            found.extend(&self.routed);
            let peers = tenant.peers.iter().flat_map(|peer| &peer.networks);
            found.extend(peers.map(|network| Range::network(*network)));
        }
        found
    }

    /// Returns the bridges with some of these destinations: sorted ranges.
    pub(super) fn bridges(&self, asked: &[Range]) -> BTreeMap<BridgeIndex, &'a Segment> {
        if asked == [Range::ADDRESSES] {
            return self.segments.clone();
        }
        let places = asked.iter().flat_map(|range| self.networks.all(&EVERYTHING.with(DESTINATION, *range)));
        let indexes = places.map(BridgeIndex);
        indexes.filter_map(|at| Some((at, *self.segments.get(&at)?))).collect()
    }
}

/// Returns the addresses that are outside for the tenant.
fn world_of(subject: Subject<'_>, tenant: &Tenant) -> Vec<Range> {
    let bridges = tenant.bridges.iter().map(|bridge| bridge.cidr);
    let peers = tenant.peers.iter().flat_map(|peer| peer.networks.iter().copied());
    let routes = tenant.routes.iter().map(|route| route.destination);
    let links = subject.links.iter().copied().chain([tenant.link.network]);
    let exposed = tenant.exposes.iter().map(|expose| Ipv4Net::from(expose.public));
    let peer_links = tenant.peers.iter().map(|peer| peer.link.network);
    let taken = bridges.chain(peers).chain(routes).chain(links).chain(exposed).chain(peer_links);
    rest(Range::ADDRESSES, &united(taken.map(Range::network).collect()))
}

fn sources_outside(tenant: &Tenant) -> Vec<Range> {
    match tenant.egress {
        Egress::SnatToLink => vec![Range::address(tenant.link.near)],
        Egress::SnatTo(first, last) => vec![Range { first: first.into(), last: last.into() }],
        Egress::None => tenant.bridges.iter().map(|bridge| Range::network(bridge.cidr)).collect(),
    }
}
