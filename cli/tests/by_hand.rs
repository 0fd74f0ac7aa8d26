//! A project on the embedded API, in which somebody else changes objects by hand.

use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};
use serde_json::Value;

use crate::MIDOFORM;
use crate::served::Served;

/// The versions of the embedded API, with their dialects.
pub(crate) const VERSIONS: [(&str, &str); 3] = [("1.7", "1"), ("5.0", "5"), ("5.8", "5")];

/// A project and its server.
pub(crate) struct ByHand {
    pub(crate) folder: TestFolder,
    pub(crate) served: Served,
    version: &'static str,
}

impl ByHand {
    /// Starts a server with the host `node1`, and writes a site for it.
    pub(crate) fn new((version, dialect): (&'static str, &str), tenants: &[(&str, &str)]) -> ByHand {
        let folder = TestFolder::default();
        let served = Served::with_node_and(&folder, dialect, version, &["--inspect"]);
        for (name, text) in tenants {
            folder.write(&format!("{name}.toml"), format!("name = \"{name}\"\n{text}"));
        }
        ByHand { folder, served, version }
    }

    /// Runs midoform in the project.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.folder.run(MIDOFORM, arguments)
    }

    /// Returns what `show --json` says of the object with this key.
    fn shown(&self, key: &str) -> Value {
        let shown = self.run(&["show", ".", "--json"]).expect_code(0).stdout;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let objects = shown["objects"].as_array().unwrap();
        objects
            .iter()
            .find(|object| object["key"] == key)
            .unwrap_or_else(|| panic!("no {key}: {shown}"))
            .clone()
    }

    /// Returns the id of the object with this key.
    pub(crate) fn id(&self, key: &str) -> String {
        self.shown(key)["id"].as_str().unwrap().to_owned()
    }

    /// Returns the objects of one of the simulator's kinds.
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let body =
            Connection::open(self.served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap().body;
        let all: Value = serde_json::from_str(&body).unwrap();
        all["objects"][kind].as_array().cloned().unwrap_or_default()
    }

    /// Sends a call; returns the status, the `Location` and the body.
    pub(crate) fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> (u16, String, String) {
        let kind = match (kind, self.version) {
            ("Router", "1.7") | ("Port", "1.7") => format!("{kind}-v2"),
            ("Bridge", "1.7") => "Bridge-v1".to_owned(),
            ("Router" | "Port", _) => format!("{kind}-v3"),
            ("Bridge", _) => "Bridge-v4".to_owned(),
            ("Rule", _) => "Rule-v2".to_owned(),
            _ => format!("{kind}-v1"),
        };
        let kind = format!("application/vnd.org.midonet.{kind}+json");
        let mut connection = Connection::open(self.served.address).unwrap();
        let answer = connection.send(method, &format!("/midonet-api{path}"), &kind, body).unwrap();
        (answer.status, answer.location, answer.body)
    }

    /// Creates an object, and returns its id.
    pub(crate) fn post(&self, path: &str, kind: &str, body: &Value) -> String {
        let (status, location, text) = self.send("POST", path, kind, &body.to_string());
        assert_eq!(status, 201, "{path}: {text}");
        location.rsplit('/').next().unwrap().to_owned()
    }

    /// Changes fields of an object.
    pub(crate) fn change(&self, path: &str, kind: &str, fields: &[(&str, Value)]) {
        let (status, _, text) = self.send("GET", path, kind, "");
        assert_eq!(status, 200, "{path}: {text}");
        let mut object: Value = serde_json::from_str(&text).unwrap();
        for (field, value) in fields {
            object[*field] = value.clone();
        }
        let (status, _, text) = self.send("PUT", path, kind, &object.to_string());
        assert_eq!(status, 204, "{path}: {text}");
    }

    /// Returns an object as the API has it.
    pub(crate) fn get(&self, path: &str, kind: &str) -> Value {
        serde_json::from_str(&self.send("GET", path, kind, "").2).unwrap()
    }
}
