//! The site file.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::table::network_of;
use super::{Reader, Table};
use super::{policy, values};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::{
    AntiSpoof, Defaults, EtcdSettings, Host, KeystoneSettings, MidonetSettings, Pools, Profile, Site,
    StoreSettings, TunnelZoneSettings,
};
use crate::values::Encapsulation;

pub(crate) const PROFILES: [(&str, Profile); 2] =
    [("rainbond", Profile::Rainbond), ("strict", Profile::Strict)];
pub(crate) const ANTI_SPOOF: [(&str, AntiSpoof); 3] =
    [("bridge", AntiSpoof::Bridge), ("port", AntiSpoof::Port), ("none", AntiSpoof::None)];

/// The pools of a site file that names none: the Go plugin's defaults, made wide enough for a site.
const LINKS: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(172, 16, 0, 0), 16);
const BRIDGES: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(192, 168, 0, 0), 16);

pub(super) fn read(reader: &mut Reader<'_>, mut file: Table<'_>) -> Option<Site> {
    let name = file.name(reader, "name");
    let midonet = midonet(reader, &mut file);
    let pools = pools(reader, &mut file);
    let etcd = etcd(reader, &mut file);
    let store = store(reader, &mut file, etcd.is_some());
    let keystone = keystone(reader, &mut file);
    let defaults = defaults(reader, &mut file);
    let hosts: Vec<Host> = file
        .tables(reader, "host", "a [[host]]")
        .into_iter()
        .filter_map(|table| host(reader, table))
        .collect();
    duplicate_hosts(reader, &hosts);
    let tunnel_zone = tunnel_zone(reader, &mut file);
    let policy = file.table(reader, "policy", "[policy]").map(|table| policy::read(reader, table));
    file.finish(reader);
    let (name, midonet) = (name?, midonet?);
    Some(Site { name, midonet, pools, etcd, store, keystone, defaults, hosts, tunnel_zone, policy })
}

