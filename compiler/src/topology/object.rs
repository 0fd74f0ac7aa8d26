//! Neutral objects: what a topology is made of, whatever dialect will carry it.
//!
//! An object refers to others by key. Fields are those of the MidoNet API that midoform speaks of; what it
//! does not speak of is left to the server. Sources: the recordings of MidoNet 1.7, 5.0.2 and 5.8
//! (`simulator/recordings`), which agree on the meaning of every field here.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::topology::key::Key;
use crate::values::{Encapsulation, MacAddress, PortRange};

/// A reference to another object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// An object of the same topology.
    Key(Key),
    /// An object that midoform does not make: the provider router, a host.
    External(Uuid),
}

impl Reference {
    /// The key, if the object is one of the topology's.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Reference::Key(key) => Some(key),
            Reference::External(_) => None,
        }
    }
}

impl From<&Key> for Reference {
    fn from(key: &Key) -> Self {
        Reference::Key(key.clone())
    }
}

/// One object of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Object {
    /// A tunnel zone: the set of hosts that may carry each other's traffic.
    TunnelZone(TunnelZone),
    /// A host's membership in a tunnel zone.
    TunnelZoneHost(TunnelZoneHost),
    /// A chain of rules.
    Chain(Chain),
    /// A router.
    Router(Device),
    /// A bridge.
    Bridge(Device),
    /// A port of a router.
    RouterPort(RouterPort),
    /// A port of a bridge.
    BridgePort(BridgePort),
    /// A link between two ports.
    PortLink(PortLink),
    /// A route of a router.
    Route(Route),
    /// A rule of a chain.
    Rule(Box<Rule>),
    /// A group of ports.
    PortGroup(PortGroup),
    /// A port's membership in a port group.
    PortGroupPort(PortGroupPort),
    /// A port's binding to an interface of a host.
    HostInterfacePort(HostInterfacePort),
}

/// A tunnel zone (`/tunnel_zones`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelZone {
    /// Its name, unique in the site (1.7 refuses a second one).
    pub name: String,
    /// `gre` or `vxlan`.
    pub encapsulation: Encapsulation,
}

/// A host in a tunnel zone (`/tunnel_zones/ID/hosts`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelZoneHost {
    /// The tunnel zone.
    pub zone: Reference,
    /// The host's id.
    pub host: Uuid,
    /// The address that the host's tunnels end at.
    pub address: Ipv4Addr,
}

/// A chain (`/chains`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
}

/// A router or a bridge (`/routers`, `/bridges`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
    /// The chain that what comes in is put to.
    pub inbound_filter: Option<Reference>,
    /// The chain that what goes out is put to.
    pub outbound_filter: Option<Reference>,
}

/// A router's port (`/routers/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterPort {
    /// The router.
    pub router: Reference,
    /// The port's own address.
    pub address: Ipv4Addr,
    /// The network that the port is on, without host bits.
    pub network: Ipv4Net,
}

/// A bridge's port (`/bridges/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePort {
    /// The bridge.
    pub bridge: Reference,
    /// The chain for what comes in by the port: from the pod or interface behind it.
    pub inbound_filter: Option<Reference>,
    /// The chain for what goes out by the port.
    pub outbound_filter: Option<Reference>,
}

/// A link (`POST /ports/ID/link`). It has no id of its own: it is a property of its two ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortLink {
    /// The port that the call names in its path.
    pub port: Reference,
    /// The port that the call names in its body.
    pub peer: Reference,
}

/// A route of a router (`/routers/ID/routes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The router.
    pub router: Reference,
    /// Which sources it is for.
    pub source: Ipv4Net,
    /// Which destinations it is for.
    pub destination: Ipv4Net,
    /// Where matching packets go.
    pub next_hop: NextHop,
    /// Of routes with the same destination the lowest weight wins.
    pub weight: u32,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextHop {
    /// Out by a port (type `Normal`): to the gateway, or to the destination itself where there is none.
    Port {
        /// The router's port.
        port: Reference,
        /// The gateway's address.
        gateway: Option<Ipv4Addr>,
    },
    /// Silently dropped.
    BlackHole,
    /// Dropped with an ICMP error to the sender.
    Reject,
}

/// A rule of a chain (`/chains/ID/rules`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The chain.
    pub chain: Reference,
    /// Its place in the chain: 1 is the first. Places in one chain are 1, 2, 3 …
    pub position: u32,
    /// What it matches: all conditions together.
    pub condition: Condition,
    /// What happens to what it matches.
    pub action: RuleAction,
}

