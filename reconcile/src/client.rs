//! The HTTP client: one base URL, one token, keep-alive connections, errors that name the call.

mod response;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use midoform_compiler::error_chain;
use midoform_compiler::midonet::dialect::Confirmation;
use midoform_compiler::plan::Method;
use midoform_store::locks::Tenure;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};

pub use response::Answer;
use response::check;

pub use crate::client_error::ClientError;
use crate::client_error::counted;
use crate::keystone::{Keystone, Secret};
use crate::retry;
use crate::retry::{Decision, Outcome};

/// The credentials of a client.
#[derive(Clone, Default)]
pub enum Credentials {
    /// None: the server needs no login.
    #[default]
    None,
    /// A token.
    Token(String),
    /// A name and a password for `POST /login`, which returns a token.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: String,
        /// The project, if the server needs one.
        project: Option<String>,
    },
    /// A token of Keystone, which MidoNet validates there.
    Keystone(Arc<Keystone>),
}

/// The settings of a client.
#[derive(Clone)]
pub struct Settings {
    /// The API's base URL, such as `http://127.0.0.1:8181/midonet-api`.
    pub base_url: String,
    /// The credentials.
    pub credentials: Credentials,
    /// The time limit of a call.
    pub timeout: Duration,
}

/// One call.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The path below the base URL.
    pub path: &'a str,
    /// The media type of the body.
    pub content_type: Option<&'a str>,
    /// The media type that is accepted.
    pub accept: Option<&'a str>,
    /// The body.
    pub body: Option<String>,
    /// For a POST: the way to see whether it was executed, if its response is lost.
    pub confirmation: Option<Confirmation>,
}

/// The success of a call.
#[derive(Debug)]
pub enum Done {
    /// The server responded.
    Answered(Answer),
    /// The response was lost, but the object exists.
    Confirmed,
}

/// The number of a client's calls, by kind.
#[derive(Debug, Default)]
pub struct Statistics {
    calls: AtomicU64,
    retries: AtomicU64,
    turned_away: AtomicU64,
    confirmed: AtomicU64,
}

/// [`Statistics`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Calls that were sent, or attempted.
    pub calls: u64,
    /// Calls that were retries.
    pub retries: u64,
    /// Calls that the server turned away because it was busy (429, 503).
    pub turned_away: u64,
    /// POSTs whose response was lost, and that were executed.
    pub confirmed: u64,
}

impl Statistics {
    /// Returns the counts.
    pub fn counts(&self) -> Counts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts {
            calls: read(&self.calls),
            retries: read(&self.retries),
            turned_away: read(&self.turned_away),
            confirmed: read(&self.confirmed),
        }
    }
}

/// A client of one MidoNet API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Arc<str>,
    session: Arc<Session>,
    statistics: Arc<Statistics>,
    most_tries: u32,
    /// The lock that every call needs; none: no call needs one.
    tenure: Option<Tenure>,
}

/// The credentials of a client, and its token for all calls.
struct Session {
    credentials: Credentials,
    token: RwLock<Token>,
    /// Held while a new token is fetched, so that one call fetches it for all; with Keystone's that is used now.
    renewing: tokio::sync::Mutex<Option<Secret>>,
}

/// A token, and its number among all tokens of the client.
#[derive(Clone, Default)]
struct Token {
    value: Option<HeaderValue>,
    number: u64,
}

impl Client {
    /// Sets a client up, and logs in where there is a password.
    ///
    /// # Errors
    /// When the server can't be reached or refuses the login.
    pub async fn connect(settings: Settings) -> Result<Client, ClientError> {
        let client = Client::resume(settings, None)?;
        client.renew(0).await?;
        Ok(client)
    }

