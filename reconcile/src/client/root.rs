//! The root of the API: the first contact with a server.

use std::time::SystemTime;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::plan::Method;
use midoform_compiler::printable::beginning;
use reqwest::header::{ACCEPT, DATE};
use serde_json::Value;

use super::response::{Answer, ROOT};
use crate::client_error::ClientError;
use crate::http;

/// Returns the time of day on the server, in seconds; none if the server does not tell it.
///
/// # Errors
/// When the server can't be reached.
pub(super) async fn time(
    client: &reqwest::Client,
    base_url: &str,
) -> Result<Option<SystemTime>, ClientError> {
    let url = format!("{base_url}/");
    let response = client.get(&url).header(ACCEPT, ROOT).send().await;
    let response = response.map_err(|error| http::lost(Method::Get.as_str(), &url, error).1)?;
    let date = http::header(response.headers(), DATE);
    Ok(date.and_then(|date| httpdate::parse_http_date(&date).ok()))
}

/// Reads the version of the server from its root, such as `v5.0`.
///
/// # Errors
/// When this is not the root of a MidoNet API, or the version does not fit the dialect.
pub(super) fn version(answer: &Answer, base_url: &str, dialect: Dialect) -> Result<String, ClientError> {
    let root: Value = answer.json()?;
    let text = |field: &str| root.get(field).and_then(Value::as_str);
    // Every version links its collections.
    let (Some(version), Some(_), Some(_)) = (text("version"), text("routers"), text("bridges")) else {
        return Err(answer.unexpected("the root of a MidoNet API, with its version and its collections"));
    };
    let version = beginning(version, 40);
    // 1.x and 5.x have each other's media types for nothing that midoform calls, and no other version is known.
    match major(&version) == Some(dialect.into()) {
        true => Ok(version),
        false => Err(ClientError::WrongVersion {
            url: base_url.to_owned(),
            server: version,
            dialect: dialect.into(),
        }),
    }
}

/// Returns the first number of a version.
fn major(version: &str) -> Option<u8> {
    version.trim_start_matches(['v', 'V']).split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn a_version_begins_with_a_number() {
        for (version, number) in [
            ("v1.7", Some(1)),
            ("v5.0", Some(5)),
            ("V5.8", Some(5)),
            ("5", Some(5)),
            ("v2.0", Some(2)),
            ("2015.06", None),
            ("", None),
            ("latest", None),
        ] {
            assert_eq!(major(version), number, "{version}");
        }
    }
}
