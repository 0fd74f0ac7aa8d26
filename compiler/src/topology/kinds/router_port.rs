//! Ports of routers.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::device::{FILTERS, filter_id, is_up, up, written};
use super::json::raw;
use super::port::{self, PortBody, PortJson};
use super::{Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference, Update};

/// A router's port (`/routers/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterPort {
    /// The router.
    pub router: Reference,
    /// The port's own address.
    pub address: Ipv4Addr,
    /// The network that the port is on, without host bits.
    pub network: Ipv4Net,
    /// The chain for packets that come in by the port. No spec has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound_filter: Option<Reference>,
    /// The chain for packets that go out by the port. No spec has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound_filter: Option<Reference>,
    /// MidoNet's `adminStateUp`: false if the port is switched off.
    #[serde(default = "up", skip_serializing_if = "is_up")]
    pub admin_state_up: bool,
}

impl RouterPort {
    /// Returns a port as a spec wants it: switched on, without chains.
    pub fn new(router: Reference, address: Ipv4Addr, network: Ipv4Net) -> RouterPort {
        let (inbound_filter, outbound_filter) = (None, None);
        RouterPort { router, address, network, inbound_filter, outbound_filter, admin_state_up: true }
    }
}

impl Resource for RouterPort {
    const KIND: Kind = Kind::RouterPort;
    const NAME: &'static str = "router port";
    /// 1.x responds with an id of its own in `Location` (recording v1.7/05).
    const IDENTITY: Identity = Identity::Id { below: "ports", kept_by_1x: false };
    const MEDIA_TYPES: MediaTypes = port::MEDIA_TYPES;
    /// Only filters and the admin state can be changed: 1.7 answers 204 to another address, and keeps the old one.
    const UPDATE: Update = Update::InPlace { clears: FILTERS };

    type Json = PortJson;

    fn collection_path(router: &str) -> String {
        format!("/routers/{router}/ports")
    }

    fn read(json: &PortJson, listed: &Listed<'_>) -> Option<Self> {
        json.is_of_router().then(|| RouterPort {
            router: (listed.resolve)(json.device_id),
            address: json.address().unwrap_or(Ipv4Addr::UNSPECIFIED),
            network: json.network().unwrap_or_default().trunc(),
            inbound_filter: json.inbound_filter_id.map(listed.resolve),
            outbound_filter: json.outbound_filter_id.map(listed.resolve),
            admin_state_up: json.admin_state_up,
        })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.router.to(&[Kind::Router]))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        let filters = self.inbound_filter.iter().chain(&self.outbound_filter);
        filters.for_each(|chain| visit(chain.to(&[Kind::Chain])));
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("{}/{} on {}", self.address, self.network.prefix_len(), self.router)
    }

    fn body(&self, names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&PortBody {
            id,
            kind: "Router",
            port_address: Some(self.address.to_string()),
            network_address: Some(self.network.addr().to_string()),
            network_length: Some(self.network.prefix_len()),
            inbound_filter_id: filter_id(names, self.inbound_filter.as_ref()),
            outbound_filter_id: filter_id(names, self.outbound_filter.as_ref()),
            admin_state_up: written(self.admin_state_up),
        })
    }
}
