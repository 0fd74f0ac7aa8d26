//! Every row of the northbound database, midoform's and others', as a topology for traces; and what rows say that such a topology has
//! no place for.

use std::collections::BTreeMap;

use midoform_compiler::printable::printable;
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::kinds::row::schema::{TABLES, Table};
use midoform_compiler::topology::{Entry, Topology};
use midoform_ovsdb as ovsdb;
use midoform_ovsdb::{Operation, Transaction};
use uuid::Uuid;

use super::Northbound;
use super::matching::Matching;
use super::snapshot::Snapshot;
use crate::client::ClientError;
use crate::scope::Scope;

/// All rows. Those that are not the site's have keys that end with their ids.
#[derive(Debug, Default)]
pub struct Whole {
    /// The rows, with everything that the columns that midoform knows have.
    pub topology: Topology,
    /// What rows have in other columns that may decide about packets, by the keys of the rows.
    pub unread: Vec<(Key, String)>,
}

/// Reads all rows.
///
/// # Errors
/// Returns an error if the read fails.
pub async fn read(northbound: &Northbound, scope: Scope<'_>) -> Result<Whole, ClientError> {
    let mut transaction = Transaction::new();
    for schema in TABLES {
        transaction.push(Operation::select(schema.name, []));
    }
    let outcome = northbound.read_all_columns(&transaction).await?;
    let rows = TABLES.iter().enumerate().map(|(at, schema)| (schema.table, outcome.rows(at).to_vec()));
    Ok(of(&Snapshot::of(rows), scope))
}

/// Makes a topology of all rows of a snapshot.
fn of(snapshot: &Snapshot, scope: Scope<'_>) -> Whole {
    let mut keys = Matching::of(snapshot, scope).keys;
    for row in snapshot.rows() {
        name(row.id, snapshot, &mut keys);
    }
    let reference =
        |id: Uuid| keys.get(&id).map_or(Reference::External(id), |key| Reference::Key(key.clone()));
    let mut whole = Whole::default();
    let mut entries = Vec::new();
    for row in snapshot.rows() {
        let Some(key) = keys.get(&row.id) else { continue };
        let object = row.whole(snapshot.holder(row.id), &reference);
        entries.push(Entry { key: key.clone(), object: object.into(), provenance: None });
        whole.unread.extend(row.columns().filter_map(|(column, value)| {
            let what = unread(row.table, column, value)?;
            Some((key.clone(), format!("midoform does not know what its {what} does")))
        }));
    }
    whole.topology = Topology::new(entries);
    whole
}

/// Gives a row without a key one below the row that holds it, or below the site. Returns it.
fn name(id: Uuid, snapshot: &Snapshot, keys: &mut BTreeMap<Uuid, Key>) -> Key {
    if let Some(key) = keys.get(&id) {
        return key.clone();
    }
    // Holders are of other tables, so no row holds itself.
    let near =
        snapshot.holder(id).map_or_else(|| Key::new(SITE), |(holder, ..)| name(holder, snapshot, keys));
    let key = near.foreign(id);
    keys.insert(id, key.clone());
    key
}

/// The columns that decide about no packet, and those whose values are read in another way.
const HARMLESS: [(Table, &[&str]); 12] = [
    (Table::AddressSet, &[]),
    (Table::LoadBalancer, &["ip_port_mappings", "selection_fields"]),
    (Table::LogicalRouter, &["copp", "nat", "policies", "ports", "static_routes"]),
    (Table::LogicalSwitch, &["acls", "copp", "ports", "qos_rules"]),
    (Table::LogicalRouterPort, &["gateway_chassis", "ipv6_prefix", "ipv6_ra_configs", "status"]),
    (Table::GatewayChassis, &["options"]),
    (
        Table::LogicalSwitchPort,
        &["dhcpv4_options", "dhcpv6_options", "dynamic_addresses", "mirror_rules", "tag_request", "up"],
    ),
    (Table::PortGroup, &["acls"]),
    (Table::LogicalRouterStaticRoute, &[]),
    (Table::LogicalRouterPolicy, &["nexthop", "nexthops"]),
    (Table::Nat, &["external_mac", "logical_port"]),
    (Table::Acl, &["label", "log", "meter", "sample_est", "sample_new", "severity"]),
];

