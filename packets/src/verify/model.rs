//! Some tenants of a topology as a world of their own: what is behind their bridges may be any pod, and the provider's
//! router is where the walk ends.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::header::{Headers, Range, united};
use super::index::{Attached, Index};
use super::path::Path;
use super::rows::{Places, Rows};
use super::segment::{Segment, Uplink, addresses_of_pods};
use super::sets::Sets;
use super::walk::{BUDGET, Outcome, TooMany, Walker};
use crate::ovn::has_rows;
use crate::semantics::world::World;
use crate::semantics::{Frame, entry_of, id_of};
use midoform_compiler::network::Tenant;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{ChainKey, KeyView, RuleKey, TenantKey};
use midoform_compiler::topology::kinds::{NextHop, Object, Reference};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::values::MacAddress;

/// Some tenants of a topology.
pub(crate) struct Model<'t> {
    pub(crate) topology: &'t Topology,
    pub(crate) world: World,
    attached: Vec<Attached>,
    boundary: BTreeSet<Uuid>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) uplinks: Vec<Uplink>,
    /// By the ports of its pods, the place of each segment.
    by_port: BTreeMap<Uuid, usize>,
    by_key: BTreeMap<Key, usize>,
    /// By the provider's ports, the place of each uplink.
    by_provider_port: BTreeMap<Uuid, usize>,
    index: Arc<Index>,
    /// The sets of all packets that are sent.
    pub(crate) sets: Rc<Sets>,
    keeps_rules: bool,
    /// The rules of the spec that may drop replies: stateless ones, and those inside a bridge.
    pub(crate) stateless: BTreeSet<Uuid>,
    /// OVN's rows, if the topology is of these. Then the world has no device.
    pub(crate) rows: Option<Rows>,
}

impl<'t> Model<'t> {
    /// Makes the model of the tenants with these names. `specs` has their specs, as far as these are known.
    pub(crate) fn new(topology: &'t Topology, tenants: &BTreeSet<&str>, specs: &[Tenant]) -> Model<'t> {
        if has_rows(topology) {
            return Model::of_rows(topology, Places::new(topology, tenants, specs));
        }
        let mut world = World::of_part(topology, tenants.iter().copied());
        let boundary = boundary(topology, tenants);
        let mut segments = Vec::new();
        let mut attached = Vec::new();
        for entry in entries(topology, tenants) {
            if let (Object::Bridge(_), Some(id)) = (&entry.object, id_of(topology, &(&entry.key).into())) {
                segments.push(segment(topology, &mut world, &mut attached, entry, id));
            }
        }
        let uplinks = uplinks(topology, tenants, &world, &boundary);
        let index = Arc::new(Index::new(&world, &attached));
        let stateless = entries(topology, tenants).filter(|entry| drops_replies(entry));
        let stateless = stateless.filter_map(|entry| id_of(topology, &(&entry.key).into())).collect();
        let model = Model::of_places(topology, (segments, uplinks), stateless);
        Model { world, attached, boundary, index, ..model }
    }

    fn of_rows(topology: &'t Topology, places: Places) -> Model<'t> {
        let Places { rows, segments, uplinks, stateless } = places;
        let model = Model::of_places(topology, (segments, uplinks), stateless);
        Model { rows: Some(rows), ..model }
    }

    /// Makes a model without devices.
    fn of_places(
        topology: &'t Topology,
        (segments, uplinks): (Vec<Segment>, Vec<Uplink>),
        stateless: BTreeSet<Uuid>,
    ) -> Model<'t> {
        let ports = |(at, segment): (usize, &Segment)| [(segment.pod, at), (segment.neighbour, at)];
        let by_port = segments.iter().enumerate().flat_map(ports).collect();
        let by_key = segments.iter().enumerate().map(|(at, segment)| (segment.key.clone(), at)).collect();
        let by_provider_port = uplinks.iter().enumerate().map(|(at, uplink)| (uplink.provider_port, at));
        let by_provider_port = by_provider_port.collect();
        let world = World::default();
        Model {
            topology,
            index: Arc::new(Index::new(&world, &[])),
            world,
            attached: Vec::new(),
            boundary: BTreeSet::new(),
            segments,
            uplinks,
            by_port,
            by_key,
            by_provider_port,
            sets: Rc::default(),
            keeps_rules: false,
            stateless,
            rows: None,
        }
    }

    /// Lets every path note the rules that its packets match.
    #[must_use]
    pub(crate) fn keeping_rules(self) -> Model<'t> {
        Model { keeps_rules: true, ..self }
    }

