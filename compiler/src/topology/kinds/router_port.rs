//! Ports of routers.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::raw;
use super::port::{self, PortBody, PortJson};
use super::{Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference};

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

impl Resource for RouterPort {
    const KIND: Kind = Kind::RouterPort;
    const NAME: &'static str = "router port";
    /// 1.x responds with an id of its own in `Location` (recording v1.7/05).
    const IDENTITY: Identity = Identity::Id { below: "ports", kept_by_1x: false };
    const MEDIA_TYPES: MediaTypes = port::MEDIA_TYPES;

    type Json = PortJson;

    fn collection_path(router: &str) -> String {
        format!("/routers/{router}/ports")
    }

    fn read(json: &PortJson, listed: &Listed<'_>) -> Option<Self> {
        (!json.is_of_bridge()).then(|| RouterPort {
            router: (listed.resolve)(json.device_id),
            address: json.address().unwrap_or(Ipv4Addr::UNSPECIFIED),
            network: json.network().unwrap_or_default().trunc(),
        })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.router.to(&[Kind::Router]))
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("{}/{} on {}", self.address, self.network.prefix_len(), self.router)
    }

    fn body(&self, _names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&PortBody {
            id,
            kind: "Router",
            port_address: Some(self.address.to_string()),
            network_address: Some(self.network.addr().to_string()),
            network_length: Some(self.network.prefix_len()),
            ..PortBody::default()
        })
    }
}
