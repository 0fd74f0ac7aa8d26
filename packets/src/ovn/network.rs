//! The network that the rows of OVN's northbound database describe, as far as packets depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use midoform_compiler::ovn::expression::Sets;
use midoform_compiler::ovn::expression::meaning::{Condition, Contents};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::MacAddress;

/// A position in [`Network::switches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SwitchIndex(pub usize);

/// A position in [`Network::switch_ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SwitchPortIndex(pub usize);

/// A position in [`Network::routers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouterIndex(pub usize);

/// A position in [`Network::router_ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouterPortIndex(pub usize);

/// Switches, routers and their ports.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The switches, in the order of their keys.
    pub switches: Vec<Switch>,
    /// The ports of all switches.
    pub switch_ports: Vec<SwitchPort>,
    /// The routers, in the order of their keys. A router without a row of its own (somebody else's provider router) is among them, if a
    /// row is held by it.
    pub routers: Vec<Router>,
    /// The ports of all routers.
    pub router_ports: Vec<RouterPort>,
    /// The address sets by name.
    pub address_sets: BTreeMap<String, Vec<Ipv4Net>>,
    /// The port groups by name: the names of their ports.
    pub port_groups: BTreeMap<String, BTreeSet<String>>,
    /// What OVN can't do as a row says: the row is left out, as OVN leaves it out.
    pub faults: Vec<Fault>,
    pub(super) switches_by_row: BTreeMap<Reference, SwitchIndex>,
    pub(super) routers_by_row: BTreeMap<Reference, RouterIndex>,
    pub(super) switch_ports_by_name: BTreeMap<String, SwitchPortIndex>,
    pub(super) router_ports_by_name: BTreeMap<String, RouterPortIndex>,
    pub(super) switch_ports_by_key: BTreeMap<Key, SwitchPortIndex>,
    pub(super) router_ports_by_key: BTreeMap<Key, RouterPortIndex>,
}

/// A row that OVN can't use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The row.
    pub key: Key,
    /// The reason.
    pub reason: String,
}

/// A switch.
#[derive(Clone, Debug)]
pub struct Switch {
    /// Its row.
    pub row: Reference,
    /// Its ports.
    pub ports: Vec<SwitchPortIndex>,
    /// The ACLs of packets that come from a port, highest priority first.
    pub from_port: Vec<Acl>,
    /// The ACLs of packets to a port, highest priority first.
    pub to_port: Vec<Acl>,
    /// The load balancers.
    pub load_balancers: Vec<LoadBalancer>,
    /// True if frames with a VLAN tag pass.
    pub passes_tags: bool,
}

impl Switch {
    /// Returns true if one of its ACLs accepts connections with their replies: then the switch tracks all IP packets.
    pub fn has_stateful_acl(&self) -> bool {
        self.from_port.iter().chain(&self.to_port).any(|acl| acl.action == AclAction::AllowRelated)
    }
}

/// An access control list's entry.
#[derive(Clone, Debug)]
pub struct Acl {
    /// Its key.
    pub key: Key,
    /// Its priority.
    pub priority: i64,
    /// Its match, as it is written.
    pub text: String,
    /// Its match.
    pub condition: Condition,
    /// Its action.
    pub action: AclAction,
    /// True for one in the direction from a port that sees destinations behind the switch's load balancers.
    pub is_after_balancing: bool,
}

/// The action of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclAction {
    /// Accepts the packet.
    Allow,
    /// Accepts the packet, its connection and the replies.
    AllowRelated,
    /// Accepts the packet without connection tracking.
    AllowStateless,
    /// Drops the packet.
    Drop,
    /// Drops the packet, and tells the sender.
    Reject,
}

/// A port of a switch.
#[derive(Clone, Debug)]
pub struct SwitchPort {
    /// Its key; none for one that was attached for a trace.
    pub key: Option<Key>,
    /// Its name.
    pub name: String,
    /// Its switch.
    pub switch: SwitchIndex,
    /// What is behind it.
    pub kind: SwitchPortKind,
    /// The MAC addresses behind it, each with the addresses for which OVN answers ARP requests.
    pub addresses: Vec<(MacAddress, Vec<Ipv4Addr>)>,
    /// True if frames to a MAC address that no port has go to it.
    pub has_unknown: bool,
    /// What it may send and receive; empty: anything.
    pub security: Vec<Security>,
}

/// What is behind a switch's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchPortKind {
    /// An interface of a host.
    Interface,
    /// A router's port, by its name.
    Router(String),
    /// A physical network.
    Localnet {
        /// Its name.
        network: String,
        /// Its VLAN.
        tag: Option<u16>,
    },
}

/// What a port may send and receive: a MAC address, with addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// The MAC address.
    pub mac: MacAddress,
    /// The addresses; empty: any.
    pub networks: Vec<Ipv4Net>,
}

/// A router.
#[derive(Clone, Debug)]
pub struct Router {
    /// Its row.
    pub row: Reference,
    /// Its ports.
    pub ports: Vec<RouterPortIndex>,
    /// Its static routes.
    pub routes: Vec<StaticRoute>,
    /// Its policies, highest priority first.
    pub policies: Vec<Policy>,
    /// Its translations.
    pub translations: Vec<Translation>,
    /// The load balancers.
    pub load_balancers: Vec<LoadBalancer>,
}