    /// Shares the sets of another model, so that packets of both can be compared.
    #[must_use]
    pub(crate) fn with_sets_of(self, other: &Model<'_>) -> Model<'t> {
        Model { sets: Rc::clone(&other.sets), ..self }
    }

    /// Returns a walker of this model.
    pub(crate) fn walker(&self) -> Walker<'_> {
        Walker {
            world: &self.world,
            attached: &self.attached,
            boundary: &self.boundary,
            first_choice: false,
            budget: Cell::new(BUDGET),
            index: Arc::clone(&self.index),
            sets: &self.sets,
            keeps_rules: self.keeps_rules,
            stateless: &self.stateless,
        }
    }

    /// Sends packets into their path's ingress port, and returns all outcomes.
    pub(crate) fn follow(&self, path: Path) -> Result<Vec<Outcome>, TooMany> {
        self.follow_all([path])
    }

    /// Does the same for several paths. They share what a walk may cost.
    fn follow_all(&self, paths: impl IntoIterator<Item = Path>) -> Result<Vec<Outcome>, TooMany> {
        let mut outcomes = Vec::new();
        match &self.rows {
            Some(rows) => {
                let walker = rows.walker(&self.sets, self.keeps_rules, &self.stateless);
                for path in paths {
                    outcomes.extend(walker.follow(path)?);
                }
            }
            None => {
                let walker = self.walker();
                for path in paths {
                    outcomes.extend(walker.follow(path)?);
                }
            }
        }
        Ok(outcomes)
    }

    /// Returns the reason why nothing is proven, if it is another one than the number of rules.
    pub(crate) fn failure(&self) -> Option<String> {
        self.rows.as_ref().and_then(Rows::failure)
    }

    /// Forgets the sets of all packets, if they take much memory. No set that was made before may be used again.
    pub(crate) fn renew(&self) {
        self.rows.iter().for_each(Rows::forget);
        self.sets.renew();
    }

    /// Returns the MAC address of a port.
    pub(crate) fn port_mac(&self, port: Uuid) -> Option<MacAddress> {
        match &self.rows {
            Some(rows) => rows.port_mac(port),
            None => self.world.port_mac(port),
        }
    }

    /// Sends packets from a pod of a segment to its gateways, and returns the outcomes.
    pub(crate) fn sent_by_pod(
        &self,
        segment: &Segment,
        headers: &[Headers],
    ) -> Result<Vec<Outcome>, TooMany> {
        let gateways = segment.gateways.iter();
        let path = |mac: MacAddress| {
            let path = move |own: &Headers| Path::new(*own, segment.pod, segment.pod_mac, mac);
            headers.iter().map(path)
        };
        self.follow_all(gateways.flat_map(|(_, mac)| path(*mac)))
    }

    /// Sends packets from a pod of a segment to another pod there, and returns the outcomes.
    pub(crate) fn inside(&self, segment: &Segment, headers: &[Headers]) -> Result<Vec<Outcome>, TooMany> {
        let path = |own: &Headers| Path::new(*own, segment.pod, segment.pod_mac, segment.neighbour_mac);
        self.follow_all(headers.iter().map(path))
    }

    /// Sends frames of one kind into a port, to these MAC addresses, and returns the outcomes.
    pub(crate) fn frames(
        &self,
        (port, source): (Uuid, MacAddress),
        destinations: &[MacAddress],
        frame: Frame,
        headers: &[Headers],
    ) -> Result<Vec<Outcome>, TooMany> {
        let path = |destination: &MacAddress| {
            let destination = *destination;
            headers.iter().map(move |own| Path::new(*own, port, source, destination).of_kind(frame))
        };
        self.follow_all(destinations.iter().flat_map(path))
    }

    /// Sends packets into an uplink, and returns the outcomes.
    pub(crate) fn sent_by_world(
        &self,
        uplink: &Uplink,
        headers: &[Headers],
    ) -> Result<Vec<Outcome>, TooMany> {
        let mac = |port: Uuid| self.port_mac(port).unwrap_or(MacAddress([0; 6]));
        let (source, destination) = (mac(uplink.provider_port), mac(uplink.port));
        let path = |own: &Headers| Path::new(*own, uplink.port, source, destination);
        self.follow_all(headers.iter().map(path))
    }

    /// Returns the segment that a pod's port belongs to.
    pub(crate) fn segment_of(&self, port: Uuid) -> Option<&Segment> {
        self.by_port.get(&port).and_then(|at| self.segments.get(*at))
    }

    /// Returns the segment of this bridge.
    pub(crate) fn segment(&self, key: &Key) -> Option<&Segment> {
        self.by_key.get(key).and_then(|at| self.segments.get(*at))
    }

