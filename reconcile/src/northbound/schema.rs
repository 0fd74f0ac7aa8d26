//! The columns of the northbound database that midoform reads and writes, with their types. They are declared, and not asked for: the
//! whole schema has many more, and is half of what a short run would read. A server that lacks a column refuses the operation that names
//! it.

use std::sync::{Arc, LazyLock};

use midoform_compiler::topology::kinds::row::schema::{ColumnKind, TABLES, Table};
use midoform_ovsdb::{AtomType, ColumnType, DatabaseSchema};

/// The database's name.
pub const DATABASE: &str = "OVN_Northbound";

/// The table of the counters by which [`settle`](super::settle) waits for OVN, and their columns.
pub(super) const COUNTERS: (&str, [&str; 3]) = ("NB_Global", ["nb_cfg", "sb_cfg", "hv_cfg"]);

/// The column of `NB_Global` with the time at which northd saw the last `nb_cfg`. An OVN before 20.12 lacks it, so only what says so reads it.
pub(super) const TIME_OF_NORTHD: &str = "nb_cfg_timestamp";

/// The column that is true once a chassis has bound a port.
pub(super) const UP: &str = "up";

/// Returns the schema.
pub(super) fn declared() -> Arc<DatabaseSchema> {
    static SCHEMA: LazyLock<Arc<DatabaseSchema>> = LazyLock::new(|| {
        let rows = TABLES.iter().map(|schema| {
            let own = schema.columns.iter().map(|column| (column.name, type_of(column.kind)));
            let holding = schema.table.holding().map(|column| (column, ColumnType::set(AtomType::Uuid)));
            let up = (schema.table == Table::LogicalSwitchPort)
                .then(|| (UP, ColumnType::optional(AtomType::Boolean)));
            (schema.name, own.chain(holding).chain(up).collect::<Vec<_>>())
        });
        let (table, columns) = COUNTERS;
        let counters = columns.into_iter().chain([TIME_OF_NORTHD]);
        let counters = counters.map(|column| (column, AtomType::Integer.into())).collect();
        Arc::new(DatabaseSchema::declare(DATABASE, rows.chain([(table, counters)])))
    });
    SCHEMA.clone()
}

/// Returns the type of a column. A server's constraints are its own matter: what it sends fulfils them, and it refuses what does not.
fn type_of(kind: ColumnKind) -> ColumnType {
    match kind {
        ColumnKind::Text | ColumnKind::Word(_) => AtomType::String.into(),
        ColumnKind::OptionalText(_) | ColumnKind::OptionalWord(_) => ColumnType::optional(AtomType::String),
        ColumnKind::Integer(..) => AtomType::Integer.into(),
        ColumnKind::OptionalInteger(..) => ColumnType::optional(AtomType::Integer),
        ColumnKind::Texts | ColumnKind::SomeTexts => ColumnType::set(AtomType::String),
        ColumnKind::Map => ColumnType::map(AtomType::String, AtomType::String),
        ColumnKind::References(_) => ColumnType::set(AtomType::Uuid),
    }
}

/// Returns the tables and columns that midoform needs and a schema lacks, or has with another type.
pub(super) fn lacking(schema: &DatabaseSchema) -> Vec<String> {
    let mut lacking = Vec::new();
    for (name, needed) in &declared().tables {
        let Some(table) = schema.table(name) else {
            lacking.push(name.clone());
            continue;
        };
        for (column, needed) in needed.columns.iter().filter(|(column, _)| &***column != TIME_OF_NORTHD) {
            match table.column(column) {
                None => lacking.push(format!("{name}.{column}")),
                Some(found) if !is_within(found, &needed.kind) => {
                    lacking.push(format!("{name}.{column} (it has another type)"));
                }
                Some(_) => {}
            }
        }
    }
    lacking
}

/// Returns true if each value of a type is one of the other type as well. Constraints of single values are the server's own matter.
fn is_within(one: &ColumnType, other: &ColumnType) -> bool {
    let atoms = |kind: &ColumnType| (kind.key.atom, kind.value.as_ref().map(|value| value.atom));
    let most = |kind: &ColumnType| kind.most.unwrap_or(u64::MAX);
    atoms(one) == atoms(other) && one.least >= other.least && most(one) <= most(other)
}
