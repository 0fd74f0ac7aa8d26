//! Laws of the kinds of objects: what an object refers to, and that it is read as it was written.

use std::collections::BTreeMap;

use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::{Kind, Listed, Names, Object, Reference, Resource};
use midoform_compiler::topology::{Entry, Topology};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::samples::{EXAMPLES, Project};

fn examples() -> impl Iterator<Item = (&'static str, Topology)> {
    let names = EXAMPLES.into_iter().filter(|name| *name != "fleet");
    names.map(|name| (name, Project::example(name).compile().topology))
}

#[test]
fn a_reference_leads_to_an_object_of_its_kinds() {
    let mut seen = 0;
    for (name, topology) in examples() {
        for entry in topology.entries() {
            entry.object.references(&mut |found| {
                let Some(key) = found.reference.key() else { return };
                let kind = topology.get(key.as_str()).map(|entry| Kind::of(&entry.object));
                let is_right = kind.is_some_and(|kind| found.kinds.contains(&kind));
                assert!(is_right, "{name}: {} refers to {key}, a {kind:?}: {:?}", entry.key, found.kinds);
                seen += 1;
            });
        }
    }
    assert!(seen > 400, "{seen} references were seen");
}

/// Every object has the id of its key.
struct Ids(Namespace);

impl Names for Ids {
    fn id(&self, key: &Key, _kinds: &[Kind]) -> String {
        self.0.id(key).to_string()
    }
}

/// Writes an object's body, adds what a server adds, and reads it.
fn read_back<R: Resource + Clone + Into<Object>>(
    own: &R,
    key: &Key,
    ids: &Ids,
    keys: &BTreeMap<Uuid, Key>,
) -> Option<Object> {
    let body = own.body(ids, None, own.position().unwrap_or(0)).unwrap();
    let mut body: Value = serde_json::from_str(body.get()).unwrap();
    let parent = own.parent().map(|parent| ids.reference(parent));
    let joined = body["portId"].as_str().map(str::to_owned).or(parent.clone());
    body["id"] = if R::KIND.has_own_id() { json!(ids.0.id(key)) } else { json!(joined) };
    body["deviceId"] = json!(parent.unwrap_or(Uuid::nil().to_string()));
    if body["type"].is_null() {
        body["type"] = json!("Router");
    }
    let resolve = |id: Uuid| keys.get(&id).map_or(Reference::External(id), Reference::from);
    let parent = own.parent().map(|parent| parent.reference.clone());
    let listed = Listed { parent, position: own.position().unwrap_or(0), resolve: &resolve };
    R::read(&serde_json::from_value(body).unwrap(), &listed).map(Into::into)
}

fn read_again(entry: &Entry, ids: &Ids, keys: &BTreeMap<Uuid, Key>) -> Option<Object> {
    let key = &entry.key;
    match &entry.object {
        Object::TunnelZone(own) => read_back(own, key, ids, keys),
        Object::TunnelZoneHost(own) => read_back(own, key, ids, keys),
        Object::PortGroup(own) => read_back(own, key, ids, keys),
        Object::Chain(own) => read_back(own, key, ids, keys),
        Object::Router(own) => read_back(own, key, ids, keys),
        Object::Bridge(own) => read_back(own, key, ids, keys),
        Object::RouterPort(own) => read_back(own, key, ids, keys),
        Object::BridgePort(own) => read_back(own, key, ids, keys),
        Object::Rule(own) => read_back(&**own, key, ids, keys),
        Object::Route(own) => read_back(own, key, ids, keys),
        Object::PortLink(own) => read_back(own, key, ids, keys),
        Object::PortGroupPort(own) => read_back(own, key, ids, keys),
        Object::HostInterfacePort(own) => read_back(own, key, ids, keys),
        Object::Row(_) => None,
    }
}

#[test]
fn an_object_is_read_as_it_was_written() {
    let ids = Ids(Namespace::of_site("s"));
    for (name, topology) in examples() {
        let keys = topology.entries().iter().map(|entry| (ids.0.id(&entry.key), entry.key.clone())).collect();
        for entry in topology.entries() {
            assert_eq!(read_again(entry, &ids, &keys).as_ref(), Some(&entry.object), "{name}: {}", entry.key);
        }
    }
}
