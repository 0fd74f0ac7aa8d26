//! The rows that serve every tenant: a managed provider router, and the network outside of it.

use super::{ANYWHERE, Engine, gateway, keys, router_port, static_route};
use crate::spec::LocalnetSettings;
use crate::topology::Entry;
use crate::topology::key::Key;
use crate::topology::kinds::row::Holder;
use crate::topology::kinds::row::schema::Table;
use crate::topology::kinds::{Reference, Row};

pub(super) fn lower(engine: &Engine<'_>, entries: &mut Vec<Entry>) {
    let Reference::Key(router) = &engine.provider else { return };
    let row = Row::new(Table::LogicalRouter).text("name", engine.name(router));
    entries.push(engine.entry(router.clone(), row, None, engine.ovn.span));
    if let Some(localnet) = &engine.ovn.localnet {
        external_network(engine, router, localnet, entries);
    }
}

/// Adds a switch that is connected to the physical network, and the provider router's port there.
fn external_network(
    engine: &Engine<'_>,
    router: &Key,
    localnet: &LocalnetSettings,
    entries: &mut Vec<Entry>,
) {
    let span = localnet.network.span;
    let (switch, port) = (keys::external_network(), keys::external_port());
    let mut add =
        |key: Key, row: Row, holder: Option<Holder>| entries.push(engine.entry(key, row, holder, span));
    let held = |by: &Key, table: Table, column| Some(Holder { row: by.into(), table, column });
    add(switch.clone(), Row::new(Table::LogicalSwitch).text("name", engine.name(&switch)), None);
    let outer = keys::localnet_port();
    let mut row = Row::new(Table::LogicalSwitchPort)
        // The name becomes that of a port of Open vSwitch, which can't have a slash.
        .text("name", engine.name(&outer).replace('/', "."))
        .text("type", "localnet")
        .texts("addresses", ["unknown".to_owned()])
        .map("options", [("network_name", localnet.network.value.clone())]);
    if let Some(vlan) = &localnet.vlan {
        row = row.integer("tag", i64::from(vlan.value));
    }
    add(outer, row, held(&switch, Table::LogicalSwitch, "ports"));
    let inner = keys::external_peer();
    let row = switch_port_of_router(engine.name(&inner), engine.name(&port));
    add(inner, row, held(&switch, Table::LogicalSwitch, "ports"));
    let row = router_port(engine.name(&port), engine.mac(&port), localnet.interface_network());
    add(port.clone(), row, held(router, Table::LogicalRouter, "ports"));
    let row = static_route(ANYWHERE, localnet.gateway.value, Some(engine.name(&port)));
    add(keys::external_route(), row, held(router, Table::LogicalRouter, "static_routes"));
    entries.extend(gateway::chassis(engine, &port, span));
}

/// Returns the row of a switch's port that is connected to a router's port.
pub(super) fn switch_port_of_router(name: String, router_port: String) -> Row {
    Row::new(Table::LogicalSwitchPort)
        .text("name", name)
        .text("type", "router")
        .texts("addresses", ["router".to_owned()])
        .map("options", [("router-port", router_port)])
}
