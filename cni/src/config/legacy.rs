//! The configuration of the Go plugin that midonet-cni replaces, as it stands: `midonet-cni.conf`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::source::Source;
use midoform_compiler::spec::Profile;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Config, ExtraRoute, Keys, LogSettings, Login, RuntimeConfig, STATE_FOLDER, Timeouts, site_of};
use crate::protocol::error::{CniError, Result};
use crate::protocol::result::Dns;
use crate::protocol::version::Version;

/// Whether a configuration is the Go plugin's.
pub(super) fn is_legacy(map: &Map<String, Value>) -> bool {
    !map.contains_key("site") && (map.contains_key("midonet_api") || map.contains_key("etcd_conf"))
}

#[derive(Deserialize)]
struct Api {
    #[serde(default)]
    url: String,
    #[serde(default)]
    user_name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    project_id: String,
    #[serde(default)]
    provider_router_id: String,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    keystone_conf: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Etcd {
    #[serde(default)]
    urls: Option<Vec<String>>,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    timeout: Option<Value>,
}

#[derive(Deserialize)]
struct Ipam {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    route: Option<Vec<LegacyRoute>>,
}

#[derive(Deserialize)]
struct LegacyRoute {
    net: Ipv4Addr,
    netmask: String,
    #[serde(default)]
    gw: String,
}

/// Reads the Go plugin's configuration.
pub(super) fn read(keys: &Keys<'_>, version: Version, name: String) -> Result<Config> {
    let api: Api = match keys.map.get("midonet_api") {
        Some(value) => keys.decode("midonet_api", value)?,
        None => return Err(CniError::configuration("midonet_api", "is missing")),
    };
    let etcd: Etcd = keys
        .map
        .get("etcd_conf")
        .map(|value| keys.decode("etcd_conf", value))
        .transpose()?
        .unwrap_or_default();
    let links = network(keys, "midonet_router_cidr", "172.16.0.0/24")?;
    let first_bridge = network(keys, "midonet_bridge_cidr", "192.168.0.0/24")?;
    let site_source = Source::new("midonet-cni.conf", site_text(&name, &api, &etcd, links, first_bridge)?);
    let site = site_of(&site_source)?;
    let mut warnings =
        vec!["this is the Go plugin's configuration; docs/cni.md shows the same for midonet-cni".to_owned()];
    warnings.extend(obsolete(keys, &api, &etcd));
    let level = keys.filled("log_level")?;
    Ok(Config {
        version,
        name,
        site_source,
        site,
        host: keys.uuid("midonet_host_uuid")?,
        tenant: None,
        profile: Some(Profile::Rainbond),
        first_bridge: Some(first_bridge),
        bridge: None,
        mtu: keys.mtu()?,
        routes: routes(keys)?,
        renames: true,
        login: Login {
            username: Some(api.user_name).filter(|name| !name.is_empty()),
            password: Some(api.password).filter(|password| !password.is_empty()),
            project: Some(api.project_id).filter(|project| !project.is_empty()),
            token: None,
        },
        etcd_login: Login {
            username: Some(etcd.username).filter(|name| !name.is_empty()),
            password: Some(etcd.password).filter(|password| !password.is_empty()),
            ..Login::default()
        },
        store: keys.path("store")?,
        // Not the Go plugin's: where somebody wants it elsewhere.
        state_folder: keys.path("state_dir")?.unwrap_or_else(|| STATE_FOLDER.into()),
        log: LogSettings { file: keys.path("log_path")?, level },
        timeouts: Timeouts::default(),
        runtime: RuntimeConfig::default(),
        dns: Dns::default(),
        previous: None,
        valid: None,
        gc_disabled: false,
        warnings,
    })
}

/// The site file that says the same.
fn site_text(name: &str, api: &Api, etcd: &Etcd, links: Ipv4Net, bridges: Ipv4Net) -> Result<String> {
    if api.url.is_empty() {
        let problem = "has no `url`: the key of traefik in etcd is no longer looked at";
        return Err(CniError::configuration("midonet_api", problem));
    }
    // Its first bridge had this network with every tenant, and the next ones those behind it.
    let pool = Ipv4Net::new(bridges.network(), bridges.prefix_len().min(16)).map(|pool| pool.trunc());
    let mut site = json!({
        "name": name,
        "midonet": {
            "url": api.url,
            "version": api.version.unwrap_or(1),
            "provider_router": api.provider_router_id,
        },
        "pools": {
            "links": [links.to_string()],
            "bridges": [pool.unwrap_or(bridges).to_string()],
            "bridge_prefix": bridges.prefix_len(),
            "shared": true,
        },
    });
    if let Some(urls) = etcd.urls.as_ref().filter(|urls| !urls.is_empty()) {
        site["etcd"] = json!({ "endpoints": urls });
    }
    toml::to_string(&site).map_err(|error| CniError::internal(format!("the site: {error}")))
}

/// What no longer means anything.
fn obsolete(keys: &Keys<'_>, api: &Api, etcd: &Etcd) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |key: &str, why: &str| warnings.push(format!("`{key}` is obsolete: {why}"));
    if keys.map.contains_key("veth_ctrl_type") {
        warn("veth_ctrl_type", "interfaces are made over netlink");
    }
    if api.keystone_conf.as_ref().is_some_and(|value| !value.is_null()) {
        warn(
            "midonet_api.keystone_conf",
            "a tenant's `tenant_id` stands in its spec; without one it is its name",
        );
    }
    if etcd.timeout.is_some() {
        warn("etcd_conf.timeout", "every call of the store ends after 3 seconds");
    }
    if keys.map.get("ipam").and_then(|ipam| ipam.get("ipv4")).is_some() {
        warn("ipam.ipv4", "addresses come from the tenant's bridges");
    }
    warnings
}

fn network(keys: &Keys<'_>, key: &str, otherwise: &str) -> Result<Ipv4Net> {
    let text = keys.filled(key)?.unwrap_or_else(|| otherwise.to_owned());
    let network: Option<Ipv4Net> = text.parse().ok();
    let network = network.filter(|network| (8..=29).contains(&network.prefix_len()));
    network
        .map(|network| network.trunc())
        .ok_or_else(|| CniError::configuration(key, format!("is `{text}`, which is no network of /8 to /29")))
}

fn routes(keys: &Keys<'_>) -> Result<Vec<ExtraRoute>> {
    let Some(value) = keys.map.get("ipam") else { return Ok(Vec::new()) };
    let ipam: Ipam = keys.decode("ipam", value)?;
    if !matches!(ipam.kind.as_str(), "" | "etcd") {
        return Err(CniError::configuration(
            "ipam.type",
            format!("is `{}`; there is only `etcd`", ipam.kind),
        ));
    }
    let route = |route: LegacyRoute| {
        let wrong = |problem: String| CniError::configuration("ipam.route", problem);
        let length = match route.netmask.parse::<Ipv4Addr>() {
            Ok(mask) => ipnet::ipv4_mask_to_prefix(mask).ok(),
            Err(_) => route.netmask.trim_start_matches('/').parse().ok(),
        };
        let dst = length.and_then(|length| Ipv4Net::new(route.net, length).ok());
        let dst = dst.ok_or_else(|| wrong(format!("has the netmask `{}`, which is none", route.netmask)))?;
        let gw = match route.gw.as_str() {
            "" => None,
            text => Some(
                text.parse().map_err(|_| wrong(format!("has the gateway `{text}`, which is no address")))?,
            ),
        };
        Ok(ExtraRoute { dst: dst.trunc(), gw })
    };
    ipam.route.unwrap_or_default().into_iter().map(route).collect()
}