/// What a rule matches. The default matches every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// In by one of these ports; empty: any.
    pub in_ports: Vec<Reference>,
    /// The ports in `in_ports` are those that do not match.
    pub not_in_ports: bool,
    /// Out by one of these ports; empty: any. Can't match in an inbound chain (no output port is known yet).
    pub out_ports: Vec<Reference>,
    /// The ports in `out_ports` are those that do not match.
    pub not_out_ports: bool,
    /// Source addresses.
    pub source: Option<Ipv4Net>,
    /// All but `source`.
    pub not_source: bool,
    /// Destination addresses.
    pub destination: Option<Ipv4Net>,
    /// All but `destination`.
    pub not_destination: bool,
    /// EtherType (2048 is IPv4).
    pub ethertype: Option<u16>,
    /// Source MAC address.
    pub source_mac: Option<MacAddress>,
    /// All but `source_mac`.
    pub not_source_mac: bool,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// TCP or UDP source ports, or the ICMP type.
    pub source_ports: Option<PortRange>,
    /// TCP or UDP destination ports, or the ICMP code.
    pub destination_ports: Option<PortRange>,
    /// Only packets that answer an earlier one. Starts connection tracking for what it looks at.
    pub return_flow: bool,
    /// Only packets that do not answer an earlier one. Starts connection tracking for what it looks at.
    pub forward_flow: bool,
    /// Which fragments it looks at; left to the server where absent.
    pub fragments: Option<FragmentPolicy>,
    /// Observed rules only: it has conditions that midoform does not speak of, so it is nobody's wish.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unspoken: bool,
}

/// MidoNet's `fragmentPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FragmentPolicy {
    /// All packets, whole or in fragments.
    Any,
    /// Whole packets and first fragments.
    Header,
    /// All but first fragments and whole packets.
    Nonheader,
    /// Whole packets only.
    Unfragmented,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Ends the device's chain: the packet goes on.
    Accept,
    /// Ends the packet silently.
    Drop,
    /// Ends the packet with an ICMP error to the sender.
    Reject,
    /// Goes back to the chain that jumped here; at the top, like accept.
    Return,
    /// Asks another chain, then goes on behind this rule.
    Jump {
        /// The chain.
        chain: Reference,
        /// Its name, which the recorded bodies carry besides the id (04-chain-rule).
        chain_name: String,
    },
    /// Translates the source.
    SourceNat(NatTarget, FlowAction),
    /// Translates the destination.
    DestinationNat(NatTarget, FlowAction),
    /// Undoes a source translation for an answer.
    ReverseSourceNat(FlowAction),
    /// Undoes a destination translation for an answer.
    ReverseDestinationNat(FlowAction),
}

/// Whether the chain goes on after a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowAction {
    /// The packet leaves the chain, accepted.
    Accept,
    /// The next rule is asked.
    Continue,
    /// Back to the chain that jumped here.
    Return,
}

/// What addresses and ports a translation may choose from, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatTarget {
    /// The first address.
    pub first: Ipv4Addr,
    /// The last address.
    pub last: Ipv4Addr,
    /// The ports.
    pub ports: PortRange,
}

/// A group of ports (`/port_groups`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortGroup {
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
    /// Whether its ports share flow state.
    pub stateful: bool,
}

/// A port in a port group (`/port_groups/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortGroupPort {
    /// The group.
    pub group: Reference,
    /// The port.
    pub port: Reference,
}

/// A binding (`/hosts/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInterfacePort {
    /// The host's id.
    pub host: Uuid,
    /// The interface's name on the host.
    pub interface: String,
    /// The bound port.
    pub port: Reference,
}

impl Condition {
    /// The same condition with what the server fills in written out of it: a fragment policy that is the
    /// server's default for a rule that does this (`unfragmented` where it translates, else `header` where ports are
    /// matched, else `any`; recordings 04-chain-rule, 09-nat-rules).
    #[must_use]
    pub fn canonical(&self, action: &RuleAction) -> Condition {
        let matches_ports = self.source_ports.is_some() || self.destination_ports.is_some();
        let default = match action {
            RuleAction::SourceNat(..) | RuleAction::DestinationNat(..) => FragmentPolicy::Unfragmented,
            _ if matches_ports => FragmentPolicy::Header,
            _ => FragmentPolicy::Any,
        };
        let fragments = self.fragments.filter(|policy| *policy != default);
        let mut sorted = Condition { fragments, ..self.clone() };
        sorted.in_ports.sort();
        sorted.out_ports.sort();
        sorted
    }
}
