//! The tenant file.

use std::collections::BTreeMap;

use super::site::{ANTI_SPOOF, PROFILES};
use super::table::{address_of, network_of};
use super::values::{self, TCP, UDP};
use super::{Reader, Table};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;
use crate::spec::{
    Action, AddressGroup, Assert, Bridge, Egress, Expose, LinkPin, Moved, MovedKind, Peer, Port, PortGroup,
    Quotas, Route, RouteTarget, Rule, Tenant,
};
use crate::values::MacAddress;

/// The weight of a route that names none: the default of MidoNet's own tools.
const DEFAULT_WEIGHT: u32 = 100;

pub(super) fn read(reader: &mut Reader<'_>, mut file: Table<'_>) -> Option<Tenant> {
    let name = file.name(reader, "name");
    let tenant_id = file.string(reader, "tenant_id");
    let profile = file.word(reader, "profile", &PROFILES);
    let labels = labels(reader, &mut file);
    let protect = file.boolean(reader, "protect").unwrap_or(false);
    let mtu = file.integer::<u16>(reader, "mtu", 576..=65535);
    let dns = values::dns(reader, &mut file);
    let quotas = quotas(reader, &mut file, "quotas", "`quotas`");
    let link = link(reader, &mut file);
    let anti_spoof = file.word(reader, "anti_spoof", &ANTI_SPOOF);
    let standard = Spanned { value: Egress::SnatToLink, span: file.span };
    let egress = values::egress(reader, &mut file).unwrap_or(standard);
    let bridges = each(reader, &mut file, "bridge", "a [[bridge]]", bridge);
    let ports = each(reader, &mut file, "port", "a [[port]]", port);
    let routes = each(reader, &mut file, "route", "a [[route]]", route);
    let rules = each(reader, &mut file, "rule", "a [[rule]]", rule);
    let address_groups = each(reader, &mut file, "address_group", "an [[address_group]]", address_group);
    let port_groups = each(reader, &mut file, "port_group", "a [[port_group]]", port_group);
    let exposes = each(reader, &mut file, "expose", "an [[expose]]", expose);
    let peers = each(reader, &mut file, "peer", "a [[peer]]", peer);
    let moved = each(reader, &mut file, "moved", "a [[moved]]", moved);
    let asserts = each(reader, &mut file, "assert", "an [[assert]]", assertion);
    file.finish(reader);
    let name = name?;
    if name.value == crate::topology::key::SITE {
        let message = "`site` can't be a tenant's name: the site's own objects go by it";
        reader.push(Diagnostic::error(Code::BadName, name.span, message).help("give it another name"));
    }
    Some(Tenant {
        name,
        tenant_id,
        profile,
        labels,
        protect,
        mtu,
        dns,
        quotas,
        link,
        anti_spoof,
        egress,
        bridges,
        ports,
        routes,
        rules,
        address_groups,
        port_groups,
        exposes,
        peers,
        moved,
        asserts,
    })
}

fn each<'a, T>(
    reader: &mut Reader<'_>,
    file: &mut Table<'a>,
    key: &'static str,
    what: &'static str,
    read: fn(&mut Reader<'_>, Table<'a>) -> Option<T>,
) -> Vec<T> {
    file.tables(reader, key, what).into_iter().filter_map(|table| read(reader, table)).collect()
}

fn labels(reader: &mut Reader<'_>, file: &mut Table<'_>) -> BTreeMap<String, Spanned<String>> {
    let Some(table) = file.table(reader, "labels", "`labels`") else { return BTreeMap::new() };
    let pairs = table.pairs().filter_map(|(key, value)| {
        super::table::text_of(reader, key, value).map(|text| (key.to_owned(), text))
    });
    pairs.collect()
}

/// How many there may be of each kind.
pub(super) fn quotas(
    reader: &mut Reader<'_>,
    file: &mut Table<'_>,
    key: &'static str,
    what: &'static str,
) -> Quotas {
    let Some(mut table) = file.table(reader, key, what) else { return Quotas::default() };
    let mut limit = |key| table.integer::<u32>(reader, key, 0..=1_000_000);
    let quotas = Quotas {
        bridges: limit("bridges"),
        ports: limit("ports"),
        routes: limit("routes"),
        rules: limit("rules"),
        exposes: limit("exposes"),
        peers: limit("peers"),
    };
    table.finish(reader);
    quotas
}

fn link(reader: &mut Reader<'_>, file: &mut Table<'_>) -> Option<LinkPin> {
    let mut table = file.table(reader, "link", "`link`")?;
    let provider = table.address(reader, "provider");
    let provider = table.required(reader, "provider", provider);
    let tenant = table.address(reader, "tenant");
    let tenant = table.required(reader, "tenant", tenant);
    let prefix = table.integer::<u8>(reader, "prefix", 8..=30);
    table.finish(reader);
    Some(LinkPin { provider: provider?, tenant: tenant?, prefix })
}

