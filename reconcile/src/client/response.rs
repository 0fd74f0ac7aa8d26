//! The judgement of a response: whether it is one that MidoNet gives to this call, and the error message in it.
//!
//! The recordings show what the servers send: 200 and exactly the requested media type for a read, 201 with `Location`
//! for a POST (without one for a link on 5.x), 204 for a PUT or a DELETE, and errors with a media type of their own.
//! Everything else is from somebody else: a proxy, a portal, another server, or a wrong path.

use midoform_compiler::midonet::dialect::Created;
use midoform_compiler::plan::Method;
use midoform_compiler::printable::beginning;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client_error::{ClientError, Unexpected};
use crate::http;
use crate::http::{LARGEST_ERROR, LARGEST_LIST, LARGEST_OBJECT, Read};

/// The media type of MidoNet's errors.
const ERROR: &str = "application/vnd.org.midonet.error-v1+json";

/// The media type of the API's root (01-login).
pub(super) const ROOT: &str = "application/json";

/// The number of characters of a server's message.
const MESSAGE: usize = 300;

/// The response to a call that succeeded.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<String>,
    /// The body, as text.
    pub body: String,
    method: &'static str,
    url: String,
    content_type: Option<String>,
}

/// The response that a call expects.
#[derive(Clone, Copy)]
pub(super) enum Expected<'a> {
    /// 200 with a document of this media type: a list if it is the media type of a collection, otherwise an object.
    Document(&'a str),
    /// 201 with a `Location` of this object, or 201 or 204 without one if there may be none.
    Created(Option<&'a Created>),
    /// 204.
    Done,
    /// 204, or MidoNet's 404: what is to be deleted is not there.
    Gone,
}

impl Expected<'_> {
    /// Returns the limit of the body in bytes.
    pub(super) fn limit(self) -> usize {
        match self {
            Expected::Document(_) if self.is_list() => LARGEST_LIST,
            Expected::Document(_) => LARGEST_OBJECT,
            Expected::Created(_) | Expected::Done | Expected::Gone => LARGEST_ERROR,
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Expected::Document(media_type) if media_type.contains(".collection."))
    }

    /// Describes the expected response.
    fn describe(self) -> String {
        match self {
            Expected::Document(ROOT) => "the root of a MidoNet API (200 with its version)".to_owned(),
            Expected::Document(media_type) => {
                let form = if self.is_list() { "a list" } else { "an object" };
                format!("200 with {form} as {media_type}")
            }
            Expected::Created(Some(created)) if !created.may_be_unnamed() => {
                format!("201 with a Location that ends with {created}")
            }
            Expected::Created(_) => "201".to_owned(),
            Expected::Done | Expected::Gone => "204".to_owned(),
        }
    }
}

impl Answer {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is not what `T` is read from.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.body).map_err(|error| self.unreadable(&error))
    }

    /// Returns the error for a body that can't be read.
    pub fn unreadable(&self, error: &serde_json::Error) -> ClientError {
        self.unexpected(&format!("another JSON document ({})", beginning(&error.to_string(), MESSAGE)))
    }

    /// Returns the error for an answer that is not what is expected.
    pub(crate) fn unexpected(&self, expected: &str) -> ClientError {
        let content_type = http::content_type(self.content_type.as_deref());
        let words = http::first_words(&self.body);
        let response = Box::new(Unexpected { content_type, words, expected: expected.to_owned() });
        ClientError::Unexpected { method: self.method, url: self.url.clone(), status: self.status, response }
    }

    fn new(method: Method, url: &str, read: Read) -> Answer {
        Answer {
            status: read.status,
            location: read.location,
            // The text was checked before, if it is read.
            body: String::from_utf8(read.body).unwrap_or_default(),
            method: method.as_str(),
            url: url.to_owned(),
            content_type: read.content_type,
        }
    }
}

