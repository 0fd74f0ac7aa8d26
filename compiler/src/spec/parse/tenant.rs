//! The tenant file.

use std::collections::BTreeSet;

use super::{Reader, ends};
use crate::diagnostic::{Code, Diagnostic};
use crate::names::TenantName;
use crate::source::Spanned;
use crate::spec::grammar::values::{TCP, UDP};
use crate::spec::grammar::{
    AddressGroupKeys, AssertKeys, BridgeKeys, DnsKeys, ExposeKeys, Grammar, Limits, LinkKeys, MovedKeys,
    PeerKeys, PortGroupKeys, PortKeys, RouteKeys, RuleKeys, Table, TenantKeys,
};
use crate::spec::{
    Action, AddressGroup, Assert, Bridge, Dns, Expose, LinkPin, Moved, MovedKind, Peer, Port, PortGroup,
    Quotas, Route, RouteTarget, Rule, Tenant, special_addresses,
};

pub(super) fn read(reader: &mut Reader<'_>, file: Table<'_, TenantKeys>) -> Option<Tenant> {
    let name = file.get(reader, |tenant| &tenant.name);
    let tenant_id = file.get(reader, |tenant| &tenant.tenant_id);
    let profile = file.get(reader, |tenant| &tenant.profile);
    let labels = file.get(reader, |tenant| &tenant.labels).unwrap_or_default();
    let protect = file.get_or_default(reader, |tenant| &tenant.protect);
    let mtu = file.get(reader, |tenant| &tenant.mtu);
    let dns = file.get(reader, |tenant| &tenant.dns).map(|table| dns(reader, &table));
    let quotas = file.get(reader, |tenant| &tenant.quotas);
    let quotas = quotas.map(|table| limits(reader, &table)).unwrap_or_default();
    let link = file.get(reader, |tenant| &tenant.link).and_then(|table| link(reader, &table));
    let anti_spoof = file.get(reader, |tenant| &tenant.anti_spoof);
    let ethertypes = file.get(reader, |tenant| &tenant.ethertypes);
    let egress = file.get_or_default(reader, |tenant| &tenant.egress);
    let bridges = file.get(reader, |tenant| &tenant.bridge);
    let ports = file.get(reader, |tenant| &tenant.port);
    let routes = file.get(reader, |tenant| &tenant.route);
    let rules = file.get(reader, |tenant| &tenant.rule);
    let address_groups = file.get(reader, |tenant| &tenant.address_group);
    let port_groups = file.get(reader, |tenant| &tenant.port_group);
    let exposes = file.get(reader, |tenant| &tenant.expose);
    let peers = file.get(reader, |tenant| &tenant.peer);
    let moves = file.get(reader, |tenant| &tenant.moved);
    let asserts = file.get(reader, |tenant| &tenant.assert);
    let mut left_out = BTreeSet::new();
    let tenant = Tenant {
        tenant_id,
        profile,
        labels,
        protect,
        mtu,
        dns,
        quotas,
        link,
        anti_spoof,
        ethertypes,
        egress,
        bridges: each_named(reader, bridges, bridge, "bridge", &mut left_out),
        ports: each_named(reader, ports, port, "port", &mut left_out),
        routes: each(reader, routes, route),
        rules: each(reader, rules, rule),
        address_groups: each_named(reader, address_groups, address_group, "address group", &mut left_out),
        port_groups: each_named(reader, port_groups, port_group, "port group", &mut left_out),
        exposes: each(reader, exposes, expose),
        peers: each_named(reader, peers, peer, "peer", &mut left_out),
        moved: each(reader, moves, moved),
        asserts: each(reader, asserts, assertion),
        left_out,
        name: tenant_name(name?),
    };
    reserved_name(reader, &tenant.name);
    Some(tenant)
}

fn tenant_name(name: Spanned<String>) -> Spanned<TenantName> {
    Spanned { span: name.span, value: name.value.into() }
}

fn reserved_name(reader: &mut Reader<'_>, name: &Spanned<TenantName>) {
    if name.value.as_str() == crate::values::SITE {
        let message =
            format!("`{name}` can't be a tenant's name: the keys of the site's own objects begin with it");
        reader.push(Diagnostic::error(Code::BadName, name.span, message).help("use another name"));
    }
}

/// Reads each of several tables. Tables that can't be used are left out.
fn each<'a, T, Output>(
    reader: &mut Reader<'_>,
    tables: Option<Vec<Table<'a, T>>>,
    read: fn(&mut Reader<'_>, &Table<'a, T>) -> Option<Output>,
) -> Vec<Output> {
    tables.into_iter().flatten().filter_map(|table| read(reader, &table)).collect()
}

