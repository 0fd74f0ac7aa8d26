//! The site file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::{Reader, ovn, policy, tenant};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::grammar::{
    DefaultsKeys, EtcdKeys, Grammar, HostKeys, KeystoneKeys, MidonetKeys, PoolsKeys, SiteKeys, StoreKeys,
    Table, TunnelZoneKeys,
};
use crate::spec::url::{UrlProblem, base_url, etcd_endpoint};
use crate::spec::{
    Defaults, EtcdSettings, Host, KeystoneSettings, MidonetSettings, Pools, Site, StoreSettings,
    TunnelZoneSettings, special_addresses,
};
use crate::values::Engine;

pub(super) fn read(reader: &mut Reader<'_>, file: Table<'_, SiteKeys>) -> Option<Site> {
    let name = file.get(reader, |site| &site.name);
    let midonet = file.get(reader, |site| &site.midonet).map(|table| midonet(reader, &table));
    let ovn = file.get(reader, |site| &site.ovn).map(|table| ovn::read(reader, &table));
    let pools_table = file.get(reader, |site| &site.pools);
    let pools = pools_table.map_or_else(|| default_pools(file.span), |table| pools(reader, &table));
    let etcd = file.get(reader, |site| &site.etcd).map(|table| etcd(reader, &table));
    let store = file.get(reader, |site| &site.store).and_then(|table| store(reader, &table));
    let keystone = file.get(reader, |site| &site.keystone).map(|table| keystone(reader, &table));
    let underlay_mtu = file.get_or_default(reader, |site| &site.underlay_mtu);
    let defaults = file.get(reader, |site| &site.defaults).map(|table| defaults(reader, &table));
    let hosts = file.get(reader, |site| &site.host);
    let mut left_out = BTreeSet::new();
    let hosts: Vec<Host> = tenant::each_named(reader, hosts, host, "host", &mut left_out);
    duplicate_hosts(reader, &hosts);
    let tunnel_zone =
        file.get(reader, |site| &site.tunnel_zone).and_then(|table| tunnel_zone(reader, &table));
    let policy = file.get(reader, |site| &site.policy).map(|table| policy::read(reader, &table));
    file.check_constraints(reader);
    let engine = match (&midonet, &ovn) {
        (Some(midonet), _) if midonet.version.value == 1 => Engine::Midonet1,
        (Some(_), _) => Engine::Midonet5,
        (None, Some(_)) => Engine::Ovn,
        (None, None) => return None,
    };
    let (name, defaults) = (name?, defaults.unwrap_or_default());
    let site = Site {
        name,
        midonet,
        ovn,
        engine,
        pools,
        etcd,
        store,
        keystone,
        underlay_mtu,
        defaults,
        hosts,
        left_out,
        tunnel_zone,
        policy,
    };
    let problem = site.defaults.mtu.as_ref().and_then(|mtu| site.mtu_problem(mtu));
    problem.into_iter().for_each(|problem| reader.push(problem));
    Some(site)
}

fn midonet(reader: &mut Reader<'_>, table: &Table<'_, MidonetKeys>) -> MidonetSettings {
    let url = table.get(reader, |midonet| &midonet.url);
    let embedded = table.get_or_default(reader, |midonet| &midonet.embedded);
    let version = table.get_or_default(reader, |midonet| &midonet.version);
    let provider_router = table.get(reader, |midonet| &midonet.provider_router);
    let managed = table.get_or_default(reader, |midonet| &midonet.managed);
    let span = table.span;
    match &url {
        None if !embedded && !table.has(|midonet| &midonet.url) => {
            let help = "add `url = \"http://HOST:8181/midonet-api\"`, or `embedded = true` to try things out";
            reader.push(Diagnostic::error(Code::MissingKey, span, "[midonet] needs `url`").help(help));
        }
        _ => {}
    }
    let url = url.map(|url| server_url(reader, "[midonet] `url`", url));
    let ca = table.get(reader, |midonet| &midonet.ca);
    unused_ca(reader, "[midonet]", url.as_ref(), ca.as_ref());
    if managed == table.has(|midonet| &midonet.provider_router) {
        let message = "[midonet] needs either `provider_router` or `managed = true`";
        let help = "name the id of the router that leads outside, or let midoform make one";
        reader.push(Diagnostic::error(Code::ProviderRouter, span, message).help(help));
    }
    MidonetSettings { url, ca, embedded, version, provider_router, managed, span }
}

/// Returns a URL with its scheme in small letters. A wrong one is reported, and returned as it is.
fn server_url(reader: &mut Reader<'_>, what: &str, url: Spanned<String>) -> Spanned<String> {
    match base_url(&url.value) {
        Ok(value) => Spanned { value, span: url.span },
        Err(problem) => {
            // The message does not repeat the URL, which may hold a password.
            let diagnostic = Diagnostic::error(Code::BadUrl, url.span, format!("{what} {problem}"));
            reader.push(diagnostic.help(problem.help()));
            url
        }
    }
}