fn midonet(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Option<MidonetSettings> {
    let table = file.table(reader, "midonet", "[midonet]");
    let mut table = file.required(reader, "midonet", table)?;
    let url = table.string(reader, "url");
    let embedded = table.boolean(reader, "embedded").unwrap_or(false);
    let version = table.integer::<i64>(reader, "version", 1..=5);
    let version = version.unwrap_or(Spanned { value: 5, span: table.span });
    let provider_router = uuid(reader, &mut table, "provider_router");
    let managed = table.boolean(reader, "managed").unwrap_or(false);
    let has_router = table.has("provider_router");
    let span = table.span;
    table.finish(reader);
    if !matches!(version.value, 1 | 5) {
        let message = format!("there is no dialect {}", version.value);
        let help = "1 is for MidoNet 1.x, 5 for MidoNet 5.x";
        reader.push(Diagnostic::error(Code::UnknownVersion, version.span, message).help(help));
    }
    match &url {
        None if !embedded => {
            let help = "add `url = \"http://HOST:8181/midonet-api\"`, or `embedded = true` to try things out";
            reader.push(Diagnostic::error(Code::MissingKey, span, "[midonet] needs `url`").help(help));
        }
        Some(url) if !(url.starts_with("http://") || url.starts_with("https://")) => {
            let message = format!("`{}` is not an http:// or https:// URL", url.value);
            reader.push(Diagnostic::error(Code::BadUrl, url.span, message));
        }
        _ => {}
    }
    if managed == has_router {
        let message = "[midonet] needs either `provider_router` or `managed = true`";
        let help = "name the id of the router that leads outside, or let midoform make one";
        reader.push(Diagnostic::error(Code::ProviderRouter, span, message).help(help));
    }
    Some(MidonetSettings { url, embedded, version, provider_router, managed, span })
}

fn uuid(reader: &mut Reader<'_>, table: &mut Table<'_>, key: &'static str) -> Option<Spanned<Uuid>> {
    let text = table.string(reader, key)?;
    match Uuid::try_parse(&text.value) {
        Ok(value) => Some(Spanned { value, span: text.span }),
        Err(_) => {
            let message = format!("`{}` is not a UUID", text.value);
            let help = "write it as 11111111-2222-3333-4444-555555555555";
            reader.push(Diagnostic::error(Code::BadUuid, text.span, message).help(help));
            None
        }
    }
}

fn pools(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Pools {
    let nowhere = file.span;
    let standard = |network| vec![Spanned { value: network, span: nowhere }];
    let prefix = Spanned { value: 24, span: nowhere };
    let Some(mut table) = file.table(reader, "pools", "[pools]") else {
        return Pools {
            links: standard(LINKS),
            bridges: standard(BRIDGES),
            bridge_prefix: prefix,
            shared: false,
        };
    };
    let mut networks = |reader: &mut Reader<'_>, key: &'static str, otherwise| {
        let texts = table.strings(reader, key, true);
        let found: Vec<_> = texts.iter().filter_map(|text| network_of(reader, text)).collect();
        if found.is_empty() && !table.has(key) { standard(otherwise) } else { found }
    };
    let links = networks(reader, "links", LINKS);
    let bridges = networks(reader, "bridges", BRIDGES);
    let bridge_prefix = table.integer::<u8>(reader, "bridge_prefix", 8..=29).unwrap_or(prefix);
    let shared = table.boolean(reader, "shared").unwrap_or(false);
    table.finish(reader);
    for pool in &links {
        if pool.value.prefix_len() > 30 {
            let message = format!("the pool {} has no room for a single link", pool.value);
            reader.push(Diagnostic::error(Code::PoolTooSmall, pool.span, message).help("a link takes a /30"));
        }
    }
    for pool in &bridges {
        if pool.value.prefix_len() > bridge_prefix.value {
            let message = format!("the pool {} has no room for a /{}", pool.value, bridge_prefix.value);
            reader.push(Diagnostic::error(Code::PoolTooSmall, pool.span, message).help("widen it"));
        }
    }
    overlapping_pools(reader, &links, &bridges);
    Pools { links, bridges, bridge_prefix, shared }
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

fn etcd(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Option<EtcdSettings> {
    let mut table = file.table(reader, "etcd", "[etcd]")?;
    let endpoints = table.strings(reader, "endpoints", true);
    if endpoints.is_empty() {
        let message = "[etcd] needs `endpoints`";
        let help = "add `endpoints = [\"http://127.0.0.1:2379\"]`";
        reader.push(Diagnostic::error(Code::MissingKey, table.span, message).help(help));
    }
    for endpoint in &endpoints {
        etcd_endpoint(reader, endpoint);
    }
    let [ca, cert, key] = ["ca", "cert", "key"].map(|key| table.string(reader, key));
    let timeout = table.integer::<u64>(reader, "timeout", 1..=600);
    let span = table.span;
    table.finish(reader);
    if cert.is_some() != key.is_some() {
        let message = "[etcd] `cert` and `key` belong together";
        let help = "name the certificate's file with `cert` and its private key's with `key`, or neither";
        reader.push(Diagnostic::error(Code::MissingKey, span, message).help(help));
    }
    let plain = endpoints.iter().find(|endpoint| endpoint.value.starts_with("http://"));
    if let (Some(plain), Some(named)) = (plain, ca.as_ref().or(cert.as_ref())) {
        let message = "certificates are named, and this endpoint does without TLS";
        let diagnostic = Diagnostic::error(Code::BadUrl, plain.span, message);
        reader.push(diagnostic.also(named.span, "the certificates").help("write `https://`"));
    }
    Some(EtcdSettings { endpoints, ca, cert, key, timeout })
}

/// A member's URL: `http://HOST:PORT` or `https://HOST:PORT`, without a login or a path.
fn etcd_endpoint(reader: &mut Reader<'_>, endpoint: &Spanned<String>) {
    let host = ["http://", "https://"].into_iter().find_map(|scheme| endpoint.value.strip_prefix(scheme));
    let host = host.map(|host| host.strip_suffix('/').unwrap_or(host));
    let help = match host {
        Some(host) if host.contains('@') => "a login never stands in a file: give it in the environment",
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', ' ']) => return,
        _ => "write `\"https://HOST:2379\"`",
    };
    let message = "an endpoint of etcd is an http:// or https:// URL without a login or a path";
    reader.push(Diagnostic::error(Code::BadUrl, endpoint.span, message).help(help));
}

fn store(reader: &mut Reader<'_>, file: &mut Table<'_>, has_etcd: bool) -> Option<StoreSettings> {
    let mut table = file.table(reader, "store", "[store]")?;
    let path = table.string(reader, "path");
    let path = table.required(reader, "path", path);
    let span = table.span;
    table.finish(reader);
    if has_etcd {
        let message = "a site has one store, and [etcd] is one already";
        reader.push(Diagnostic::error(Code::TwoStores, span, message).help("take [store] or [etcd] out"));
    }
    let path = path?;
    if path.value.is_empty() {
        let message = "[store] `path` is empty";
        reader.push(
            Diagnostic::error(Code::BadPath, path.span, message).help("name a file: `path = \"store.db\"`"),
        );
    }
    Some(StoreSettings { path })
}

fn keystone(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Option<KeystoneSettings> {
    let mut table = file.table(reader, "keystone", "[keystone]")?;
    let url = table.string(reader, "url");
    let version = table.integer::<i64>(reader, "version", 2..=3);
    let domain = table.string(reader, "domain");
    let create = table.boolean(reader, "create").unwrap_or(false);
    table.finish(reader);
    if let Some(url) = &url {
        let at =
            url.split_once("://").map(|(scheme, rest)| (scheme, rest.split('/').next().unwrap_or_default()));
        let help = match at {
            Some(("http" | "https", host)) if !host.contains('@') => None,
            Some(("http" | "https", _)) => Some("a login never stands in a file: give it in the environment"),
            _ => Some("write `url = \"http://HOST:5000\"`"),
        };
        if let Some(help) = help {
            let message = "[keystone] `url` is not an http:// or https:// URL without a login";
            reader.push(Diagnostic::error(Code::BadUrl, url.span, message).help(help));
        }
    }
    if let (Some(2), Some(domain)) = (version.map(|version| version.value), &domain) {
        let message = "Identity v2.0 knows no domains";
        reader.push(Diagnostic::error(Code::BadDomain, domain.span, message).help("take `domain` out"));
    }
    Some(KeystoneSettings { url, version, domain, create })
}

fn defaults(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Defaults {
    let Some(mut table) = file.table(reader, "defaults", "[defaults]") else { return Defaults::default() };
    let profile = table.word(reader, "profile", &PROFILES).map(|word| word.value);
    let anti_spoof = table.word(reader, "anti_spoof", &ANTI_SPOOF).map(|word| word.value);
    let mtu = table.integer::<u16>(reader, "mtu", 576..=65535);
    let dns = values::dns(reader, &mut table);
    let gateway = values::gateway(reader, &mut table);
    if let Some(Spanned { value: crate::spec::Gateway::Address(_), span }) = &gateway {
        let message = "a gateway for every bridge can't be one address";
        reader.push(Diagnostic::error(Code::BadGateway, *span, message).help("write \"first\" or \"last\""));
    }
    table.finish(reader);
    Defaults { profile, anti_spoof, mtu, dns, gateway: gateway.map(|gateway| gateway.value) }
}

fn host(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Host> {
    let name = table.name(reader, "name");
    let id = uuid(reader, &mut table, "id");
    let id = table.required(reader, "id", id);
    let tunnel_address = table.address(reader, "tunnel_address");
    table.finish(reader);
    Some(Host { name: name?, id: id?, tunnel_address })
}

fn duplicate_hosts(reader: &mut Reader<'_>, hosts: &[Host]) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    let mut ids: BTreeMap<Uuid, Span> = BTreeMap::new();
    for host in hosts {
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

fn tunnel_zone(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Option<TunnelZoneSettings> {
    let mut table = file.table(reader, "tunnel_zone", "[tunnel_zone]")?;
    let name = table.name(reader, "name");
    let words = [("gre", Encapsulation::Gre), ("vxlan", Encapsulation::Vxlan)];
    let encapsulation = table.word(reader, "type", &words).map_or(Encapsulation::Vxlan, |word| word.value);
    table.finish(reader);
    Some(TunnelZoneSettings { name: name?, encapsulation })
}
