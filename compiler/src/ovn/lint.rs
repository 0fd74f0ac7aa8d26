//! The rows' checker. It shares no code with the code that makes rows, but for the schema and the parser of matches.
//!
//! It proves that references have their rows, that names and ids are unique, that values fit the schema, that every match is one that
//! ovn-controller takes, and that a list has no two rows of one priority between which chance would decide.

mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::expression::{Sets, parse};
use crate::plan::{Action, Plan, structure};
use crate::topology::key::{Key, Namespace};
use crate::topology::kinds::row::schema::{ColumnKind, ColumnSchema, Table};
use crate::topology::kinds::row::{KEY_OF_ROW, SITE_OF_ROW, Value};
use crate::topology::kinds::{Reference, Row};
use crate::topology::observed::Observed;
use crate::topology::{Entry, Topology};
use crate::values::MacAddress;

pub use code::Code;

/// A fault of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The row.
    pub key: Key,
    /// The kind of the fault.
    pub code: Code,
    /// A description of the fault.
    pub message: String,
}

/// The reason why OVN would not do what a row says: its kind, and a description.
type Problem = (Code, String);

/// Checks a plan whose result is `desired`, and the existing rows that the plan does not delete. If there is no finding, OVN takes the
/// whole plan.
pub fn check_plan(plan: &Plan, desired: &Topology, observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    structure::check(plan, &mut |key, fault, message| {
        findings.push(Finding { key: key.clone(), code: fault.into(), message });
    });
    let gone: BTreeSet<&Key> =
        plan.steps.iter().filter(|step| step.action == Action::Delete).map(|step| &step.key).collect();
    let stays = observed.topology.entries().iter().filter(|entry| !gone.contains(&entry.key));
    let mut after: Vec<&Entry> = desired.entries().iter().chain(stays).collect();
    after.sort_by_key(|entry| &entry.key);
    after.dedup_by_key(|entry| &entry.key);
    let changed: BTreeSet<&Key> = plan.changes().map(|step| &step.key).collect();
    let found = check_rows(&plan.site, &rows_of(after.into_iter()));
    findings.extend(found.into_iter().filter(|finding| changed.contains(&finding.key)));
    findings
}

/// Checks the rows of the site with this name. If there is no finding, OVN takes all of them.
pub fn check(site: &str, rows: &Topology) -> Vec<Finding> {
    check_rows(site, &rows_of(rows.entries().iter()))
}

fn rows_of<'r>(entries: impl Iterator<Item = &'r Entry>) -> Vec<(&'r Key, &'r Row)> {
    entries.filter_map(|entry| Some((&entry.key, entry.object.row()?))).collect()
}

fn check_rows(site: &str, rows: &[(&Key, &Row)]) -> Vec<Finding> {
    let index = Index::of(rows);
    let mut findings = Vec::new();
    for (key, row) in rows {
        let mut problems = Vec::new();
        columns(row, &mut problems);
        external_ids(site, (key, row), &mut problems);
        references(row, &index, &mut problems);
        texts(row, &index, &mut problems);
        findings.extend(problems.into_iter().map(|(code, message)| Finding {
            key: (*key).clone(),
            code,
            message,
        }));
    }
    duplicates(site, rows, &mut findings);
    priorities(rows, &mut findings);
    findings
}

/// The rows by key and by name.
struct Index<'r> {
    tables: BTreeMap<&'r Key, Table>,
    names: BTreeSet<(Table, &'r str)>,
}

impl<'r> Index<'r> {
    fn of(rows: &[(&'r Key, &'r Row)]) -> Index<'r> {
        let named = rows.iter().filter_map(|(_, row)| Some((row.table, row.text_of("name")?)));
        let tables = rows.iter().map(|(key, row)| (*key, row.table)).collect();
        Index { tables, names: named.collect() }
    }

    fn has(&self, table: Table, name: &str) -> bool {
        self.names.contains(&(table, name))
    }
}

impl Sets for Index<'_> {
    fn has_address_set(&self, name: &str) -> bool {
        let of_group = name.strip_suffix("_ip4").is_some_and(|group| self.has(Table::PortGroup, group));
        of_group || self.has(Table::AddressSet, name)
    }

    fn has_port_group(&self, name: &str) -> bool {
        self.has(Table::PortGroup, name)
    }
}