/// Reports a CA that vouches for nothing, as the URL is one without TLS.
fn unused_ca(
    reader: &mut Reader<'_>,
    table: &str,
    url: Option<&Spanned<String>>,
    ca: Option<&Spanned<String>>,
) {
    if let (Some(url), Some(ca)) = (url.filter(|url| url.starts_with("http://")), ca) {
        let message = format!("{table} names a CA, and the URL has no TLS");
        let diagnostic = Diagnostic::error(Code::BadUrl, url.span, message);
        reader.push(diagnostic.also(ca.span, "the CA").help("write `https://`"));
    }
}

fn default_pools(span: Span) -> Pools {
    let keys = PoolsKeys::keys();
    Pools {
        are_sound: true,
        links: keys.links.default_at(span).items,
        bridges: keys.bridges.default_at(span).items,
        bridge_prefix: keys.bridge_prefix.default_at(span),
        shared: keys.shared.default_at(span),
    }
}

fn pools(reader: &mut Reader<'_>, table: &Table<'_, PoolsKeys>) -> Pools {
    let known = reader.diagnostics.errors();
    let mut pools = Pools {
        are_sound: true,
        links: table.get_or_default(reader, |pools| &pools.links).items,
        bridges: table.get_or_default(reader, |pools| &pools.bridges).items,
        bridge_prefix: table.get_or_default(reader, |pools| &pools.bridge_prefix),
        shared: table.get_or_default(reader, |pools| &pools.shared),
    };
    // One mistake is one error: of a pool that no host can be in, nothing else is said.
    let (mut links, mut bridges) = (Vec::new(), Vec::new());
    for (of, sound) in [(&pools.links, &mut links), (&pools.bridges, &mut bridges)] {
        for pool in of {
            match special_addresses::of_pool(pool) {
                Some(error) => reader.push(error),
                None => sound.push(*pool),
            }
        }
    }
    for pool in links.iter().filter(|pool| pool.value.prefix_len() > 30) {
        let message = format!("the pool {} has no room for a single link", pool.value);
        reader.push(Diagnostic::error(Code::PoolTooSmall, pool.span, message).help("a link takes a /30"));
    }
    let prefix = pools.bridge_prefix;
    for pool in bridges.iter().filter(|pool| pool.value.prefix_len() > prefix.value) {
        let message = format!("the pool {} has no room for a /{prefix}", pool.value);
        reader.push(Diagnostic::error(Code::PoolTooSmall, pool.span, message).help("widen it"));
    }
    overlapping_pools(reader, &links, &bridges);
    pools.are_sound = reader.diagnostics.errors() == known;
    pools
}

fn overlapping_pools(reader: &mut Reader<'_>, links: &[Spanned<Ipv4Net>], bridges: &[Spanned<Ipv4Net>]) {
    let all: Vec<&Spanned<Ipv4Net>> = links.iter().chain(bridges).collect();
    for (at, pool) in all.iter().enumerate() {
        for other in all.iter().take(at) {
            if pool.contains(&other.value) || other.contains(&pool.value) {
                let message = format!("the pools {} and {} overlap", other.value, pool.value);
                let diagnostic = Diagnostic::error(Code::OverlappingPools, pool.span, message);
                reader
                    .push(diagnostic.also(other.span, "the other pool").help("give each its own addresses"));
            }
        }
    }
}

fn etcd(reader: &mut Reader<'_>, table: &Table<'_, EtcdKeys>) -> EtcdSettings {
    let endpoints = table.get(reader, |etcd| &etcd.endpoints);
    if endpoints.as_ref().is_some_and(|endpoints| endpoints.items.is_empty() && endpoints.is_complete) {
        let key = &EtcdKeys::keys().endpoints;
        table.report_missing(reader, key.name, key.example);
    }
    let endpoints = endpoints.map(|endpoints| endpoints.items).unwrap_or_default();
    let endpoints: Vec<_> = endpoints.into_iter().map(|url| endpoint(reader, url)).collect();
    let ca = table.get(reader, |etcd| &etcd.ca);
    let cert = table.get(reader, |etcd| &etcd.cert);
    let key = table.get(reader, |etcd| &etcd.key);
    let timeout = table.get(reader, |etcd| &etcd.timeout);
    table.check_constraints(reader);
    let plain = endpoints.iter().find(|endpoint| endpoint.value.starts_with("http://"));
    if let (Some(plain), Some(named)) = (plain, ca.as_ref().or(cert.as_ref())) {
        let message = "[etcd] names certificates, and this endpoint has no TLS";
        let diagnostic = Diagnostic::error(Code::BadUrl, plain.span, message);
        reader.push(diagnostic.also(named.span, "the certificates").help("write `https://`"));
    }
    EtcdSettings { endpoints, ca, cert, key, timeout }
}

