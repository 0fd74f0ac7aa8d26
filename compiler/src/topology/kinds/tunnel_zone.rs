//! Tunnel zones.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::raw;
use super::{Identity, Kind, Listed, MediaTypes, Names, Resource};
use crate::values::Encapsulation;

/// A tunnel zone (`/tunnel_zones`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelZone {
    /// Its name, unique in the site (1.7 refuses a second one).
    pub name: String,
    /// `gre` or `vxlan`.
    pub encapsulation: Encapsulation,
}

impl Resource for TunnelZone {
    const KIND: Kind = Kind::TunnelZone;
    const NAME: &'static str = "tunnel zone";
    const IDENTITY: Identity = Identity::Id { below: "tunnel_zones", kept_by_1x: true };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.TunnelZone-v1+json");

    type Json = TunnelZoneJson;

    fn collection_path(_parent: &str) -> String {
        "/tunnel_zones".to_owned()
    }

    fn read(json: &TunnelZoneJson, _listed: &Listed<'_>) -> Option<Self> {
        let encapsulation = match json.kind.as_deref() {
            Some("gre") => Encapsulation::Gre,
            _ => Encapsulation::Vxlan,
        };
        Some(TunnelZone { name: json.name.clone().unwrap_or_default(), encapsulation })
    }

    fn describe(&self) -> String {
        format!("\"{}\"", self.name)
    }

    fn body(&self, _names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&Body {
            id,
            name: &self.name,
            kind: match self.encapsulation {
                Encapsulation::Gre => "gre",
                Encapsulation::Vxlan => "vxlan",
            },
        })
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The server's JSON for a tunnel zone.
#[derive(Clone, Debug, Deserialize)]
pub struct TunnelZoneJson {
    /// The zone's id.
    pub id: Uuid,
    /// The zone's name.
    pub name: Option<String>,
    /// The encapsulation: `gre` or `vxlan`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}
