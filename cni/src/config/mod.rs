//! The network configuration that a runtime sends on standard input. `docs/cni.md` describes every key.

mod go_plugin;
mod keys;
mod known_keys;
mod login;
mod native;
mod runtime;
mod settings;
mod site;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Endpoint, Variables, Verb, container_problem};
use crate::protocol::result::CniResult;
use crate::protocol::version::Version;

use keys::{Keys, decode};

pub(crate) use login::Login;
pub(crate) use runtime::PortMapping;
pub(crate) use settings::{Config, LogSettings, STATE_FOLDER};
pub(crate) use site::error_lines;

/// Returns the version that the configuration names, or the newest one if it can't be read. Errors have its form too.
pub(crate) fn version_of(text: &str) -> String {
    let value = serde_json::from_str::<Value>(text).ok();
    let named = value.as_ref().and_then(|value| value.get("cniVersion")).and_then(Value::as_str);
    named.filter(|named| Version::parse(named).is_ok()).unwrap_or(Version::NEWEST.as_str()).to_owned()
}

/// Reads and checks a network configuration: for DEL and GC only what they need.
pub(crate) fn parse(text: &str, verb: Verb, variables: Variables<'_>) -> Result<Config> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        CniError::new(Code::Decoding, "the network configuration on standard input is not JSON")
            .caused_by(error)
    })?;
    let Value::Object(map) = value else {
        return Err(CniError::new(Code::Decoding, "the network configuration is not a JSON object"));
    };
    let keys = Keys::of(&map, verb);
    let version = Version::parse(&keys.string("cniVersion")?.unwrap_or_default())?;
    let name = keys.string("name")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| CniError::configuration("name", "is missing"))?;
    if let Some(problem) = container_problem(&name) {
        return Err(CniError::configuration("name", problem));
    }
    let mut config = match go_plugin::is_go_plugins(&map) {
        true => go_plugin::read(&keys, version, name)?,
        false => native::read(&keys, version, name)?,
    };
    config.runtime = runtime::read(&keys)?;
    if let Some(dns) = map.get("dns").filter(|dns| !dns.is_null()) {
        config.dns = keys.unless_detaching(keys.decode("dns", dns))?;
    }
    if let Some(previous) = map.get("prevResult").filter(|previous| !previous.is_null()) {
        config.previous = keys.unless_detaching(CniResult::parse(previous, version).map(Some))?;
    }
    if verb == Verb::Gc {
        config.valid_attachments = valid_attachments(&map)?;
        config.gc_disabled = keys.boolean("disableGC")?.unwrap_or(false);
    }
    config.warnings.extend(keys.into_warnings());
    config.login.take_from_environment(variables);
    Ok(config)
}

/// Reads the endpoints that GC must keep. libcni sends the list under two names. A list that is missing or null is not an
/// empty one.
fn valid_attachments(map: &Map<String, Value>) -> Result<Option<Vec<Endpoint>>> {
    #[derive(Deserialize)]
    struct Attachment {
        #[serde(rename = "containerID")]
        container: String,
        ifname: String,
    }
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let Some(value) = map.get(key) else { continue };
        let list: Option<Vec<Attachment>> = decode(key, value)?;
        let endpoint = |one: Attachment| Endpoint { container: one.container, interface: one.ifname };
        return Ok(list.map(|list| list.into_iter().map(endpoint).collect()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use serde_json::json;

    use super::*;

    const URL: &str = "http://127.0.0.1:8181/midonet-api";

    fn read(site: &Value, verb: Verb) -> Result<Config> {
        let host = "11111111-2222-3333-4444-555555555555";
        let text = json!({ "cniVersion": "1.1.0", "name": "n", "type": "midonet-cni", "host_uuid": host, "site": site });
        parse(&text.to_string(), verb, &|_| None)
    }

    /// What an ADD needs of a site, and DEL and GC don't.
    #[test]
    fn a_wrong_site_keeps_no_container() {
        let midonet = json!({ "url": URL, "managed": true });
        for (key, value) in [
            ("pools", json!({ "bridges": "169.254.0.0/16" })),
            ("pools", json!({ "links": 5 })),
            ("defaults", json!({ "profile": "open" })),
            ("policy", json!({ "nothing": true })),
            ("host", json!([{ "name": "a", "id": "b" }])),
            ("tunnel_zone", json!({ "name": "" })),
            ("unknown", json!("x")),
            ("midonet", json!({ "url": URL, "provider_router": "router" })),
            ("midonet", json!({ "url": URL, "managed": true, "unknown": 1 })),
        ] {
            let mut site = json!({ "name": "s", "midonet": midonet, "store": { "path": "/var/lib/store" } });
            site[key] = value.clone();
            assert!(read(&site, Verb::Add).is_err(), "{key} {value}");
            for verb in [Verb::Del, Verb::Gc] {
                let config = read(&site, verb).unwrap();
                assert!(
                    config.warnings.iter().any(|warning| warning.contains("site")),
                    "{key} {:?}",
                    config.warnings
                );
                assert_eq!(
                    config.site.midonet.as_ref().unwrap().url.as_ref().map(|url| url.value.as_str()),
                    Some(URL)
                );
                assert!(config.site.store.is_some(), "{key} {value}");
            }
        }
        // Without these nobody knows where the container's port is.
        for site in [
            json!({ "name": "s" }),
            json!({ "midonet": midonet }),
            json!({ "name": "s", "midonet": { "url": "x" } }),
        ] {
            assert!(read(&site, Verb::Del).is_err(), "{site}");
        }
    }
}
