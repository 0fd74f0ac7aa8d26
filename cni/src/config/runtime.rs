//! The parameters of one run: capability arguments (`runtimeConfig`), then `args.cni`.
//!
//! Go reads JSON without regard to case, and containerd 1.6 sends capitalised keys. So the case of keys does not matter.

use std::net::IpAddr;

use midoform_compiler::values::MacAddress;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::{Keys, decode};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Arguments, address_of, mac_of};
use crate::protocol::result::Dns;

/// The parameters of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeConfig {
    /// `runtimeConfig.ips`, or else `args.cni.ips`.
    pub(crate) addresses: Vec<IpAddr>,
    /// `runtimeConfig.mac`, or else `args.cni.mac`.
    pub(crate) mac: Option<MacAddress>,
    /// `runtimeConfig.dns`.
    pub(crate) dns: Option<Dns>,
    /// `runtimeConfig.portMappings`.
    pub(crate) port_mappings: Vec<PortMapping>,
    /// `args.cni.tenant`.
    pub(crate) tenant: Option<String>,
    /// `args.cni.bridge`.
    pub(crate) bridge: Option<String>,
}

/// A port mapping: a port of the host is forwarded to a port of the container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct PortMapping {
    #[serde(rename = "hostport", default)]
    pub(crate) host_port: u16,
    #[serde(rename = "containerport")]
    pub(crate) container_port: u16,
    #[serde(default = "tcp")]
    pub(crate) protocol: String,
    #[serde(rename = "hostip", default)]
    pub(crate) host_address: String,
}

fn tcp() -> String {
    "tcp".to_owned()
}

impl RuntimeConfig {
    /// Returns the requested address. A capability wins over `args.cni`, which wins over `CNI_ARGS`.
    pub(crate) fn address(&self, arguments: &Arguments) -> Result<Option<std::net::Ipv4Addr>> {
        let wanted = if self.addresses.is_empty() { arguments.address.as_slice() } else { &self.addresses };
        match wanted {
            [] => Ok(None),
            [IpAddr::V4(address)] => Ok(Some(*address)),
            [IpAddr::V6(address)] => {
                let message = format!("the requested address {address} is IPv6: only IPv4 is supported");
                Err(CniError::new(Code::AddressRefused, message))
            }
            more => {
                let message = format!("{} addresses are requested, but an interface has one", more.len());
                Err(CniError::new(Code::AddressRefused, message))
            }
        }
    }

    /// Returns the requested MAC address.
    pub(crate) fn mac(&self, arguments: &Arguments) -> Option<MacAddress> {
        self.mac.or(arguments.mac)
    }
}

/// Reads the parameters of a run.
pub(super) fn read(keys: &Keys<'_>) -> Result<RuntimeConfig> {
    let runtime = keys.unless_detaching(object(keys.map.get("runtimeConfig"), "runtimeConfig"))?;
    let args = keys.unless_detaching(object(keys.map.get("args"), "args"))?;
    let args = keys.unless_detaching(object(args.get("cni"), "args.cni"))?;
    let tenant = keys.unless_detaching(text(&args, "tenant", "args.cni.tenant"))?;
    let read = keys.unless_detaching(read_parameters(&runtime, &args))?;
    Ok(RuntimeConfig { tenant, ..read })
}

/// Reads the parameters that only an ADD needs.
fn read_parameters(runtime: &Map<String, Value>, args: &Map<String, Value>) -> Result<RuntimeConfig> {
    let addresses = match addresses(runtime, "runtimeConfig.ips")? {
        found if found.is_empty() => addresses(args, "args.cni.ips")?,
        found => found,
    };
    let mac = match mac(runtime, "runtimeConfig.mac")? {
        Some(found) => Some(found),
        None => mac(args, "args.cni.mac")?,
    };
    let dns = runtime.get("dns").filter(|dns| !dns.is_null());
    let dns = dns.map(|dns| decode::<RuntimeDns>("runtimeConfig.dns", dns)).transpose()?;
    let mappings = runtime.get("portmappings").filter(|mappings| !mappings.is_null());
    let mappings = mappings.map(|mappings| decode("runtimeConfig.portMappings", mappings)).transpose()?;
    Ok(RuntimeConfig {
        addresses,
        mac,
        dns: dns.map(Dns::from).filter(|dns| !dns.is_empty()),
        port_mappings: mappings.unwrap_or_default(),
        tenant: None,
        bridge: text(args, "bridge", "args.cni.bridge")?,
    })
}

/// Returns an object with all keys in lower case. An absent one is empty.
fn object(value: Option<&Value>, key: &str) -> Result<Map<String, Value>> {
    match value.map(lowered) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(CniError::configuration(key, "must be an object")),
    }
}

/// The `dns` capability. It has `servers` and `searches`, but some runtimes send the names of the result's fields.
#[derive(Deserialize)]
struct RuntimeDns {
    #[serde(default, alias = "nameservers", deserialize_with = "maybe_null")]
    servers: Vec<String>,
    #[serde(default, alias = "search", deserialize_with = "maybe_null")]
    searches: Vec<String>,
    #[serde(default, deserialize_with = "maybe_null")]
    options: Vec<String>,
}

impl From<RuntimeDns> for Dns {
    fn from(dns: RuntimeDns) -> Dns {
        Dns { nameservers: dns.servers, search: dns.searches, options: dns.options, domain: String::new() }
    }
}

/// Reads a list. Null is an empty list, because Go writes it so.
fn maybe_null<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Returns the value with all keys in lower case.
fn lowered(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.to_ascii_lowercase(), lowered(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(lowered).collect(),
        other => other.clone(),
    }
}

fn addresses(map: &Map<String, Value>, key: &str) -> Result<Vec<IpAddr>> {
    let Some(value) = map.get("ips").filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let list: Vec<String> = decode(key, value)?;
    let address = |text: &String| {
        address_of(text)
            .ok_or_else(|| CniError::configuration(key, format!("has `{text}`, which is not an address")))
    };
    list.iter().map(address).collect()
}

fn text(map: &Map<String, Value>, name: &str, key: &str) -> Result<Option<String>> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(CniError::configuration(key, "must be a string")),
    }
}

fn mac(map: &Map<String, Value>, key: &str) -> Result<Option<MacAddress>> {
    let Some(text) = text(map, "mac", key)? else { return Ok(None) };
    mac_of(&text)
        .map(Some)
        .map_err(|problem| CniError::configuration(key, format!("is `{text}`, which {problem}")))
}
