//! OVN: sets of packets through the rows of its northbound database.
//!
//! It gives the same kind of outcomes as the walk through MidoNet's objects, so the checks are the same for both engines. The rows are
//! read here ([`read`]), independent of the interpreter of one packet. A row that the sets can't say makes all of it unproven.

mod decide;
mod decided;
pub(crate) mod matches;
pub(crate) mod network;
mod read;
mod router;
mod switch;
mod tracking;
mod walk;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::header::{Fragments, Headers, Protocols, Range, SOURCE_PORT, rest, united};
use super::packet_set::PacketSet;
use super::segment::{Segment, Uplink, addresses_of_pods};
use super::sets::Sets;
use crate::ovn::read::network_of;
use crate::semantics::id_of;
use decided::Known;
use midoform_compiler::network::{BridgeIndex, RouteTarget, Tenant};
use midoform_compiler::spec::AntiSpoof;
use midoform_compiler::topology::key::view::{BridgeKey, KeyView, TenantKey, UplinkKey};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Reference, Row};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::values::MacAddress;
use network::{Allowed, Network, Station, SwitchPort};
pub(crate) use router::NO_HOSTS;
pub(crate) use switch::ICMP6;
use tracking::REQUESTS;
use walk::Walker;

/// The beginning of the ids of the pods that stand for any.
const PODS: u128 = 0x6f76_6e2d_706f_6473 << 64;
/// The beginning of their MAC addresses.
const POD_MAC: [u8; 2] = [0x02, 0xab];

/// The rows of some tenants, and what was computed of them.
pub(crate) struct Rows {
    network: Network,
    known: Known,
    failure: RefCell<Option<String>>,
}

/// The rows with the places that packets are sent from.
pub(crate) struct Places {
    pub(crate) rows: Rows,
    pub(crate) segments: Vec<Segment>,
    pub(crate) uplinks: Vec<Uplink>,
    /// The rows of the spec that may drop replies.
    pub(crate) stateless: BTreeSet<Uuid>,
}

/// Returns the tenant that a row links its own to: the one whose router's port is the peer, if midoform made it. A port whose name says
/// nothing of its tenant is found by nobody, and the sets then say so.
pub(crate) fn linked_tenant<'e>(entry: &Entry, row: &'e Row) -> Option<&'e str> {
    let (_, key) = row.text_of("peer").filter(|_| row.table == Table::LogicalRouterPort)?.split_once(':')?;
    key.split('/').next().filter(|owner| *owner != entry.key.owner())
}

/// Returns the packets by which a host asks for an address (DHCP). Port security lets them pass, whatever addresses it names.
pub(crate) fn asking_for_an_address() -> PacketSet {
    let fields = switch::ASKING;
    let (protocols, fragments) = (Protocols::of(&[17]), Fragments::ALL);
    PacketSet::of(&Headers { protocols, fragments, fields })
}

/// Returns the name of the spec's rule that a row comes from.
pub(crate) fn rule_of(entry: &Entry) -> Option<&str> {
    let table = entry.object.row()?.table;
    let path = entry.key.path();
    let of_list = match table {
        Table::Acl => path.split_once("/acl/")?.1.split_once('/')?.1,
        Table::LogicalRouterPolicy => path.strip_prefix("router/policy/")?,
        _ => return None,
    };
    let (kind, rule) = of_list.split_once('/')?;
    ["rule", "inside", "world"].contains(&kind).then(|| rule.split('/').next().unwrap_or(rule))
}

