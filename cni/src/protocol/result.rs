//! The result of ADD in the form of each version, and `prevResult`, the result of the previous plugin.
//!
//! Within midonet-cni a result has the form of 1.1.0. Unknown fields of a `prevResult` are passed on.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::version::Version;

/// A result in the form of 1.1.0, without its version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CniResult {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) interfaces: Vec<Interface>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ips: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<Route>,
    #[serde(default)]
    pub(crate) dns: Dns,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// An interface on the host or in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) mac: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u32>,
    /// The path of the network namespace. Empty on the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) sandbox: String,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) address: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<IpAddr>,
    /// The interface, as an index into the list of interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<usize>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// A route in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) dst: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gw: Option<IpAddr>,
    /// The fields that 1.1.0 added: `mtu`, `advmss`, `priority`, `table`, `scope`.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// Name resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dns {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nameservers: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) domain: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) search: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<String>,
}

impl Dns {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}

/// The fields of a route that only 1.1.0 has.
const NEW_ROUTE_FIELDS: [&str; 5] = ["mtu", "advmss", "priority", "table", "scope"];

impl CniResult {
    /// Returns the result in a version's form.
    pub(crate) fn document(&self, version: Version) -> Result<String> {
        let mut document = match version {
            Version::V0_1_0 | Version::V0_2_0 => self.oldest_form(),
            _ => serde_json::to_value(self).map_err(|error| CniError::internal(error.to_string()))?,
        };
        if version < Version::V1_1_0 {
            strip(&mut document, "interfaces", &["mtu", "socketPath", "pciID"]);
            strip(&mut document, "routes", &NEW_ROUTE_FIELDS);
        }
        if (Version::V0_3_0..=Version::V0_4_0).contains(&version)
            && let Some(Value::Array(addresses)) = document.get_mut("ips")
        {
            for (shown, address) in addresses.iter_mut().zip(&self.ips) {
                shown["version"] = json!(if address.address.addr().is_ipv4() { "4" } else { "6" });
            }
        }
        document["cniVersion"] = json!(version.as_str());
        Ok(document.to_string())
    }

    /// Returns the result in the form of 0.1.0 and 0.2.0: one address of each family, with its routes, and no
    /// interfaces.
    fn oldest_form(&self) -> Value {
        let mut document = Map::new();
        for (name, is_of_family) in [("ip4", true), ("ip6", false)] {
            let mut ips = self.ips.iter().filter(|ip| ip.address.addr().is_ipv4() == is_of_family);
            // This plugin adds its address last.
            let Some(ip) = ips.next_back() else { continue };
            let mut shown = Map::new();
            shown.insert("ip".to_owned(), json!(ip.address));
            shown.extend(ip.gateway.map(|gateway| ("gateway".to_owned(), json!(gateway))));
            let routes = self.routes.iter().filter(|route| route.dst.addr().is_ipv4() == is_of_family);
            let routes: Vec<&Route> = routes.collect();
            if !routes.is_empty() {
                shown.insert("routes".to_owned(), json!(routes));
            }
            document.insert(name.to_owned(), Value::Object(shown));
        }
        document.insert("dns".to_owned(), json!(self.dns));
        Value::Object(document)
    }

    /// Reads a `prevResult` in the form of its own version, or of the network's if it names none.
    pub(crate) fn parse(previous: &Value, network: Version) -> Result<CniResult> {
        let wrong =
            |problem: String| CniError::new(Code::Decoding, format!("prevResult can't be used: {problem}"));
        let named = previous.get("cniVersion").and_then(Value::as_str);
        let version = named.map_or(Ok(network), Version::parse)?;
        if version <= Version::V0_2_0 {
            return CniResult::of_oldest_form(previous).map_err(wrong);
        }
        let mut result: CniResult =
            serde_json::from_value(previous.clone()).map_err(|error| wrong(error.to_string()))?;
        result.other.remove("cniVersion");
        for address in &mut result.ips {
            address.other.remove("version");
        }
        if let Some(bad) =
            result.ips.iter().find_map(|ip| ip.interface.filter(|at| *at >= result.interfaces.len()))
        {
            return Err(wrong(format!("an address names interface {bad}, which does not exist")));
        }
        Ok(result)
    }

