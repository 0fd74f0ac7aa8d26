//! The result of ADD: the previous plugin's, with the endpoint's interfaces, address, routes and name resolution.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use midoform_store::ready::Ready;
use serde_json::Map;

use crate::config::Config;
use crate::endpoint::veth::{Veth, VethState};
use crate::protocol::request::Request;
use crate::protocol::result::{Address, CniResult, Dns, Interface, Route};

/// Returns the result of an endpoint that is attached.
pub(super) fn of(
    config: &Config,
    request: &Request,
    ready: &Ready,
    veth: &Veth,
    state: &VethState,
) -> CniResult {
    let mut result = config.previous.clone().unwrap_or_default();
    let sandbox = request.namespace.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    if let Some(renamed) = &state.renamed {
        rename(&mut result, veth.owner.interface(), renamed);
    }
    let interface = |name: &str, mac: String, sandbox: String| Interface {
        name: name.to_owned(),
        mac,
        mtu: Some(veth.mtu.into()),
        sandbox,
        other: Map::new(),
    };
    let host_end = interface(&veth.host_interface, veth.host_mac.to_string(), String::new());
    result.interfaces.push(host_end);
    result.interfaces.push(interface(veth.owner.interface(), veth.mac.to_string(), sandbox));
    result.ips.push(Address {
        address: IpNet::V4(veth.address),
        gateway: Some(veth.gateway.into()),
        interface: Some(result.interfaces.len() - 1),
        other: Map::new(),
    });
    let route =
        |dst: Ipv4Net, gw: Ipv4Addr| Route { dst: dst.into(), gw: Some(gw.into()), other: Map::new() };
    if state.has_default_route {
        result.routes.push(route(Ipv4Net::default(), veth.gateway));
    }
    result.routes.extend(veth.routes.iter().map(|(dst, gw)| route(*dst, *gw)));
    result.dns = dns_of(config, ready, result.dns);
    result
}

/// Renames an interface of the previous plugin, and removes its default route.
fn rename(result: &mut CniResult, from: &str, to: &str) {
    for interface in result.interfaces.iter_mut().filter(|interface| !interface.sandbox.is_empty()) {
        if interface.name == from {
            to.clone_into(&mut interface.name);
        }
    }
    result.routes.retain(|route| route.dst.prefix_len() != 0 || route.dst.addr().is_ipv6());
}

/// Returns the name resolution of `runtimeConfig`, otherwise the tenant's, the configuration's or the previous plugin's.
fn dns_of(config: &Config, ready: &Ready, previous: Dns) -> Dns {
    if let Some(dns) = &config.runtime.dns {
        return dns.clone();
    }
    if ready.nameservers.is_empty() && ready.search.is_empty() {
        return if config.dns.is_empty() { previous } else { config.dns.clone() };
    }
    Dns {
        nameservers: ready.nameservers.iter().map(ToString::to_string).collect(),
        search: ready.search.clone(),
        ..Dns::default()
    }
}
