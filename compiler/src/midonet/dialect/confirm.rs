//! How to see whether a POST has happened whose answer did not come.

use serde_json::Value;

use super::{Dialect, has_own_id};
use crate::plan::DialectTag;
use crate::topology::kind::Kind;

/// A read that shows whether an object was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The path to read. A 404 means that it was not made.
    pub path: String,
    /// The media type to ask for.
    pub accept: String,
    /// What the object there, or one of the list there, says when it was made.
    pub holds: Vec<(&'static str, String)>,
}

impl Confirmation {
    /// Whether what was read shows that the object was made.
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

/// How to see whether a POST of an object of `kind` has happened. Nothing where only the server knew the new
/// object's id (1.x: ports, rules, routes): then it has to be recognised by what it is.
pub fn confirmation(dialect: DialectTag, kind: Kind, path: &str, body: &str) -> Option<Confirmation> {
    let dialect = Dialect::of(dialect)?;
    let body: Value = serde_json::from_str(body).ok()?;
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let one = |path: String, kind: Kind, holds| Confirmation {
        path,
        accept: dialect.media_type(kind).to_owned(),
        holds,
    };
    let listed =
        |holds| Confirmation { path: path.to_owned(), accept: dialect.collection_media_type(kind), holds };
    if has_own_id(kind) {
        if !dialect.keeps_offered_id(kind) {
            return None;
        }
        let id = text("id")?;
        return Some(one(format!("/{}/{id}", collection(kind)?), kind, vec![("id", id)]));
    }
    match kind {
        Kind::PortLink => {
            let port = path.strip_suffix("/link")?.to_owned();
            Some(one(port, Kind::RouterPort, vec![("peerId", text("peerId")?)]))
        }
        Kind::HostInterfacePort => {
            let host = path.strip_prefix("/hosts/")?.strip_suffix("/ports")?.to_owned();
            let mut holds = vec![("hostId", host)];
            holds.extend(text("interfaceName").map(|name| ("interfaceName", name)));
            Some(one(format!("/ports/{}", text("portId")?), Kind::BridgePort, holds))
        }
        Kind::PortGroupPort => Some(listed(vec![("portId", text("portId")?)])),
        Kind::TunnelZoneHost => Some(listed(vec![("hostId", text("hostId")?)])),
        _ => None,
    }
}

/// Where the objects of a kind with an id of its own are.
fn collection(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::TunnelZone => "tunnel_zones",
        Kind::PortGroup => "port_groups",
        Kind::Chain => "chains",
        Kind::Router => "routers",
        Kind::Bridge => "bridges",
        Kind::RouterPort | Kind::BridgePort => "ports",
        Kind::Rule => "rules",
        Kind::Route => "routes",
        Kind::PortLink | Kind::PortGroupPort | Kind::HostInterfacePort | Kind::TunnelZoneHost => return None,
    })
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
