//! A network: tenants whose names are resolved and whose addresses are all known. It is the input of `lower`.

pub mod address_ranges;
mod allocated_generations;
pub mod allocation;
pub mod check;
pub mod clash;
pub mod grown;
pub mod lock_file;
pub mod moved;
pub mod peering;
pub mod provider_use;
pub mod resolve;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::names::TenantName;
use crate::source::Span;
use crate::spec::special_addresses;
use crate::spec::{Action, AntiSpoof, Egress, Profile, Protocol};
use crate::values::{MacAddress, PortRange, ethertype};

/// The index of a bridge in [`Tenant::bridges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BridgeIndex(pub usize);

/// The index of a static port in [`Tenant::ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortIndex(pub usize);

/// The index of a peer in [`Tenant::peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerIndex(pub usize);

/// A tenant, ready to be compiled to objects. Lists keep the order of the spec; indexes point into these lists.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// MidoNet's `tenantId`.
    pub tenant_id: Arc<str>,
    /// The profile.
    pub profile: Profile,
    /// The checks of source addresses.
    pub anti_spoof: AntiSpoof,
    /// The EtherTypes that pass its bridges besides IPv4 and ARP.
    pub ethertypes: BTreeSet<u16>,
    /// True if a rule can match frames by their VLAN tag: 1.x has no such condition.
    pub matches_tags: bool,
    /// The MTU inside pods.
    pub mtu: u16,
    /// True if the tenant may not be destroyed.
    pub protect: bool,
    /// The NAT of traffic to the world.
    pub egress: Egress,
    /// The position of `egress` in the spec.
    pub egress_span: Span,
    /// The link to the provider router.
    pub link: Link,
    /// Bridges. Those that were added because another one was full come last.
    pub bridges: Vec<Bridge>,
    /// Static ports.
    pub ports: Vec<Port>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Address groups that have addresses.
    pub address_groups: Vec<AddressGroup>,
    /// Port groups.
    pub port_groups: Vec<PortGroup>,
    /// Exposed ports.
    pub exposes: Vec<Expose>,
    /// Peers that name this tenant back.
    pub peers: Vec<Peer>,
    /// Assertions.
    pub asserts: Vec<Assert>,
    /// The position of the name in the spec.
    pub span: Span,
}

/// Two addresses, joined by a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The far end: the provider router's, or the peer's.
    pub far: Ipv4Addr,
    /// The tenant router's end.
    pub near: Ipv4Addr,
    /// The network that both are on.
    pub network: Ipv4Net,
}

/// The weight of a strict tenant's own routes; a default route of the spec with a lower one wins.
const UPLINK_WEIGHT: u32 = 100;

impl Tenant {
    /// Returns the weight of the routes that the layout adds. The Go plugin sets none, which is 0.
    pub fn own_route_weight(&self) -> u32 {
        if self.profile == Profile::Strict { UPLINK_WEIGHT } else { 0 }
    }

    /// Returns true if frames with a VLAN tag are dropped.
    pub fn drops_tagged(&self) -> bool {
        self.profile == Profile::Strict && self.matches_tags && !self.ethertypes.contains(&ethertype::VLAN)
    }

    /// Returns the bridge with this index.
    pub fn bridge(&self, index: BridgeIndex) -> Option<&Bridge> {
        self.bridges.get(index.0)
    }

    /// Returns the networks that the spec routes through a bridge, each with its next hop.
    pub fn routed_through(&self, bridge: BridgeIndex) -> Vec<(Ipv4Net, Ipv4Addr)> {
        let through = self.routes.iter().filter_map(|route| match route.target {
            RouteTarget::Via(by, next_hop) if by == bridge => Some((route.destination, next_hop)),
            _ => None,
        });
        through.collect()
    }

    /// Returns the static port with this index.
    pub fn port(&self, index: PortIndex) -> Option<&Port> {
        self.ports.get(index.0)
    }

    /// Returns the peer with this index.
    pub fn peer(&self, index: PeerIndex) -> Option<&Peer> {
        self.peers.get(index.0)
    }

    /// Returns the bridges, each with its index.
    pub fn indexed_bridges(&self) -> impl Iterator<Item = (BridgeIndex, &Bridge)> {
        self.bridges.iter().enumerate().map(|(at, bridge)| (BridgeIndex(at), bridge))
    }

    /// Returns the index of this bridge, and then those of the bridges that were added because it was full.
    pub fn with_grown(&self, at: BridgeIndex) -> impl Iterator<Item = BridgeIndex> {
        let name = self.bridge(at).map(|bridge| Arc::clone(&bridge.name));
        let own =
            self.bridges.iter().rposition(|bridge| bridge.grown_from.is_none()).map_or(0, |last| last + 1);
        let added = self.bridges.iter().enumerate().skip(own);
        let added = added.filter(move |(_, bridge)| bridge.grown_from.is_some() && bridge.grown_from == name);
        std::iter::once(at).chain(added.map(|(place, _)| BridgeIndex(place)))
    }

