//! HTTP as all clients of this crate use it: no redirect is followed, no proxy is used, and a body has a limit.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use midoform_compiler::error_chain;
use midoform_compiler::plan::Method;
use midoform_compiler::printable::{beginning, printable};
use midoform_store::certificates;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::{Certificate, Response};

use crate::client_error::{ClientError, Unexpected};
use crate::retry::Outcome;

/// The limit in bytes of a list: 190,000 ports of 700 bytes.
pub const LARGEST_LIST: usize = 128 << 20;

/// The limit in bytes of one object.
pub const LARGEST_OBJECT: usize = 1 << 20;

/// The limit in bytes of the response to a call that failed. What follows is not read.
pub const LARGEST_ERROR: usize = 64 << 10;

/// The problem with a server whose certificate is a CA's.
const CA_AS_SERVER: &str = "the server's own certificate is marked as a CA's (`CA:TRUE`), and no server may use such a one: make one \
                            for the server without this mark (`basicConstraints = CA:FALSE`), and name it, or the CA that signs it, \
                            with `ca`";

/// The number of characters of a response in an error.
const FIRST_WORDS: usize = 120;

/// Returns a client of HTTP. Redirects are returned as responses: a token or a password goes to no other server.
///
/// # Errors
/// When the file of the CA can't be used.
pub fn client(timeout: Duration, ca: Option<&Path>, is_plain: bool) -> Result<reqwest::Client, ClientError> {
    // Another part of the process may have installed one already; both work.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(timeout).no_proxy();
    let builder = builder.redirect(reqwest::redirect::Policy::none());
    let builder = builder.user_agent(concat!("midoform/", env!("CARGO_PKG_VERSION")));
    let builder = match ca {
        // Reading the system's certificates takes longer than ten calls, so they are read only for HTTPS.
        _ if is_plain => builder.tls_certs_only([]),
        None => builder,
        Some(path) => {
            let pem = certificates::read(path).map_err(ClientError::Setup)?;
            let found = Certificate::from_pem_bundle(&pem);
            builder.tls_certs_only(found.map_err(|error| {
                ClientError::Setup(format!("{}: {}", path.display(), error_chain::in_one_line(&error)))
            })?)
        }
    };
    builder.build().map_err(|error| ClientError::Setup(error_chain::in_one_line(&error)))
}

/// Returns the outcome and the error of a call whose response did not come.
pub(crate) fn lost(method: &'static str, url: &str, error: reqwest::Error) -> (Outcome, ClientError) {
    // The message names the URL already.
    let error = error.without_url();
    let (url, cause) = (url.to_owned(), error_chain::in_one_line(&error));
    if error.is_connect() && certificates::is_of_ca(&error) {
        return (
            Outcome::Untrusted,
            ClientError::Certificate { method, url, cause: CA_AS_SERVER.to_owned() },
        );
    }
    if error.is_connect() && certificates::is_rejection(&error) {
        return (Outcome::Untrusted, ClientError::Certificate { method, url, cause });
    }
    if error.is_connect() && certificates::is_without_tls(&error) {
        let problem = "the server does not speak TLS at this port: is the URL one with `http://`?";
        return (Outcome::Untrusted, ClientError::WrongScheme { method, url, problem });
    }
    if method == Method::Get.as_str() && is_plain(&url) && is_no_http(&error) {
        let problem = "the server does not speak HTTP at this port: is the URL one with `https://`?";
        return (Outcome::Untrusted, ClientError::WrongScheme { method, url, problem });
    }
    match error.is_connect() || error.is_builder() {
        true => (Outcome::NotSent, ClientError::Unreachable { method, url, cause, tries: 1 }),
        false => (Outcome::AnswerLost, ClientError::AnswerLost { method, url, cause }),
    }
}