/// A port of a router.
#[derive(Clone, Debug)]
pub struct RouterPort {
    /// Its key.
    pub key: Key,
    /// Its name.
    pub name: String,
    /// Its router.
    pub router: RouterIndex,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its addresses, with their networks.
    pub networks: Vec<Ipv4Net>,
    /// The router's port that it is linked to.
    pub peer: Option<RouterPortIndex>,
    /// The switch's port that it is linked to.
    pub switch_port: Option<SwitchPortIndex>,
    /// The gateway chassis, highest priority first: if there is one, the port is a distributed gateway port.
    pub gateway_chassis: Vec<String>,
    /// The largest packet in bytes that goes out by it.
    pub mtu: Option<u32>,
}

impl RouterPort {
    /// Returns true if the address is one of the port's own.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.networks.iter().any(|network| network.addr() == address)
    }
}

/// A static route.
#[derive(Clone, Debug)]
pub struct StaticRoute {
    /// Its key.
    pub key: Key,
    /// The destinations.
    pub destination: Ipv4Net,
    /// The next hop; none: the packets are dropped.
    pub next_hop: Option<Ipv4Addr>,
    /// The port by which the next hop is reached.
    pub port: Option<RouterPortIndex>,
}

/// A policy of a router.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its key.
    pub key: Key,
    /// Its priority.
    pub priority: i64,
    /// Its match, as it is written.
    pub text: String,
    /// Its match.
    pub condition: Condition,
    /// True if it drops packets; otherwise they pass.
    pub drops: bool,
}

/// A source translation of a router.
#[derive(Clone, Debug)]
pub struct Translation {
    /// Its key.
    pub key: Key,
    /// The new address.
    pub external: Ipv4Addr,
    /// The old addresses.
    pub logical: Ipv4Net,
}

/// A load balancer of one public address and port.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    /// Its key.
    pub key: Key,
    /// The IP protocol.
    pub protocol: u8,
    /// The public address and port.
    pub public: (Ipv4Addr, u16),
    /// The targets.
    pub targets: Vec<(Ipv4Addr, u16)>,
}

impl Network {
    /// Returns a switch.
    pub fn switch(&self, at: SwitchIndex) -> Option<&Switch> {
        self.switches.get(at.0)
    }

    /// Returns a router.
    pub fn router(&self, at: RouterIndex) -> Option<&Router> {
        self.routers.get(at.0)
    }

    /// Returns a port of a switch.
    pub fn switch_port(&self, at: SwitchPortIndex) -> Option<&SwitchPort> {
        self.switch_ports.get(at.0)
    }

    /// Returns a port of a router.
    pub fn router_port(&self, at: RouterPortIndex) -> Option<&RouterPort> {
        self.router_ports.get(at.0)
    }

    /// Returns the switch with this row.
    pub fn switch_of(&self, row: &Reference) -> Option<SwitchIndex> {
        self.switches_by_row.get(row).copied()
    }

    /// Returns the router with this row.
    pub fn router_of(&self, row: &Reference) -> Option<RouterIndex> {
        self.routers_by_row.get(row).copied()
    }

    /// Returns the port of a switch with this name.
    pub fn switch_port_named(&self, name: &str) -> Option<SwitchPortIndex> {
        self.switch_ports_by_name.get(name).copied()
    }

    /// Returns the port of a router with this name.
    pub fn router_port_named(&self, name: &str) -> Option<RouterPortIndex> {
        self.router_ports_by_name.get(name).copied()
    }

    /// Returns the port of a switch with this key.
    pub fn switch_port_of(&self, key: &Key) -> Option<SwitchPortIndex> {
        self.switch_ports_by_key.get(key).copied()
    }

    /// Returns the port of a router with this key.
    pub fn router_port_of(&self, key: &Key) -> Option<RouterPortIndex> {
        self.router_ports_by_key.get(key).copied()
    }

    /// Returns the router's port that a switch's port leads to.
    pub fn behind(&self, port: &SwitchPort) -> Option<RouterPortIndex> {
        match &port.kind {
            SwitchPortKind::Router(name) => self.router_port_named(name),
            SwitchPortKind::Interface | SwitchPortKind::Localnet { .. } => None,
        }
    }

    /// Returns the port of a router by which a static route leads; none if its next hop is on no network of the router.
    pub fn port_of_route(&self, router: &Router, route: &StaticRoute) -> Option<RouterPortIndex> {
        let next_hop = route.next_hop?;
        let is_near = |at: &RouterPortIndex| {
            let port = self.router_port(*at);
            port.is_some_and(|port| port.networks.iter().any(|network| network.contains(&next_hop)))
        };
        route.port.or_else(|| router.ports.iter().copied().find(is_near))
    }
}

impl Sets for Network {
    fn has_address_set(&self, name: &str) -> bool {
        let of_group = name.strip_suffix("_ip4").is_some_and(|group| self.port_groups.contains_key(group));
        of_group || self.address_sets.contains_key(name)
    }

    fn has_port_group(&self, name: &str) -> bool {
        self.port_groups.contains_key(name)
    }
}

impl Contents for Network {
    fn addresses(&self, set: &str) -> Vec<Ipv4Net> {
        if let Some(networks) = self.address_sets.get(set) {
            return networks.clone();
        }
        let group = set.strip_suffix("_ip4").and_then(|group| self.port_groups.get(group));
        let ports = group.into_iter().flatten();
        let ports = ports.filter_map(|name| self.switch_port(self.switch_port_named(name)?));
        let addresses = ports.flat_map(|port| &port.addresses).flat_map(|(_, addresses)| addresses);
        addresses.map(|address| (*address).into()).collect()
    }

    fn ports(&self, group: &str) -> BTreeSet<String> {
        self.port_groups.get(group).cloned().unwrap_or_default()
    }
}
