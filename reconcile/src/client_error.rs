//! The errors of API calls, with the call and the server's message.

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
    /// The server's response is not what the API defines.
    #[error("{method} {url}: the response can't be read: {cause}")]
    Nonsense {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The problem.
        cause: String,
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

impl ClientError {
    /// Returns true if a POST that ended with this error may have been executed.
    pub fn is_uncertain(&self) -> bool {
        match self {
            ClientError::AnswerLost { .. } | ClientError::Defect(_) => true,
            ClientError::Status { status, .. } => *status >= 500,
            _ => false,
        }
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
