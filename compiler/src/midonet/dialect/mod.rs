//! Objects as calls: the one place that knows methods, paths, media types, bodies, and who chooses an id.
//!
//! Source: the recordings of MidoNet 1.7 (dialect 1) and of 5.0.2 and 5.8 (dialect 5).

mod body;
mod confirm;
mod v1;
mod v5;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

pub use confirm::{Confirmation, confirmation};

use crate::plan::{Call, DialectTag, Encode, Ids, Method};
use crate::topology::key::Key;
use crate::topology::key::view::{KeyView, PodKey, TenantKey};
use crate::topology::kind::Kind;
use crate::topology::object::{Object, Reference};

/// The form of the API: 1 for MidoNet 1.x, 5 for 5.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Dialect {
    /// MidoNet 1.x.
    V1,
    /// MidoNet 5.x.
    V5,
}

impl Dialect {
    /// The dialect with this number.
    pub fn from_number(number: i64) -> Option<Dialect> {
        match number {
            1 => Some(Dialect::V1),
            5 => Some(Dialect::V5),
            _ => None,
        }
    }

    /// Returns the dialect that a plan's calls are in; none where it is no dialect of MidoNet's.
    pub fn of(tag: DialectTag) -> Option<Dialect> {
        Dialect::from_number(tag.0.into())
    }

    /// Returns true if the server keeps the id that a client offers for an object of this kind.
    pub fn keeps_offered_id(self, kind: Kind) -> bool {
        match self {
            Dialect::V1 => v1::keeps_offered_id(kind),
            Dialect::V5 => true,
        }
    }

    /// The media type of one object of this kind.
    pub fn media_type(self, kind: Kind) -> &'static str {
        match self {
            Dialect::V1 => v1::media_type(kind),
            Dialect::V5 => v5::media_type(kind),
        }
    }

    /// The media type of a list of objects of this kind.
    pub fn collection_media_type(self, kind: Kind) -> String {
        self.media_type(kind)
            .replace("application/vnd.org.midonet.", "application/vnd.org.midonet.collection.")
    }
}

impl TryFrom<u8> for Dialect {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Dialect::from_number(number.into())
            .ok_or_else(|| format!("there is no dialect {number}; 1 and 5 exist"))
    }
}

impl From<Dialect> for u8 {
    fn from(dialect: Dialect) -> u8 {
        match dialect {
            Dialect::V1 => 1,
            Dialect::V5 => 5,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        u8::from(*self).fmt(formatter)
    }
}

impl Encode for Dialect {
    fn dialect(&self) -> DialectTag {
        DialectTag((*self).into())
    }

    fn keeps_offered_id(&self, kind: Kind) -> bool {
        Dialect::keeps_offered_id(*self, kind)
    }

    fn create(&self, ids: Ids<'_>, (key, object): (&Key, &Object), position: u32, id: Option<Uuid>) -> Call {
        Encoder { dialect: *self, ids }.create(key, object, position, id)
    }

    fn update(&self, ids: Ids<'_>, (key, object): (&Key, &Object), observed: &RawValue) -> Option<Call> {
        Encoder { dialect: *self, ids }.update(key, object, observed)
    }

    fn delete(&self, ids: Ids<'_>, (key, object): (&Key, &Object)) -> Call {
        Encoder { dialect: *self, ids }.delete(key, object)
    }
}

/// Turns objects into calls, with the ids of a site.
struct Encoder<'a> {
    dialect: Dialect,
    ids: Ids<'a>,
}

/// Kinds whose objects have no id of their own: they are named by what they join.
fn has_own_id(kind: Kind) -> bool {
    !matches!(kind, Kind::PortLink | Kind::PortGroupPort | Kind::HostInterfacePort | Kind::TunnelZoneHost)
}

