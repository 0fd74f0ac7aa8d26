//! Ports of routers and of bridges: their JSON has one form. It also has the port's link and its binding.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::device::up;
use super::json::{Malformed, malformed_address, malformed_length, network, raw};
use super::{Kind, MediaTypes, Reference, TypedReference};

/// The media types of a port.
pub(super) const MEDIA_TYPES: MediaTypes = MediaTypes {
    v1: "application/vnd.org.midonet.Port-v2+json",
    v5: "application/vnd.org.midonet.Port-v3+json",
};

/// Returns a reference to a port, of a router or of a bridge.
pub(super) fn any(reference: &Reference) -> TypedReference<'_> {
    reference.to(&[Kind::RouterPort, Kind::BridgePort])
}

/// The body of a port. It never has `peerId`, `hostId` or `interfaceName`: 1.7 stores them unchecked, and then every
/// DELETE of the port is a 500.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network_length: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inbound_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outbound_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) admin_state_up: Option<bool>,
}

/// Returns a port's body. If the server chooses its id, the body has a mark (`vifId`) by which the port is recognised.
pub(crate) fn marked(body: &RawValue, mark: Uuid) -> Option<Box<RawValue>> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body.get()).ok()?;
    fields.insert("vifId".to_owned(), mark.to_string().into());
    raw(&fields)
}

/// The server's JSON for a port of any kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortJson {
    /// The port's id.
    pub id: Uuid,
    /// The type: `Router` or `Bridge`, or one that midoform does not use.
    #[serde(rename = "type")]
    pub kind: String,
    /// The router or bridge of the port.
    pub device_id: Uuid,
    /// The port that it is linked to.
    #[serde(default)]
    pub peer_id: Option<Uuid>,
    /// The host that it is bound to.
    #[serde(default)]
    pub host_id: Option<Uuid>,
    /// The host's interface that it is bound to.
    #[serde(default)]
    pub interface_name: Option<String>,
    /// The mark of a pod's port on 1.x.
    #[serde(default)]
    pub vif_id: Option<Uuid>,
    /// The chain for packets that enter the network by the port.
    #[serde(default)]
    pub inbound_filter_id: Option<Uuid>,
    /// The chain for packets that leave the network by the port.
    #[serde(default)]
    pub outbound_filter_id: Option<Uuid>,
    /// False if the port is switched off.
    #[serde(default = "up")]
    pub admin_state_up: bool,
    /// The address of a router's port.
    #[serde(default)]
    pub port_address: Option<String>,
    #[serde(default)]
    network_address: Option<String>,
    /// 1.7 has -1 for a bridge's port in a list (16-lists).
    #[serde(default)]
    network_length: Option<i64>,
}

impl PortJson {
    /// Returns true for a port of a bridge.
    pub fn is_of_bridge(&self) -> bool {
        self.kind == "Bridge"
    }

    /// Returns true for a port of a router.
    pub fn is_of_router(&self) -> bool {
        self.kind == "Router"
    }

    /// Returns the port's own address.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.port_address.as_deref()?.parse().ok()
    }

    /// Returns the port's network from the server's JSON.
    pub fn network(&self) -> Option<Ipv4Net> {
        network(self.network_address.as_deref(), u8::try_from(self.network_length?).ok()?)
    }

    /// Returns a field of a router's port with a text that is none of its kind.
    pub fn malformed(&self) -> Option<Malformed> {
        if !self.is_of_router() {
            return None;
        }
        let addresses =
            [("portAddress", self.port_address.as_ref()), ("networkAddress", self.network_address.as_ref())];
        malformed_address(addresses).or_else(|| malformed_length([("networkLength", self.network_length)]))
    }
}