impl Places {
    /// Reads the rows of some tenants. `specs` has their specs, as far as these are known: they tell what port security pods get.
    pub(crate) fn new(topology: &Topology, tenants: &BTreeSet<&str>, specs: &[Tenant]) -> Places {
        let entries: Vec<&Entry> =
            tenants.iter().flat_map(|tenant| topology.of_tenant(tenant)).map(|(_, entry)| entry).collect();
        let read = read::network(topology, entries.iter().copied());
        let (mut network, failure) = match read {
            Ok(network) => (network, None),
            Err(problem) => (Network::default(), Some(problem)),
        };
        let by_name: BTreeMap<&str, &Tenant> = specs.iter().map(|tenant| (&*tenant.name, tenant)).collect();
        let mut segments = Vec::new();
        for entry in &entries {
            let KeyView::Tenant(tenant, TenantKey::Bridge(name, BridgeKey::Device)) = entry.key.view() else {
                continue;
            };
            let Some(id) = id_of(topology, &Reference::from(&entry.key)) else { continue };
            let spec = by_name.get(tenant).and_then(|tenant| {
                let (at, _) = tenant.indexed_bridges().find(|(_, bridge)| *bridge.name == *name)?;
                Some((*tenant, at))
            });
            if network.switches.contains_key(&id) {
                segments.push(segment(&mut network, (id, entry), spec, segments.len()));
            }
        }
        let uplinks = uplinks(topology, &entries, &network);
        let drops_replies = |entry: &&Entry| {
            entry.object.row().is_some_and(|row| {
                row.table == Table::LogicalRouterPolicy && row.text_of("action") == Some("drop")
            }) && rule_of(entry).is_some()
        };
        let stateless = entries.iter().copied().filter(drops_replies);
        let stateless = stateless.filter_map(|entry| id_of(topology, &Reference::from(&entry.key))).collect();
        let rows = Rows { network, known: Known::default(), failure: RefCell::new(failure) };
        Places { rows, segments, uplinks, stateless }
    }
}

impl Rows {
    /// Returns the reason why nothing is proven, if there is one.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Forgets what was computed with sets that are not valid any more.
    pub(crate) fn forget(&self) {
        self.known.clear();
    }

    pub(crate) fn port_mac(&self, port: Uuid) -> Option<MacAddress> {
        self.network.router_ports.get(&port).map(|port| port.mac)
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the switch of a segment.
    pub(crate) fn switch_of(&self, segment: &Segment) -> Option<Uuid> {
        self.network.switch_ports.get(&segment.pod).map(|port| port.switch)
    }

    pub(crate) fn is_of_router(&self, port: Uuid) -> bool {
        self.network.switch_ports.get(&port).is_some_and(|port| port.router_port.is_some())
    }

    /// Returns a walker of the rows.
    pub(crate) fn walker<'w>(
        &'w self,
        sets: &'w Sets,
        keeps_rules: bool,
        stateless: &'w BTreeSet<Uuid>,
    ) -> Walker<'w> {
        Walker::new((&self.network, sets), keeps_rules, stateless, &self.known, &self.failure)
    }
}

/// Attaches two pods to a switch, which stand for any.
fn segment(
    network: &mut Network,
    (id, entry): (Uuid, &Entry),
    spec: Option<(&Tenant, BridgeIndex)>,
    number: usize,
) -> Segment {
    let ports = network.switches.get(&id).map(|switch| switch.ports.clone()).unwrap_or_default();
    let of_router = |port: &Uuid| {
        let end = network.switch_ports.get(port)?.router_port?;
        network.router_ports.get(&end)
    };
    let routers: Vec<_> = ports.iter().filter_map(of_router).collect();
    let ends = || routers.iter().flat_map(|port| port.addresses.iter().map(|own| (*own, port.mac)));
    let gateways: Vec<(Ipv4Addr, MacAddress)> = ends().map(|((address, _), mac)| (address, mac)).collect();
    let networks: Vec<Ipv4Net> = ends().map(|((_, network), _)| network.trunc()).collect();
    let pods = addresses_of_pods(&networks, &gateways);
    let mut attach = |second: bool| {
        let number = u32::try_from(2 * number + usize::from(second)).unwrap_or(u32::MAX);
        let port = Uuid::from_u128(PODS | u128::from(number));
        let [a, b, c, d] = number.to_be_bytes();
        let [first, family] = POD_MAC;
        let mac = MacAddress([first, family, a, b, c, d]);
        let addresses = spec.and_then(|(tenant, at)| any_pod(tenant, at));
        let has_unknown = spec.is_none_or(|(tenant, _)| tenant.anti_spoof == AntiSpoof::None);
        let allowed = addresses.into_iter().map(|own| Allowed { mac, addresses: Some(own) }).collect();
        let row = SwitchPort {
            switch: id,
            router_port: None,
            macs: BTreeSet::from([mac]),
            has_unknown,
            allowed,
            is_station: true,
        };
        network.switch_ports.insert(port, row);
        network.stations.insert(port, Station { mac, addresses: pods.clone() });
        if let Some(switch) = network.switches.get_mut(&id) {
            switch.ports.push(port);
        }
        (port, mac)
    };
    let ((pod, pod_mac), (neighbour, neighbour_mac)) = (attach(false), attach(true));
    let key = entry.key.clone();
    Segment { key, networks, gateways, pods, pod, pod_mac, neighbour, neighbour_mac }
}