    /// Sets a client up with the token of an earlier run. It logs in when the server no longer accepts that token.
    ///
    /// # Errors
    /// When the client can't be set up. No call is made.
    pub fn resume(settings: Settings, token: Option<&str>) -> Result<Client, ClientError> {
        // Another part of the process may have installed one already; both work.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base_url: Arc<str> = settings.base_url.trim_end_matches('/').into();
        let builder = reqwest::Client::builder().timeout(settings.timeout).no_proxy();
        let builder = builder.user_agent(concat!("midoform/", env!("CARGO_PKG_VERSION")));
        // Reading the system's certificates takes longer than ten calls, so they are read only for HTTPS.
        let is_plain =
            base_url.starts_with("http:") && !matches!(settings.credentials, Credentials::Keystone(_));
        let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
        let http = builder.build().map_err(|error| ClientError::Setup(error_chain::in_one_line(&error)))?;
        let value = match (&settings.credentials, token) {
            (Credentials::Token(token), _) => Some(header_of(token)?),
            (Credentials::Password { .. } | Credentials::Keystone(_), Some(token)) => Some(header_of(token)?),
            (Credentials::None | Credentials::Password { .. } | Credentials::Keystone(_), _) => None,
        };
        let token = RwLock::new(Token { value, number: 0 });
        let session =
            Session { credentials: settings.credentials, token, renewing: tokio::sync::Mutex::default() };
        let (session, statistics) = (Arc::new(session), Arc::default());
        let most_tries = retry::MOST_TRIES;
        Ok(Client { http, base_url, session, statistics, most_tries, tenure: None })
    }

    /// Returns the client with this number of attempts for each call.
    #[must_use]
    pub fn with_most_tries(self, most_tries: u32) -> Client {
        Client { most_tries: most_tries.min(retry::MOST_TRIES), ..self }
    }

    /// Returns the client with the lock that its calls need: once the lock is lost, no call is sent, and no call is sent
    /// again.
    #[must_use]
    pub fn under(&self, tenure: Tenure) -> Client {
        Client { tenure: Some(tenure), ..self.clone() }
    }

    /// Returns the current token, for [`Client::resume`].
    pub fn token_text(&self) -> Option<String> {
        self.token().value.and_then(|value| value.to_str().ok().map(str::to_owned))
    }

    /// Returns the API's base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the statistics of its calls.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn token(&self) -> Token {
        self.session.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs in again, unless another call did so since the token with this number. Returns true if there is a new
    /// token.
    async fn renew(&self, seen: u64) -> Result<bool, ClientError> {
        if matches!(self.session.credentials, Credentials::None | Credentials::Token(_)) {
            return Ok(false);
        }
        let mut from_keystone = self.session.renewing.lock().await;
        if self.token().number > seen {
            return Ok(true);
        }
        let value = match &self.session.credentials {
            Credentials::None | Credentials::Token(_) => return Ok(false),
            Credentials::Password { username, password, project } => {
                header_of(&self.login(username, password, project.as_deref()).await?)?
            }
            Credentials::Keystone(keystone) => {
                let token = match from_keystone.as_ref() {
                    None => keystone.token().await?,
                    Some(ended) => keystone.renew(Some(ended)).await?,
                };
                from_keystone.insert(token).header()?
            }
        };
        *self.session.token.write().unwrap_or_else(PoisonError::into_inner) =
            Token { value: Some(value), number: seen + 1 };
        Ok(true)
    }

