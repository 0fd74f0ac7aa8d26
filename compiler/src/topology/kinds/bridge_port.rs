//! Ports of bridges.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::device::{FILTERS, filter_id, is_up, up, written};
use super::json::raw;
use super::port::{self, PortBody, PortJson};
use super::{Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference, Update};

/// A bridge's port (`/bridges/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePort {
    /// The bridge.
    pub bridge: Reference,
    /// The chain for packets that come in by the port: from the pod or interface behind it.
    pub inbound_filter: Option<Reference>,
    /// The chain for packets that go out by the port.
    pub outbound_filter: Option<Reference>,
    /// MidoNet's `adminStateUp`: false if the port is switched off.
    #[serde(default = "up", skip_serializing_if = "is_up")]
    pub admin_state_up: bool,
}

impl BridgePort {
    /// Returns a port as a spec wants it: switched on, and with no outbound filter.
    pub fn new(bridge: Reference, inbound_filter: Option<Reference>) -> BridgePort {
        BridgePort { bridge, inbound_filter, outbound_filter: None, admin_state_up: true }
    }
}

impl Resource for BridgePort {
    const KIND: Kind = Kind::BridgePort;
    const NAME: &'static str = "bridge port";
    /// 1.x responds with an id of its own in `Location` (recording v1.7/05).
    const IDENTITY: Identity = Identity::Id { below: "ports", kept_by_1x: false };
    const MEDIA_TYPES: MediaTypes = port::MEDIA_TYPES;
    const UPDATE: Update = Update::InPlace { clears: FILTERS };

    type Json = PortJson;

    fn collection_path(bridge: &str) -> String {
        format!("/bridges/{bridge}/ports")
    }

    fn read(json: &PortJson, listed: &Listed<'_>) -> Option<Self> {
        json.is_of_bridge().then(|| BridgePort {
            bridge: (listed.resolve)(json.device_id),
            inbound_filter: json.inbound_filter_id.map(listed.resolve),
            outbound_filter: json.outbound_filter_id.map(listed.resolve),
            admin_state_up: json.admin_state_up,
        })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.bridge.to(&[Kind::Bridge]))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        let filters = self.inbound_filter.iter().chain(&self.outbound_filter);
        filters.for_each(|chain| visit(chain.to(&[Kind::Chain])));
    }

    fn ends(&self) -> [Option<&Reference>; 2] {
        [Some(&self.bridge), self.inbound_filter.as_ref()]
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("on {}", self.bridge)
    }

    fn body(&self, names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&PortBody {
            id,
            kind: "Bridge",
            inbound_filter_id: filter_id(names, self.inbound_filter.as_ref()),
            outbound_filter_id: filter_id(names, self.outbound_filter.as_ref()),
            admin_state_up: written(self.admin_state_up),
            ..PortBody::default()
        })
    }
}