/// Returns true if the response is no HTTP.
fn is_no_http(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns true for a URL of HTTP without TLS.
pub(crate) fn is_plain(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"))
}

/// Returns the text of a header.
pub(crate) fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// A response that was read, before it is judged.
pub struct Read {
    /// The status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<String>,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The body, or its beginning if it is longer than the limit.
    pub body: Vec<u8>,
    /// True if the body is longer than the limit.
    pub is_cut: bool,
    pub(crate) encoding: Option<String>,
}

/// Reads a response. `limit` is for a response of success; a body that is longer is not read to its end.
///
/// # Errors
/// When the connection ends before the body.
pub async fn read(mut response: Response, limit: usize) -> Result<Read, reqwest::Error> {
    let status = response.status().as_u16();
    let limit = if (200..300).contains(&status) { limit } else { LARGEST_ERROR };
    let headers = response.headers();
    let (location, content_type) = (header(headers, LOCATION), header(headers, CONTENT_TYPE));
    let encoding = header(headers, CONTENT_ENCODING).filter(|name| !name.eq_ignore_ascii_case("identity"));
    let mut read = Read { status, location, content_type, body: Vec::new(), is_cut: false, encoding };
    while let Some(part) = response.chunk().await? {
        let room = limit - read.body.len();
        if let Some(fitting) = part.get(..room) {
            read.body.extend_from_slice(fitting);
            read.is_cut |= part.len() > room;
        } else {
            read.body.extend_from_slice(&part);
        }
        if read.is_cut {
            break;
        }
    }
    Ok(read)
}

impl Read {
    /// Returns the media type without its parameters, in small letters.
    pub fn media_type(&self) -> Option<String> {
        let media_type = self.content_type.as_deref()?.split(';').next()?;
        Some(media_type.trim().to_ascii_lowercase())
    }

    /// Returns true if the body is said to be JSON.
    pub fn is_json(&self) -> bool {
        self.media_type().is_some_and(|name| name == "application/json" || name.ends_with("+json"))
    }

    /// Returns the body as text, or what is wrong with it.
    ///
    /// # Errors
    /// When the body is too large, compressed, or no UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        if self.is_cut {
            return Err(format!("a body of at most {} bytes", self.body.len()));
        }
        if let Some(encoding) = &self.encoding {
            return Err(format!("a body without the encoding `{}`", printable(encoding)));
        }
        match std::str::from_utf8(&self.body) {
            Ok(text) if !text.starts_with('\u{feff}') => Ok(text),
            Ok(_) => Err("a body without a byte order mark".to_owned()),
            Err(_) => Err("text in UTF-8".to_owned()),
        }
    }

    /// Returns the error for a response that is none of this server's kind; `expected` is what it should be.
    pub fn unexpected(&self, method: &'static str, url: &str, expected: &str) -> ClientError {
        if (300..400).contains(&self.status)
            && let Some(location) = &self.location
        {
            let (url, to) = (url.to_owned(), without_login(location));
            return ClientError::Redirect { method, url, status: self.status, to };
        }
        let words = first_words(&String::from_utf8_lossy(&self.body));
        let content_type = content_type(self.content_type.as_deref());
        let response = Box::new(Unexpected { content_type, words, expected: expected.to_owned() });
        ClientError::Unexpected { method, url: url.to_owned(), status: self.status, response }
    }
}

/// Returns a printable content type, or says that there is none.
pub(crate) fn content_type(name: Option<&str>) -> String {
    name.map_or_else(|| "no content type".to_owned(), |name| beginning(name, 100))
}

/// Returns the printable first words of a body, or says that it is empty.
pub(crate) fn first_words(body: &str) -> String {
    match body.is_empty() {
        true => "no body".to_owned(),
        false => format!("`{}`", beginning(body, FIRST_WORDS)),
    }
}

/// Returns the printable URL of a redirect, without a login that may stand in it.
fn without_login(url: &str) -> String {
    let shown = beginning(url, 300);
    let Some((scheme, rest)) = shown.split_once("://") else { return shown };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|host| host.rfind('@')) {
        Some(at) => format!("{scheme}://{}", rest.get(at + 1..).unwrap_or_default()),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_a_redirect_is_not_shown() {
        assert_eq!(without_login("http://me:hunter2@h/x@y"), "http://h/x@y");
        assert_eq!(without_login("http://h/x@y"), "http://h/x@y");
        assert_eq!(without_login("/login\u{1b}"), "/login\\u{1b}");
    }
}
