//! The Go plugin's keys in etcd (v2 API), from an export or from a live etcd.
//!
//! They are hints only: a key may name an object that no longer exists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midoform_compiler::error_chain;
use serde::Deserialize;
use serde_json::Value as Json;
use uuid::Uuid;

/// The two trees that the plugin writes to.
const TREES: [&str; 2] = ["midonet-cni", "midonet"];

/// A reason why the plugin's keys can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PluginStateError {
    /// The text is not an export of the keys.
    #[error(
        "this is not an export of the Go plugin's keys ({0}): pass etcd's response to `GET /v2/keys/?recursive=true`, or an \
         object of keys and values"
    )]
    Unreadable(String),
    /// etcd can't be read.
    #[error("etcd at {url}: {cause}")]
    Etcd {
        /// The URL of etcd.
        url: String,
        /// The cause.
        cause: String,
    },
}

/// The keys, by path.
#[derive(Clone, Debug, Default)]
pub struct PluginState {
    keys: BTreeMap<String, String>,
}

/// The plugin's keys of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginTenant {
    /// The name.
    pub name: Option<String>,
    /// The router.
    pub router: Option<Uuid>,
    /// The bridges.
    pub bridges: BTreeSet<Uuid>,
    /// The pods.
    pub pods: Vec<Pod>,
}

/// A pod, as far as the plugin's keys describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pod {
    /// The container's id.
    pub container: String,
    /// Its address, with the bridge's prefix length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The bridge's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Uuid>,
    /// The host that the port is bound on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Uuid>,
    /// The interface there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A name and a password for etcd.
#[derive(Clone)]
pub struct EtcdLogin {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

#[derive(Deserialize)]
struct Info {
    name: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Device {
    id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    host_id: Option<Uuid>,
    interface_name: Option<String>,
    port_id: Option<Uuid>,
}

impl PluginState {
    /// Reads an export: etcd's own answer to a recursive read, or an object of paths and values, by itself or
    /// below `keys`.
    ///
    /// # Errors
    /// Returns an error if the text is neither.
    pub fn parse(text: &str) -> Result<PluginState, PluginStateError> {
        let unreadable = |why: String| PluginStateError::Unreadable(why);
        let json: Json = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        let mut state = PluginState::default();
        if let Some(node) = json.get("node") {
            state.add_node(node);
        } else {
            let keys = json.get("keys").unwrap_or(&json).as_object();
            let keys = keys.ok_or_else(|| unreadable("there is no object of keys".to_owned()))?;
            for (path, value) in keys.iter().filter(|(path, _)| path.starts_with('/')) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                state.keys.insert(path.clone(), text);
            }
        }
        if state.keys.is_empty() && json.get("node").is_none() {
            return Err(unreadable("there is no key in it".to_owned()));
        }
        Ok(state)
    }

    fn add_node(&mut self, node: &Json) {
        let text = |field: &str| node.get(field).and_then(Json::as_str);
        if let (Some(path), Some(value)) = (text("key"), text("value")) {
            self.keys.insert(path.to_owned(), value.to_owned());
        }
        for child in node.get("nodes").and_then(Json::as_array).into_iter().flatten() {
            self.add_node(child);
        }
    }

    /// Reads a live etcd by its v2 API.
    ///
    /// # Errors
    /// Returns an error if etcd can't be reached, refuses the login, or has no v2 API.
    pub async fn read(
        url: &str,
        login: Option<&EtcdLogin>,
        timeout: Duration,
    ) -> Result<PluginState, PluginStateError> {
        // Another part of the process may have installed one already; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = url.trim_end_matches('/');
        let failed = |cause: String| PluginStateError::Etcd { url: base.to_owned(), cause };
        let words = |error: reqwest::Error| failed(error_chain::in_one_line(&error.without_url()));
        let http = reqwest::Client::builder().timeout(timeout).no_proxy().build().map_err(words)?;
        let mut state = PluginState::default();
        for tree in TREES {
            let mut request = http.get(format!("{base}/v2/keys/{tree}?recursive=true&quorum=true"));
            if let Some(login) = login {
                request = request.basic_auth(&login.username, Some(&login.password));
            }
            let answer = request.send().await.map_err(words)?;
            let status = answer.status().as_u16();
            let body = answer.text().await.map_err(words)?;
            let json: Json = serde_json::from_str(&body).unwrap_or_default();
            // 100: the key is not there.
            let nothing = status == 404 && json.get("errorCode").and_then(Json::as_u64) == Some(100);
            match (status, json.get("node")) {
                (200, Some(node)) => state.add_node(node),
                _ if nothing => {}
                (404, _) => {
                    let cause =
                        "it has no v2 API: start it with --enable-v2, or pass an export with --export";
                    return Err(failed(cause.to_owned()));
                }
                (401 | 403, _) => {
                    return Err(failed("it refuses this login (ETCD_USERNAME, ETCD_PASSWORD)".to_owned()));
                }
                _ => return Err(failed(format!("unexpected status {status}"))),
            }
        }
        Ok(state)
    }

    /// Returns the tenants that the plugin created, by their names in its keys.
    pub fn tenants(&self) -> BTreeSet<&str> {
        let below = self.keys.keys().filter_map(|path| path.strip_prefix("/midonet-cni/tenant/"));
        below.filter_map(|rest| rest.split('/').next()).collect()
    }

