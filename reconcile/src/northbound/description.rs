//! What a server of the northbound database says of itself, its database and its time, for people.

use std::time::{Duration, SystemTime};

use midoform_compiler::topology::kinds::row::schema::TABLES;
use midoform_ovsdb::{Connected, DatabaseSchema, Operation, Row, Transaction};

use super::Northbound;
use super::snapshot::columns_of;
use crate::client::ClientError;

/// The columns of `NB_Global` that midoform reads and writes to wait for OVN.
const NUMBERS: [&str; 3] = ["nb_cfg", "sb_cfg", "hv_cfg"];

/// A server and its northbound database.
#[derive(Clone, Debug)]
pub struct Description {
    /// The server, and its place in a cluster.
    pub connected: Connected,
    /// The version of the schema; empty if it has none.
    pub schema_version: String,
    /// The tables and columns that midoform uses and the schema lacks, as `ACL.tier`.
    pub lacking: Vec<String>,
}

impl Northbound {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// Returns an error if no server can be used, or its schema can't be read.
    pub async fn describe(&self) -> Result<Description, ClientError> {
        let connected = self.client.connect().await?;
        let schema = self.schema().await?;
        let lacking = lacking(&schema);
        Ok(Description { connected, schema_version: schema.version.clone(), lacking })
    }

    /// Returns `NB_Global:nb_cfg`: the number of the last configuration that somebody waits for.
    ///
    /// # Errors
    /// Returns an error if the database can't be read.
    pub async fn number(&self) -> Result<i64, ClientError> {
        let read = Transaction::new().with(Operation::select_columns("NB_Global", [], &NUMBERS[..1]));
        let found = self.read(&read).await?;
        Ok(found.rows(0).first().and_then(|row| row.get(NUMBERS[0])?.as_integer()).unwrap_or(0))
    }

    /// Returns the time at which northd saw the last value of `nb_cfg`, by the clock of northd's machine: there is no other clock that
    /// can be read here. Returns none before the first value, and with an OVN that tells no times (before 20.12).
    ///
    /// # Errors
    /// Returns an error if the database can't be read.
    pub async fn time_of_northd(&self) -> Result<Option<SystemTime>, ClientError> {
        const COLUMN: &str = "nb_cfg_timestamp";
        let has_it =
            self.schema().await?.table("NB_Global").is_some_and(|table| table.column(COLUMN).is_some());
        if !has_it {
            return Ok(None);
        }
        let read = Transaction::new().with(Operation::select_columns("NB_Global", [], &[COLUMN]));
        let found = self.read(&read).await?;
        let milliseconds = found.rows(0).first().and_then(|row: &Row| row.get(COLUMN)?.as_integer());
        let milliseconds =
            milliseconds.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
        Ok(milliseconds.and_then(|value| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(value))))
    }
}

/// Returns the tables and columns that midoform uses and a schema lacks.
fn lacking(schema: &DatabaseSchema) -> Vec<String> {
    let own = TABLES.iter().map(|table| (table.name, columns_of(table.table)));
    let mut lacking = Vec::new();
    for (name, columns) in own.chain([("NB_Global", NUMBERS.to_vec())]) {
        match schema.table(name) {
            None => lacking.push(name.to_owned()),
            Some(table) => {
                let missing = columns.into_iter().filter(|column| table.column(column).is_none());
                lacking.extend(missing.map(|column| format!("{name}.{column}")));
            }
        }
    }
    lacking
}
