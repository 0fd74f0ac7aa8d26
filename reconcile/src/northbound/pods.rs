//! The ports of pods in the northbound database: one row each, which names itself.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::plan::row_operation::At;
use midoform_compiler::plan::{Plan, RowOperation};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::SITE_OF_ROW;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Reference, Row};
use midoform_compiler::values::MacAddress;
use midoform_ovsdb as ovsdb;
use midoform_ovsdb::{Condition, Function, Operation, Transaction};
use uuid::Uuid;

use super::Northbound;
use super::schema::UP;
use super::snapshot::{Snapshot, columns_of};
use crate::client::ClientError;

/// A switch port that the site's row of a pod, or of a static port, was found as.
#[derive(Clone, Debug)]
pub struct FoundPort {
    /// Its `_uuid`.
    pub id: Uuid,
    /// Its key.
    pub key: Key,
    /// midoform's share of the row.
    pub row: Row,
    /// The switch that it is on.
    pub switch: Option<Uuid>,
    /// True if a chassis has bound it and made its flows, as northd says (`up`).
    pub is_up: bool,
}

/// Reads the site's ports with these ids.
///
/// # Errors
/// Returns an error if the read fails.
pub async fn with_ids(
    northbound: &Northbound,
    site: &str,
    ids: &BTreeSet<Uuid>,
) -> Result<Vec<FoundPort>, ClientError> {
    read(northbound, site, ids.iter().map(|id| vec![Condition::uuid(*id)]).collect()).await
}

/// Reads the site's ports with these names.
///
/// # Errors
/// Returns an error if the read fails.
pub async fn with_names(
    northbound: &Northbound,
    site: &str,
    names: &BTreeSet<String>,
) -> Result<Vec<FoundPort>, ClientError> {
    let by_name = names.iter().map(|name| vec![Condition::equal("name", name.as_str())]);
    read(northbound, site, by_name.collect()).await
}

/// Reads all ports of the site.
///
/// # Errors
/// Returns an error if the read fails.
pub async fn all(northbound: &Northbound, site: &str) -> Result<Vec<FoundPort>, ClientError> {
    let mark = ovsdb::Value::map([(SITE_OF_ROW, site)]);
    read(northbound, site, vec![vec![Condition::new("external_ids", Function::Includes, mark)]]).await
}

async fn read(
    northbound: &Northbound,
    site: &str,
    conditions: Vec<Vec<Condition>>,
) -> Result<Vec<FoundPort>, ClientError> {
    let (ports, switches) = (Table::LogicalSwitchPort, Table::LogicalSwitch);
    let columns: Vec<&str> = columns_of(ports).into_iter().chain([UP]).collect();
    let mut transaction = Transaction::new();
    for conditions in conditions {
        transaction.push(Operation::select_columns(ports.name(), conditions, &columns));
    }
    let count = transaction.operations().len();
    let found = northbound.read(&transaction).await?;
    let rows: Vec<ovsdb::Row> = (0..count).flat_map(|at| found.rows(at)).cloned().collect();
    let ids: Vec<Uuid> = rows.iter().filter_map(ovsdb::Row::uuid).collect();
    // The holders of a few ports are asked for; those of many are read as a whole.
    let asked: Vec<Vec<Condition>> = match ids.len() {
        0 => Vec::new(),
        1..=8 => ids.iter().map(|id| vec![Condition::new("ports", Function::Includes, *id)]).collect(),
        _ => vec![Vec::new()],
    };
    let mut holders = Transaction::new();
    for conditions in &asked {
        holders.push(Operation::select_columns(switches.name(), conditions.clone(), &["_uuid", "ports"]));
    }
    let holders = match asked.is_empty() {
        true => Vec::new(),
        false => {
            let found = northbound.read(&holders).await?;
            (0..asked.len()).flat_map(|at| found.rows(at).to_vec()).collect()
        }
    };
    let is_up: BTreeSet<Uuid> = rows.iter().filter(|row| is_up(row)).filter_map(ovsdb::Row::uuid).collect();
    let snapshot = Snapshot::of([(ports, rows), (switches, holders)]);
    let port = |row: super::snapshot::FoundRow<'_>| {
        let key = Key::new(row.key_in(site)?);
        let holder = snapshot.holder(row.id);
        let share = row.own_share(holder, &Reference::External);
        let switch = holder.map(|(switch, ..)| switch);
        Some(FoundPort { id: row.id, key, row: share, switch, is_up: is_up.contains(&row.id) })
    };
    Ok(snapshot.table(ports).filter_map(port).collect())
}

