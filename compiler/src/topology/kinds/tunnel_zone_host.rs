//! Hosts of tunnel zones.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::{Malformed, malformed_address, raw};
use super::resource::evidence_in_list;
use super::{Evidence, Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference};
use crate::topology::key::Key;

/// A host in a tunnel zone (`/tunnel_zones/ID/hosts`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelZoneHost {
    /// The tunnel zone.
    pub zone: Reference,
    /// The host's id.
    pub host: Uuid,
    /// The address that the host's tunnels end at.
    pub address: Ipv4Addr,
}

impl Resource for TunnelZoneHost {
    const KIND: Kind = Kind::TunnelZoneHost;
    const NAME: &'static str = "tunnel zone host";
    const IDENTITY: Identity = Identity::Joined { named_by: Some("hostId") };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.TunnelZoneHost-v1+json");

    type Json = TunnelZoneHostJson;

    fn collection_path(zone: &str) -> String {
        format!("/tunnel_zones/{zone}/hosts")
    }

    fn read(json: &TunnelZoneHostJson, listed: &Listed<'_>) -> Option<Self> {
        let address = json.ip_address.as_deref()?.parse().ok()?;
        Some(TunnelZoneHost { zone: listed.parent.clone()?, host: json.host_id, address })
    }

    fn evidence(path: &str, body: &Value) -> Option<Evidence> {
        evidence_in_list(Self::KIND, path, "hostId", body)
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.zone.to(&[Kind::TunnelZone]))
    }

    /// Two hosts of a zone can't have one address (two-hosts, 20).
    fn occupies(&self) -> Option<String> {
        Some(format!("{} in {}", self.address, self.zone))
    }

    fn describe(&self) -> String {
        format!("{} at {}", self.host, self.address)
    }

    fn path(&self, names: &dyn Names, _key: &Key) -> String {
        format!("{}/{}", self.posted_to(names), self.host)
    }

    fn body(&self, _names: &dyn Names, _id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&Body { host_id: self.host.to_string(), ip_address: self.address.to_string() })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    host_id: String,
    ip_address: String,
}

/// The server's JSON for a host in a tunnel zone.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelZoneHostJson {
    /// The host.
    pub host_id: Uuid,
    /// The address at which the host's tunnels end.
    pub ip_address: Option<String>,
}

impl TunnelZoneHostJson {
    /// Returns a field with a text that is none of its kind.
    pub fn malformed(&self) -> Option<Malformed> {
        malformed_address([("ipAddress", self.ip_address.as_ref())])
    }
}
