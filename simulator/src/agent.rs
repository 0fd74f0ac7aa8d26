//! The part of MidoNet's agents: hosts are alive, bound ports are active, and what an agent does not cope with is noted.
//!
//! The agent of 5.8 does not bind an interface again whose name comes back, and a router or a bridge whose id comes back
//! carries nothing until the agent restarts. So the ids and the names that came back are listed at `/_agent`; with this
//! server, the agents restart too. The agent also sets the MTU of a bound interface to 65000. This server touches no
//! interface, so it does not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::object::Object;
use crate::schema::Kind;

/// The kinds whose ids clients choose, or see.
const KINDS: [Kind; 8] = [
    Kind::Router,
    Kind::Bridge,
    Kind::Port,
    Kind::Route,
    Kind::Chain,
    Kind::Rule,
    Kind::PortGroup,
    Kind::TunnelZone,
];

/// An interface of a host.
type Interface = (Uuid, String);

/// The memory of the agents of all hosts.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    deleted: BTreeSet<(Kind, Uuid)>,
    unbound: BTreeSet<Interface>,
    objects_that_came_back: BTreeSet<(Kind, Uuid)>,
    interfaces_that_came_back: BTreeSet<Interface>,
}

impl Agents {
    /// Notes a change of an object.
    pub(crate) fn observe(&mut self, before: Option<&Object>, now: Option<&Object>) {
        match (before, now) {
            (Some(before), None) => drop(self.deleted.insert((before.kind, before.id))),
            (None, Some(now)) if self.deleted.contains(&(now.kind, now.id)) => {
                self.objects_that_came_back.insert((now.kind, now.id));
            }
            _ => {}
        }
        let (was_bound, is_bound) = (before.and_then(interface_of), now.and_then(interface_of));
        if was_bound == is_bound {
            return;
        }
        if let Some(bound) = is_bound
            && self.unbound.contains(&bound)
        {
            self.interfaces_that_came_back.insert(bound);
        }
        self.unbound.extend(was_bound);
    }

    /// Returns true if the port is bound to an interface that the agent has bound.
    pub(crate) fn is_active(&self, port: &Object) -> bool {
        interface_of(port).is_some_and(|bound| !self.interfaces_that_came_back.contains(&bound))
    }

    /// Returns the ids and the interfaces that came back, by kind.
    pub(crate) fn shown(&self) -> Json {
        let mut ids: BTreeMap<Kind, Vec<String>> = KINDS.into_iter().map(|kind| (kind, Vec::new())).collect();
        for (kind, id) in &self.objects_that_came_back {
            ids.entry(*kind).or_default().push(id.to_string());
        }
        let mut all: Map<String, Json> = KINDS
            .into_iter()
            .map(|kind| (kind.path().to_owned(), Json::from(ids.remove(&kind).unwrap_or_default())))
            .collect();
        let interface = |(host, name): &Interface| json!({ "host": host, "interface": name });
        all.insert("interfaces".to_owned(), self.interfaces_that_came_back.iter().map(interface).collect());
        json!({ "came_back": all })
    }
}

/// Returns the interface that a port is bound to.
fn interface_of(object: &Object) -> Option<Interface> {
    let host = object.uuid("hostId").filter(|_| object.kind == Kind::Port)?;
    Some((host, object.text("interfaceName")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Value;

    fn port(id: u128, interface: Option<&str>) -> Object {
        let fields = interface.map_or_else(Vec::new, |name| {
            vec![("hostId", Value::Uuid(Uuid::from_u128(9))), ("interfaceName", Value::text(name))]
        });
        Object::new(Kind::Port, Uuid::from_u128(id), fields)
    }

    #[test]
    fn what_comes_back_is_noted() {
        let mut agents = Agents::default();
        let (loose, bound) = (port(1, None), port(1, Some("vif1")));
        agents.observe(None, Some(&loose));
        agents.observe(Some(&loose), Some(&bound));
        assert!(agents.is_active(&bound) && !agents.is_active(&loose));
        agents.observe(Some(&bound), None);
        agents.observe(None, Some(&port(2, Some("vif2"))));
        assert_eq!(agents.shown()["came_back"]["ports"], json!([]));
        agents.observe(None, Some(&bound));
        assert_eq!(agents.shown()["came_back"]["ports"], json!([bound.id.to_string()]));
        assert_eq!(agents.shown()["came_back"]["interfaces"][0]["interface"], "vif1");
        assert!(!agents.is_active(&bound));
    }
}