fn is_up(row: &ovsdb::Row) -> bool {
    row.get(UP).and_then(ovsdb::Value::as_boolean) == Some(true)
}

/// Returns the rows that a plan inserts, by key.
pub(crate) fn inserted(plan: &Plan) -> BTreeMap<Key, Uuid> {
    let rows = plan.changes().flat_map(|step| step.row_operations().map(|operation| (&step.key, operation)));
    let inserts = rows.filter_map(|(key, operation)| match operation {
        RowOperation::Insert { uuid, .. } => Some((key.clone(), *uuid)),
        _ => None,
    });
    inserts.collect()
}

/// Returns true if the plan of a port was executed: the rows that it inserts are there, and those that it takes out are not.
pub(crate) async fn is_executed(northbound: &Northbound, plan: &Plan) -> Result<bool, ClientError> {
    let inserted: BTreeSet<Uuid> = inserted(plan).into_values().collect();
    let waits = plan.changes().flat_map(midoform_compiler::plan::Step::row_operations);
    let deleted: BTreeSet<Uuid> = waits
        .filter_map(|operation| match operation {
            RowOperation::Wait { table: Table::LogicalSwitchPort, at: At::Id(id), .. } => Some(*id),
            _ => None,
        })
        .collect();
    let table = Table::LogicalSwitchPort.name();
    let mut transaction = Transaction::new();
    for id in inserted.iter().chain(&deleted) {
        transaction.push(Operation::select_columns(table, [Condition::uuid(*id)], &["_uuid"]));
    }
    let found = northbound.read(&transaction).await?;
    let there: BTreeSet<Uuid> = (0..inserted.len() + deleted.len())
        .flat_map(|at| found.rows(at))
        .filter_map(ovsdb::Row::uuid)
        .collect();
    Ok(there == inserted)
}

/// Returns the name of the router's port on a switch that has this MAC address.
///
/// # Errors
/// Returns an error if a read fails.
pub async fn router_port_with_mac(
    northbound: &Northbound,
    switch: Uuid,
    mac: MacAddress,
) -> Result<Option<String>, ClientError> {
    let (ports, routers) = (Table::LogicalSwitchPort.name(), Table::LogicalRouterPort.name());
    let of_router = [Condition::equal("type", "router")];
    let read = Transaction::new()
        .with(Operation::select_columns(Table::LogicalSwitch.name(), [Condition::uuid(switch)], &["ports"]))
        .with(Operation::select_columns(ports, of_router, &["_uuid", "options"]));
    let found = northbound.read(&read).await?;
    let on_switch: BTreeSet<Uuid> =
        found.rows(0).iter().filter_map(|row| row.get("ports")).flat_map(ovsdb::Value::uuids).collect();
    let linked = found.rows(1).iter().filter(|row| row.uuid().is_some_and(|id| on_switch.contains(&id)));
    let names: Vec<&str> = linked.filter_map(|row| row.get("options")?.get("router-port")).collect();
    for name in names {
        let named = [Condition::equal("name", name)];
        let read = Transaction::new().with(Operation::select_columns(routers, named, &["mac"]));
        let found = northbound.read(&read).await?;
        let theirs = found.rows(0).iter().filter_map(|row| row.get("mac")?.as_str());
        if theirs.filter_map(|text| text.to_lowercase().parse().ok()).any(|one: MacAddress| one == mac) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}
