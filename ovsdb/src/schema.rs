//! Schemas of databases (RFC 7047 section 3.2), as `get_schema` returns them or as a caller declares them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::column_type::{AtomType, BaseType, ColumnType};

/// The schema of a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseSchema {
    /// The database's name, such as `OVN_Northbound`.
    pub name: String,
    /// The version; empty if there is none.
    pub version: String,
    /// The tables by their names.
    pub tables: BTreeMap<String, TableSchema>,
}

/// The schema of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableSchema {
    /// The columns by their names, with `_uuid` and `_version`, which every table has.
    pub columns: BTreeMap<Arc<str>, ColumnSchema>,
    /// True if the rows stay although no row refers to them.
    pub is_root: bool,
    /// The largest number of rows; none: unlimited.
    pub most_rows: Option<u64>,
    /// The sets of columns whose values no two rows share.
    pub indexes: Vec<Vec<String>>,
}

/// The schema of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSchema {
    /// The type.
    pub kind: ColumnType,
    /// True if the column's values don't survive a restart of the server.
    pub is_ephemeral: bool,
    /// True if the column's values can be changed after the row is inserted.
    pub is_mutable: bool,
}

/// A schema that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema is wrong at `{path}`: {problem}")]
pub struct SchemaError {
    /// The names that lead to the place, such as `tables/ACL/columns/action`.
    pub path: String,
    /// The problem.
    pub problem: String,
}

impl From<ColumnType> for ColumnSchema {
    /// Returns the schema of a column that is kept and can be changed.
    fn from(kind: ColumnType) -> ColumnSchema {
        ColumnSchema { kind, is_ephemeral: false, is_mutable: true }
    }
}

impl DatabaseSchema {
    /// Returns a schema that declares these tables and columns. Columns that a caller does not use can be left out; the others
    /// need the types that the server has for them.
    pub fn declare<'a, C: IntoIterator<Item = (&'a str, ColumnType)>>(
        name: &str,
        tables: impl IntoIterator<Item = (&'a str, C)>,
    ) -> DatabaseSchema {
        let tables = tables.into_iter().map(|(name, columns)| {
            let declared = columns.into_iter().map(|(name, kind)| (Arc::from(name), kind.into()));
            let columns = common_columns().into_iter().chain(declared).collect();
            (name.to_owned(), TableSchema { columns, is_root: true, ..TableSchema::default() })
        });
        DatabaseSchema { name: name.to_owned(), version: String::new(), tables: tables.collect() }
    }

    /// Reads a schema as RFC 7047 has it.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn read(json: &Json) -> Result<DatabaseSchema, SchemaError> {
        let place = Place { path: String::new() };
        let database = place.object(json)?;
        let name = place.string(database, "name")?.ok_or_else(|| place.wrong("the name is missing"))?;
        let version = place.string(database, "version")?.unwrap_or_default();
        let place = place.below("tables");
        let tables = place.object(database.get("tables").unwrap_or(&Json::Null))?;
        let table =
            |(name, table): (&String, &Json)| Ok((name.clone(), table_schema(&place.below(name), table)?));
        Ok(DatabaseSchema { name, version, tables: tables.iter().map(table).collect::<Result<_, _>>()? })
    }

    /// Returns a table's schema.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.get(name)
    }
}

impl TableSchema {
    /// Returns a column's type.
    pub fn column(&self, name: &str) -> Option<&ColumnType> {
        self.columns.get(name).map(|column| &column.kind)
    }
}

/// Returns the columns that every table has.
fn common_columns() -> BTreeMap<Arc<str>, ColumnSchema> {
    let column = || ColumnSchema { kind: AtomType::Uuid.into(), is_ephemeral: false, is_mutable: false };
    ["_uuid", "_version"].into_iter().map(|name| (Arc::from(name), column())).collect()
}

/// A place in a schema.
struct Place {
    path: String,
}