/// Reads a member's URL: `http://HOST:PORT` or `https://HOST:PORT`, without a login or a path.
fn endpoint(reader: &mut Reader<'_>, endpoint: Spanned<String>) -> Spanned<String> {
    let help = match etcd_endpoint(&endpoint.value) {
        Ok(value) => return Spanned { value, span: endpoint.span },
        Err(UrlProblem::Login) => "a login is never in a file: set it in the environment",
        _ => "write `\"https://HOST:2379\"`",
    };
    let message = "an endpoint of etcd is an http:// or https:// URL without a login or a path";
    reader.push(Diagnostic::error(Code::BadUrl, endpoint.span, message).help(help));
    endpoint
}

fn store(reader: &mut Reader<'_>, table: &Table<'_, StoreKeys>) -> Option<StoreSettings> {
    let path = table.get(reader, |store| &store.path)?;
    if path.value.is_empty() {
        let message = "[store] `path` is empty";
        let help = "name a file: `path = \"store.db\"`";
        reader.push(Diagnostic::error(Code::BadPath, path.span, message).help(help));
    }
    Some(StoreSettings { path })
}

fn keystone(reader: &mut Reader<'_>, table: &Table<'_, KeystoneKeys>) -> KeystoneSettings {
    let url = table.get(reader, |keystone| &keystone.url);
    let version = table.get(reader, |keystone| &keystone.version);
    let domain = table.get(reader, |keystone| &keystone.domain);
    let create = table.get_or_default(reader, |keystone| &keystone.create);
    let url = url.map(|url| server_url(reader, "[keystone] `url`", url));
    let ca = table.get(reader, |keystone| &keystone.ca);
    unused_ca(reader, "[keystone]", url.as_ref(), ca.as_ref());
    if let (Some(2), Some(domain)) = (version.map(|version| version.value), &domain) {
        let message = "Identity v2.0 has no domains";
        reader.push(Diagnostic::error(Code::BadDomain, domain.span, message).help("take `domain` out"));
    }
    KeystoneSettings { url, ca, version, domain, create }
}

fn defaults(reader: &mut Reader<'_>, table: &Table<'_, DefaultsKeys>) -> Defaults {
    let profile = table.get(reader, |defaults| &defaults.profile).map(|word| word.value);
    let anti_spoof = table.get(reader, |defaults| &defaults.anti_spoof).map(|word| word.value);
    let ethertypes = table.get(reader, |defaults| &defaults.ethertypes);
    let mtu = table.get(reader, |defaults| &defaults.mtu);
    let dns = table.get(reader, |defaults| &defaults.dns).map(|table| tenant::dns(reader, &table));
    let gateway = table.get(reader, |defaults| &defaults.gateway).map(|gateway| gateway.value);
    Defaults { profile, anti_spoof, ethertypes, mtu, dns, gateway }
}

fn host(reader: &mut Reader<'_>, table: &Table<'_, HostKeys>) -> Option<Host> {
    let name = table.get(reader, |host| &host.name);
    let id = table.get(reader, |host| &host.id);
    let tunnel_address = table.get(reader, |host| &host.tunnel_address);
    let chassis = table.get(reader, |host| &host.chassis);
    if let Some(address) = &tunnel_address {
        let error = special_addresses::of_host("the tunnel address", address.value, address.span);
        error.into_iter().for_each(|error| reader.push(error));
    }
    Some(Host { name: name?, id: id?, tunnel_address, chassis })
}

fn duplicate_hosts(reader: &mut Reader<'_>, hosts: &[Host]) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    let mut ids: BTreeMap<Uuid, Span> = BTreeMap::new();
    let mut addresses: BTreeMap<Ipv4Addr, Span> = BTreeMap::new();
    for host in hosts {
        if let Some(address) = &host.tunnel_address
            && let Some(first) = addresses.insert(address.value, address.span)
        {
            let message = format!("two hosts have the tunnel address {address}");
            reader.push(
                Diagnostic::error(Code::DuplicateAddress, address.span, message).also(first, "the first"),
            );
        }
        if let Some(first) = names.insert(&host.name.value, host.name.span) {
            let message = format!("two hosts are called `{}`", host.name);
            reader.push(
                Diagnostic::error(Code::DuplicateName, host.name.span, message).also(first, "the first"),
            );
        }
        if let Some(first) = ids.insert(host.id.value, host.id.span) {
            let message = format!("two hosts have the id {}", host.id);
            reader.push(Diagnostic::error(Code::DuplicateId, host.id.span, message).also(first, "the first"));
        }
    }
}

fn tunnel_zone(reader: &mut Reader<'_>, table: &Table<'_, TunnelZoneKeys>) -> Option<TunnelZoneSettings> {
    let name = table.get(reader, |zone| &zone.name);
    let encapsulation = table.get_or_default(reader, |zone| &zone.encapsulation).value;
    Some(TunnelZoneSettings { name: name?, encapsulation })
}
