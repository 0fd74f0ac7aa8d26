//! Objects as calls: methods, ids, and what a lost response leaves open. Each kind's own file (`topology/kinds`) has
//! its paths, media types and bodies.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::plan::{Call, Encode, Engine, HttpCall, Ids, Method, placeholder};
use crate::topology::key::Key;
use crate::topology::kinds::{Evidence, Identity, Kind, MediaTypes, Names, Object, Update, marked};

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

    /// Returns the dialect of a plan's calls; none if the engine is not MidoNet.
    pub fn of(engine: Engine) -> Option<Dialect> {
        match engine {
            Engine::Midonet1 => Some(Dialect::V1),
            Engine::Midonet5 => Some(Dialect::V5),
            Engine::Ovn => None,
        }
    }

    /// Returns the engine whose calls are in this dialect.
    pub fn engine(self) -> Engine {
        match self {
            Dialect::V1 => Engine::Midonet1,
            Dialect::V5 => Engine::Midonet5,
        }
    }

    /// Returns true if the server keeps the id that a client offers for an object of this kind.
    pub fn keeps_offered_id(self, kind: Kind) -> bool {
        let on_1x =
            matches!(kind.identity(), Some(Identity::Joined { .. } | Identity::Id { kept_by_1x: true, .. }));
        self == Dialect::V5 || on_1x
    }

    /// Returns the media type of one object of this kind.
    pub fn media_type(self, kind: Kind) -> &'static str {
        // A row has none: no call of this API is about one.
        let media_types = kind.media_types();
        let own = |media_types: MediaTypes| match self {
            Dialect::V1 => media_types.v1,
            Dialect::V5 => media_types.v5,
        };
        media_types.map_or("", own)
    }

    /// Returns the media type of a list of objects of this kind.
    pub fn collection_media_type(self, kind: Kind) -> String {
        self.media_type(kind)
            .replace("application/vnd.org.midonet.", "application/vnd.org.midonet.collection.")
    }
}

