//! Why a call of the API failed: which call it was, and the server's words.

/// A call that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("{method} {url}: the server can't be reached ({cause}), tried {tries} times")]
    Unreachable {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// Why.
        cause: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The connection broke, or time was up, after the call was sent.
    #[error("{method} {url}: the answer was lost ({cause}); nobody knows whether the call happened")]
    AnswerLost {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// Why.
        cause: String,
    },
    /// The server refuses the login or the token.
    #[error("{method} {url}: the server refuses this login ({status}): {message}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// 401 or 403.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The server answers with an error.
    #[error("{method} {url}: the server answers {status}: {message}")]
    Status {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The server's answer is not what the API says.
    #[error("{method} {url}: the answer can't be understood: {cause}")]
    Nonsense {
        /// The method.
        method: &'static str,
        /// The URL.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The client can't be set up.
    #[error("the client can't be set up: {0}")]
    Setup(String),
}

impl ClientError {
    /// Whether a POST that ended so may have happened.
    pub fn is_uncertain(&self) -> bool {
        match self {
            ClientError::AnswerLost { .. } => true,
            ClientError::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// The status that the server answered with, if it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } | ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The same error, which says how often the call was tried.
pub(crate) fn counted(error: ClientError, made: u32) -> ClientError {
    match error {
        ClientError::Unreachable { method, url, cause, .. } => {
            ClientError::Unreachable { method, url, cause, tries: made }
        }
        other => other,
    }
}

/// An error and what it stands on, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
