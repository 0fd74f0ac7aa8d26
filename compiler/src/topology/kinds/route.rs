//! Routes of routers.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::{Malformed, malformed_address, malformed_length, network, raw};
use super::{Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference};

/// A route of a router (`/routers/ID/routes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The router.
    pub router: Reference,
    /// The source addresses that it matches.
    pub source: Ipv4Net,
    /// The destinations that it matches.
    pub destination: Ipv4Net,
    /// The next hop of matching packets.
    pub next_hop: NextHop,
    /// The weight. Of several routes with the same destination, the one with the lowest weight is used.
    pub weight: u32,
}

/// The next hop of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextHop {
    /// A port (type `Normal`): packets go to the gateway, or to the destination itself if there is no gateway.
    Port {
        /// The router's port.
        port: Reference,
        /// The gateway's address.
        gateway: Option<Ipv4Addr>,
    },
    /// Packets are dropped silently.
    BlackHole,
    /// Packets are rejected with an ICMP error to the sender.
    Reject,
}

impl Route {
    /// Returns the port that packets leave by.
    pub fn port(&self) -> Option<&Reference> {
        match &self.next_hop {
            NextHop::Port { port, .. } => Some(port),
            NextHop::BlackHole | NextHop::Reject => None,
        }
    }
}

impl Resource for Route {
    const KIND: Kind = Kind::Route;
    const NAME: &'static str = "route";
    /// 1.x responds with an id of its own in `Location` (recording v1.7/07).
    const IDENTITY: Identity = Identity::Id { below: "routes", kept_by_1x: false };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.Route-v1+json");

    type Json = RouteJson;

    fn collection_path(router: &str) -> String {
        format!("/routers/{router}/routes")
    }

    fn read(json: &RouteJson, listed: &Listed<'_>) -> Option<Self> {
        let next_hop = match json.kind.as_str() {
            "BlackHole" => NextHop::BlackHole,
            "Reject" => NextHop::Reject,
            _ => NextHop::Port { port: (listed.resolve)(json.next_hop_port?), gateway: json.gateway() },
        };
        Some(Route {
            router: listed.parent.clone()?,
            source: network(json.src_network_addr.as_deref(), json.src_network_length)?,
            destination: json.destination()?,
            next_hop,
            weight: json.weight,
        })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.router.to(&[Kind::Router]))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        self.port().into_iter().for_each(|port| visit(port.to(&[Kind::RouterPort])));
    }

    fn ends(&self) -> [Option<&Reference>; 2] {
        [Some(&self.router), self.port()]
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let way = match &self.next_hop {
            NextHop::Port { gateway: Some(gateway), .. } => format!("via {gateway}"),
            NextHop::Port { port, gateway: None } => format!("through {port}"),
            NextHop::BlackHole => "black hole".to_owned(),
            NextHop::Reject => "reject".to_owned(),
        };
        format!("{} {way}, weight {}", self.destination, self.weight)
    }

    fn body(&self, names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        let (kind, gateway) = match &self.next_hop {
            NextHop::Port { gateway, .. } => ("Normal", *gateway),
            NextHop::BlackHole => ("BlackHole", None),
            NextHop::Reject => ("Reject", None),
        };
        raw(&Body {
            id,
            kind,
            src_network_addr: self.source.addr().to_string(),
            src_network_length: self.source.prefix_len(),
            dst_network_addr: self.destination.addr().to_string(),
            dst_network_length: self.destination.prefix_len(),
            weight: self.weight,
            next_hop_port: self.port().map(|port| names.reference(port.to(&[Kind::RouterPort]))),
            next_hop_gateway: gateway.map(|gateway| gateway.to_string()),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    src_network_addr: String,
    src_network_length: u8,
    dst_network_addr: String,
    dst_network_length: u8,
    weight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_gateway: Option<String>,
}

/// The server's JSON for a route.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteJson {
    /// The route's id.
    pub id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    src_network_addr: Option<String>,
    #[serde(default)]
    src_network_length: u8,
    dst_network_addr: Option<String>,
    #[serde(default)]
    dst_network_length: u8,
    /// The weight: of several matching routes, the one with the lowest is used.
    #[serde(default)]
    pub weight: u32,
    /// The router's port to which packets are sent.
    #[serde(default)]
    pub next_hop_port: Option<Uuid>,
    #[serde(default)]
    next_hop_gateway: Option<String>,
}

impl RouteJson {
    /// Returns the destinations that the route is for.
    pub fn destination(&self) -> Option<Ipv4Net> {
        network(self.dst_network_addr.as_deref(), self.dst_network_length)
    }

    /// Returns the gateway, if there is one. 5.0.2 writes 255.255.255.255 for a local route's missing gateway.
    fn gateway(&self) -> Option<Ipv4Addr> {
        let gateway: Ipv4Addr = self.next_hop_gateway.as_deref()?.parse().ok()?;
        (gateway != Ipv4Addr::BROADCAST).then_some(gateway)
    }

    /// Returns true for a route that the server made for a port: type `Local` on 5.x; on 1.x `Normal`, of weight 0, to the
    /// port's own address (05-router-port).
    pub fn is_automatic(&self, port_address: Option<Ipv4Addr>) -> bool {
        let own = port_address.map(Ipv4Net::from);
        self.kind == "Local"
            || (self.weight == 0 && self.gateway().is_none() && own.is_some() && self.destination() == own)
    }

    /// Returns a field with a text that is none of its kind.
    pub fn malformed(&self) -> Option<Malformed> {
        let addresses = [
            ("srcNetworkAddr", self.src_network_addr.as_ref()),
            ("dstNetworkAddr", self.dst_network_addr.as_ref()),
            ("nextHopGateway", self.next_hop_gateway.as_ref()),
        ];
        let lengths = [
            ("srcNetworkLength", Some(self.src_network_length.into())),
            ("dstNetworkLength", Some(self.dst_network_length.into())),
        ];
        malformed_address(addresses).or_else(|| malformed_length(lengths))
    }

    /// Describes the route as the server says it.
    pub fn describe(&self) -> String {
        let destination = self.dst_network_addr.as_deref().unwrap_or("no network");
        format!("{destination}/{} of type {}", self.dst_network_length, self.kind)
    }
}
