//! Logging in with Basic credentials (01-login).

use serde_json::{Value as Json, json};

/// The type of the answer.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.org.midonet.Token-v1+json";
/// What a login without credentials is told (step 1).
pub(crate) const NO_CREDENTIALS: &str = "Authorization header is not set.";

/// A token as it is shown; without an expiry it never ends.
pub(crate) fn token(key: &str, expires: Option<&str>) -> Json {
    json!({ "key": key, "expires": expires })
}
