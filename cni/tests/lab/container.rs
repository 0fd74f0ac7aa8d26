//! Network namespaces that stand for containers.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ip, unique};

/// A namespace that stands for a container, removed at the end.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) namespace: String,
}

impl Container {
    pub(crate) fn new() -> Container {
        let namespace = unique("mc-");
        ip(&["netns", "add", &namespace]);
        Container { id: format!("{namespace}-container"), namespace }
    }

    pub(crate) fn path(&self) -> String {
        format!("/var/run/netns/{}", self.namespace)
    }

    /// Runs `ip -j` in the container.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["-n", &self.namespace, "-j", "-d"];
        all.extend(arguments);
        let text = ip(&all);
        if text.trim().is_empty() { json!([]) } else { serde_json::from_str(&text).unwrap() }
    }

    /// Returns the names of its interfaces, without the loopback and the interfaces of strangers.
    pub(crate) fn interfaces(&self) -> Vec<String> {
        let mut names = names(&self.ip(&["link", "show"]));
        names.retain(|name| name != "stranger");
        names
    }

    /// Makes an interface that neither midoform nor the runtime knows.
    pub(crate) fn add_stranger(&self, name: &str) {
        let add = ["-n", &self.namespace, "link", "add", name, "type", "veth", "peer", "name", "stranger"];
        ip(&add);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).stderr(Stdio::null()).status();
    }
}

fn names(links: &Value) -> Vec<String> {
    let names = links.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned());
    names.filter(|name| name != "lo").collect()
}