/// Returns the response if it is the expected one, and otherwise an error.
pub(super) fn check(
    method: Method,
    url: &str,
    expected: Expected<'_>,
    read: Read,
) -> Result<Answer, ClientError> {
    let status = read.status;
    let unexpected = |what: &str| Err(read.unexpected(method.as_str(), url, what));
    let refusal = || message_of(&String::from_utf8_lossy(&read.body));
    match (status, expected) {
        (200, Expected::Document(media_type)) => {
            if read.media_type() != Some(media_type.to_ascii_lowercase()) {
                return unexpected(&expected.describe());
            }
            match read.text() {
                Err(problem) => unexpected(&problem),
                Ok(text) if !has_form(text, expected.is_list()) => unexpected(&expected.describe()),
                Ok(text) if !has_own_id(text, url) => unexpected("the object with the id in the URL"),
                Ok(_) => Ok(Answer::new(method, url, read)),
            }
        }
        (201 | 204, Expected::Created(created)) => {
            let is_named = match (created, read.location.as_deref()) {
                (Some(created), Some(location)) => status == 201 && created.is_named_by(location),
                (Some(created), None) => created.may_be_unnamed(),
                (None, _) => status == 201,
            };
            match is_named {
                true => Ok(Answer::new(method, url, read)),
                false => {
                    let found = read.location.as_deref().unwrap_or("none");
                    unexpected(&format!("{}, Location is {}", expected.describe(), beginning(found, MESSAGE)))
                }
            }
        }
        (204, Expected::Done | Expected::Gone) => Ok(Answer::new(method, url, read)),
        (404, Expected::Gone) if is_bare(&read) && is_host_of_zone(url) => Ok(Answer::new(method, url, read)),
        (404, Expected::Gone) if is_of_midonet(&read) => Ok(Answer::new(method, url, read)),
        (200..=399, _) => unexpected(&expected.describe()),
        // MidoNet itself knows no root below its own.
        (404, Expected::Document(ROOT)) => unexpected(&expected.describe()),
        (404, _) if !is_of_midonet(&read) => unexpected(&expected.describe()),
        (401 | 403, _) => Err(ClientError::Refused {
            method: method.as_str(),
            url: url.to_owned(),
            status,
            message: refusal(),
        }),
        _ => Err(ClientError::Status {
            method: method.as_str(),
            url: url.to_owned(),
            status,
            message: refusal(),
        }),
    }
}

/// Returns true if a text begins as a JSON list, or as a JSON object.
fn has_form(text: &str, is_list: bool) -> bool {
    text.trim_ascii_start().starts_with(if is_list { '[' } else { '{' })
}

/// Returns true if an object has the id that its URL ends with, or the URL ends with none.
fn has_own_id(text: &str, url: &str) -> bool {
    let Some(id) = url.rsplit('/').next().and_then(|last| uuid::Uuid::try_parse(last).ok()) else {
        return true;
    };
    let object: Option<Value> = serde_json::from_str(text).ok();
    let own = object.as_ref().and_then(|object| object.get("id")).and_then(Value::as_str);
    own.and_then(|own| uuid::Uuid::try_parse(own).ok()) == Some(id)
}

/// Returns true for an error that MidoNet itself sends: a document of its media type that repeats the status.
fn is_of_midonet(read: &Read) -> bool {
    let repeats = || {
        let body = read.text().ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
        body.and_then(|body| body.get("code")?.as_u64()) == Some(u64::from(read.status))
    };
    read.media_type().as_deref() == Some(ERROR) && repeats()
}

/// Returns true for the URL of a host in a tunnel zone. Only for these 5.x answers a DELETE with a 404 without words
/// (two-hosts/20): anywhere else it is somebody else's 404, who knows nothing of MidoNet's objects.
fn is_host_of_zone(url: &str) -> bool {
    let mut parts = url.rsplit('/').skip(1);
    parts.next() == Some("hosts") && parts.nth(1) == Some("tunnel_zones")
}

/// Returns true for a response without a body and a content type.
fn is_bare(read: &Read) -> bool {
    read.body.is_empty() && read.content_type.is_none()
}

/// Returns the server's message, with its messages about single fields.
fn message_of(body: &str) -> String {
    let Ok(error) = serde_json::from_str::<ErrorBody>(body) else {
        return if body.is_empty() { "(no message)".to_owned() } else { beginning(body, MESSAGE) };
    };
    let mut words = error.message.unwrap_or_else(|| "(no message)".to_owned());
    for violation in error.violations {
        let (property, message) =
            (violation.property.unwrap_or_default(), violation.message.unwrap_or_default());
        words = format!("{words}; {property} {message}");
    }
    beginning(&words, 10 * MESSAGE)
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
