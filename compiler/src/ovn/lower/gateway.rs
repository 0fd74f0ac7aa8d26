//! Distributed gateway ports: the chassis that traffic between a router and the outside passes.

use super::{Engine, keys};
use crate::source::{Span, Spanned};
use crate::topology::Entry;
use crate::topology::key::Key;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::Holder;
use crate::topology::kinds::row::schema::{HIGHEST_PRIORITY, Table};

/// Returns the rows that let a router's port be on one of the gateway chassis, the first of the list first.
pub(super) fn chassis(engine: &Engine<'_>, port: &Key, span: Span) -> Vec<Entry> {
    let holder = Holder { row: port.into(), table: Table::LogicalRouterPort, column: "gateway_chassis" };
    let listed = engine.ovn.gateway_chassis.iter().enumerate();
    let entry = |(place, chassis): (usize, &Spanned<String>)| {
        let key = keys::gateway_chassis(port, chassis);
        let row = Row::new(Table::GatewayChassis)
            .text("name", engine.name(&key))
            .text("chassis_name", chassis.value.as_str())
            .integer("priority", priority(place));
        engine.entry(key, row, Some(holder.clone()), span)
    };
    listed.map(entry).collect()
}

/// Returns the priority of the gateway chassis at a place in the site's list.
fn priority(place: usize) -> i64 {
    HIGHEST_PRIORITY - i64::try_from(place).unwrap_or(HIGHEST_PRIORITY).min(HIGHEST_PRIORITY)
}
