//! `[ovn]` of the site file.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Reader;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;
use crate::spec::grammar::{Grammar, LocalnetKeys, OvnKeys, Table};
use crate::spec::{LocalnetSettings, OvnSettings, special_addresses};

pub(super) fn read(reader: &mut Reader<'_>, table: &Table<'_, OvnKeys>) -> OvnSettings {
    let keys = OvnKeys::keys();
    let northbound = table.get(reader, |ovn| &ovn.northbound);
    if northbound.as_ref().is_some_and(|listed| listed.items.is_empty() && listed.is_complete) {
        table.report_missing(reader, keys.northbound.name, keys.northbound.example);
    }
    let northbound = northbound.map(|listed| listed.items).unwrap_or_default();
    let gateway_chassis = table.get(reader, |ovn| &ovn.gateway_chassis);
    if gateway_chassis.as_ref().is_some_and(|listed| listed.items.is_empty() && listed.is_complete) {
        table.report_missing(reader, keys.gateway_chassis.name, keys.gateway_chassis.example);
    }
    let gateway_chassis = gateway_chassis.map(|listed| listed.items).unwrap_or_default();
    let ca = table.get(reader, |ovn| &ovn.ca);
    let certificate = table.get(reader, |ovn| &ovn.certificate);
    let private_key = table.get(reader, |ovn| &ovn.private_key);
    let provider_router = table.get(reader, |ovn| &ovn.provider_router);
    let managed = table.get_or_default(reader, |ovn| &ovn.managed);
    let encapsulation = table.get_or_default(reader, |ovn| &ovn.encapsulation).value;
    let open_vswitch = table.get(reader, |ovn| &ovn.open_vswitch);
    let localnet = table.get(reader, |ovn| &ovn.localnet).and_then(|inner| localnet(reader, &inner));
    table.check_constraints(reader);
    northbound.iter().for_each(|remote| check_remote(reader, remote));
    open_vswitch.iter().for_each(|remote| check_local(reader, remote));
    check_tls(reader, table, &northbound, ca.as_ref(), certificate.as_ref());
    check_chassis(reader, &gateway_chassis);
    if managed == table.has(|ovn| &ovn.provider_router) {
        let message = "[ovn] needs either `provider_router` or `managed = true`";
        let help = "name the router that leads outside, or let midoform make one";
        reader.push(Diagnostic::error(Code::ProviderRouter, table.span, message).help(help));
    } else if !managed && table.has(|ovn| &ovn.localnet) {
        let message = "[ovn] has a `localnet`, but midoform does not make the provider router";
        let help = "take it out: whoever made the router has connected it";
        let span = table.span_of(reader, |ovn| &ovn.localnet);
        reader.push(Diagnostic::error(Code::ProviderRouter, span, message).help(help));
    }
    OvnSettings {
        northbound,
        ca,
        certificate,
        private_key,
        provider_router,
        managed,
        gateway_chassis,
        encapsulation,
        open_vswitch,
        localnet,
        span: table.span,
    }
}

fn localnet(reader: &mut Reader<'_>, table: &Table<'_, LocalnetKeys>) -> Option<LocalnetSettings> {
    let network = table.get(reader, |localnet| &localnet.network);
    let address = table.get(reader, |localnet| &localnet.address);
    let prefix = table.get(reader, |localnet| &localnet.prefix);
    let gateway = table.get(reader, |localnet| &localnet.gateway);
    let vlan = table.get(reader, |localnet| &localnet.vlan);
    if let Some(empty) = network.as_ref().filter(|network| network.is_empty()) {
        let message = "the name of the physical network is empty";
        let help = "write the name that `ovn-bridge-mappings` has";
        reader.push(Diagnostic::error(Code::BadName, empty.span, message).help(help));
    }
    let (network, address, prefix, gateway) = (network?, address?, prefix?, gateway?);
    for (what, address) in [("the address", &address), ("the gateway", &gateway)] {
        let error = special_addresses::of_host(what, address.value, address.span);
        error.into_iter().for_each(|error| reader.push(error));
    }
    let settings = LocalnetSettings { network, address, prefix: prefix.value, gateway, vlan };
    check_addresses(reader, &settings);
    Some(settings)
}

