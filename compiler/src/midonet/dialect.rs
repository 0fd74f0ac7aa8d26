//! Objects as calls: methods, ids, and what a lost response leaves open. Each kind's own file (`topology/kinds`) has
//! its paths, media types and bodies.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::plan::{Call, DialectTag, Encode, Ids, Method, placeholder};
use crate::topology::key::Key;
use crate::topology::key::view::{KeyView, PodKey, TenantKey};
use crate::topology::kinds::{Evidence, Identity, Kind, Names, Object, Update, marked};

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
    /// Returns the dialect with this number.
    pub fn from_number(number: i64) -> Option<Dialect> {
        match number {
            1 => Some(Dialect::V1),
            5 => Some(Dialect::V5),
            _ => None,
        }
    }

    /// Returns the dialect of a plan's calls; none if it is not a dialect of MidoNet.
    pub fn of(tag: DialectTag) -> Option<Dialect> {
        Dialect::from_number(tag.0.into())
    }

    /// Returns true if the server keeps the id that a client offers for an object of this kind.
    pub fn keeps_offered_id(self, kind: Kind) -> bool {
        let on_1x = matches!(kind.identity(), Identity::Joined | Identity::Id { kept_by_1x: true, .. });
        self == Dialect::V5 || on_1x
    }

    /// Returns the media type of one object of this kind.
    pub fn media_type(self, kind: Kind) -> &'static str {
        let media_types = kind.media_types();
        match self {
            Dialect::V1 => media_types.v1,
            Dialect::V5 => media_types.v5,
        }
    }

    /// Returns the media type of a list of objects of this kind.
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

impl Names for Encoder<'_> {
    /// Returns an object's id: a UUID, or `${KEY}` if only the server chooses it.
    fn id(&self, key: &Key, kinds: &[Kind]) -> String {
        match self.ids.known(key).or_else(|| key.own_id()) {
            Some(id) => id.to_string(),
            None if kinds.iter().all(|kind| self.dialect.keeps_offered_id(*kind)) => {
                self.ids.of_key(key).to_string()
            }
            None => placeholder::of(key),
        }
    }
}

impl Encoder<'_> {
    fn create(&self, key: &Key, object: &Object, position: u32, id: Option<Uuid>) -> Call {
        let kind = Kind::of(object);
        let own_id = kind.has_own_id();
        let binds = own_id && !self.dialect.keeps_offered_id(kind);
        let id = (own_id && !binds).then(|| id.unwrap_or_else(|| self.ids.of_key(key)).to_string());
        let mut body = object.body(self, id, position);
        if binds && matches!(key.view(), KeyView::Tenant(_, TenantKey::Pod(_, PodKey::Port))) {
            body = body.and_then(|body| marked(&body, self.ids.of_key(key)));
        }
        Call {
            method: Method::Post,
            path: object.collection_path(self),
            content_type: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            accept: None,
            body,
            binds,
        }
    }

    fn delete(&self, key: &Key, object: &Object) -> Call {
        let path = object.path(self, key);
        Call { method: Method::Delete, path, content_type: None, accept: None, body: None, binds: false }
    }

    /// Returns the PUT that updates an object. Its body is the server's JSON of the object, with midoform's fields
    /// replaced.
    fn update(&self, key: &Key, object: &Object, raw: &RawValue) -> Option<Call> {
        let kind = Kind::of(object);
        let Update::InPlace { clears } = kind.update() else { return None };
        let id = self.id(key, &[kind]);
        let mut merged: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get()).ok()?;
        let wanted = object.body(self, Some(id), 0)?;
        let wanted: serde_json::Map<String, serde_json::Value> = serde_json::from_str(wanted.get()).ok()?;
        for field in clears {
            merged.insert((*field).to_owned(), serde_json::Value::Null);
        }
        merged.extend(wanted);
        Some(Call {
            method: Method::Put,
            path: object.path(self, key),
            content_type: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            accept: None,
            body: serde_json::value::to_raw_value(&merged).ok(),
            binds: false,
        })
    }
}

/// A read that shows if a POST was executed whose response was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The path to read. A 404 means that the POST was not executed.
    pub path: String,
    /// The media type of the response.
    pub accept: String,
    /// The texts in the object, or in one object of the list, if the POST was executed.
    pub holds: Vec<(&'static str, String)>,
}

impl Confirmation {
    /// Returns true if the read's body shows that the object was created.
    pub fn is_met_by(&self, body: &str) -> bool {
        let holds = |object: &Value| {
            self.holds.iter().all(|(field, wanted)| object.get(field).and_then(Value::as_str) == Some(wanted))
        };
        match serde_json::from_str(body) {
            Ok(Value::Array(list)) => list.iter().any(holds),
            Ok(object) => holds(&object),
            Err(_) => false,
        }
    }
}

/// Returns the read that shows if a POST of an object of `kind` was executed. It is none if only the server knew the new
/// object's id (1.x: ports, rules, routes): then the object has to be recognised by its content.
pub fn confirmation(dialect: DialectTag, kind: Kind, path: &str, body: &str) -> Option<Confirmation> {
    let dialect = Dialect::of(dialect)?;
    if !dialect.keeps_offered_id(kind) {
        return None;
    }
    let Evidence { path, kind, is_list, holds } = kind.evidence(path, &serde_json::from_str(body).ok()?)?;
    let accept = match is_list {
        true => dialect.collection_media_type(kind),
        false => dialect.media_type(kind).to_owned(),
    };
    Some(Confirmation { path, accept, holds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_with_an_id_are_looked_for_under_it() {
        let found = confirmation(DialectTag(5), Kind::Rule, "/chains/c/rules", r#"{"id": "r"}"#).unwrap();
        assert_eq!(found.path, "/rules/r");
        assert!(found.is_met_by(r#"{"id": "r", "position": 1}"#));
        assert!(!found.is_met_by("nonsense"));
        assert_eq!(confirmation(DialectTag(1), Kind::Rule, "/chains/c/rules", r#"{"id": "r"}"#), None);
        assert!(confirmation(DialectTag(1), Kind::Chain, "/chains", r#"{"id": "c"}"#).is_some());
    }

    #[test]
    fn what_joins_two_is_looked_for_at_one_of_them() {
        let link =
            confirmation(DialectTag(1), Kind::PortLink, "/ports/a/link", r#"{"peerId": "b"}"#).unwrap();
        assert_eq!(link.path, "/ports/a");
        assert!(link.is_met_by(r#"{"id": "a", "peerId": "b"}"#));
        assert!(!link.is_met_by(r#"{"id": "a", "peerId": "c"}"#));
        let body = r#"{"portId": "p", "interfaceName": "eth0"}"#;
        let binding = confirmation(DialectTag(5), Kind::HostInterfacePort, "/hosts/h/ports", body).unwrap();
        assert!(binding.is_met_by(r#"{"hostId": "h", "interfaceName": "eth0"}"#));
        assert!(!binding.is_met_by(r#"{"hostId": "h", "interfaceName": null}"#));
        let member = confirmation(DialectTag(5), Kind::PortGroupPort, "/port_groups/g/ports", body).unwrap();
        assert!(member.is_met_by(r#"[{"portId": "q"}, {"portId": "p"}]"#));
        assert!(!member.is_met_by("[]"));
    }
}