/// Reads each of several tables that others name. The names of those that are left out are kept.
pub(super) fn each_named<'a, T: Grammar, Output>(
    reader: &mut Reader<'_>,
    tables: Option<Vec<Table<'a, T>>>,
    read: fn(&mut Reader<'_>, &Table<'a, T>) -> Option<Output>,
    what: &'static str,
    left_out: &mut BTreeSet<(&'static str, String)>,
) -> Vec<Output> {
    let mut found = Vec::new();
    for table in tables.into_iter().flatten() {
        match read(reader, &table) {
            Some(output) => found.push(output),
            None => {
                let name = table.text_of("name").or(table.text_of("tenant"));
                left_out.extend(name.map(|name| (what, name.to_owned())));
            }
        }
    }
    found
}

/// Reads `dns`, of a tenant or of the site's defaults.
pub(super) fn dns(reader: &mut Reader<'_>, table: &Table<'_, DnsKeys>) -> Dns {
    let nameservers = table.get(reader, |dns| &dns.nameservers).unwrap_or_default();
    let errors: Vec<Diagnostic> = nameservers.iter().filter_map(special_addresses::of_name_server).collect();
    errors.into_iter().for_each(|error| reader.push(error));
    let search = table.get(reader, |dns| &dns.search).unwrap_or_default();
    Dns { nameservers, search }
}

/// Reads `quotas` of a tenant or `limits` of a policy.
pub(super) fn limits(reader: &mut Reader<'_>, table: &Table<'_, Limits>) -> Quotas {
    Quotas {
        bridges: table.get(reader, |limits| &limits.bridges),
        ports: table.get(reader, |limits| &limits.ports),
        routes: table.get(reader, |limits| &limits.routes),
        rules: table.get(reader, |limits| &limits.rules),
        exposes: table.get(reader, |limits| &limits.exposes),
        peers: table.get(reader, |limits| &limits.peers),
    }
}

fn link(reader: &mut Reader<'_>, table: &Table<'_, LinkKeys>) -> Option<LinkPin> {
    let provider = table.get(reader, |link| &link.provider);
    let tenant = table.get(reader, |link| &link.tenant);
    let prefix = table.get(reader, |link| &link.prefix);
    let (provider, tenant) = (provider?, tenant?);
    let ends = [("the provider's link address", &provider), ("the tenant's link address", &tenant)];
    let errors = ends.map(|(what, end)| special_addresses::of_host(what, end.value, end.span));
    let errors: Vec<Diagnostic> = errors.into_iter().flatten().collect();
    let are_usable = errors.is_empty();
    errors.into_iter().for_each(|error| reader.push(error));
    are_usable.then_some(LinkPin { provider, tenant, prefix })
}

fn bridge(reader: &mut Reader<'_>, table: &Table<'_, BridgeKeys>) -> Option<Bridge> {
    let name = table.get(reader, |bridge| &bridge.name);
    let known = reader.diagnostics.errors();
    let cidr = table.get(reader, |bridge| &bridge.cidr);
    let gateway = table.get(reader, |bridge| &bridge.gateway);
    let is_sound = reader.diagnostics.errors() == known;
    Some(Bridge { name: name?, cidr, gateway, is_sound, grown_from: None })
}

fn port(reader: &mut Reader<'_>, table: &Table<'_, PortKeys>) -> Option<Port> {
    let name = table.get(reader, |port| &port.name);
    let bridge = table.get(reader, |port| &port.bridge);
    let host = table.get(reader, |port| &port.host);
    let interface = table.get(reader, |port| &port.interface);
    let mac = table.get(reader, |port| &port.mac);
    let address = table.get(reader, |port| &port.address);
    Some(Port {
        name: name?,
        bridge: bridge?,
        host: host?,
        interface: interface?,
        mac: mac?,
        address: address?,
    })
}

fn route(reader: &mut Reader<'_>, table: &Table<'_, RouteKeys>) -> Option<Route> {
    let destination = table.get(reader, |route| &route.destination);
    let via = table.get(reader, |route| &route.via);
    let via = via.map(|via| Spanned { span: via.span, value: RouteTarget::Via(via.value) });
    let bridge = table.get(reader, |route| &route.bridge);
    let bridge = bridge.map(|bridge| Spanned { span: bridge.span, value: RouteTarget::Bridge(bridge.value) });
    let end = table.get(reader, |route| &route.kind);
    let end = end.map(|end| Spanned { span: end.span, value: RouteTarget::Nowhere(end.value) });
    let weight = table.get_or_default(reader, |route| &route.weight).value;
    if !table.check_constraints(reader) {
        return None;
    }
    Some(Route { destination: destination?, target: via.or(bridge).or(end)?, weight })
}