    /// Returns the networks of [`Tenant::with_grown`].
    pub fn networks_with_grown(&self, at: BridgeIndex) -> impl Iterator<Item = Ipv4Net> {
        self.with_grown(at).filter_map(|at| self.bridge(at)).map(|bridge| bridge.cidr)
    }
}

/// A bridge.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Its name.
    pub name: Arc<str>,
    /// Its network.
    pub cidr: Ipv4Net,
    /// Its gateway's address.
    pub gateway: Ipv4Addr,
    /// The name of the bridge that it was added for, because that bridge was full. Everything that the spec says about
    /// that bridge applies to this one as well.
    pub grown_from: Option<Arc<str>>,
    /// False if the spec's network or gateway has an error: what depends on its addresses is not checked.
    pub is_sound: bool,
    /// Its position in the spec.
    pub span: Span,
}

impl Bridge {
    /// Returns true if pods can have addresses in its network. Otherwise an error has said so.
    pub fn has_usable_network(&self) -> bool {
        let length = self.cidr.prefix_len();
        self.is_sound && (8..=30).contains(&length) && special_addresses::range_of(self.cidr).is_none()
    }
}

/// A static port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: Arc<str>,
    /// Its bridge.
    pub bridge: BridgeIndex,
    /// The host's id.
    pub host: Uuid,
    /// The interface there.
    pub interface: String,
    /// The MAC address behind it.
    pub mac: MacAddress,
    /// The address behind it.
    pub address: Ipv4Addr,
    /// Its position in the spec.
    pub span: Span,
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The destinations of the route.
    pub destination: Ipv4Net,
    /// The next hop of their packets.
    pub target: RouteTarget,
    /// Its weight.
    pub weight: u32,
    /// Its position in the spec.
    pub span: Span,
}

/// The next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteTarget {
    /// To an address on a bridge.
    Via(BridgeIndex, Ipv4Addr),
    /// To the destination itself, on a bridge.
    Bridge(BridgeIndex),
    /// None: the packets are dropped.
    Blackhole,
    /// None: the packets are rejected with an ICMP error.
    Reject,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// The source of a connection.
    pub from: Selector,
    /// The destination of a connection.
    pub to: Selector,
    /// The protocols of a connection; empty: any.
    pub protocols: Vec<Protocol>,
    /// The action on packets that it matches.
    pub action: Action,
    /// True if replies pass without being matched by the rules.
    pub stateful: bool,
    /// Its position in the spec.
    pub span: Span,
}

/// One end of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// No selector.
    Anywhere,
    /// Behind the provider router.
    World,
    /// On a bridge.
    Bridge(BridgeIndex),
    /// In a peer's network.
    Peer(PeerIndex),
    /// At one of these addresses.
    Addresses(Vec<Ipv4Net>),
    /// At one of these static ports.
    Ports(Vec<PortIndex>),
}

/// A group of addresses. A rule that names it has its networks ([`Selector::Addresses`]).
#[derive(Clone, Debug)]
pub struct AddressGroup {
    /// Its name.
    pub name: Arc<str>,
    /// Its networks, sorted. They don't overlap.
    pub networks: Vec<Ipv4Net>,
    /// Its position in the spec.
    pub span: Span,
}

/// A group of static ports.
#[derive(Clone, Debug)]
pub struct PortGroup {
    /// Its name.
    pub name: Arc<str>,
    /// The ports.
    pub ports: Vec<PortIndex>,
    /// True if they share flow state.
    pub stateful: bool,
    /// Its position in the spec.
    pub span: Span,
}

/// A public port that leads to a pod.
#[derive(Clone, Debug)]
pub struct Expose {
    /// The public address.
    pub public: Ipv4Addr,
    /// The public port.
    pub public_port: u16,
    /// TCP (6) or UDP (17).
    pub protocol: u8,
    /// The pod's bridge.
    pub bridge: BridgeIndex,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The pod's port.
    pub target_port: u16,
    /// Its position in the spec.
    pub span: Span,
}

impl Expose {
    /// Returns the protocol's name.
    pub fn protocol_name(&self) -> &'static str {
        if self.protocol == 17 { "udp" } else { "tcp" }
    }

    /// Returns the pod's port as a range.
    pub fn target_range(&self) -> PortRange {
        PortRange { start: self.target_port, end: self.target_port }
    }
}

/// Another tenant that this one may talk to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The other tenant's name.
    pub name: TenantName,
    /// The own bridges that the other may reach.
    pub own_bridges: Vec<BridgeIndex>,
    /// The other's networks that may be reached.
    pub networks: Vec<Ipv4Net>,
    /// The link, seen from here.
    pub link: Link,
    /// True if the link object is this tenant's (the first of the two names owns it).
    pub owns_link: bool,
    /// Its position in the spec.
    pub span: Span,
}

/// An assertion that has to hold for the network.
#[derive(Clone, Debug)]
pub struct Assert {
    /// The source of a connection.
    pub from: Selector,
    /// The destination of a connection.
    pub to: Selector,
    /// The protocols of a connection; empty: any.
    pub protocols: Vec<Protocol>,
    /// True if all of it has to pass; false if none of it may.
    pub allowed: bool,
    /// Its position in the spec.
    pub span: Span,
}