impl Place {
    fn below(&self, name: &str) -> Place {
        let path = match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.path),
        };
        Place { path }
    }

    fn wrong(&self, problem: impl Into<String>) -> SchemaError {
        SchemaError { path: self.path.clone(), problem: problem.into() }
    }

    fn object<'a>(&self, json: &'a Json) -> Result<&'a Map<String, Json>, SchemaError> {
        json.as_object().ok_or_else(|| self.wrong("it is no object"))
    }

    /// Returns an optional member, read by `read`.
    fn optional<'a, T>(
        &self,
        object: &'a Map<String, Json>,
        name: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, SchemaError> {
        let wrong = || self.below(name).wrong("its value is wrong");
        object.get(name).map(|json| read(json).ok_or_else(wrong)).transpose()
    }

    fn string(&self, object: &Map<String, Json>, name: &str) -> Result<Option<String>, SchemaError> {
        self.optional(object, name, |json| json.as_str().map(str::to_owned))
    }
}

fn table_schema(place: &Place, json: &Json) -> Result<TableSchema, SchemaError> {
    let table = place.object(json)?;
    let strings = |json: &Json| -> Option<Vec<String>> {
        json.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let indexes = place
        .optional(table, "indexes", |json| json.as_array()?.iter().map(strings).collect())?
        .unwrap_or_default();
    let below = place.below("columns");
    let mut columns = common_columns();
    for (name, column) in below.object(table.get("columns").unwrap_or(&Json::Null))? {
        let place = below.below(name);
        let column = place.object(column)?;
        let kind = column_type(&place.below("type"), column.get("type").unwrap_or(&Json::Null))?;
        let is_ephemeral = place.optional(column, "ephemeral", Json::as_bool)?.unwrap_or(false);
        let is_mutable = place.optional(column, "mutable", Json::as_bool)?.unwrap_or(true);
        columns.insert(name.as_str().into(), ColumnSchema { kind, is_ephemeral, is_mutable });
    }
    Ok(TableSchema {
        columns,
        is_root: place.optional(table, "isRoot", Json::as_bool)?.unwrap_or(false),
        most_rows: place.optional(table, "maxRows", Json::as_u64)?,
        indexes,
    })
}

fn column_type(place: &Place, json: &Json) -> Result<ColumnType, SchemaError> {
    if json.is_string() {
        return Ok(ColumnType { key: base_type(place, json)?, value: None, least: 1, most: Some(1) });
    }
    let kind = place.object(json)?;
    let key = base_type(&place.below("key"), kind.get("key").unwrap_or(&Json::Null))?;
    let value = kind.get("value").map(|json| base_type(&place.below("value"), json)).transpose()?;
    let least = place.optional(kind, "min", Json::as_u64)?.unwrap_or(1);
    let most = place.optional(kind, "max", |json| match json.as_str() {
        Some("unlimited") => Some(None),
        _ => json.as_u64().map(Some),
    })?;
    Ok(ColumnType { key, value, least, most: most.unwrap_or(Some(1)) })
}

fn base_type(place: &Place, json: &Json) -> Result<BaseType, SchemaError> {
    let named =
        |name: &str| AtomType::named(name).ok_or_else(|| place.wrong(format!("no type is called `{name}`")));
    if let Some(name) = json.as_str() {
        return Ok(named(name)?.into());
    }
    let base = place.object(json)?;
    let atom = named(&place.string(base, "type")?.ok_or_else(|| place.wrong("the type is missing"))?)?;
    let allowed = base.get("enum").map(|json| match ColumnType::set(atom).read(json.clone()) {
        Ok(allowed) => Ok(allowed.as_set().unwrap_or_default().iter().cloned().collect()),
        Err(error) => Err(place.below("enum").wrong(error.to_string())),
    });
    let plain = BaseType::from(atom);
    let reference = place.string(base, "refType")?;
    Ok(BaseType {
        allowed: allowed.transpose()?,
        integers: (
            place.optional(base, "minInteger", Json::as_i64)?.unwrap_or(plain.integers.0),
            place.optional(base, "maxInteger", Json::as_i64)?.unwrap_or(plain.integers.1),
        ),
        reals: (
            place.optional(base, "minReal", Json::as_f64)?.unwrap_or(plain.reals.0),
            place.optional(base, "maxReal", Json::as_f64)?.unwrap_or(plain.reals.1),
        ),
        length: (
            place.optional(base, "minLength", Json::as_u64)?.unwrap_or(plain.length.0),
            place.optional(base, "maxLength", Json::as_u64)?.unwrap_or(plain.length.1),
        ),
        table: place.string(base, "refTable")?,
        is_weak: reference.as_deref() == Some("weak"),
        ..plain
    })
}