fn rule(reader: &mut Reader<'_>, table: &Table<'_, RuleKeys>) -> Option<Rule> {
    let name = table.get(reader, |rule| &rule.name);
    let from = table.get(reader, |rule| &rule.from);
    let from = ends::from(reader, from);
    let to = table.get(reader, |rule| &rule.to);
    let to = ends::to(reader, to);
    let action = table.get(reader, |rule| &rule.action);
    let stateful = table.get_or_default(reader, |rule| &rule.stateful);
    let protocols = ends::protocols(reader, &from, &to);
    // The names in a rule with a wrong action are looked up all the same.
    let action = action.map_or(Action::Drop, |action| action.value);
    Some(Rule { name: name?, from: from.endpoint, to: to.end.endpoint, protocols, action, stateful })
}

fn assertion(reader: &mut Reader<'_>, table: &Table<'_, AssertKeys>) -> Option<Assert> {
    let from = table.get(reader, |assert| &assert.from);
    let to = table.get(reader, |assert| &assert.to);
    let has_ends = from.is_some() && to.is_some();
    let (from, to) = (ends::from(reader, from), ends::to(reader, to));
    let allowed = table.get(reader, |assert| &assert.allowed);
    let protocols = ends::protocols(reader, &from, &to);
    let (from, to) = (from.endpoint, to.end.endpoint);
    if from.selector.is_none() || to.selector.is_none() {
        if has_ends {
            let message = "an [[assert]] needs a selector in `from` and one in `to`";
            let help = "write `from = { bridge = NAME }`, `{ world = true }`, `{ cidr = NETWORK }`, `{ peer = TENANT }` or a group";
            reader.push(Diagnostic::error(Code::AssertionPlace, table.span, message).help(help));
        }
        return None;
    }
    Some(Assert { from, to, protocols, allowed: allowed?, span: table.span })
}

fn address_group(reader: &mut Reader<'_>, table: &Table<'_, AddressGroupKeys>) -> Option<AddressGroup> {
    let name = table.get(reader, |group| &group.name);
    let known = reader.diagnostics.errors();
    let addresses = table.get(reader, |group| &group.addresses).unwrap_or_default();
    let is_sound = reader.diagnostics.errors() == known;
    Some(AddressGroup { name: name?, addresses, is_sound })
}

fn port_group(reader: &mut Reader<'_>, table: &Table<'_, PortGroupKeys>) -> Option<PortGroup> {
    let name = table.get(reader, |group| &group.name);
    let ports = table.get(reader, |group| &group.ports).unwrap_or_default();
    let stateful = table.get_or_default(reader, |group| &group.stateful);
    Some(PortGroup { name: name?, ports, stateful })
}

fn expose(reader: &mut Reader<'_>, table: &Table<'_, ExposeKeys>) -> Option<Expose> {
    let public = table.get(reader, |expose| &expose.public);
    let to = table.get(reader, |expose| &expose.to)?;
    let bridge = to.get(reader, |pod| &pod.bridge);
    let port = to.get(reader, |pod| &pod.port);
    let address = to.get(reader, |pod| &pod.address);
    let tcp = to.get(reader, |pod| &pod.tcp);
    let udp = to.get(reader, |pod| &pod.udp);
    if !to.check_constraints(reader) {
        return None;
    }
    let (protocol, target) = match (tcp, udp) {
        (Some(port), None) => (TCP, port),
        (None, Some(port)) => (UDP, port),
        _ => return None,
    };
    let (public, public_port) = public?;
    if let Some(error) = special_addresses::of_host("the public address", public.value, public.span) {
        reader.push(error);
        return None;
    }
    let target_port = target.value;
    Some(Expose { public, public_port, protocol, bridge, port, address, target_port, span: table.span })
}

fn moved(reader: &mut Reader<'_>, table: &Table<'_, MovedKeys>) -> Option<Moved> {
    let named = [
        (MovedKind::Bridge, table.get(reader, |moved| &moved.bridge)),
        (MovedKind::Rule, table.get(reader, |moved| &moved.rule)),
        (MovedKind::Port, table.get(reader, |moved| &moved.port)),
    ];
    let to = table.get(reader, |moved| &moved.to);
    if !table.check_constraints(reader) {
        return None;
    }
    let (kind, from) = named.into_iter().find_map(|(kind, from)| Some((kind, from?)))?;
    Some(Moved { kind, from, to: to? })
}

fn peer(reader: &mut Reader<'_>, table: &Table<'_, PeerKeys>) -> Option<Peer> {
    let tenant = table.get(reader, |peer| &peer.tenant);
    let bridges = table.get(reader, |peer| &peer.bridges);
    Some(Peer { tenant: tenant_name(tenant?), bridges })
}