/// The keys of maps that decide about packets, beside those that are read. Other keys of these maps decide about none.
const KEYS: [(Table, &str, &[&str]); 5] = [
    (Table::LogicalSwitch, "other_config", &[]),
    (
        Table::LogicalRouter,
        "options",
        &["chassis", "ct-commit-all", "dnat_force_snat_ip", "lb_force_snat_ip"],
    ),
    (Table::LogicalRouterPort, "options", &["enable_router_port_acl", "redirect-type", "route_table"]),
    (Table::LogicalSwitchPort, "options", &["arp_proxy"]),
    (Table::LogicalRouterPolicy, "options", &[]),
];

/// The values that columns have where nothing is chosen.
const USUAL: [(Table, &str, &str); 1] = [(Table::LogicalRouterStaticRoute, "policy", "dst-ip")];

/// Describes what a column has that may decide about packets and is not read; none if it has nothing like that.
fn unread(table: Table, column: &str, value: &ovsdb::Value) -> Option<String> {
    let is_harmless = HARMLESS.iter().any(|(of, columns)| *of == table && columns.contains(&column));
    if is_harmless || column.starts_with('_') || column == "external_ids" {
        return None;
    }
    if let Some((_, _, deciding)) = KEYS.iter().find(|(of, name, _)| (*of, *name) == (table, column)) {
        let found = deciding.iter().find_map(|key| Some((key, value.get(key)?)));
        return found.map(|(key, value)| format!("`{column}:{key}={}`", printable(value)));
    }
    if table.column(column).is_some() {
        return match (table, column) {
            (Table::Acl, "options") => {
                let other = value.as_map().into_iter().flatten().filter_map(|(key, _)| key.as_str());
                let mut other = other.filter(|key| *key != "apply-after-lb");
                other.next().map(|key| format!("`{column}:{}`", printable(key)))
            }
            _ => None,
        };
    }
    let is_usual = match value.as_str() {
        Some(text) => text.is_empty() || USUAL.contains(&(table, column, text)),
        None => value.as_integer() == Some(0) || value.as_boolean() == Some(column == "enabled"),
    };
    (!is_usual && !value.is_empty()).then(|| format!("`{column}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_about_packets_and_is_not_read_is_named() {
        let text = |text: &str| ovsdb::Value::from(text);
        let map = |key: &str, value: &str| ovsdb::Value::map([(key, value)]);
        for (table, column, value, what) in [
            (Table::Acl, "tier", ovsdb::Value::from(2), Some("`tier`")),
            (Table::Acl, "tier", ovsdb::Value::from(0), None),
            (Table::Acl, "log", ovsdb::Value::from(true), None),
            (Table::Acl, "match", text("ip4"), None),
            (Table::Acl, "options", map("apply-after-lb", "true"), None),
            (
                Table::Acl,
                "options",
                map("persist-established", "true"),
                Some("`options:persist-established`"),
            ),
            (Table::LogicalRouterStaticRoute, "policy", text("dst-ip"), None),
            (Table::LogicalRouterStaticRoute, "policy", text("src-ip"), Some("`policy`")),
            (Table::LogicalSwitchPort, "enabled", ovsdb::Value::from(true), None),
            (Table::LogicalSwitchPort, "enabled", ovsdb::Value::from(false), Some("`enabled`")),
            (Table::LogicalRouter, "options", map("chassis", "gw1"), Some("`options:chassis=gw1`")),
            (Table::LogicalRouter, "options", map("mcast_relay", "true"), None),
            (Table::Nat, "allowed_ext_ips", ovsdb::Value::empty_set(), None),
            (Table::LogicalSwitch, "_uuid", text("x"), None),
        ] {
            assert_eq!(unread(table, column, &value).as_deref(), what, "{table} {column} {value:?}");
        }
    }

    #[test]
    fn every_table_says_which_columns_are_harmless() {
        for schema in TABLES {
            assert!(HARMLESS.iter().any(|(table, _)| *table == schema.table), "{}", schema.name);
        }
    }
}
