//! What a server of the northbound database says of itself, its database and its time, for people.

use std::time::{Duration, SystemTime};

use midoform_ovsdb::{Connected, Operation, Row, Transaction};

use super::Northbound;
use super::schema::{COUNTERS, TIME_OF_NORTHD, lacking};
use crate::client::ClientError;

/// A server and its northbound database.
#[derive(Clone, Debug)]
pub struct Description {
    /// The server, and its place in a cluster.
    pub connected: Connected,
    /// The version of the schema; empty if it has none.
    pub schema_version: String,
    /// The tables and columns that midoform uses and the schema lacks or has with another type, as `ACL.tier`.
    pub lacking: Vec<String>,
}

impl Northbound {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// Returns an error if no server can be used, or its schema can't be read.
    pub async fn describe(&self) -> Result<Description, ClientError> {
        let connected = self.client.connect().await?;
        let schema = self.client.schema_of_server().await?;
        let lacking = lacking(&schema);
        Ok(Description { connected, schema_version: schema.version.clone(), lacking })
    }

    /// Returns `NB_Global:nb_cfg`: the number of the last configuration that somebody waits for.
    ///
    /// # Errors
    /// Returns an error if the database can't be read.
    pub async fn number(&self) -> Result<i64, ClientError> {
        let (table, [number, ..]) = COUNTERS;
        let found =
            self.read(&Transaction::new().with(Operation::select_columns(table, [], &[number]))).await?;
        Ok(found.rows(0).first().and_then(|row| row.get(number)?.as_integer()).unwrap_or(0))
    }

    /// Returns the time at which northd saw the last value of `nb_cfg`, by the clock of northd's machine: there is no other clock that
    /// can be read here. Returns none before the first value, and with an OVN that tells no times (before 20.12).
    ///
    /// # Errors
    /// Returns an error if the database can't be read.
    pub async fn time_of_northd(&self) -> Result<Option<SystemTime>, ClientError> {
        let table = COUNTERS.0;
        let schema = self.client.schema_of_server().await?;
        if schema.table(table).and_then(|table| table.column(TIME_OF_NORTHD)).is_none() {
            return Ok(None);
        }
        let read = Transaction::new().with(Operation::select_columns(table, [], &[TIME_OF_NORTHD]));
        let found = self.read(&read).await?;
        let milliseconds = found.rows(0).first().and_then(|row: &Row| row.get(TIME_OF_NORTHD)?.as_integer());
        let milliseconds =
            milliseconds.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
        Ok(milliseconds.and_then(|value| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(value))))
    }
}