/// Returns the addresses that the pods of a bridge may use, as midoform writes their port security; none if it is not checked. With
/// `anti_spoof = "port"` each pod has some of these.
fn any_pod(tenant: &Tenant, at: BridgeIndex) -> Option<Vec<Range>> {
    let bridge = tenant.bridge(at).filter(|_| tenant.anti_spoof != AntiSpoof::None)?;
    let by_it = |target| matches!(target, RouteTarget::Via(by, _) if by == at);
    let routed = tenant.routes.iter().filter(|route| by_it(route.target)).map(|route| route.destination);
    Some(united(routed.chain([bridge.cidr]).map(Range::network).collect()))
}

/// Returns the links from routers of others, with the destinations that these route there: by static routes, and those of the link's
/// own network.
fn uplinks(topology: &Topology, entries: &[&Entry], network: &Network) -> Vec<Uplink> {
    let mut routed: BTreeMap<&str, Vec<Range>> = BTreeMap::new();
    for row in entries.iter().filter_map(|entry| entry.object.row()) {
        let is_of_others = row
            .holder
            .as_ref()
            .and_then(|holder| id_of(topology, &holder.row))
            .is_none_or(|router| !network.routers.contains_key(&router));
        if row.table != Table::LogicalRouterStaticRoute || !is_of_others {
            continue;
        }
        let destination = row.text_of("ip_prefix").and_then(|text| network_of(text).ok());
        if let (Some(port), Some(destination)) = (row.text_of("output_port"), destination) {
            routed.entry(port).or_default().push(Range::network(destination));
        }
    }
    let mut found = Vec::new();
    for entry in entries {
        let is_far =
            matches!(entry.key.view(), KeyView::Tenant(_, TenantKey::Uplink(UplinkKey::ProviderPort)));
        let (Some(id), Some(row)) = (id_of(topology, &Reference::from(&entry.key)), entry.object.row())
        else {
            continue;
        };
        let Some(port) = network.router_ports.get(&id).filter(|_| is_far) else { continue };
        let Some(peer) = port.peer else { continue };
        let mut destinations = row.text_of("name").and_then(|name| routed.remove(name)).unwrap_or_default();
        for (own, network) in &port.addresses {
            destinations.extend(rest(Range::network(*network), &[Range::address(*own)]));
        }
        found.push(Uplink {
            tenant: entry.key.owner().into(),
            provider_port: id,
            port: peer,
            destinations: united(destinations),
        });
    }
    found
}

/// Returns those of these packets that may begin a connection: OVN takes others of ICMP for invalid.
pub(crate) fn beginning(all: Vec<Headers>) -> Vec<Headers> {
    let icmp = Protocols::of(&[1]);
    let one = |headers: Headers| {
        let others = Headers { protocols: headers.protocols.without(icmp), ..headers };
        let messages = Headers { protocols: headers.protocols.and(icmp), ..headers };
        let requests = REQUESTS.iter().filter_map(move |kind| {
            let kind = messages.fields.get(SOURCE_PORT)?.common(Range::one(*kind))?;
            Some(messages.with(SOURCE_PORT, kind))
        });
        requests.chain([others]).filter(|headers| !headers.protocols.is_empty()).collect::<Vec<_>>()
    };
    all.into_iter().flat_map(one).collect()
}