    async fn login(
        &self,
        username: &str,
        password: &str,
        project: Option<&str>,
    ) -> Result<String, ClientError> {
        let url = format!("{}/login", self.base_url);
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            let mut request = self.http.post(&url).basic_auth(username, Some(password));
            if let Some(project) = project {
                request = request.header("X-Auth-Project", project);
            }
            // Logging in twice makes a second token, which does no harm: the call is repeated like a GET.
            match self.attempt(Method::Post, &url, request).await {
                Ok(answer) => break answer,
                Err(failed) => {
                    match retry::next(Method::Get, failed.outcome, tries, failed.retry_after, fastrand::f64())
                    {
                        Decision::Again(wait) | Decision::LookFirst(wait) if tries < self.most_tries => {
                            tokio::time::sleep(wait).await;
                        }
                        _ => return Err(counted(failed.error, tries)),
                    }
                }
            }
        };
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
    /// When the status is not 2xx, or the server can't be reached.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Answer, ClientError> {
        let request = Request { path, accept: Some(accept), ..Request::default() };
        match self.call(Method::Get, request).await? {
            Done::Answered(answer) => Ok(answer),
            Done::Confirmed => Err(ClientError::Setup("a read has nothing to confirm".to_owned())),
        }
    }

    /// Makes one call, and retries it as [`retry::next`] decides. A DELETE of an object that does not exist succeeds. A
    /// POST whose reply was lost succeeds if its object exists. A token that has ended is renewed once.
    ///
    /// # Errors
    /// When the status is not 2xx, or the server can't be reached. [`ClientError::is_uncertain`] tells whether a POST
    /// may have been executed nevertheless.
    pub async fn call(&self, method: Method, request: Request<'_>) -> Result<Done, ClientError> {
        let url = format!("{}{}", self.base_url, request.path);
        let (mut tries, mut renewed, mut uncertain) = (0, false, false);
        loop {
            tries += 1;
            if tries > 1 {
                self.statistics.retries.fetch_add(1, Ordering::Relaxed);
            }
            let token = self.token();
            let failed = match self.attempt(method, &url, self.request(method, &url, &request, &token)).await
            {
                Ok(answer) => return Ok(Done::Answered(answer)),
                Err(failed) => failed,
            };
            let decision = match failed.outcome {
                Outcome::Status(404) if method == Method::Delete => {
                    return Ok(Done::Answered(Answer { status: 404, location: None, body: String::new() }));
                }
                Outcome::Status(401) if !renewed && self.renew(token.number).await? => {
                    renewed = true;
                    continue;
                }
                // The object of the lost call exists now.
                Outcome::Status(400 | 409) if uncertain => Decision::LookFirst(Duration::ZERO),
                _ if tries >= self.most_tries => Decision::GiveUp,
                outcome => retry::next(method, outcome, tries, failed.retry_after, fastrand::f64()),
            };
            let wait = match decision {
                Decision::GiveUp => return Err(counted(failed.error, tries)),
                Decision::Again(wait) | Decision::LookFirst(wait) => wait,
            };
            tracing::debug!(%url, tries, "trying again in {wait:?}");
            tokio::time::sleep(wait).await;
            if matches!(decision, Decision::LookFirst(_)) {
                uncertain = true;
                let Some(confirmation) = &request.confirmation else { return Err(failed.error) };
                if self.is_there(confirmation).await? {
                    self.statistics.confirmed.fetch_add(1, Ordering::Relaxed);
                    return Ok(Done::Confirmed);
                }
                if matches!(failed.outcome, Outcome::Status(400 | 409)) {
                    return Err(failed.error);
                }
            }
        }
    }

    async fn is_there(&self, confirmation: &Confirmation) -> Result<bool, ClientError> {
        match Box::pin(self.get(&confirmation.path, &confirmation.accept)).await {
            Ok(answer) => Ok(confirmation.is_met_by(&answer.body)),
            Err(ClientError::Status { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        request: &Request<'_>,
        token: &Token,
    ) -> reqwest::RequestBuilder {
        let mut built = match method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
            Method::Put => self.http.put(url),
            Method::Delete => self.http.delete(url),
        };
        if let Some(token) = &token.value {
            built = built.header("x-auth-token", token.clone());
        }
        if let Some(content_type) = request.content_type {
            built = built.header(CONTENT_TYPE, content_type);
        }
        if let Some(accept) = request.accept {
            built = built.header(ACCEPT, accept);
        }
        match &request.body {
            Some(body) => built.body(body.clone()),
            None => built,
        }
    }

    /// Sends the call once, if the lock that it needs is held.
    async fn attempt(
        &self,
        method: Method,
        url: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, Failed> {
        let method = method.as_str();
        if self.tenure.as_ref().is_some_and(|tenure| !tenure.is_current()) {
            let error = ClientError::LockLost { method, url: url.to_owned() };
            return Err(Failed { outcome: Outcome::LockLost, error, retry_after: None });
        }
        self.statistics.calls.fetch_add(1, Ordering::Relaxed);
        let lost = |error: reqwest::Error| {
            // The message names the URL already.
            let error = error.without_url();
            let (url, cause) = (url.to_owned(), error_chain::in_one_line(&error));
            let (outcome, error) = match error.is_connect() || error.is_builder() {
                true => (Outcome::NotSent, ClientError::Unreachable { method, url, cause, tries: 1 }),
                false => (Outcome::AnswerLost, ClientError::AnswerLost { method, url, cause }),
            };
            Failed { outcome, error, retry_after: None }
        };
        let response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, retry_after) = (header(LOCATION), header(RETRY_AFTER));
        let body = response.text().await.map_err(lost)?;
        if matches!(status, 429 | 503) {
            self.statistics.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        check(method, url, Answer { status, location, body }).map_err(|error| Failed {
            outcome: Outcome::Status(status),
            error,
            retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs),
        })
    }
}

/// An attempt that did not succeed.
struct Failed {
    outcome: Outcome,
    error: ClientError,
    retry_after: Option<Duration>,
}

/// Returns a token as a header that logs don't show.
fn header_of(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(token)
        .map_err(|_| ClientError::Setup("the token has characters that no header may have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