    fn get<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Option<T> {
        serde_json::from_str(self.keys.get(path)?).ok()
    }

    /// Returns the keys directly below a path: the last segment and the value.
    fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let from = self.keys.range(path.to_owned()..).take_while(move |(key, _)| key.starts_with(path));
        let rest = from.filter_map(move |(key, value)| Some((key.strip_prefix(path)?, value.as_str())));
        rest.filter(|(segment, _)| !segment.contains('/'))
    }

    /// Returns the keys of a tenant, by its name or its id.
    pub fn tenant(&self, wanted: &str) -> Option<PluginTenant> {
        let info = |segment: &str| self.get::<Info>(&format!("/midonet-cni/tenant/{segment}/info"));
        let is_it = |segment: &&str| {
            let info = info(segment);
            let info = info.iter().flat_map(|info| [info.name.as_deref(), info.id.as_deref()]).flatten();
            info.chain([*segment]).any(|name| name == wanted)
        };
        let segment = self.tenants().into_iter().find(is_it)?;
        let info = info(segment);
        let root = format!("/midonet-cni/tenant/{segment}");
        let bridges = format!("{root}/bridge/");
        let mut tenant = PluginTenant {
            name: info.as_ref().and_then(|info| info.name.clone()),
            router: self.get::<Device>(&format!("{root}/router")).map(|router| router.id),
            bridges: self.below(&bridges).filter_map(|(id, _)| Uuid::try_parse(id).ok()).collect(),
            pods: Vec::new(),
        };
        let id = info.and_then(|info| info.id);
        let names: BTreeSet<&str> =
            [Some(segment), tenant.name.as_deref(), id.as_deref()].into_iter().flatten().collect();
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        let trees =
            |tree: &str| -> Vec<String> { names.iter().map(|name| format!("{tree}{name}/")).collect() };
        for tree in trees("/midonet-cni/ip/pod/") {
            for (container, address) in self.below(&tree) {
                let pod = pods.entry(container.to_owned()).or_default();
                pod.address = Some(address.to_owned());
            }
        }
        // The plugin's own spelling.
        for tree in trees("/midonet-cni/bingding/") {
            for (container, text) in self.below(&tree) {
                let Ok(binding) = serde_json::from_str::<Binding>(text) else { continue };
                let pod = pods.entry(container.to_owned()).or_default();
                (pod.port, pod.host, pod.interface) =
                    (binding.port_id, binding.host_id, binding.interface_name);
            }
        }
        tenant.pods = pods.into_iter().map(|(container, pod)| Pod { container, ..pod }).collect();
        Some(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "cf68f495-543d-4d6b-b084-533e958f3087";

    fn keys() -> Vec<(String, String)> {
        let device = format!("{{\"id\":\"{ROUTER}\",\"name\":\"blue default router\"}}");
        let binding = "{\"hostId\":\"11111111-2222-3333-4444-555555555555\",\"interfaceName\":\"vifc1\",\
                       \"portId\":\"4b54baac-52c5-4f03-80bd-be45d495241b\"}";
        [
            ("/midonet-cni/tenant/42/info", "{\"name\":\"blue\",\"id\":\"42\"}"),
            ("/midonet-cni/tenant/42/router", &device),
            ("/midonet-cni/tenant/42/bridge/4687b29f-11c8-4a68-a62e-ad7b6858394f", "{}"),
            ("/midonet-cni/tenant/42/bridge/usage", "4687b29f-11c8-4a68-a62e-ad7b6858394f"),
            ("/midonet-cni/ip/pod/blue/c1", "192.168.0.5/24"),
            ("/midonet-cni/ip/pod/blue/available/192.168.0.9", "192.168.0.9/24"),
            ("/midonet-cni/ip/pod/bluebell/c2", "192.168.0.6/24"),
            ("/midonet-cni/bingding/blue/c1", binding),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn check(state: &PluginState) {
        for name in ["blue", "42"] {
            let tenant = state.tenant(name).unwrap();
            assert_eq!(tenant.router, Uuid::try_parse(ROUTER).ok());
            assert_eq!((tenant.bridges.len(), tenant.pods.len()), (1, 1));
            assert_eq!(tenant.pods[0].address.as_deref(), Some("192.168.0.5/24"));
            assert_eq!(tenant.pods[0].interface.as_deref(), Some("vifc1"));
        }
        assert_eq!(state.tenant("bluebell"), None);
    }

    #[test]
    fn both_forms_of_an_export_say_the_same() {
        let flat: serde_json::Map<String, Json> =
            keys().into_iter().map(|(key, value)| (key, Json::from(value))).collect();
        check(&PluginState::parse(&serde_json::json!({ "about": "x", "keys": flat }).to_string()).unwrap());
        let leaves: Vec<Json> = keys()
            .into_iter()
            .map(|(key, value)| serde_json::json!({ "key": key, "value": value }))
            .collect();
        let tree = serde_json::json!({ "key": "/midonet-cni", "dir": true, "nodes": leaves });
        let etcd = serde_json::json!({ "action": "get", "node": { "dir": true, "nodes": [tree] } });
        check(&PluginState::parse(&etcd.to_string()).unwrap());
    }

    #[test]
    fn what_is_no_export_is_refused() {
        for text in ["", "[]", "nonsense", "{}", "{\"keys\": 7}"] {
            assert!(PluginState::parse(text).is_err(), "{text}");
        }
    }
}
