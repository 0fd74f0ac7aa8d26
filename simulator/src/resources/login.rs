//! The login with Basic credentials (01-login).

use serde_json::{Value as Json, json};

/// The media type of the response.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.org.midonet.Token-v1+json";
/// The message about a login without credentials (step 1).
pub(crate) const NO_CREDENTIALS: &str = "Authorization header is not set.";

/// Returns a token as JSON; a token without an expiry time never expires.
pub(crate) fn token(key: &str, expires: Option<&str>) -> Json {
    json!({ "key": key, "expires": expires })
}
