//! Errors in the words of a server (RFC 7047 sections 3.1 and 5, ovsdb-server(7) section 3.1).

use std::fmt;

use serde_json::Value as Json;

use crate::printable::{first_words, printable};

/// The kind of an error: the protocol's `error` member as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `timed out`: the rows of a `wait` were not the expected ones in time. Nothing was changed.
    TimedOut,
    /// `aborted`: the transaction has an `abort`. Nothing was changed.
    Aborted,
    /// `canceled`: the client canceled the transaction. Nothing was changed.
    Canceled,
    /// `duplicate uuid`: the uuid of an insertion belongs to a row already.
    DuplicateUuid,
    /// `duplicate uuid-name`: two insertions of the transaction have one name.
    DuplicateUuidName,
    /// `referential integrity violation`: a row refers to a row that does not exist, or is still referred to.
    ReferentialIntegrity,
    /// `constraint violation`: a value, a number of rows, or an index is not allowed by the schema.
    Constraint,
    /// `domain error`: a mutation has no result, as a division by zero.
    Domain,
    /// `range error`: the result of a mutation is too large or too small.
    Range,
    /// `not owner`: the client does not have the lock of an `assert`.
    NotOwner,
    /// `not supported`: a durable commit of a database without a disk.
    NotSupported,
    /// `not allowed`: the database can only be read, as the standby of another one.
    NotAllowed,
    /// `permission error`: the server's access control forbids the operation.
    Permission,
    /// `resources exhausted`: the server lacks memory or something else.
    ResourcesExhausted,
    /// `I/O error`: the server could not write to its disk.
    Io,
    /// `cluster error`: the cluster could not commit.
    Cluster,
    /// `unknown database`: the server does not have the database.
    UnknownDatabase,
    /// `unknown method`: the server is too old for the call.
    UnknownMethod,
    /// `unknown column` or `unknown table`: the schema does not have it.
    UnknownName,
    /// `syntax error`: the server could not read the request.
    Syntax,
    /// `internal error`: a fault of the server.
    Internal,
    /// Any other word.
    Other,
}

/// An error of a server, in its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The kind.
    pub code: ErrorCode,
    /// The word for the kind (`error`).
    pub error: String,
    /// The explanation (`details`).
    pub details: Option<String>,
    /// The part of the request that the server could not read (`syntax`).
    pub syntax: Option<String>,
}

impl ErrorCode {
    fn of(error: &str) -> ErrorCode {
        match error {
            "timed out" => ErrorCode::TimedOut,
            "aborted" => ErrorCode::Aborted,
            "canceled" => ErrorCode::Canceled,
            "duplicate uuid" => ErrorCode::DuplicateUuid,
            "duplicate uuid-name" => ErrorCode::DuplicateUuidName,
            "referential integrity violation" => ErrorCode::ReferentialIntegrity,
            "constraint violation" => ErrorCode::Constraint,
            "domain error" => ErrorCode::Domain,
            "range error" => ErrorCode::Range,
            "not owner" => ErrorCode::NotOwner,
            "not supported" => ErrorCode::NotSupported,
            "not allowed" => ErrorCode::NotAllowed,
            "permission error" => ErrorCode::Permission,
            "resources exhausted" => ErrorCode::ResourcesExhausted,
            "I/O error" => ErrorCode::Io,
            "cluster error" => ErrorCode::Cluster,
            "unknown database" => ErrorCode::UnknownDatabase,
            "unknown method" => ErrorCode::UnknownMethod,
            "unknown column" | "unknown table" => ErrorCode::UnknownName,
            "syntax error" => ErrorCode::Syntax,
            "internal error" => ErrorCode::Internal,
            _ => ErrorCode::Other,
        }
    }
}

impl ServerError {
    /// Reads an error: an object with `error`, or a word alone. None if it is neither.
    pub fn read(json: &Json) -> Option<ServerError> {
        if let Some(error) = json.as_str() {
            return Some(ServerError {
                code: ErrorCode::of(error),
                error: error.to_owned(),
                details: None,
                syntax: None,
            });
        }
        let member = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let error = member("error")?;
        let code = ErrorCode::of(&error);
        Some(ServerError { code, error, details: member("details"), syntax: member("syntax") })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", printable(&self.error))?;
        if let Some(details) = &self.details {
            write!(formatter, ": {}", printable(details))?;
        }
        if let Some(syntax) = &self.syntax {
            // It may be the whole request.
            write!(formatter, " (`{}`)", first_words(syntax.as_bytes()))?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}