    /// Returns true if what enters by a port comes from a boundary device, where walks end.
    pub(crate) fn is_from_boundary(&self, port: Uuid) -> bool {
        self.world.peer_device(port).is_some_and(|device| self.boundary.contains(&device))
    }

    /// Returns the uplink whose provider's port this is.
    pub(crate) fn uplink_of(&self, provider_port: Uuid) -> Option<&Uplink> {
        self.by_provider_port.get(&provider_port).and_then(|at| self.uplinks.get(*at))
    }

    /// Returns the object that has this id.
    pub(crate) fn entry(&self, id: Uuid) -> Option<&'t Entry> {
        entry_of(self.topology, id)
    }
}

/// Returns the entries of these tenants.
fn entries<'t>(
    topology: &'t Topology,
    tenants: &BTreeSet<&str>,
) -> impl Iterator<Item = &'t Entry> + use<'t> {
    let all: Vec<&Entry> =
        tenants.iter().flat_map(|tenant| topology.of_tenant(tenant)).map(|(_, entry)| entry).collect();
    all.into_iter()
}

/// Returns true for a rule of the spec that may drop replies.
fn drops_replies(entry: &Entry) -> bool {
    entry.object.stops_packets()
        && matches!(
            entry.key.view(),
            KeyView::Tenant(
                _,
                TenantKey::Rule(ChainKey::Stateless, _) | TenantKey::Rule(_, RuleKey::Inside { .. })
            )
        )
}

/// Returns the routers at the edge that are not the tenants' own.
fn boundary(topology: &Topology, tenants: &BTreeSet<&str>) -> BTreeSet<Uuid> {
    let mut found = BTreeSet::new();
    for entry in entries(topology, tenants) {
        let Object::RouterPort(port) = &entry.object else { continue };
        let own = port.router.key().is_some_and(|key| tenants.contains(key.owner()));
        if !own {
            found.extend(id_of(topology, &port.router));
        }
    }
    found
}

fn segment(
    topology: &Topology,
    world: &mut World,
    attached: &mut Vec<Attached>,
    entry: &Entry,
    id: Uuid,
) -> Segment {
    let ports = world.devices.get(&id).map(|bridge| bridge.ports.clone()).unwrap_or_default();
    let peers = ports.iter().filter_map(|port| world.ports.get(port)?.peer);
    let routers: Vec<_> = peers.filter_map(|peer| world.ports.get(&peer)).collect();
    let gateways: Vec<_> = routers.iter().filter_map(|port| Some((port.address?, port.mac))).collect();
    let networks: Vec<Ipv4Net> = routers.iter().filter_map(|port| port.network).collect();
    let pods = addresses_of_pods(&networks, &gateways);
    let address = pods.first().map_or(Ipv4Addr::UNSPECIFIED, |range| Ipv4Addr::from(range.first));
    let mut pod = || world.attach_pod(topology, (id, &entry.key), address);
    let (pod, neighbour) = (pod(), pod());
    attached.push(Attached { port: pod.port, mac: pod.mac, addresses: pods.clone() });
    attached.push(Attached { port: neighbour.port, mac: neighbour.mac, addresses: Vec::new() });
    Segment {
        key: entry.key.clone(),
        networks,
        gateways,
        pods,
        pod: pod.port,
        pod_mac: pod.mac,
        neighbour: neighbour.port,
        neighbour_mac: neighbour.mac,
    }
}

fn uplinks(
    topology: &Topology,
    tenants: &BTreeSet<&str>,
    world: &World,
    boundary: &BTreeSet<Uuid>,
) -> Vec<Uplink> {
    let mut routed: BTreeMap<Uuid, Vec<Range>> = BTreeMap::new();
    for entry in entries(topology, tenants) {
        let Object::Route(route) = &entry.object else { continue };
        let by_provider = id_of(topology, &route.router).is_some_and(|router| boundary.contains(&router));
        if let (true, NextHop::Port { port, .. }) = (by_provider, &route.next_hop)
            && let Some(port) = id_of(topology, port)
        {
            routed.entry(port).or_default().push(Range::network(route.destination));
        }
    }
    let mut found = Vec::new();
    for entry in entries(topology, tenants) {
        let Some(id) = id_of(topology, &Reference::from(&entry.key)) else { continue };
        let Some(port) = world.ports.get(&id).filter(|port| boundary.contains(&port.device)) else {
            continue;
        };
        let Some(peer) = port.peer else { continue };
        found.push(Uplink {
            tenant: entry.key.owner().into(),
            provider_port: id,
            port: peer,
            destinations: united(routed.remove(&id).unwrap_or_default()),
        });
    }
    found
}
