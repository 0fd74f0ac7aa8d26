//! Ports of port groups.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::raw;
use super::port;
use super::resource::evidence_in_list;
use super::{Evidence, Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference};
use crate::topology::key::Key;

/// A port in a port group (`/port_groups/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortGroupPort {
    /// The group.
    pub group: Reference,
    /// The port.
    pub port: Reference,
}

impl Resource for PortGroupPort {
    const KIND: Kind = Kind::PortGroupPort;
    const NAME: &'static str = "port group port";
    const IDENTITY: Identity = Identity::Joined;
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.PortGroupPort-v1+json");

    type Json = PortGroupPortJson;

    fn collection_path(group: &str) -> String {
        format!("/port_groups/{group}/ports")
    }

    fn read(json: &PortGroupPortJson, listed: &Listed<'_>) -> Option<Self> {
        Some(PortGroupPort { group: listed.parent.clone()?, port: (listed.resolve)(json.port_id) })
    }

    fn evidence(path: &str, body: &Value) -> Option<Evidence> {
        evidence_in_list(Self::KIND, path, "portId", body)
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.group.to(&[Kind::PortGroup]))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        visit(port::any(&self.port));
    }

    fn ends(&self) -> [Option<&Reference>; 2] {
        [Some(&self.group), Some(&self.port)]
    }

    fn describe(&self) -> String {
        self.port.to_string()
    }

    fn path(&self, names: &dyn Names, _key: &Key) -> String {
        format!("{}/{}", self.posted_to(names), names.reference(port::any(&self.port)))
    }

    fn body(&self, names: &dyn Names, _id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&Body { port_group_id: self.parent_id(names), port_id: names.reference(port::any(&self.port)) })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    port_group_id: String,
    port_id: String,
}

/// The server's JSON for a port in a port group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortGroupPortJson {
    /// The port.
    pub port_id: Uuid,
}