fn bridge(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Bridge> {
    let name = table.name(reader, "name");
    let cidr = table.network(reader, "cidr");
    let gateway = values::gateway(reader, &mut table);
    table.finish(reader);
    Some(Bridge { name: name?, cidr, gateway, grown_from: None })
}

fn port(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Port> {
    let name = table.name(reader, "name");
    let mut text = |reader: &mut Reader<'_>, key| {
        let found = table.string(reader, key);
        table.required(reader, key, found)
    };
    let bridge = text(reader, "bridge");
    let host = text(reader, "host");
    let interface = text(reader, "interface");
    let mac = text(reader, "mac").and_then(|text| mac(reader, &text));
    let address = table.address(reader, "address");
    let address = table.required(reader, "address", address);
    table.finish(reader);
    let interface = interface.filter(|interface| good_interface(reader, interface));
    Some(Port {
        name: name?,
        bridge: bridge?,
        host: host?,
        interface: interface?,
        mac: mac?,
        address: address?,
    })
}

/// Linux: at most 15 bytes, no white space, no slash, neither `.` nor `..`.
fn good_interface(reader: &mut Reader<'_>, interface: &Spanned<String>) -> bool {
    let name = interface.value.as_str();
    let bad_byte = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'/' | b':');
    let good = (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.bytes().any(bad_byte);
    if !good {
        let message = format!("`{name}` can't be the name of a network interface");
        let help = "Linux allows 1 to 15 characters without white space, `/` and `:`";
        reader.push(Diagnostic::error(Code::BadInterface, interface.span, message).help(help));
    }
    good
}

fn mac(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Spanned<MacAddress>> {
    let problem = match text.value.parse::<MacAddress>() {
        Ok(value) if value.0[0] & 1 == 0 && value.0 != [0; 6] => {
            return Some(Spanned { value, span: text.span });
        }
        Ok(_) => format!("`{}` is a group address, or none: it can't be one interface's", text.value),
        Err(problem) => problem,
    };
    reader.push(Diagnostic::error(Code::BadMac, text.span, problem).help("write it as 02:00:00:00:00:0a"));
    None
}

fn route(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Route> {
    let destination = table.network(reader, "destination");
    let destination = table.required(reader, "destination", destination);
    let via = table
        .address(reader, "via")
        .map(|via| Spanned { span: via.span, value: RouteTarget::Via(via.value) });
    let bridge = table.string(reader, "bridge");
    let bridge = bridge.map(|bridge| Spanned { span: bridge.span, value: RouteTarget::Bridge(bridge.value) });
    let words = [("blackhole", false), ("reject", true)];
    let kind = table.word(reader, "type", &words).map(|word| {
        let value = if word.value { RouteTarget::Reject } else { RouteTarget::Blackhole };
        Spanned { value, span: word.span }
    });
    let named = ["via", "bridge", "type"].into_iter().filter(|key| table.has(key)).count();
    let weight = table.integer::<u32>(reader, "weight", 0..=i64::from(i32::MAX));
    let span = table.span;
    table.finish(reader);
    if named != 1 {
        let message = "a [[route]] leads to one place";
        let help =
            "give one of `via = ADDRESS`, `bridge = NAME`, `type = \"blackhole\"` and `type = \"reject\"`";
        reader.push(Diagnostic::error(Code::RouteTarget, span, message).help(help));
        return None;
    }
    let target = via.or(bridge).or(kind)?;
    Some(Route {
        destination: destination?,
        target,
        weight: weight.map_or(DEFAULT_WEIGHT, |weight| weight.value),
    })
}

fn rule(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Rule> {
    let name = table.name(reader, "name");
    let from = values::end(reader, &mut table, "from");
    let to = values::end(reader, &mut table, "to");
    let words = [("accept", Action::Accept), ("drop", Action::Drop), ("reject", Action::Reject)];
    let action = table.word(reader, "action", &words);
    let action = table.required(reader, "action", action);
    let stateful = table.boolean(reader, "stateful").unwrap_or(true);
    table.finish(reader);
    let protocols = values::protocols(reader, &from, &to);
    let (from, to) = (from.endpoint, to.endpoint);
    // Whatever the action was meant to be, what the rule names is looked up all the same.
    let action = action.map_or(Action::Drop, |action| action.value);
    Some(Rule { name: name?, from, to, protocols, action, stateful })
}

fn assertion(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Assert> {
    let from = values::end(reader, &mut table, "from");
    let to = values::end(reader, &mut table, "to");
    let allowed = table.boolean(reader, "allowed");
    let allowed = table.required(reader, "allowed", allowed);
    let span = table.span;
    table.finish(reader);
    let protocols = values::protocols(reader, &from, &to);
    let (from, to) = (from.endpoint, to.endpoint);
    if from.place.is_none() || to.place.is_none() {
        let message = "an [[assert]] names a place in `from` and one in `to`";
        let help = "write `from = { bridge = NAME }`, `{ world = true }`, `{ cidr = NETWORK }`, `{ peer = TENANT }` or a group";
        reader.push(Diagnostic::error(Code::AssertionPlace, span, message).help(help));
        return None;
    }
    Some(Assert { from, to, protocols, allowed: allowed?, span })
}

fn address_group(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<AddressGroup> {
    let name = table.name(reader, "name");
    let texts = table.strings(reader, "addresses", false);
    let addresses = texts.iter().filter_map(|text| network_of(reader, text)).collect();
    table.required(reader, "addresses", table.has("addresses").then_some(()));
    table.finish(reader);
    Some(AddressGroup { name: name?, addresses })
}

fn port_group(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<PortGroup> {
    let name = table.name(reader, "name");
    let ports = table.strings(reader, "ports", false);
    table.required(reader, "ports", table.has("ports").then_some(()));
    let stateful = table.boolean(reader, "stateful").unwrap_or(false);
    table.finish(reader);
    Some(PortGroup { name: name?, ports, stateful })
}

fn expose(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Expose> {
    let public = table.string(reader, "public");
    let public = table.required(reader, "public", public).and_then(|text| public_end(reader, &text));
    let to = table.table(reader, "to", "`to` of an [[expose]]");
    let to = table.required(reader, "to", to);
    let span = table.span;
    table.finish(reader);
    let mut to = to?;
    let bridge = to.string(reader, "bridge");
    let port = to.string(reader, "port");
    let address = to.address(reader, "address");
    let tcp = to.integer::<u16>(reader, "tcp", 1..=65535);
    let udp = to.integer::<u16>(reader, "udp", 1..=65535);
    let complete =
        to.has("port") != (to.has("bridge") && to.has("address")) && !(to.has("port") && to.has("address"));
    if !complete {
        let message = "an [[expose]] leads to one pod";
        let help = "write `to = { bridge = NAME, address = ADDRESS, tcp = PORT }` or `to = { port = NAME, tcp = PORT }`";
        reader.push(Diagnostic::error(Code::ExposeTarget, to.span, message).help(help));
    }
    if to.has("tcp") == to.has("udp") {
        let message = "an [[expose]] needs `tcp` or `udp`, one of them";
        let help = "write two [[expose]] for a port that answers to both";
        reader.push(Diagnostic::error(Code::ExposeProtocol, to.span, message).help(help));
    }
    to.finish(reader);
    let (protocol, target) = match (tcp, udp) {
        (Some(port), None) => (TCP, port),
        (None, Some(port)) => (UDP, port),
        _ => return None,
    };
    let (public, public_port) = public?;
    let target_port = target.value;
    complete.then_some(Expose { public, public_port, protocol, bridge, port, address, target_port, span })
}

/// `ADDRESS:PORT`.
fn public_end(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<(Spanned<std::net::Ipv4Addr>, u16)> {
    let (address, port) = text.value.rsplit_once(':').unwrap_or((&text.value, ""));
    let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else {
        let message = format!("`{}` is not a public address and port", text.value);
        reader
            .push(Diagnostic::error(Code::BadPublic, text.span, message).help("write \"203.0.113.10:443\""));
        return None;
    };
    let bare = address.trim_start_matches('[').trim_end_matches(']').to_owned();
    let address = address_of(reader, &Spanned { value: bare, span: text.span })?;
    Some((address, port))
}

fn moved(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Moved> {
    let kinds = [MovedKind::Bridge, MovedKind::Rule, MovedKind::Port];
    let named: Vec<_> =
        kinds.into_iter().filter_map(|kind| Some((kind, table.string(reader, kind.name())?))).collect();
    let to = table.name(reader, "to");
    let (span, count) = (table.span, kinds.iter().filter(|kind| table.has(kind.name())).count());
    table.finish(reader);
    let [(kind, from)] = named.as_slice() else {
        if count != 1 {
            let message = "a [[moved]] says the old name of one thing: `bridge`, `rule` or `port`";
            let help = "write for example `bridge = \"old-name\"` and `to = \"new-name\"`";
            reader.push(Diagnostic::error(Code::MovedWhat, span, message).help(help));
        }
        return None;
    };
    Some(Moved { kind: *kind, from: from.clone(), to: to? })
}

fn peer(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Peer> {
    let tenant = table.string(reader, "tenant");
    let tenant = table.required(reader, "tenant", tenant);
    let named = table.has("bridges");
    let bridges = table.strings(reader, "bridges", false);
    table.finish(reader);
    Some(Peer { tenant: tenant?, bridges: named.then_some(bridges) })
}