    fn of_oldest_form(previous: &Value) -> std::result::Result<CniResult, String> {
        #[derive(Deserialize)]
        struct Family {
            ip: IpNet,
            gateway: Option<IpAddr>,
            #[serde(default)]
            routes: Vec<Route>,
        }
        let mut result = CniResult::default();
        for family in ["ip4", "ip6"] {
            let Some(value) = previous.get(family).filter(|value| !value.is_null()) else { continue };
            let family: Family =
                serde_json::from_value(value.clone()).map_err(|error| format!("{family}: {error}"))?;
            let (address, gateway) = (family.ip, family.gateway);
            result.ips.push(Address { address, gateway, interface: None, other: Map::new() });
            result.routes.extend(family.routes);
        }
        if let Some(dns) = previous.get("dns") {
            result.dns = serde_json::from_value(dns.clone()).map_err(|error| format!("dns: {error}"))?;
        }
        Ok(result)
    }
}

fn strip(document: &mut Value, list: &str, fields: &[&str]) {
    let Some(Value::Array(items)) = document.get_mut(list) else { return };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        for field in fields {
            item.remove(*field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CniResult {
        CniResult {
            interfaces: vec![
                Interface {
                    name: "vif0".to_owned(),
                    mac: "0a:00:00:00:00:01".to_owned(),
                    ..Interface::default()
                },
                Interface {
                    name: "eth0".to_owned(),
                    mac: "0a:58:c0:a8:00:05".to_owned(),
                    mtu: Some(1454),
                    sandbox: "/run/netns/a".to_owned(),
                    other: Map::new(),
                },
            ],
            ips: vec![Address {
                address: "192.168.0.5/24".parse().unwrap(),
                gateway: Some("192.168.0.254".parse().unwrap()),
                interface: Some(1),
                other: Map::new(),
            }],
            routes: vec![Route {
                dst: "0.0.0.0/0".parse().unwrap(),
                gw: Some("192.168.0.254".parse().unwrap()),
                other: [("mtu".to_owned(), json!(1400))].into_iter().collect(),
            }],
            dns: Dns { nameservers: vec!["10.96.0.10".to_owned()], ..Dns::default() },
            other: Map::new(),
        }
    }

    #[test]
    fn every_version_has_its_form() {
        let forms: Vec<String> =
            Version::ALL.iter().map(|version| sample().document(*version).unwrap()).collect();
        insta::assert_snapshot!(forms.join("\n"));
    }

    #[test]
    fn a_result_that_was_written_can_be_read() {
        for version in Version::ALL {
            let text = sample().document(version).unwrap();
            let read = CniResult::parse(&serde_json::from_str(&text).unwrap(), version).unwrap();
            assert_eq!(read.document(version).unwrap(), text);
        }
    }

    #[test]
    fn unknown_fields_are_passed_on() {
        let previous = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "x", "vendor": 1}],
            "ips": [{"address": "10.0.0.1/8", "interface": 0, "vendor": 2}],
            "vendor": {"a": [1]},
        });
        let shown: Value = serde_json::from_str(
            &CniResult::parse(&previous, Version::V1_0_0).unwrap().document(Version::V1_0_0).unwrap(),
        )
        .unwrap();
        assert_eq!(shown["vendor"], previous["vendor"]);
        assert_eq!(shown["interfaces"][0]["vendor"], 1);
        assert_eq!(shown["ips"][0]["vendor"], 2);
    }

    #[test]
    fn an_invalid_result_is_an_error_that_names_the_place() {
        for (previous, word) in [
            (json!({"ips": [{"address": "10.0.0.300/8"}]}), "prevResult"),
            (json!({"ips": [{"address": "10.0.0.3/8", "interface": 2}]}), "interface 2"),
            (json!({"cniVersion": "9.0.0"}), "9.0.0"),
            (json!({"cniVersion": "0.2.0", "ip4": {"ip": "x"}}), "ip4"),
        ] {
            let error = CniResult::parse(&previous, Version::V1_0_0).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
