//! The HTTP client: one base URL, one token, keep-alive connections, errors that say which call it was.

use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::plan::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use serde::Deserialize;

use crate::retry::{Outcome, wait_before_retry};

/// How a client proves who it is.
#[derive(Clone, Default)]
pub enum Credentials {
    /// It doesn't: the server asks for nothing.
    #[default]
    None,
    /// With a token.
    Token(String),
    /// With a name and a password, which `POST /login` turns into a token.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: String,
        /// The project, where the server wants one.
        project: Option<String>,
    },
}

/// What may be set about a client.
#[derive(Clone)]
pub struct Settings {
    /// The API's base URL, such as `http://127.0.0.1:8181/midonet-api`.
    pub base_url: String,
    /// Who it is.
    pub credentials: Credentials,
    /// How long one call may take.
    pub timeout: Duration,
}

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
    /// The status that the server answered with, if it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } | ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// The body, as text.
    pub body: String,
}

/// A client of one MidoNet API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Arc<str>,
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

impl Client {
    /// Sets a client up, and logs in where there is a password.
    ///
    /// # Errors
    /// When the server can't be reached or refuses the login.
    pub async fn connect(settings: Settings) -> Result<Client, ClientError> {
        // Another part of the process may have installed one already; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base_url: Arc<str> = settings.base_url.trim_end_matches('/').into();
        let build = |headers: HeaderMap| {
            let builder = reqwest::Client::builder().default_headers(headers).timeout(settings.timeout);
            let builder = builder.no_proxy().user_agent(concat!("midoform/", env!("CARGO_PKG_VERSION")));
            builder.build().map_err(|error| ClientError::Setup(causes(&error)))
        };
        let token = match &settings.credentials {
            Credentials::None => None,
            Credentials::Token(token) => Some(token.clone()),
            Credentials::Password { username, password, project } => {
                let client = Client { http: build(HeaderMap::new())?, base_url: base_url.clone() };
                Some(client.login(username, password, project.as_deref()).await?)
            }
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::from_str(&token).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            let value = value.map_err(|_| {
                ClientError::Setup("the token has characters that no header may have".to_owned())
            })?;
            headers.insert(HeaderName::from_static("x-auth-token"), value);
        }
        Ok(Client { http: build(headers)?, base_url })
    }

    /// The API's base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    async fn login(
        &self,
        username: &str,
        password: &str,
        project: Option<&str>,
    ) -> Result<String, ClientError> {
        let url = format!("{}/login", self.base_url);
        let mut request = self.http.post(&url).basic_auth(username, Some(password));
        if let Some(project) = project {
            request = request.header("X-Auth-Project", project);
        }
        let answer = answer_of("POST", &url, request).await.map_err(|(_, error)| error)?;
        let answer = check("POST", &url, answer)?;
        let key = serde_json::from_str::<serde_json::Value>(&answer.body).ok();
        let key = key.and_then(|body| body.get("key")?.as_str().map(str::to_owned));
        key.ok_or_else(|| ClientError::Nonsense {
            method: "POST",
            url,
            cause: "a token without `key`".to_owned(),
        })
    }

    /// Reads a path as this media type.
    ///
    /// # Errors
    /// Whatever status is not 2xx, and a server that can't be reached.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Answer, ClientError> {
        self.call(Method::Get, path, None, Some(accept), None).await
    }

    /// Makes one call, repeating it as [`wait_before_retry`] says. A DELETE of what is gone already is done.
    ///
    /// # Errors
    /// Whatever status is not 2xx, and a server that can't be reached.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        accept: Option<&str>,
        body: Option<String>,
    ) -> Result<Answer, ClientError> {
        let url = format!("{}{path}", self.base_url);
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.request(method, &url, content_type, accept, body.clone());
            let (outcome, error) = match answer_of(method.as_str(), &url, request).await {
                Ok(answer) if method == Method::Delete && answer.status == 404 => return Ok(answer),
                Ok(answer) => match check(method.as_str(), &url, answer) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => (Outcome::Status(error.status().unwrap_or(0)), error),
                },
                Err((outcome, error)) => (outcome, error),
            };
            let Some(wait) = wait_before_retry(method, outcome, tries) else {
                return Err(counted(error, tries));
            };
            tracing::debug!(%url, tries, "trying again in {wait:?}");
            tokio::time::sleep(wait).await;
        }
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        content_type: Option<&str>,
        accept: Option<&str>,
        body: Option<String>,
    ) -> reqwest::RequestBuilder {
        let mut request = match method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
            Method::Put => self.http.put(url),
            Method::Delete => self.http.delete(url),
        };
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        match body {
            Some(body) => request.body(body),
            None => request,
        }
    }
}

fn counted(error: ClientError, made: u32) -> ClientError {
    match error {
        ClientError::Unreachable { method, url, cause, .. } => {
            ClientError::Unreachable { method, url, cause, tries: made }
        }
        other => other,
    }
}

/// An error and what it stands on, in one line.
fn causes(error: &dyn std::error::Error) -> String {
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

async fn answer_of(
    method: &'static str,
    url: &str,
    request: reqwest::RequestBuilder,
) -> Result<Answer, (Outcome, ClientError)> {
    let lost = |error: reqwest::Error| {
        // The URL is in our own words already.
        let error = error.without_url();
        let (url, cause) = (url.to_owned(), causes(&error));
        match error.is_connect() || error.is_builder() {
            true => (Outcome::NotSent, ClientError::Unreachable { method, url, cause, tries: 1 }),
            false => (Outcome::AnswerLost, ClientError::AnswerLost { method, url, cause }),
        }
    };
    let response = request.send().await.map_err(lost)?;
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.text().await.map_err(lost)?;
    Ok(Answer { status, location, body })
}

fn check(method: &'static str, url: &str, answer: Answer) -> Result<Answer, ClientError> {
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