/// Returns the ports that a call writes to, as the call names them. 1.7 reads, changes and writes a port as one record without
/// a check: of two calls at once about one port, one may be lost.
pub fn written_ports(call: &HttpCall) -> Vec<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        port_id: Option<String>,
        peer_id: Option<String>,
    }
    let mut parts = call.path.split('/');
    let in_path = parts.find(|part| *part == "ports").and_then(|_| parts.next()).map(str::to_owned);
    let named = call.body.as_ref().and_then(|body| serde_json::from_str::<Named>(body.get()).ok());
    let in_body = named.into_iter().flat_map(|named| [named.port_id, named.peer_id]).flatten();
    in_path.into_iter().chain(in_body).collect()
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
    fn engine(&self) -> Engine {
        Dialect::engine(*self)
    }

    fn keeps_offered_id(&self, kind: Kind) -> bool {
        Dialect::keeps_offered_id(*self, kind)
    }

    /// 1.7 answers 204 to a PUT with another `tenantId` of a device, or another address of a router's port, and keeps the old one
    /// (18-tenant-id). An address is never changed in place.
    fn can_update(&self, old: &Object, new: &Object) -> bool {
        let tenant_id = |object: &Object| match object {
            Object::Router(router) => Some(router.tenant_id.clone()),
            Object::Bridge(bridge) => Some(bridge.tenant_id.clone()),
            _ => None,
        };
        let address = |object: &Object| match object {
            Object::RouterPort(port) => Some((port.address, port.network)),
            _ => None,
        };
        address(old) == address(new) && (*self != Dialect::V1 || tenant_id(old) == tenant_id(new))
    }

    fn create(
        &self,
        ids: Ids<'_>,
        (key, object): (&Key, &Object),
        position: u32,
        id: Option<Uuid>,
    ) -> Vec<Call> {
        vec![Call::Http(Encoder { dialect: *self, ids }.create(key, object, position, id))]
    }

    fn update(&self, ids: Ids<'_>, (key, object): (&Key, &Object), old: &Object) -> Vec<Call> {
        let call = Encoder { dialect: *self, ids }.update(key, object, old);
        call.map(Call::Http).into_iter().collect()
    }

    fn delete(&self, ids: Ids<'_>, (key, object): (&Key, &Object)) -> Vec<Call> {
        vec![Call::Http(Encoder { dialect: *self, ids }.delete(key, object))]
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
    fn create(&self, key: &Key, object: &Object, position: u32, id: Option<Uuid>) -> HttpCall {
        let kind = Kind::of(object);
        let own_id = kind.has_own_id();
        let binds = own_id && !self.dialect.keeps_offered_id(kind);
        let id = (own_id && !binds).then(|| id.unwrap_or_else(|| self.ids.of_key(key)).to_string());
        let mut body = object.body(self, id, position);
        if binds && key.pod_of_port().is_some() {
            body = body.and_then(|body| marked(&body, self.ids.of_key(key)));
        }
        HttpCall {
            method: Method::Post,
            path: object.collection_path(self).unwrap_or_default(),
            content_type: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            accept: None,
            body,
            merges: false,
            binds,
        }
    }

    fn delete(&self, key: &Key, object: &Object) -> HttpCall {
        let path = object.path(self, key).unwrap_or_default();
        let method = Method::Delete;
        HttpCall { method, path, content_type: None, accept: None, body: None, merges: false, binds: false }
    }

    /// Returns the PUT that updates an object. Its body has only midoform's fields: null for one that the old object has and the
    /// new one has not, and the admin state only if that changes. The execution reads the object, and replaces these fields in it:
    /// a PUT without a field clears the field, and other fields stay as they are then.
    fn update(&self, key: &Key, object: &Object, old: &Object) -> Option<HttpCall> {
        let kind = Kind::of(object);
        let Update::InPlace { clears } = kind.update() else { return None };
        let id = self.id(key, &[kind]);
        let fields_of = |object: &Object| -> Option<serde_json::Map<String, Value>> {
            serde_json::from_str(object.body(self, Some(id.clone()), 0)?.get()).ok()
        };
        let had = fields_of(old)?;
        let cleared = clears.iter().filter(|field| had.contains_key(**field));
        let mut fields: serde_json::Map<String, Value> =
            cleared.map(|field| ((*field).to_owned(), Value::Null)).collect();
        fields.extend(fields_of(object)?);
        if let Some(up) = object.admin_state_up().filter(|up| old.admin_state_up() != Some(*up)) {
            fields.insert("adminStateUp".to_owned(), up.into());
        }
        Some(HttpCall {
            method: Method::Put,
            path: object.path(self, key).unwrap_or_default(),
            content_type: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            accept: Some(Cow::Borrowed(self.dialect.media_type(kind))),
            body: serde_json::value::to_raw_value(&fields).ok(),
            merges: true,
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
pub fn confirmation(dialect: Dialect, kind: Kind, path: &str, body: &str) -> Option<Confirmation> {
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

/// The object that the `Location` of a POST's response has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The path that the object's path begins with.
    below: String,
    last: Last,
}

/// The last part of the path of a created object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Last {
    /// This id.
    Id(String),
    /// An id that the server chooses.
    Chosen,
    /// None: the object has the path that it was posted to, and 5.x sends no `Location` for it (06-port-link).
    Nothing,
}

impl Created {
    /// Returns true if the object may be created without a `Location` in the response.
    pub fn may_be_unnamed(&self) -> bool {
        self.last == Last::Nothing
    }

    /// Returns the path that the object's path begins with.
    pub fn below(&self) -> &str {
        &self.below
    }

    /// Returns the object's id, if the client has chosen it.
    pub fn id(&self) -> Option<&str> {
        match &self.last {
            Last::Id(id) => Some(id),
            Last::Chosen | Last::Nothing => None,
        }
    }

    /// Returns true if this `Location` names the object. Only the end of its path counts, as a server behind a proxy
    /// may know itself under another name.
    pub fn is_named_by(&self, location: &str) -> bool {
        let location = location.trim_end_matches('/');
        let parts = || location.rsplit_once('/').filter(|(before, _)| before.ends_with(&self.below));
        match &self.last {
            Last::Id(id) => parts().is_some_and(|(_, last)| last.eq_ignore_ascii_case(id)),
            Last::Chosen => parts().is_some_and(|(_, last)| Uuid::try_parse(last).is_ok()),
            Last::Nothing => location.ends_with(&self.below),
        }
    }
}

impl fmt::Display for Created {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.last {
            Last::Id(id) => write!(formatter, "…{}/{id}", self.below),
            Last::Chosen => write!(formatter, "…{}/ID", self.below),
            Last::Nothing => write!(formatter, "…{}", self.below),
        }
    }
}

/// Returns the object that the response to a POST of an object of `kind` has to name. Nothing if the body lacks what
/// the object is named by.
pub fn created(dialect: Dialect, kind: Kind, path: &str, body: &str) -> Option<Created> {
    let body: Value = serde_json::from_str(body).ok()?;
    let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(match kind.identity()? {
        Identity::Id { below, .. } => {
            let last = match dialect.keeps_offered_id(kind) {
                true => Last::Id(field("id")?),
                false => Last::Chosen,
            };
            Created { below: format!("/{below}"), last }
        }
        Identity::Joined { named_by: Some(name) } => {
            Created { below: path.to_owned(), last: Last::Id(field(name)?) }
        }
        Identity::Joined { named_by: None } => Created { below: path.to_owned(), last: Last::Nothing },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_the_object_that_was_posted() {
        let id = "9f2c0000-0000-5000-8000-000000000001";
        let of = |dialect, kind, path: &str, body: &str| created(dialect, kind, path, body).unwrap();
        let body = format!(r#"{{"id": "{id}", "portId": "{id}", "hostId": "{id}"}}"#);
        let port = of(Dialect::V5, Kind::BridgePort, "/bridges/b/ports", &body);
        assert!(port.is_named_by(&format!("http://x/midonet-api/ports/{id}")));
        for wrong in [
            "http://x/midonet-api/ports/9f2c0000-0000-5000-8000-000000000002".to_owned(),
            format!("http://x/midonet-api/routers/{id}"),
            format!("http://x/midonet-api/ports/{id}/link"),
            id.to_owned(),
            String::new(),
        ] {
            assert!(!port.is_named_by(&wrong), "{wrong}");
        }
        // 1.x chooses the ids of ports, rules and routes.
        let chosen = of(Dialect::V1, Kind::Rule, "/chains/c/rules", "{}");
        assert!(chosen.is_named_by(&format!("/midonet-api/rules/{id}")) && !chosen.is_named_by("/rules/7"));
        let binding = of(Dialect::V5, Kind::HostInterfacePort, "/hosts/h/ports", &body);
        assert!(binding.is_named_by(&format!("http://x/hosts/h/ports/{id}")));
        assert!(!binding.is_named_by(&format!("http://x/ports/{id}")));
        let link = of(Dialect::V1, Kind::PortLink, "/ports/a/link", r#"{"peerId": "b"}"#);
        assert!(link.may_be_unnamed() && link.is_named_by("http://x/ports/a/link"));
        assert!(!link.is_named_by("http://x/ports/b/link") && !binding.may_be_unnamed());
    }

    #[test]
    fn objects_with_an_id_are_looked_for_under_it() {
        let found = confirmation(Dialect::V5, Kind::Rule, "/chains/c/rules", r#"{"id": "r"}"#).unwrap();
        assert_eq!(found.path, "/rules/r");
        assert!(found.is_met_by(r#"{"id": "r", "position": 1}"#));
        assert!(!found.is_met_by("nonsense"));
        assert_eq!(confirmation(Dialect::V1, Kind::Rule, "/chains/c/rules", r#"{"id": "r"}"#), None);
        assert!(confirmation(Dialect::V1, Kind::Chain, "/chains", r#"{"id": "c"}"#).is_some());
    }

    #[test]
    fn what_joins_two_is_looked_for_at_one_of_them() {
        let link = confirmation(Dialect::V1, Kind::PortLink, "/ports/a/link", r#"{"peerId": "b"}"#).unwrap();
        assert_eq!(link.path, "/ports/a");
        assert!(link.is_met_by(r#"{"id": "a", "peerId": "b"}"#));
        assert!(!link.is_met_by(r#"{"id": "a", "peerId": "c"}"#));
        let body = r#"{"portId": "p", "interfaceName": "eth0"}"#;
        let binding = confirmation(Dialect::V5, Kind::HostInterfacePort, "/hosts/h/ports", body).unwrap();
        assert!(binding.is_met_by(r#"{"hostId": "h", "interfaceName": "eth0"}"#));
        assert!(!binding.is_met_by(r#"{"hostId": "h", "interfaceName": null}"#));
        let member = confirmation(Dialect::V5, Kind::PortGroupPort, "/port_groups/g/ports", body).unwrap();
        assert!(member.is_met_by(r#"[{"portId": "q"}, {"portId": "p"}]"#));
        assert!(!member.is_met_by("[]"));
    }
}
