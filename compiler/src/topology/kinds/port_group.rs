//! Port groups.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::raw;
use super::{Identity, Kind, Listed, MediaTypes, Names, Resource};

/// A group of ports (`/port_groups`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortGroup {
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
    /// True if its ports share flow state.
    pub stateful: bool,
}

impl Resource for PortGroup {
    const KIND: Kind = Kind::PortGroup;
    const NAME: &'static str = "port group";
    const IDENTITY: Identity = Identity::Id { below: "port_groups", kept_by_1x: true };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.PortGroup-v1+json");

    type Json = PortGroupJson;

    fn collection_path(_parent: &str) -> String {
        "/port_groups".to_owned()
    }

    fn read(json: &PortGroupJson, _listed: &Listed<'_>) -> Option<Self> {
        Some(PortGroup {
            name: json.name.clone().unwrap_or_default(),
            tenant_id: json.tenant_id.clone().unwrap_or_default(),
            stateful: json.stateful,
        })
    }

    fn describe(&self) -> String {
        format!("\"{}\"", self.name)
    }

    fn body(&self, _names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&Body { id, name: &self.name, tenant_id: &self.tenant_id, stateful: self.stateful })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    tenant_id: &'a str,
    stateful: bool,
}

/// The server's JSON for a port group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortGroupJson {
    /// The group's id.
    pub id: Uuid,
    /// The group's name.
    pub name: Option<String>,
    /// The OpenStack project that owns it, as MidoNet records it.
    pub tenant_id: Option<String>,
    /// True if the ports of the group share connection tracking.
    #[serde(default)]
    pub stateful: bool,
}
