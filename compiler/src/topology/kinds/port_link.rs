//! Links between two ports.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::raw;
use super::port::{self, PortJson};
use super::resource::text;
use super::{Evidence, Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference};

/// A link (`POST /ports/ID/link`). It has no id of its own: it is a property of its two ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortLink {
    /// The port that the call names in its path.
    pub port: Reference,
    /// The port that the call names in its body.
    pub peer: Reference,
}

impl Resource for PortLink {
    const KIND: Kind = Kind::PortLink;
    const NAME: &'static str = "port link";
    const IDENTITY: Identity = Identity::Joined { named_by: None };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.PortLink-v1+json");
    const EXCLUSIVE: bool = true;

    /// A link is seen from both of its ports.
    type Json = PortJson;

    fn collection_path(port: &str) -> String {
        format!("/ports/{port}/link")
    }

    fn read(json: &PortJson, listed: &Listed<'_>) -> Option<Self> {
        let peer = json.peer_id.map(listed.resolve)?;
        Some(PortLink { port: (listed.resolve)(json.id), peer })
    }

    fn evidence(path: &str, body: &Value) -> Option<Evidence> {
        Some(Evidence {
            path: path.strip_suffix("/link")?.to_owned(),
            kind: Kind::RouterPort,
            is_list: false,
            holds: vec![("peerId", text(body, "peerId")?)],
        })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(port::any(&self.port))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        visit(port::any(&self.peer));
    }

    fn ends(&self) -> [Option<&Reference>; 2] {
        [Some(&self.port), Some(&self.peer)]
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("{} to {}", self.port, self.peer)
    }

    fn body(&self, names: &dyn Names, _id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&Body { peer_id: names.reference(port::any(&self.peer)) })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    peer_id: String,
}