/// Checks that the address and the gateway are two hosts of the network.
fn check_addresses(reader: &mut Reader<'_>, localnet: &LocalnetSettings) {
    let network: Ipv4Net = localnet.interface_network();
    let is_host = |address: Ipv4Addr| {
        network.contains(&address) && address != network.network() && address != network.broadcast()
    };
    for address in [&localnet.address, &localnet.gateway] {
        if !is_host(address.value) {
            let message = format!("{address} is no host's address in {}", network.trunc());
            let help = "`address` and `gateway` are two hosts of one network";
            reader.push(Diagnostic::error(Code::OutsideNetwork, address.span, message).help(help));
        }
    }
    if localnet.address.value == localnet.gateway.value {
        let message = "the next hop to the world is the provider router itself";
        let diagnostic = Diagnostic::error(Code::NextHopSelf, localnet.gateway.span, message);
        reader.push(diagnostic.also(localnet.address.span, "its address").help("name another router"));
    }
}

/// Checks the address of a host's own database.
fn check_local(reader: &mut Reader<'_>, remote: &Spanned<String>) {
    if remote.starts_with("ssl:") || !is_remote(remote) {
        let message = "a host's Open vSwitch database is `unix:PATH` or `tcp:HOST:PORT`";
        let help = "write `\"unix:/var/run/openvswitch/db.sock\"`";
        reader.push(Diagnostic::error(Code::BadUrl, remote.span, message).help(help));
    }
}

/// Checks a server of the northbound database.
fn check_remote(reader: &mut Reader<'_>, remote: &Spanned<String>) {
    if !is_remote(remote) {
        let message =
            "a server of the northbound database is `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`";
        let help = "write `\"ssl:HOST:6641\"`; an IPv6 address stands in brackets";
        reader.push(Diagnostic::error(Code::BadUrl, remote.span, message).help(help));
    }
}

/// Returns true for `unix:PATH`, `tcp:HOST:PORT` and `ssl:HOST:PORT`.
fn is_remote(remote: &str) -> bool {
    let (method, rest) = remote.split_once(':').unwrap_or((remote, ""));
    match method {
        "unix" => !rest.is_empty(),
        "tcp" | "ssl" => rest.rsplit_once(':').is_some_and(|(host, port)| {
            let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
            let is_bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
            is_port && !host.is_empty() && !is_bare_ipv6 && !host.contains(['/', '@', ' '])
        }),
        _ => false,
    }
}

/// Checks that servers with TLS have certificates, and that certificates are used.
fn check_tls(
    reader: &mut Reader<'_>,
    table: &Table<'_, OvnKeys>,
    northbound: &[Spanned<String>],
    ca: Option<&Spanned<String>>,
    certificate: Option<&Spanned<String>>,
) {
    let with_tls = northbound.iter().find(|remote| remote.starts_with("ssl:"));
    match (with_tls, ca, certificate) {
        (Some(remote), None, _) if !table.has(|ovn| &ovn.ca) => {
            let message = "a server with TLS needs `ca`";
            let diagnostic = Diagnostic::error(Code::MissingKey, remote.span, message);
            reader.push(diagnostic.help("name the file with the CA certificates: `ca = \"cacert.pem\"`"));
        }
        (None, Some(named), _) | (None, None, Some(named)) if !northbound.is_empty() => {
            let message = "[ovn] names certificates, and no server has TLS";
            let diagnostic = Diagnostic::error(Code::BadUrl, named.span, message);
            reader.push(diagnostic.help("write `ssl:HOST:PORT`, or take the certificates out"));
        }
        _ => {}
    }
}

fn check_chassis(reader: &mut Reader<'_>, chassis: &[Spanned<String>]) {
    for (at, name) in chassis.iter().enumerate() {
        if name.is_empty() {
            let message = "the name of a gateway chassis is empty";
            let help = "write the `system-id` of a chassis";
            reader.push(Diagnostic::error(Code::BadName, name.span, message).help(help));
        }
        if let Some(first) = chassis.iter().take(at).find(|first| first.value == name.value) {
            let message = format!("the gateway chassis `{name}` is named twice");
            let diagnostic = Diagnostic::error(Code::DuplicateName, name.span, message);
            reader.push(diagnostic.also(first.span, "the first").help("remove one of them"));
        }
    }
}
