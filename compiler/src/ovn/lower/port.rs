//! Static ports and port groups.

use super::Lowering;
use super::security::{PortSecurity, with_security};
use crate::network::Port;
use crate::ovn::names;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::Holder;
use crate::topology::kinds::row::schema::Table;

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    for port in &tenant.ports {
        static_port(lowering, port);
    }
    for group in &tenant.port_groups {
        let key = lowering.keys.port_group(&group.name).group();
        let ports = group.ports.iter().filter_map(|at| tenant.port(*at));
        let ports: Vec<_> = ports.map(|port| (&lowering.keys.port(&port.name).device()).into()).collect();
        let row = Row::new(Table::PortGroup)
            .text("name", names::set_name(&lowering.engine.site.name.value, &key))
            .references("ports", ports);
        lowering.add(key, row, group.span);
    }
}

/// Adds a port for an interface of a host. The host's own database says which interface it is: its `external_ids:iface-id` is the
/// port's name.
fn static_port(lowering: &mut Lowering<'_>, port: &Port) {
    let tenant = lowering.tenant;
    let Some(bridge) = tenant.bridge(port.bridge) else { return };
    let key = lowering.keys.port(&port.name).device();
    let security = PortSecurity::of(tenant, port.bridge, port.address);
    let row = Row::new(Table::LogicalSwitchPort).text("name", lowering.name(&key));
    let mut row = with_security(row, port.mac, port.address, &security);
    if let Some(chassis) = lowering.engine.site.chassis_of(port.host) {
        row = row.map("options", [("requested-chassis", chassis.to_owned())]);
    }
    let switch = lowering.keys.bridge(&bridge.name).device();
    let holder = Holder { row: (&switch).into(), table: Table::LogicalSwitch, column: "ports" };
    lowering.add_to(holder, key, row, port.span);
}