impl Encoder<'_> {
    /// The id of the object with this key, as text: a UUID, or `${KEY}` where only the server will know it.
    fn id(&self, key: &Key, kind: Kind) -> String {
        match self.ids.known(key).or_else(|| key.own_id()) {
            Some(id) => id.to_string(),
            None if self.dialect.keeps_offered_id(kind) => self.ids.of_key(key).to_string(),
            None => format!("${{{key}}}"),
        }
    }

    fn reference(&self, reference: &Reference, kind: Kind) -> String {
        match reference {
            Reference::Key(key) => self.id(key, kind),
            Reference::External(id) => id.to_string(),
        }
    }

    fn create(&self, key: &Key, object: &Object, position: u32, id: Option<Uuid>) -> Call {
        let kind = Kind::of(object);
        let own_id = has_own_id(kind);
        let binds = own_id && !self.dialect.keeps_offered_id(kind);
        let id = (own_id && !binds).then(|| id.unwrap_or_else(|| self.ids.of_key(key)).to_string());
        let mut body = body::of(self, object, id, position);
        if binds && matches!(key.view(), KeyView::Tenant(_, TenantKey::Pod(_, PodKey::Port))) {
            body = body.and_then(|body| body::marked(&body, self.ids.of_key(key)));
        }
        Call {
            method: Method::Post,
            path: self.collection_path(object),
            content_type: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            accept: None,
            body,
            binds,
        }
    }

    fn delete(&self, key: &Key, object: &Object) -> Call {
        let path = self.path(key, object);
        Call { method: Method::Delete, path, content_type: None, accept: None, body: None, binds: false }
    }

    /// A PUT sends back what the server said about the object, with the fields that midoform sets replaced.
    fn update(&self, key: &Key, object: &Object, raw: &RawValue) -> Option<Call> {
        let kind = Kind::of(object);
        if !matches!(kind, Kind::Router | Kind::Bridge | Kind::BridgePort) {
            return None;
        }
        let id = self.id(key, kind);
        let mut merged: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get()).ok()?;
        let wanted = body::of(self, object, Some(id), 0)?;
        let wanted: serde_json::Map<String, serde_json::Value> = serde_json::from_str(wanted.get()).ok()?;
        // A filter that the body leaves out is one that has to go.
        for filter in ["inboundFilterId", "outboundFilterId"] {
            merged.insert(filter.to_owned(), serde_json::Value::Null);
        }
        merged.extend(wanted);
        Some(Call {
            method: Method::Put,
            path: self.path(key, object),
            content_type: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            accept: None,
            body: serde_json::value::to_raw_value(&merged).ok(),
            binds: false,
        })
    }

    /// The path that objects like this one are posted to.
    fn collection_path(&self, object: &Object) -> String {
        match object {
            Object::TunnelZone(_) => "/tunnel_zones".to_owned(),
            Object::TunnelZoneHost(member) => {
                format!("/tunnel_zones/{}/hosts", self.reference(&member.zone, Kind::TunnelZone))
            }
            Object::PortGroup(_) => "/port_groups".to_owned(),
            Object::Chain(_) => "/chains".to_owned(),
            Object::Router(_) => "/routers".to_owned(),
            Object::Bridge(_) => "/bridges".to_owned(),
            Object::RouterPort(port) => {
                format!("/routers/{}/ports", self.reference(&port.router, Kind::Router))
            }
            Object::BridgePort(port) => {
                format!("/bridges/{}/ports", self.reference(&port.bridge, Kind::Bridge))
            }
            Object::Rule(rule) => format!("/chains/{}/rules", self.reference(&rule.chain, Kind::Chain)),
            Object::Route(route) => {
                format!("/routers/{}/routes", self.reference(&route.router, Kind::Router))
            }
            Object::PortLink(link) => format!("/ports/{}/link", self.reference(&link.port, Kind::RouterPort)),
            Object::PortGroupPort(member) => {
                format!("/port_groups/{}/ports", self.reference(&member.group, Kind::PortGroup))
            }
            Object::HostInterfacePort(binding) => format!("/hosts/{}/ports", binding.host),
        }
    }

    /// The path of the object itself.
    fn path(&self, key: &Key, object: &Object) -> String {
        let kind = Kind::of(object);
        match object {
            Object::TunnelZone(_) => format!("/tunnel_zones/{}", self.id(key, kind)),
            Object::TunnelZoneHost(member) => {
                let zone = self.reference(&member.zone, Kind::TunnelZone);
                format!("/tunnel_zones/{zone}/hosts/{}", member.host)
            }
            Object::PortGroup(_) => format!("/port_groups/{}", self.id(key, kind)),
            Object::Chain(_) => format!("/chains/{}", self.id(key, kind)),
            Object::Router(_) => format!("/routers/{}", self.id(key, kind)),
            Object::Bridge(_) => format!("/bridges/{}", self.id(key, kind)),
            Object::RouterPort(_) | Object::BridgePort(_) => format!("/ports/{}", self.id(key, kind)),
            Object::Rule(_) => format!("/rules/{}", self.id(key, kind)),
            Object::Route(_) => format!("/routes/{}", self.id(key, kind)),
            Object::PortLink(_) => self.collection_path(object),
            Object::PortGroupPort(member) => {
                let port = self.reference(&member.port, Kind::BridgePort);
                format!("{}/{port}", self.collection_path(object))
            }
            Object::HostInterfacePort(binding) => {
                let port = self.reference(&binding.port, Kind::BridgePort);
                format!("/hosts/{}/ports/{port}", binding.host)
            }
        }
    }
}
