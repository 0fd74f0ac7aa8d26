//! Why a call of the API failed: which call it was, and the server's words.

use serde::Deserialize;

use super::Answer;

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
    /// The task that made the call ended without a result: a defect of midoform. The call may have happened.
    #[error("a defect of midoform stopped the call: {0}")]
    Defect(String),
}

impl ClientError {
    /// Returns true if a POST that ended so may have happened.
    pub fn is_uncertain(&self) -> bool {
        match self {
            ClientError::AnswerLost { .. } | ClientError::Defect(_) => true,
            ClientError::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Returns the status that the server answered with, if it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } | ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The same error, which says how often the call was tried.
pub(super) fn counted(error: ClientError, made: u32) -> ClientError {
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

/// The answer, if its status says that the call did what it should.
pub(super) fn check(method: &'static str, url: &str, answer: Answer) -> Result<Answer, ClientError> {
    let (status, url) = (answer.status, url.to_owned());
    let message = || message_of(&answer.body);
    match status {
        200..=299 => Ok(answer),
        401 | 403 => Err(ClientError::Refused { method, url, status, message: message() }),
        _ => Err(ClientError::Status { method, url, status, message: message() }),
    }
}

/// The server's words: its message, and what it says about single fields.
fn message_of(body: &str) -> String {
    let Ok(error) = serde_json::from_str::<ErrorBody>(body) else {
        let short: String = body.chars().take(300).collect();
        return if short.is_empty() { "(no words)".to_owned() } else { short };
    };
    let mut words = error.message.unwrap_or_else(|| "(no words)".to_owned());
    for violation in error.violations {
        let (property, message) =
            (violation.property.unwrap_or_default(), violation.message.unwrap_or_default());
        words = format!("{words}; {property} {message}");
    }
    words
}

/// The server's error body.
#[derive(Deserialize)]
struct ErrorBody {
    message: Option<String>,
    #[serde(default)]
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    property: Option<String>,
    message: Option<String>,
}
