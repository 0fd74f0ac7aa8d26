//! The errors of this crate.

use std::fmt;
use std::time::Duration;

use crate::connection_error::ConnectionError;
use crate::remote::{Remote, RemoteError};
use crate::row::RowError;
use crate::schema::SchemaError;
use crate::server_error::{ErrorCode, ServerError};
use crate::tls::TlsError;
use crate::transaction::{Misfit, OperationName};

/// An error of a client. `Display` does not repeat the sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A remote can't be used.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// There is no remote.
    #[error("no remote is named")]
    NoRemote,
    /// A remote is `ssl:`, and there are no files for TLS.
    #[error("{remote} needs files for TLS: a CA, and most servers want a certificate with its key")]
    NoTls {
        /// The remote.
        remote: Remote,
    },
    /// A file for TLS can't be used.
    #[error("a file for TLS can't be used")]
    Tls(#[from] TlsError),
    /// No server could be used in time. Nothing was sent.
    #[error("{}", unreachable(.waited, .attempts))]
    Unreachable {
        /// The time that was spent.
        waited: Duration,
        /// The last attempt at each remote.
        attempts: Vec<Attempt>,
    },
    /// The connection was lost, or the time was over, before the reply to a request that changes nothing, or before a
    /// transaction was sent.
    #[error("{remote} did not reply to `{method}`")]
    NoReply {
        /// The remote.
        remote: Remote,
        /// The method of the request.
        method: &'static str,
        /// The reason.
        #[source]
        reason: ConnectionError,
    },
    /// A transaction was sent, and it is unknown whether it was executed, or whether it still will be: the caller has to look at
    /// its rows. If they are there, all of it was executed. If they are not, it may be executed later, as by a server that was
    /// paused. So a transaction is sent again only if it can't be executed twice: it inserts rows with own uuids, or has
    /// a `wait` for what it changes. The second execution then fails with [`ErrorCode::DuplicateUuid`] or [`ErrorCode::TimedOut`].
    #[error("{remote} did not reply to a transaction: it is unknown whether it was executed")]
    OutcomeUnknown {
        /// The remote.
        remote: Remote,
        /// The reason.
        #[source]
        reason: ConnectionError,
    },
    /// The server refused a request as a whole. Nothing was changed.
    #[error("{remote} refused `{method}`")]
    Refused {
        /// The remote.
        remote: Remote,
        /// The method of the request.
        method: &'static str,
        /// The server's error.
        #[source]
        error: Box<ServerError>,
    },
    /// An operation of a transaction failed. Nothing was changed.
    ///
    /// In a cluster, [`ErrorCode::DuplicateUuid`] and [`ErrorCode::TimedOut`] may be about what this same transaction has done: a
    /// server executes it again if it loses the leadership meanwhile. So the caller has to look in these cases as well.
    #[error("{remote} refused {operation}")]
    Operation {
        /// The remote.
        remote: Remote,
        /// The operation.
        operation: Box<OperationName>,
        /// The server's error.
        #[source]
        error: Box<ServerError>,
    },
    /// All operations of a transaction succeeded, and its commit failed, as by a reference to a row that does not exist. Nothing
    /// was changed.
    #[error("{remote} refused to commit a transaction")]
    Commit {
        /// The remote.
        remote: Remote,
        /// The server's error.
        #[source]
        error: Box<ServerError>,
    },
    /// An operation does not fit the schema. Nothing was sent.
    #[error(transparent)]
    DoesNotFit(#[from] Box<Misfit>),
    /// A monitor does not fit the schema. Nothing was sent.
    #[error("a monitor does not fit the schema")]
    Monitor(#[source] RowError),
    /// A server's schema is wrong.
    #[error("{remote} has a schema that can't be read")]
    Schema {
        /// The remote.
        remote: Remote,
        /// The mistake.
        #[source]
        mistake: SchemaError,
    },
    /// A transaction can't be written as JSON. Nothing was sent.
    #[error("the transaction can't be written")]
    Encode(#[from] serde_json::Error),
    /// A request is larger than the limit. Nothing was sent.
    #[error("a request has {bytes} bytes, and at most {limit} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An operation changes something, and only reads are allowed. Nothing was sent.
    #[error("{operation} is no read")]
    NotARead {
        /// The operation.
        operation: Box<OperationName>,
    },
    /// The server is too old for a request. Nothing was changed.
    #[error("{remote} can't {what}: its ovsdb-server is too old")]
    Unsupported {
        /// The remote.
        remote: Remote,
        /// The missing ability.
        what: &'static str,
    },
}

/// An attempt to use a server.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The remote.
    pub remote: Remote,
    /// The reason why it could not be used.
    pub reason: ConnectionError,
}

impl Error {
    /// Returns the kind of the server's error, if the server refused something.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused { error, .. } | Error::Operation { error, .. } | Error::Commit { error, .. } => {
                Some(error.code)
            }
            _ => None,
        }
    }

    /// Returns true if the rows that a `wait` is about were not the expected ones. Nothing was changed.
    pub fn is_timed_out_wait(&self) -> bool {
        self.code() == Some(ErrorCode::TimedOut)
    }

    /// Returns true if the transaction may have been executed, or may still be.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Error::OutcomeUnknown { .. })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.remote, self.reason)?;
        let mut source = std::error::Error::source(&self.reason);
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

fn unreachable(waited: &Duration, attempts: &[Attempt]) -> String {
    let seconds = waited.as_secs_f64();
    match attempts {
        [] => format!("no server could be used within {seconds:.1} s (no attempt was made in that time)"),
        attempts => {
            let attempts: Vec<String> = attempts.iter().map(Attempt::to_string).collect();
            format!("no server could be used within {seconds:.1} s ({})", attempts.join("; "))
        }
    }
}
