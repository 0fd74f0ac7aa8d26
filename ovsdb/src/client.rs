//! The client: transactions and reads of one database.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::ServerState;
use crate::connection::{CallError, OnDrop};
use crate::connection_error::ConnectionError;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor_request::MonitorRequest;
use crate::operation::{Condition, Operation};
use crate::printable::first_words_of;
use crate::remote::Remote;
use crate::row::Row;
use crate::schema::DatabaseSchema;
use crate::session::{Link, Session, Settings, deadline_in, is_repeated};
use crate::transaction::{Failure, Outcome, Transaction};

/// A client of one database. Clones share the connection. All methods can be canceled by dropping their futures.
#[derive(Clone, Debug)]
pub struct Client {
    session: Arc<Session>,
    timeout: Duration,
    /// True if values are read by the schema of the server, whatever the settings declare.
    asks_for_schema: bool,
}

/// A connection, as a client describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The remote.
    pub remote: Remote,
    /// What the server says of the database; none for a server before 2.9, which says nothing.
    pub server: Option<ServerState>,
}

impl Client {
    /// Returns a client. The first request connects; it needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When there is no remote, or the files for TLS can't be used.
    pub fn new(settings: Settings) -> Result<Client, Error> {
        let timeout = settings.timeout;
        Ok(Client { session: Arc::new(Session::new(settings)?), timeout, asks_for_schema: false })
    }

