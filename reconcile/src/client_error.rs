//! The errors of API calls, with the call and the server's message. What a server says is printable: it has no control
//! characters and no line breaks.

use midoform_compiler::plan::Method;
use midoform_ovsdb::ErrorCode;

/// The failure of a call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection. Nothing was sent.
    #[error("{method} {url}: the server can't be reached ({cause}), tried {tries} times")]
    Unreachable {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The reason.
        cause: String,
        /// The number of attempts.
        tries: u32,
    },
    /// The connection broke, or the time limit passed, after the call was sent.
    #[error("{method} {url}: the response was lost ({cause}); the call may have been executed")]
    AnswerLost {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The reason.
        cause: String,
    },
    /// The server refuses the login or the token.
    #[error("{method} {url}: the server refuses the login ({status}): {message}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// 401 or 403.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// The server returned an error.
    #[error("{method} {url}: the server returned {status}: {message}")]
    Status {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// The response is none that the API gives to this call.
    #[error("{method} {url}: this is no response of the API: {status}, {response}")]
    Unexpected {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// The response, and the one that was expected.
        response: Box<Unexpected>,
    },
    /// The server shows an object of midoform's with a value that can't be read: nothing can be compared with it.
    #[error("{url}: the server says that `{field}` of {object} is `{value}`, which can't be read")]
    Malformed {
        /// The API's base URL.
        url: String,
        /// The object's key and id.
        object: String,
        /// The field.
        field: &'static str,
        /// The beginning of its value.
        value: String,
    },
    /// The server names another URL. The client follows no redirect, as its token is for this server alone.
    #[error(
        "{method} {url}: the server redirects ({status}) to {to}; redirects are not followed: if that is the API, \
         set its URL"
    )]
    Redirect {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The status, 300 to 399.
        status: u16,
        /// The new URL.
        to: String,
    },
    /// One side rejects the certificate of the other. Nothing was sent.
    #[error("{method} {url}: the server's certificate is not accepted ({cause})")]
    Certificate {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The reason.
        cause: String,
    },
    /// The server speaks TLS and the URL is one without, or the other way round. No call was executed.
    #[error("{method} {url}: {problem}")]
    WrongScheme {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The problem, with what to write.
        problem: &'static str,
    },
    /// The server is another version of MidoNet than the calls are for.
    #[error("{url}: the server is MidoNet {server}, which does not fit `version = {dialect}`")]
    WrongVersion {
        /// The API's base URL.
        url: String,
        /// The version that the server says.
        server: String,
        /// The dialect of the calls: 1 or 5.
        dialect: u8,
    },
    /// OVN's northbound database can't be used, or refuses something.
    #[error("the northbound database")]
    Northbound(#[source] Box<midoform_ovsdb::Error>),
    /// The schema of the northbound database is not one that midoform can use. Nothing was changed.
    #[error("{remotes} has OVN_Northbound {version}, whose schema lacks {}", listed(.lacking))]
    Schema {
        /// The servers, as the site file names them.
        remotes: String,
        /// The version of the schema; empty if it has none.
        version: String,
        /// The tables and columns that midoform uses and the schema lacks or has with another type.
        lacking: Vec<String>,
    },
    /// The client can't be set up.
    #[error("the client can't be set up: {0}")]
    Setup(String),
    /// The lock on the tenants was lost before the call: another run may be changing them. Nothing was sent.
    #[error("{method} {url}: the call was not made, because the lock on the tenants was lost")]
    LockLost {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
    },
    /// The task that made the call ended without a result: a defect of midoform. The call may have happened.
    #[error("a defect of midoform stopped the call: {0}")]
    Defect(String),
}

/// A response that the API does not give to a call.
#[derive(Debug, thiserror::Error)]
#[error("{content_type}, {words}; expected {expected}")]
pub struct Unexpected {
    /// The content type, or that there is none.
    pub content_type: String,
    /// The first words of the body, or that there is none.
    pub words: String,
    /// The response that was expected.
    pub expected: String,
}

impl From<midoform_ovsdb::Error> for ClientError {
    fn from(error: midoform_ovsdb::Error) -> Self {
        ClientError::Northbound(Box::new(error))
    }
}

impl ClientError {
    /// Returns true if a POST that ended with this error may have been executed.
    pub fn is_uncertain(&self) -> bool {
        match self {
            ClientError::AnswerLost { .. } | ClientError::Defect(_) => true,
            ClientError::Status { status, .. } => *status >= 500,
            // A cluster executes a transaction again if its leader is lost meanwhile, and then finds what it did itself.
            ClientError::Northbound(error) => {
                error.is_outcome_unknown() || error.code() == Some(ErrorCode::DuplicateUuid)
            }
            // A success, but another one than that of the call.
            ClientError::Unexpected { method, status, .. } => {
                *method == Method::Post.as_str() && (200..300).contains(status)
            }
            _ => false,
        }
    }

    /// Returns true if rows were not as the plan expects them. Nothing was changed.
    pub fn is_moved(&self) -> bool {
        matches!(self, ClientError::Northbound(error) if error.is_timed_out_wait())
    }

    /// Returns the status of the response, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } | ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Sets the number of attempts of an error.
pub(crate) fn counted(error: ClientError, made: u32) -> ClientError {
    match error {
        ClientError::Unreachable { method, url, cause, .. } => {
            ClientError::Unreachable { method, url, cause, tries: made }
        }
        other => other,
    }
}

/// Returns the first of the tables and columns that a schema lacks, for people.
pub fn listed(lacking: &[String]) -> String {
    let first = lacking.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match lacking.len().saturating_sub(3) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