/// Checks that the columns are those of the schema, and that their values fit.
fn columns(row: &Row, problems: &mut Vec<Problem>) {
    for (name, value) in row.columns.iter() {
        match row.table.column(name) {
            None => problems.push((Code::UnknownColumn, format!("{} has no column `{name}`", row.table))),
            Some(column) if !fits(column, value) => {
                problems.push((Code::BadValue, format!("`{name}` can't be {value}")));
            }
            Some(_) => {}
        }
    }
    let needed = row.table.schema().columns.iter().filter(|column| is_needed(column));
    for column in needed.filter(|column| !row.columns.has(column.name)) {
        problems.push((Code::MissingColumn, format!("`{}` is missing", column.name)));
    }
}

fn is_needed(column: &ColumnSchema) -> bool {
    matches!(
        column.kind,
        ColumnKind::Text | ColumnKind::Word(_) | ColumnKind::Integer(..) | ColumnKind::SomeTexts
    ) && column.name != "type"
}

fn fits(column: &ColumnSchema, value: &Value) -> bool {
    match (column.kind, value) {
        (ColumnKind::Text | ColumnKind::OptionalText(None), Value::Text(_))
        | (ColumnKind::Texts, Value::Texts(_))
        | (ColumnKind::Map, Value::Map(_))
        | (ColumnKind::References(_), Value::References(_)) => true,
        (ColumnKind::OptionalText(Some(longest)), Value::Text(text)) => text.chars().count() <= longest,
        (ColumnKind::Word(words) | ColumnKind::OptionalWord(words), Value::Text(word)) => {
            words.contains(&&**word)
        }
        (
            ColumnKind::Integer(least, most) | ColumnKind::OptionalInteger(least, most),
            Value::Integer(value),
        ) => (least..=most).contains(value),
        (ColumnKind::SomeTexts, Value::Texts(texts)) => !texts.is_empty(),
        _ => false,
    }
}

fn external_ids(site: &str, (key, row): (&Key, &Row), problems: &mut Vec<Problem>) {
    let Some(ids) = row.map_of("external_ids") else {
        problems.push((Code::NoKey, "it has no external ids".to_owned()));
        return;
    };
    let has = |name: &str, value: &str| ids.get(name) == Some(value);
    if !has(KEY_OF_ROW, key.as_str()) || !has(SITE_OF_ROW, site) {
        problems.push((Code::NoKey, "its key or its site is not in its external ids".to_owned()));
    }
}

/// Checks the rows that a row refers to, and the row that holds it.
fn references(row: &Row, index: &Index<'_>, problems: &mut Vec<Problem>) {
    let mut demand = |reference: &Reference, table: Table| {
        let found = reference.key().map(|key| index.tables.get(key));
        if found.is_some_and(|found| found != Some(&table)) {
            problems.push((Code::UnknownReference, format!("there is no {table} {reference}")));
        }
    };
    for (name, value) in row.columns.iter() {
        let kind = row.table.column(name).map(|column| column.kind);
        if let (Some(ColumnKind::References(table)), Value::References(references)) = (kind, value) {
            references.iter().for_each(|reference| demand(reference, table));
        }
    }
    let places = row.table.schema().held_by;
    match &row.holder {
        Some(holder) => {
            demand(&holder.row, holder.table);
            if !places.contains(&(holder.table, holder.column)) {
                let message = format!("`{}` of {} holds no such row", holder.column, holder.table);
                problems.push((Code::Holder, message));
            }
        }
        None if !places.is_empty() => {
            problems.push((Code::Holder, "no row holds it, so it would vanish".to_owned()));
        }
        None => {}
    }
}

