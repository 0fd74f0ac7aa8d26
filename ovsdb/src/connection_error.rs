//! The reasons why a connection ends, or can't be used.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::framing::FramingError;
use crate::server_error::ServerError;
use crate::tls::is_rejection;

/// The reason why a connection ended, could not be made, or brought no reply. It is about a server, which the error around it
/// names.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The server closed the connection.
    #[error("it closed the connection")]
    Closed,
    /// The server closed the connection in the middle of a message.
    #[error("it closed the connection in the middle of a message")]
    Cut,
    /// The system reported an error.
    #[error("the connection failed")]
    Io(#[source] Arc<io::Error>),
    /// One side rejects the certificate of the other.
    #[error("a certificate was rejected")]
    Certificate(#[source] Arc<io::Error>),
    /// Nothing came from the server, not even the reply to an `echo`.
    #[error("it was silent for {0:?}")]
    Silent(Duration),
    /// The server reads nothing of what is sent.
    #[error("it reads nothing")]
    Stalled,
    /// The time for a request, or for a connection, was over.
    #[error("it did not reply within {0:?}")]
    Late(Duration),
    /// The server sent something that is no message.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The server sent a message that makes no sense.
    #[error("it sent nonsense ({problem}): `{words}`")]
    Nonsense {
        /// The problem.
        problem: String,
        /// The printable first words of the message.
        words: String,
    },
    /// The server returned an error while the connection was made.
    #[error("it refused `{method}`")]
    Refused {
        /// The method of the request.
        method: &'static str,
        /// The server's error.
        #[source]
        error: Box<ServerError>,
    },
    /// The server does not have the database.
    #[error("it does not have the database {0}")]
    NoDatabase(String),
    /// The server is not the leader of its cluster.
    #[error("it is not the leader of the cluster")]
    NotLeader,
    /// The server has lost its cluster, or the source of its relay.
    #[error("it has no connection to its cluster")]
    Disconnected,
    /// The server has older contents than this client has seen.
    #[error("its contents are older (index {found}) than what was seen before (index {seen})")]
    Stale {
        /// The index of the server's contents.
        found: u64,
        /// The largest index that was seen.
        seen: u64,
    },
    /// The server belongs to another cluster than the one before.
    #[error("it belongs to the cluster {found}, not to {expected}")]
    OtherCluster {
        /// The server's cluster.
        found: Uuid,
        /// The cluster of the servers before.
        expected: Uuid,
    },
}

impl ConnectionError {
    /// Returns the reason for an error of the system.
    pub(crate) fn from_io(error: io::Error) -> ConnectionError {
        match is_rejection(&error) {
            true => ConnectionError::Certificate(Arc::new(error)),
            false => ConnectionError::Io(Arc::new(error)),
        }
    }

    /// Returns true if another attempt will fail as well, unless somebody changes the server or the settings.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            ConnectionError::Certificate(_)
                | ConnectionError::NoDatabase(_)
                | ConnectionError::OtherCluster { .. }
        )
    }
}
