//! The configuration of the Go plugin that midonet-cni replaces: `midonet-cni.conf`, unchanged.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::source::Source;
use midoform_compiler::spec::Profile;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::keys::Keys;
use super::login::Login;
use super::runtime::RuntimeConfig;
use super::settings::{Config, ExtraRoute, LogSettings, STATE_FOLDER, Timeouts};
use super::site;
use crate::protocol::error::{CniError, Result};
use crate::protocol::request::network_of;
use crate::protocol::result::Dns;
use crate::protocol::version::Version;

/// The network of the links to the provider router, if the configuration names no other.
const LINKS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 24);

/// The network of the first bridge, if the configuration names no other.
const FIRST_BRIDGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 24);

/// Returns true if a configuration is the Go plugin's.
pub(super) fn is_go_plugins(map: &Map<String, Value>) -> bool {
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
    route: Option<Vec<GoRoute>>,
}

#[derive(Deserialize)]
struct GoRoute {
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
    let links = network(keys, "midonet_router_cidr")?.unwrap_or(LINKS);
    let first_bridge = network(keys, "midonet_bridge_cidr")?.unwrap_or(FIRST_BRIDGE);
    let site_source = Source::new("midonet-cni.conf", site_text(&name, &api, &etcd, links, first_bridge)?);
    let (site_source, site) = site::parse_for(keys, site_source, None)?;
    let mut warnings =
        vec!["this is the Go plugin's configuration: docs/cni.md describes midonet-cni's own".to_owned()];
    warnings.extend(obsolete(keys, &api, &etcd));
    let mtu = keys.unless_detaching(keys.mtu())?;
    // This configuration can't name the MTU of the hosts' network, so a larger one may be right.
    let largest = site.largest_mtu();
    warnings.extend(mtu.filter(|mtu| *mtu > largest).map(|mtu| {
        format!("`mtu` is {mtu}: with an MTU of 1500 between the hosts, the tunnels carry {largest} at most")
    }));
    let level = keys.unless_detaching(keys.nonempty("log_level"))?;
    Ok(Config {
        version,
        name,
        site_source,
        site,
        host_uuid: keys.uuid("midonet_host_uuid")?,
        open_vswitch: None,
        tenant: None,
        profile: Some(Profile::Rainbond),
        first_bridge: Some(first_bridge),
        bridge: None,
        mtu,
        routes: keys.unless_detaching(routes(keys))?,
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
        // The Go plugin has no such key.
        state_folder: keys.path("state_dir")?.unwrap_or_else(|| STATE_FOLDER.into()),
        log: LogSettings { file: keys.unless_detaching(keys.path("log_path"))?, level },
        timeouts: Timeouts::default(),
        runtime: RuntimeConfig::default(),
        dns: Dns::default(),
        previous: None,
        valid_attachments: None,
        gc_disabled: false,
        warnings,
    })
}

/// Returns the site file that means the same.
fn site_text(name: &str, api: &Api, etcd: &Etcd, links: Ipv4Net, bridges: Ipv4Net) -> Result<String> {
    if api.url.is_empty() {
        let problem = "has no `url`: midonet-cni does not read it from the keys of traefik in etcd";
        return Err(CniError::configuration("midonet_api", problem));
    }
    // The Go plugin allocated this network to the first bridge of every tenant, and the networks behind it to the next
    // bridges.
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
    toml::to_string(&site)
        .map_err(|error| CniError::internal("the site can't be written as TOML").caused_by(error))
}

/// Returns a warning for each key that has no effect.
fn obsolete(keys: &Keys<'_>, api: &Api, etcd: &Etcd) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |key: &str, why: &str| warnings.push(format!("`{key}` is obsolete: {why}"));
    if keys.map.contains_key("veth_ctrl_type") {
        warn("veth_ctrl_type", "the plugin makes interfaces over netlink");
    }
    if api.keystone_conf.as_ref().is_some_and(|value| !value.is_null()) {
        warn(
            "midonet_api.keystone_conf",
            "a tenant's spec has its `tenant_id`; without one the id is the tenant's name",
        );
    }
    if etcd.timeout.is_some() {
        warn("etcd_conf.timeout", "every call of the store ends after 3 seconds");
    }
    if keys.map.get("ipam").and_then(|ipam| ipam.get("ipv4")).is_some() {
        warn("ipam.ipv4", "a pod gets an address of its tenant's bridge");
    }
    warnings
}

fn network(keys: &Keys<'_>, key: &str) -> Result<Option<Ipv4Net>> {
    let read = || {
        let Some(text) = keys.nonempty(key)? else { return Ok(None) };
        let network = network_of(&text).filter(|network| (8..=29).contains(&network.prefix_len()));
        let wrong =
            || CniError::configuration(key, format!("is `{text}`, which is not a network of /8 to /29"));
        network.map(|network| Some(network.trunc())).ok_or_else(wrong)
    };
    keys.unless_detaching(read())
}

fn routes(keys: &Keys<'_>) -> Result<Vec<ExtraRoute>> {
    let Some(value) = keys.map.get("ipam") else { return Ok(Vec::new()) };
    let ipam: Ipam = keys.decode("ipam", value)?;
    if !matches!(ipam.kind.as_str(), "" | "etcd") {
        return Err(CniError::configuration(
            "ipam.type",
            format!("is `{}`, but only `etcd` is supported", ipam.kind),
        ));
    }
    let route = |route: GoRoute| {
        let wrong = |problem: String| CniError::configuration("ipam.route", problem);
        let length = match route.netmask.parse::<Ipv4Addr>() {
            Ok(mask) => ipnet::ipv4_mask_to_prefix(mask).ok(),
            Err(_) => {
                let digits = route.netmask.strip_prefix('/').unwrap_or(&route.netmask);
                digits.parse().ok().filter(|length: &u8| length.to_string() == digits)
            }
        };
        let dst = length.and_then(|length| Ipv4Net::new(route.net, length).ok());
        let dst = dst.ok_or_else(|| wrong(format!("has `{}`, which is not a netmask", route.netmask)))?;
        let gw = match route.gw.as_str() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| wrong(format!("has the gateway `{text}`, which is not an address")))?,
            ),
        };
        Ok(ExtraRoute { dst: dst.trunc(), gw })
    };
    ipam.route.unwrap_or_default().into_iter().map(route).collect()
}