/// Checks the texts that OVN reads: matches, names of ports, addresses.
fn texts(row: &Row, index: &Index<'_>, problems: &mut Vec<Problem>) {
    if let Some(text) = row.text_of("match") {
        match_of(row.table, text, index, problems);
    }
    for (column, table) in [("peer", Table::LogicalRouterPort), ("output_port", Table::LogicalRouterPort)] {
        if let Some(name) = row.text_of(column).filter(|name| !index.has(table, name)) {
            problems.push((Code::UnknownName, format!("`{column}` names {name}, which is no port here")));
        }
    }
    let router_port = row.map_of("options").and_then(|options| options.get("router-port"));
    if let Some(name) = router_port.filter(|name| !index.has(Table::LogicalRouterPort, name)) {
        problems.push((Code::UnknownName, format!("`router-port` names {name}, which is no port here")));
    }
    for (column, is_right) in CHECKED {
        let values = row.text_of(column).into_iter().chain(row.texts_of(column));
        for wrong in values.filter(|text| !is_right(text)) {
            problems.push((Code::BadValue, format!("`{column}` can't be {wrong}")));
        }
    }
    if row.table == Table::AddressSet {
        for wrong in row.texts_of("addresses").filter(|text| !is_network(text)) {
            problems.push((Code::BadValue, format!("an address set can't have {wrong}")));
        }
    }
}

/// Tells whether OVN can read a text.
type Check = fn(&str) -> bool;

/// The columns with addresses, each with its check.
const CHECKED: [(&str, Check); 6] = [
    ("mac", |text| text.parse::<MacAddress>().is_ok_and(|mac| !mac.is_group())),
    ("ip_prefix", is_network),
    ("nexthop", |text| text == "discard" || is_address(text)),
    ("external_ip", is_address),
    ("logical_ip", is_network),
    ("networks", |text| text.parse::<Ipv4Net>().is_ok()),
];

fn is_address(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

fn is_network(text: &str) -> bool {
    is_address(text) || text.parse::<Ipv4Net>().is_ok_and(|network| network == network.trunc())
}

/// Checks a match. A port that it names has to be one of the table's own kind.
fn match_of(table: Table, text: &str, index: &Index<'_>, problems: &mut Vec<Problem>) {
    let expression = match parse(text, index) {
        Ok(expression) => expression,
        Err(error) => {
            problems.push((Code::BadMatch, format!("{text}: {error}")));
            return;
        }
    };
    if expression.to_string() != text {
        problems.push((Code::BadMatch, format!("{text} is parsed as {expression}")));
    }
    let ports = if table == Table::Acl { Table::LogicalSwitchPort } else { Table::LogicalRouterPort };
    for port in expression.port_names().into_iter().filter(|port| !index.has(ports, port)) {
        problems.push((Code::UnknownName, format!("the match names {port}, which is no port here")));
    }
}

fn duplicates(site: &str, rows: &[(&Key, &Row)], findings: &mut Vec<Finding>) {
    let mut names: BTreeSet<(Table, &str)> = BTreeSet::new();
    let mut ids: BTreeSet<Uuid> = BTreeSet::new();
    let namespace = Namespace::of_site(site);
    for (key, row) in rows {
        let mut find = |code, message| findings.push(Finding { key: (*key).clone(), code, message });
        if !ids.insert(namespace.id(key)) {
            find(Code::DuplicateId, "another row has the same id".to_owned());
        }
        let unique = row.table.schema().unique.and_then(|column| row.text_of(column));
        if let Some(name) = unique.filter(|name| !names.insert((row.table, name))) {
            find(Code::DuplicateName, format!("another row is called {name}"));
        }
    }
}

/// Checks that rows of one list with the same priority do the same.
fn priorities(rows: &[(&Key, &Row)], findings: &mut Vec<Finding>) {
    let mut actions: BTreeMap<(&Reference, Option<&str>, i64), &str> = BTreeMap::new();
    for (key, row) in rows {
        let (Some(holder), Some(priority), Some(action)) =
            (&row.holder, row.integer_of("priority"), row.text_of("action"))
        else {
            continue;
        };
        let place = (&holder.row, row.text_of("direction"), priority);
        let first = actions.entry(place).or_insert(action);
        if *first != action {
            let message = format!("another row of priority {priority} has the action {first}");
            findings.push(Finding { key: (*key).clone(), code: Code::SamePriority, message });
        }
    }
}
