//! The cascades of deletes: what the servers delete together with an object of each kind.

use uuid::Uuid;

use super::load_balancer;
use crate::object::{Object, Value};
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
    if version.traits().keeps_device_tables && matches!(kind, Kind::Router | Kind::Bridge) {
        let fields = vec![("deviceId", Value::Uuid(id)), ("deviceKind", Value::text(kind.class()))];
        change.create(Object::new(Kind::DeviceTable, Uuid::new_v4(), fields));
    }
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
        Kind::LoadBalancer => load_balancer::detach(change, version, id),
        Kind::Route
        | Kind::Rule
        | Kind::TunnelZoneHost
        | Kind::PortGroupPort
        | Kind::IpAddrGroupAddr
        | Kind::BgpPeer
        | Kind::BgpNetwork
        | Kind::Bgp
        | Kind::DhcpSubnet
        | Kind::DhcpSubnet6
        | Kind::DeviceTable
        | Kind::HostInterfacePort => {}
    }
}

/// Deletes what belongs to a router: its ports and routes, with links and bindings (12-tenant-abrupt, steps 19 to 32), and
/// its BGP peers and networks (not recorded).
fn cascade_of_router(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "deviceId", Kind::Port);
    delete_referring(change, version, id, "routerId", Kind::Route);
    delete_referring(change, version, id, "routerId", Kind::BgpPeer);
    delete_referring(change, version, id, "routerId", Kind::BgpNetwork);
    load_balancer::release(change, version, id);
}

/// Deletes what belongs to a bridge: its ports with their links and bindings (13-host-binding, step 26), and its DHCP
/// subnets (not recorded).
fn cascade_of_bridge(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "deviceId", Kind::Port);
    delete_referring(change, version, id, "bridgeId", Kind::DhcpSubnet);
    delete_referring(change, version, id, "bridgeId", Kind::DhcpSubnet6);
}

/// Deletes what belongs to a port: the routes through it (07-route, steps 19 and 20), its link, its memberships and its
/// binding (13-host-binding, steps 18 to 22). 1.7 deletes the binding and the memberships that the port's record names;
/// an earlier host keeps its binding (two-hosts/20-hosts-and-zones, step 27). Rules that name the port stay (09-nat-rules, steps 16 to 18). On 1.7 a
/// BlackHole route that names the port stays with its router, and the port's BGP sessions are deleted (not recorded).
fn cascade_of_port(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    unlink(change, id);
    delete_referring(change, version, id, "portId", Kind::Bgp);
    for route in change.referring(id, "nextHopPort", Kind::Route) {
        if !version.traits().is_1x || route.text("type") == Some("Normal") {
            change.delete(Kind::Route, route.id);
        }
    }
    let record = change.state().get(Kind::Port, id).cloned();
    for (field, kind) in [("portGroupId", Kind::PortGroupPort), ("hostId", Kind::HostInterfacePort)] {
        for known in change.referring(id, "portId", kind) {
            let holder = known.uuid(field).unwrap_or_default();
            if !version.traits().is_1x || record.as_deref().is_some_and(|record| names(record, holder)) {
                change.delete(kind, known.id);
            }
        }
    }
}

/// Returns true if a port's record on 1.7 names a host or a port group.
fn names(record: &Object, holder: Uuid) -> bool {
    record.uuid("hostId") == Some(holder) || record.uuids("portGroupIds").contains(&holder)
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

/// Adds a port group to the record that 1.7 has of a port.
pub(crate) fn join_group(change: &mut Transaction<'_>, port: Uuid, group: Uuid) {
    let record = change.state().get(Kind::Port, port).cloned();
    let mut groups = record.map_or(Vec::new(), |record| record.uuids("portGroupIds").to_vec());
    if !groups.contains(&group) {
        groups.push(group);
    }
    change.set(Kind::Port, port, "portGroupIds", Value::Uuids(groups.into_boxed_slice()));
}

/// Removes a port group from the record that 1.7 has of a port.
pub(crate) fn leave_group(change: &mut Transaction<'_>, port: Uuid, group: Uuid) {
    let Some(record) = change.state().get(Kind::Port, port).cloned() else { return };
    let left: Box<[Uuid]> =
        record.uuids("portGroupIds").iter().copied().filter(|known| *known != group).collect();
    if left.len() < record.uuids("portGroupIds").len() {
        let left = if left.is_empty() { Value::Null } else { Value::Uuids(left) };
        change.set(Kind::Port, port, "portGroupIds", left);
    }
}

/// Deletes what belongs to a port group: its memberships and, on 1.7, the rules that match it; on 5.x these stay
/// (14-groups, steps 15 to 18).
fn cascade_of_port_group(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    for member in change.referring(id, "portGroupId", Kind::PortGroupPort) {
        leave_group(change, member.uuid("portId").unwrap_or_default(), id);
        change.delete(Kind::PortGroupPort, member.id);
    }
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