    /// Returns a client on the same connection whose requests have another time limit.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Client {
        Client { timeout, ..self.clone() }
    }

    /// Returns a client of the same session whose transactions may name every table and column of the server, whatever the settings
    /// declare. It asks the server for its schema.
    #[must_use]
    pub fn with_schema_of_server(&self) -> Client {
        Client { asks_for_schema: true, ..self.clone() }
    }

    async fn schema_for(&self, link: &Link, deadline: Instant) -> Result<Arc<DatabaseSchema>, Error> {
        match self.asks_for_schema {
            true => self.session.schema_of_server(link, deadline).await,
            false => self.session.schema(link, deadline).await,
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.session.settings
    }

    /// Connects if there is no connection, and describes it.
    ///
    /// # Errors
    /// When no server can be used in time.
    pub async fn connect(&self) -> Result<Connected, Error> {
        let link = self.session.link(self.deadline()).await?;
        Ok(Connected { remote: link.connection.remote.clone(), server: link.server.clone() })
    }

    /// Returns the schema (RFC 7047 section 4.1.2): the one that the settings declare, or that of the server.
    ///
    /// # Errors
    /// When no server replies in time, or its schema can't be read.
    pub async fn schema(&self) -> Result<Arc<DatabaseSchema>, Error> {
        let deadline = self.deadline();
        loop {
            let link = self.session.link(deadline).await?;
            match self.session.schema(&link, deadline).await {
                Err(error) if is_repeated(&error) => {}
                other => return other,
            }
        }
    }

    /// Returns the schema of the server, also if the settings declare one.
    ///
    /// # Errors
    /// As [`Client::schema`].
    pub async fn schema_of_server(&self) -> Result<Arc<DatabaseSchema>, Error> {
        let deadline = self.deadline();
        loop {
            let link = self.session.link(deadline).await?;
            match self.session.schema_of_server(&link, deadline).await {
                Err(error) if is_repeated(&error) => {}
                other => return other,
            }
        }
    }

    /// Checks a transaction against the schema before it is executed: see [`Transaction::check`].
    ///
    /// # Errors
    /// When an operation does not fit the schema, or as [`Client::schema`].
    pub async fn check(&self, transaction: &Transaction) -> Result<(), Error> {
        Ok(transaction.check(&*self.schema().await?)?)
    }

    /// Executes a transaction (RFC 7047 section 4.1.3): all of it or nothing. It is sent once at most. If this future is dropped,
    /// the server is asked to cancel the transaction; it may be executed all the same.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] is the only error after which the transaction may have been executed; see there what to do, and
    /// at [`Error::Operation`] about clusters.
    pub async fn transact(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        let deadline = self.deadline();
        let parameters = transaction.encode(&self.session.settings.database)?;
        loop {
            let link = self.session.link(deadline).await?;
            match self.attempt(&link, transaction, &parameters, deadline).await {
                Attempted::Done(result) => return result,
                Attempted::NotSent(error) if is_repeated(&error) => {}
                Attempted::NotSent(error) => return Err(error),
                Attempted::Lost(reason) if transaction.is_read() => return Err(no_reply(&link, reason)),
                Attempted::Lost(reason) => {
                    return Err(Error::OutcomeUnknown { remote: link.connection.remote.clone(), reason });
                }
            }
        }
    }

    /// Executes a transaction that changes nothing: it is repeated if the connection is lost.
    ///
    /// # Errors
    /// When an operation changes something, no server replies in time, or a server refuses an operation.
    pub async fn read(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        let is_write = |operation: &Operation| !transaction.is_read() && !operation.is_read();
        let write = transaction.operations().iter().position(is_write);
        if let Some(operation) = write.and_then(|index| transaction.name_of(index)) {
            return Err(Error::NotARead { operation: Box::new(operation) });
        }
        let deadline = self.deadline();
        let parameters = transaction.encode(&self.session.settings.database)?;
        loop {
            let link = self.session.link(deadline).await?;
            let error = match self.attempt(&link, transaction, &parameters, deadline).await {
                Attempted::Done(result) => return result,
                Attempted::NotSent(error) => error,
                Attempted::Lost(reason) => no_reply(&link, reason),
            };
            if !is_repeated(&error) {
                return Err(error);
            }
        }
    }

    /// Returns the rows of a table that meet these conditions, with all their columns.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub async fn select(
        &self,
        table: &str,
        conditions: impl Into<Vec<Condition>>,
    ) -> Result<Vec<Row>, Error> {
        let outcome = self.read(&Transaction::new().with(Operation::select(table, conditions))).await?;
        Ok(outcome.rows(0).to_vec())
    }

    /// Starts a monitor: the contents of tables, and their changes.
    ///
    /// # Errors
    /// When no server replies in time, the request does not fit the schema, or the server is too old for its conditions.
    pub async fn monitor(&self, request: MonitorRequest) -> Result<Monitor, Error> {
        Monitor::start(self.session.clone(), self.timeout, request).await
    }

    fn deadline(&self) -> Instant {
        deadline_in(self.timeout)
    }

    /// Sends a transaction once.
    async fn attempt(
        &self,
        link: &Link,
        transaction: &Transaction,
        parameters: &[u8],
        deadline: Instant,
    ) -> Attempted {
        let schema = match transaction.has_selects() {
            true => match self.schema_for(link, deadline).await {
                Ok(schema) => Some(schema),
                Err(error) => return Attempted::NotSent(error),
            },
            false => None,
        };
        let reply = match link.connection.call(TRANSACT, parameters, deadline, OnDrop::Cancel).await {
            Ok(reply) => reply,
            Err(CallError::Lost(reason)) => return Attempted::Lost(reason),
            Err(error @ CallError::NotSent(_)) => {
                return Attempted::NotSent(self.session.read_error(link, TRANSACT, error));
            }
            Err(error) => return Attempted::Done(Err(self.session.read_error(link, TRANSACT, error))),
        };
        let words = first_words_of(&reply);
        let remote = link.connection.remote.clone();
        Attempted::Done(match transaction.read_reply(reply, schema.as_deref()) {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Operation(operation, error)) => Err(Error::Operation { remote, operation, error }),
            Err(Failure::Commit(error)) => Err(Error::Commit { remote, error }),
            Err(Failure::Wrong(problem)) => {
                return Attempted::Lost(link.connection.end_with_nonsense(problem, words));
            }
        })
    }
}

/// The method of transactions.
const TRANSACT: &str = "transact";

/// The result of sending a transaction once.
enum Attempted {
    /// The server replied, or the transaction can't be sent at all.
    Done(Result<Outcome, Error>),
    /// Nothing was sent.
    NotSent(Error),
    /// It was sent, and there is no reply.
    Lost(ConnectionError),
}

fn no_reply(link: &Link, reason: ConnectionError) -> Error {
    Error::NoReply { remote: link.connection.remote.clone(), method: TRANSACT, reason }
}
