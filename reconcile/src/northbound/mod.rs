//! OVN's northbound database as the network that is observed and changed.
//!
//! [`description`] says what a server is, [`snapshot`] reads the tables, [`recognise`] matches their rows to keys, [`whole`] reads
//! everything for traces, [`execute`] sends the operations of a plan as transactions, and [`settle`] waits until OVN has made flows of
//! them.

pub mod description;
pub mod execute;
mod matching;
mod operations;
pub mod pods;
pub(crate) mod provider_router;
pub mod recognise;
mod schema;
pub mod settle;
pub mod snapshot;
pub mod whole;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midoform_compiler::spec::OvnSettings;
use midoform_ovsdb::{Client, ConnectionError, Error, ErrorCode, Outcome, Settings, Tls, Transaction};
use midoform_store::locks::Tenure;
use tokio::task::JoinHandle;

use crate::client::{ClientError, Counts};

pub use schema::DATABASE;

/// A read in progress.
type Reading = JoinHandle<Result<Outcome, ClientError>>;

/// A connection to a northbound database. Clones share it.
#[derive(Clone, Debug)]
pub struct Northbound {
    client: Client,
    /// The servers, as the site file names them.
    remotes: String,
    transactions: Arc<AtomicU64>,
    /// The rows that are read already, for the first observation.
    ahead: Arc<Mutex<Option<Reading>>>,
    /// The lock without which nothing is changed.
    tenure: Option<Tenure>,
}

/// The servers and the files of a connection.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The servers, separated by commas: `unix:PATH`, `tcp:HOST:PORT`, `ssl:HOST:PORT`.
    pub remotes: String,
    /// The files for TLS, if there are any.
    pub tls: Option<Tls>,
    /// The time limit of a request.
    pub timeout: Duration,
}

impl Servers {
    /// Returns the servers of a site whose file is in this folder. Paths of files start there; those of sockets are absolute.
    pub fn of(settings: &OvnSettings, folder: &std::path::Path, timeout: Duration) -> Servers {
        let remotes: Vec<&str> = settings.northbound.iter().map(|remote| remote.value.as_str()).collect();
        let file = |path: &Option<midoform_compiler::source::Spanned<String>>| -> Option<PathBuf> {
            path.as_ref().map(|path| folder.join(&path.value))
        };
        let tls = file(&settings.ca).map(|ca| Tls {
            ca,
            identity: file(&settings.certificate).zip(file(&settings.private_key)),
            // `ovs-pki` makes certificates without the host's name. Its authority signs nothing else.
            names: midoform_ovsdb::ServerNames::Any,
        });
        Servers { remotes: remotes.join(","), tls, timeout }
    }
}

impl Northbound {
    /// Connects to the database.
    ///
    /// # Errors
    /// Returns an error if no server can be used in time.
    pub async fn connect(servers: Servers) -> Result<Northbound, ClientError> {
        let northbound = Northbound::new(servers)?;
        northbound.client.connect().await?;
        Ok(northbound)
    }

    /// Returns a connection that is made when it is first used.
    ///
    /// # Errors
    /// Returns an error if the servers or the files can't be used.
    pub fn new(servers: Servers) -> Result<Northbound, ClientError> {
        let Servers { remotes, tls, timeout } = servers;
        let settings = Settings::parse(&remotes, DATABASE)?;
        let client = Client::new(Settings { tls, timeout, schema: Some(schema::declared()), ..settings })?;
        Ok(Northbound { client, remotes, transactions: Arc::default(), ahead: Arc::default(), tenure: None })
    }

    /// Returns the connection with the lock that its changes need: once the lock is lost, nothing is sent.
    #[must_use]
    pub fn under(&self, tenure: Tenure) -> Northbound {
        Northbound { tenure: Some(tenure), ..self.clone() }
    }

    /// Returns the servers, as the site file names them.
    pub fn remotes(&self) -> &str {
        &self.remotes
    }

    /// Returns the number of transactions.
    pub fn counts(&self) -> Counts {
        Counts { calls: self.transactions.load(Ordering::Relaxed), ..Counts::default() }
    }

    /// Executes a transaction that changes nothing.
    pub(crate) async fn read(&self, transaction: &Transaction) -> Result<Outcome, ClientError> {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        match self.client.read(transaction).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(self.explained(error).await),
        }
    }

    /// Reads all columns of rows, also those that midoform does not know.
    pub(crate) async fn read_all_columns(&self, transaction: &Transaction) -> Result<Outcome, ClientError> {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(self.client.with_schema_of_server().read(transaction).await?)
    }

    /// Executes a transaction, all of it or nothing.
    pub(crate) async fn transact(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.client.transact(transaction).await
    }

    /// Returns an error of a transaction as the client's. If the server's schema may be the reason, it is read and compared: it is not
    /// before, since that costs each short run about as much as its rows.
    pub(crate) async fn explained(&self, error: Error) -> ClientError {
        let may_be_of_schema = match &error {
            Error::Operation { error, .. } => {
                matches!(error.code, ErrorCode::UnknownName | ErrorCode::Syntax | ErrorCode::Constraint)
            }
            Error::NoReply { reason, .. } => matches!(reason, ConnectionError::Nonsense { .. }),
            _ => false,
        };
        if may_be_of_schema && let Ok(found) = self.client.schema_of_server().await {
            let lacking = schema::lacking(&found);
            if !lacking.is_empty() {
                let (remotes, version) = (self.remotes.clone(), found.version.clone());
                return ClientError::Schema { remotes, version, lacking };
            }
        }
        error.into()
    }

    /// Returns an error if the lock that the changes need was lost.
    pub(crate) fn check_lock(&self) -> Result<(), ClientError> {
        match &self.tenure {
            Some(tenure) if !tenure.is_current() => {
                Err(ClientError::LockLost { method: "transact", url: self.remotes.clone() })
            }
            _ => Ok(()),
        }
    }
}
