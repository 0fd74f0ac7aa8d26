//! The cascades of deletes: what the servers delete together with an object of each kind.

use uuid::Uuid;

use crate::object::Value;
use crate::schema::Kind;
use crate::state::Transaction;
use crate::version::Version;

/// The fields of a rule that match port groups.
pub(crate) const PORT_GROUPS: [&str; 3] = ["portGroup", "inPortGroup", "outPortGroup"];
/// The fields of a rule that match address groups.
pub(crate) const ADDRESS_GROUPS: [&str; 2] = ["ipAddrGroupSrc", "ipAddrGroupDst"];
/// The fields of a device or a port that name its filter chains.
const FILTERS: [&str; 4] = ["inboundFilterId", "outboundFilterId", "localRedirectChainId", "forwardChainId"];

/// Deletes an object with everything that its kind's `cascade` deletes.
pub(crate) fn delete(change: &mut Transaction<'_>, version: Version, kind: Kind, id: Uuid) {
    cascade(change, version, kind, id);
    change.delete(kind, id);
}

/// Deletes all objects of `kind` whose `field` refers to `id`, each with its cascade.
fn delete_referring(
    change: &mut Transaction<'_>,
    version: Version,
    id: Uuid,
    field: &'static str,
    kind: Kind,
) {
    for object in change.referring(id, field, kind) {
        delete(change, version, kind, object.id);
    }
}

/// Removes the link of a port; the peer stays, unlinked (06-port-link, steps 15 to 18 and 24).
pub(crate) fn unlink(change: &mut Transaction<'_>, port: Uuid) {
    change.set(Kind::Port, port, "peerId", Value::Null);
    for partner in change.referring(port, "peerId", Kind::Port) {
        change.set(Kind::Port, partner.id, "peerId", Value::Null);
    }
}

/// Deletes what belongs to an object of a kind.
fn cascade(change: &mut Transaction<'_>, version: Version, kind: Kind, id: Uuid) {
    match kind {
        Kind::Router => cascade_of_router(change, version, id),
        Kind::Bridge => cascade_of_bridge(change, version, id),
        Kind::Port => cascade_of_port(change, version, id),
        Kind::Chain => cascade_of_chain(change, version, id),
        Kind::Host => cascade_of_host(change, version, id),
        Kind::TunnelZone => cascade_of_tunnel_zone(change, version, id),
        Kind::PortGroup => cascade_of_port_group(change, version, id),
        Kind::IpAddrGroup => cascade_of_address_group(change, version, id),
        Kind::Route
        | Kind::Rule
        | Kind::TunnelZoneHost
        | Kind::PortGroupPort
        | Kind::IpAddrGroupAddr
        | Kind::HostInterfacePort => {}
    }
}

/// Deletes what belongs to a router: its ports and routes, with links and bindings (12-tenant-abrupt, steps 19 to 32).
fn cascade_of_router(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "deviceId", Kind::Port);
    delete_referring(change, version, id, "routerId", Kind::Route);
}

/// Deletes what belongs to a bridge: its ports with their links and bindings (13-host-binding, step 26).
fn cascade_of_bridge(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "deviceId", Kind::Port);
}

/// Deletes what belongs to a port: the routes through it (07-route, steps 19 and 20), its link, its memberships and its
/// binding (13-host-binding, steps 18 to 22). Rules that name the port stay (09-nat-rules, steps 16 to 18). On 1.7 a
/// BlackHole route that names the port stays with its router (not recorded).
fn cascade_of_port(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    unlink(change, id);
    for route in change.referring(id, "nextHopPort", Kind::Route) {
        if !version.traits().is_1x || route.text("type") == Some("Normal") {
            change.delete(Kind::Route, route.id);
        }
    }
    delete_referring(change, version, id, "portId", Kind::PortGroupPort);
    delete_referring(change, version, id, "portId", Kind::HostInterfacePort);
}

/// Deletes what belongs to a chain: its rules and the rules that jump to it (04-chain-rule, steps 26 to 29). Devices
/// and ports lose it as their filter (08-filters, steps 5 and 6).
fn cascade_of_chain(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "chainId", Kind::Rule);
    delete_referring(change, version, id, "jumpChainId", Kind::Rule);
    for filter in FILTERS {
        for kind in [Kind::Router, Kind::Bridge, Kind::Port] {
            for device in change.referring(id, filter, kind) {
                change.set(kind, device.id, filter, Value::Null);
            }
        }
    }
}

/// Deletes what belongs to a host: its memberships in tunnel zones.
fn cascade_of_host(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "hostId", Kind::TunnelZoneHost);
}

/// Deletes what belongs to a tunnel zone: the memberships of its hosts.
fn cascade_of_tunnel_zone(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "tunnelZoneId", Kind::TunnelZoneHost);
}

/// Deletes what belongs to a port group: its memberships and, on 1.7, the rules that match it; on 5.x these stay
/// (14-groups, steps 15 to 18).
fn cascade_of_port_group(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "portGroupId", Kind::PortGroupPort);
    if version.traits().is_1x {
        for field in PORT_GROUPS {
            delete_referring(change, version, id, field, Kind::Rule);
        }
    }
}

/// Deletes what belongs to an address group: its addresses and, on 1.7, the rules that match it; on 5.x these stay
/// (14-groups, steps 15 to 18).
fn cascade_of_address_group(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "ipAddrGroupId", Kind::IpAddrGroupAddr);
    if version.traits().is_1x {
        for field in ADDRESS_GROUPS {
            delete_referring(change, version, id, field, Kind::Rule);
        }
    }
}
