//! Routers and bridges have the same fields; a chain's JSON is a part of theirs.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::raw;
use super::{Kind, Listed, Names, Reference, TypedReference};

/// The fields that a PUT has to clear if the body leaves them out.
pub(super) const FILTERS: &[&str] = &["inboundFilterId", "outboundFilterId"];

/// The fields of a router or a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
    /// The chain that incoming packets go through.
    pub inbound_filter: Option<Reference>,
    /// The chain that outgoing packets go through.
    pub outbound_filter: Option<Reference>,
    /// MidoNet's `adminStateUp`: false if the device is switched off.
    #[serde(default = "up", skip_serializing_if = "is_up")]
    pub admin_state_up: bool,
}

/// Returns the admin state of what is not switched off. Every spec wants it.
pub(super) fn up() -> bool {
    true
}

/// Returns true if nothing has to be written of an admin state, since it is the usual one.
pub(super) fn is_up(admin_state_up: &bool) -> bool {
    *admin_state_up
}

/// The packets that a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterDirection {
    /// Those that enter the object.
    Inbound,
    /// Those that leave it.
    Outbound,
}

impl FilterDirection {
    /// Returns the word for people.
    pub fn word(self) -> &'static str {
        match self {
            FilterDirection::Inbound => "inbound",
            FilterDirection::Outbound => "outbound",
        }
    }
}

impl Device {
    pub(super) fn read(json: &DeviceJson, listed: &Listed<'_>) -> Device {
        Device {
            name: json.name.clone().unwrap_or_default(),
            tenant_id: json.tenant_id.clone().unwrap_or_default(),
            inbound_filter: json.inbound_filter_id.map(listed.resolve),
            outbound_filter: json.outbound_filter_id.map(listed.resolve),
            admin_state_up: json.admin_state_up,
        }
    }

    pub(super) fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        let filters = self.inbound_filter.iter().chain(&self.outbound_filter);
        filters.for_each(|chain| visit(chain.to(&[Kind::Chain])));
    }

    pub(super) fn ends(&self) -> [Option<&Reference>; 2] {
        [self.inbound_filter.as_ref(), self.outbound_filter.as_ref()]
    }

    pub(super) fn describe(&self) -> String {
        format!("\"{}\"", self.name)
    }

    pub(super) fn body(&self, names: &dyn Names, id: Option<String>) -> Option<Box<RawValue>> {
        raw(&DeviceBody {
            id,
            name: &self.name,
            tenant_id: &self.tenant_id,
            inbound_filter_id: filter_id(names, self.inbound_filter.as_ref()),
            outbound_filter_id: filter_id(names, self.outbound_filter.as_ref()),
            admin_state_up: written(self.admin_state_up),
        })
    }
}

/// Returns the id of the chain that a device or a port filters by.
pub(super) fn filter_id(names: &dyn Names, filter: Option<&Reference>) -> Option<String> {
    filter.map(|chain| names.reference(chain.to(&[Kind::Chain])))
}

/// Returns an admin state as a body has it: the server switches on what it creates.
pub(super) fn written(admin_state_up: bool) -> Option<bool> {
    (!admin_state_up).then_some(false)
}

/// The body of a router, a bridge or a chain.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) name: &'a str,
    pub(super) tenant_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inbound_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outbound_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) admin_state_up: Option<bool>,
}

/// The server's JSON for a router, a bridge or a chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceJson {
    /// The device's id.
    pub id: Uuid,
    /// The device's name.
    pub name: Option<String>,
    /// The OpenStack project that owns it, as MidoNet records it.
    pub tenant_id: Option<String>,
    /// The chain for packets that enter the device.
    #[serde(default)]
    pub inbound_filter_id: Option<Uuid>,
    /// The chain for packets that leave the device.
    #[serde(default)]
    pub outbound_filter_id: Option<Uuid>,
    /// False if the device is switched off. A chain has no such field.
    #[serde(default = "up")]
    pub admin_state_up: bool,
}
