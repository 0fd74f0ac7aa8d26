//! The server's response to a call, and the error message in it.

use serde::Deserialize;

use crate::client_error::ClientError;

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<String>,
    /// The body, as text.
    pub body: String,
}

/// Returns the response, or an error if its status is one.
pub(super) fn check(method: &'static str, url: &str, answer: Answer) -> Result<Answer, ClientError> {
    let (status, url) = (answer.status, url.to_owned());
    let message = || message_of(&answer.body);
    match status {
        200..=299 => Ok(answer),
        401 | 403 => Err(ClientError::Refused { method, url, status, message: message() }),
        _ => Err(ClientError::Status { method, url, status, message: message() }),
    }
}

/// Returns the server's message, with its messages about single fields.
fn message_of(body: &str) -> String {
    let Ok(error) = serde_json::from_str::<ErrorBody>(body) else {
        let short: String = body.chars().take(300).collect();
        return if short.is_empty() { "(no message)".to_owned() } else { short };
    };
    let mut words = error.message.unwrap_or_else(|| "(no message)".to_owned());
    for violation in error.violations {
        let (property, message) =
            (violation.property.unwrap_or_default(), violation.message.unwrap_or_default());
        words = format!("{words}; {property} {message}");
    }
    words
}

/// The body of an error response.
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
