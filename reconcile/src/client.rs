//! The HTTP client: one base URL, one token, keep-alive connections, errors that name the call.
//!
//! The server has to prove that it is a MidoNet API: the client reads the root before its first read, change or
//! deletion, and before it believes that something is not there. A POST needs no such proof, as only its own response
//! counts: 201 with the `Location` of the object.

mod response;
mod root;
mod statistics;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use midoform_compiler::midonet::dialect::{Confirmation, Created, Dialect};
use midoform_compiler::plan::Method;
use midoform_store::locks::Tenure;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use tokio::sync::OnceCell;

pub use response::Answer;
use response::{Expected, ROOT, check};
pub use statistics::{Counts, Statistics};

use crate::client_error::counted;
pub use crate::client_error::{ClientError, Unexpected, listed};
use crate::http;
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
    /// The dialect of the calls. A server of another version is refused.
    pub dialect: Dialect,
    /// The file of the CAs that sign the server's certificate, as PEM; none: those of the system.
    pub ca: Option<PathBuf>,
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
    /// For a POST: the object that its response has to name.
    pub created: Option<Created>,
}

/// The success of a call.
#[derive(Debug)]
pub enum Done {
    /// The server responded.
    Answered(Answer),
    /// The response was lost, but the object exists.
    Confirmed,
}

/// A client of one MidoNet API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Arc<str>,
    dialect: Dialect,
    /// The version of the server, once its root was read.
    version: Arc<OnceCell<String>>,
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
    /// Sets a client up, reads the API's root, and logs in where there is a password.
    ///
    /// # Errors
    /// When the server can't be reached, is no MidoNet API of the dialect's version, or refuses the login.
    pub async fn connect(settings: Settings) -> Result<Client, ClientError> {
        let client = Client::resume(settings, None)?;
        client.version().await?;
        client.renew(0).await?;
        Ok(client)
    }

    /// Sets a client up with the token of an earlier run. It logs in when the server no longer accepts that token.
    ///
    /// # Errors
    /// When the client can't be set up. No call is made.
    pub fn resume(settings: Settings, token: Option<&str>) -> Result<Client, ClientError> {
        let base_url: Arc<str> = settings.base_url.trim_end_matches('/').into();
        let http = http::client(settings.timeout, settings.ca.as_deref(), http::is_plain(&base_url))?;
        let value = match (&settings.credentials, token) {
            (Credentials::Token(token), _) => Some(header_of(token)?),
            (Credentials::Password { .. } | Credentials::Keystone(_), Some(token)) => Some(header_of(token)?),
            (Credentials::None | Credentials::Password { .. } | Credentials::Keystone(_), _) => None,
        };
        let token = RwLock::new(Token { value, number: 0 });
        let session =
            Session { credentials: settings.credentials, token, renewing: tokio::sync::Mutex::default() };
        let (session, dialect) = (Arc::new(session), settings.dialect);
        let (version, statistics) = (Arc::default(), Arc::default());
        let most_tries = retry::MOST_TRIES;
        Ok(Client { http, base_url, dialect, version, session, statistics, most_tries, tenure: None })
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

    /// Returns the dialect of the calls.
    pub fn dialect(&self) -> Dialect {
        self.dialect
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
        let project = project.map(|project| HeaderValue::from_bytes(project.as_bytes())).transpose();
        let project = project.map_err(|_| {
            ClientError::Setup("the project has characters that no header may have".to_owned())
        })?;
        // Logging in twice makes a second token, which does no harm: the call is repeated like a GET.
        let expected = Expected::Document("application/vnd.org.midonet.Token-v1+json");
        let answer = self
            .repeat(Method::Post, &url, expected, || {
                let request = self.http.post(&url).basic_auth(username, Some(password));
                match &project {
                    Some(project) => request.header("X-Auth-Project", project),
                    None => request,
                }
            })
            .await
            .map_err(without_words)?;
        let body: serde_json::Value = answer.json().map_err(without_words)?;
        let key = body.get("key").and_then(serde_json::Value::as_str);
        // The answer may hold a secret, so its words are not shown.
        let without_key = || ClientError::Setup(format!("{url}: the server returned a token without `key`"));
        key.map(str::to_owned).ok_or_else(without_key)
    }

    /// Returns the version of the server, such as `v5.0`. The first time, the API's root is read.
    ///
    /// # Errors
    /// When the server can't be reached, or is no MidoNet API of the dialect's version.
    pub async fn version(&self) -> Result<&str, ClientError> {
        let read = || async {
            let request = Request { path: "/", accept: Some(ROOT), ..Request::default() };
            match self.exchange(Method::Get, &request).await? {
                Done::Answered(answer) => root::version(&answer, &self.base_url, self.dialect),
                Done::Confirmed => Err(ClientError::Setup("a read has nothing to confirm".to_owned())),
            }
        };
        self.version.get_or_try_init(read).await.map(String::as_str)
    }

    /// Returns the time of day on the server, in seconds; none if the server does not tell it.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn time(&self) -> Result<Option<SystemTime>, ClientError> {
        root::time(&self.http, &self.base_url).await
    }

    /// Makes a call that may be made twice, and retries it like a GET.
    async fn repeat(
        &self,
        method: Method,
        url: &str,
        expected: Expected<'_>,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Answer, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match self.attempt(method, url, request(), expected).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match retry::next(Method::Get, failed.outcome, tries, failed.retry_after, fastrand::f64()) {
                Decision::Again(wait) | Decision::LookFirst(wait) if tries < self.most_tries => {
                    self.statistics.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(counted(failed.error, tries)),
            }
        }
    }

    /// Reads a path as this media type: a list if it is one of a collection, otherwise an object.
    ///
    /// # Errors
    /// When the server can't be reached, or its response is another one. A status of 404 is MidoNet's own.
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
    /// When the server can't be reached, or the response is not that of an executed call.
    /// [`ClientError::is_uncertain`] tells whether a POST may have been executed nevertheless.
    pub async fn call(&self, method: Method, request: Request<'_>) -> Result<Done, ClientError> {
        if method != Method::Post {
            self.version().await?;
        }
        match self.exchange(method, &request).await {
            Err(error) => Err(self.explained(error, &request).await),
            done => done,
        }
    }

    /// Makes one call with its retries, without a look at the root.
    async fn exchange(&self, method: Method, request: &Request<'_>) -> Result<Done, ClientError> {
        let url = format!("{}{}", self.base_url, request.path);
        let expected = match method {
            Method::Get => Expected::Document(request.accept.unwrap_or(ROOT)),
            Method::Post => Expected::Created(request.created.as_ref()),
            Method::Put => Expected::Done,
            Method::Delete => Expected::Gone,
        };
        let (mut tries, mut renewed, mut uncertain) = (0, false, false);
        loop {
            tries += 1;
            if tries > 1 {
                self.statistics.retries.fetch_add(1, Ordering::Relaxed);
            }
            let token = self.token();
            let sent = self.request(method, &url, request, &token);
            let failed = match self.attempt(method, &url, sent, expected).await {
                Ok(answer) => return Ok(Done::Answered(answer)),
                Err(failed) => failed,
            };
            let decision = match failed.outcome {
                Outcome::Status(401) if !renewed && self.renew(token.number).await? => {
                    // The first login is no renewal.
                    renewed = token.value.is_some();
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

    /// Returns the final error of a call. If the server does not know a media type, the error names the server's
    /// version. That something is not there is only believed of a MidoNet API.
    async fn explained(&self, error: ClientError, request: &Request<'_>) -> ClientError {
        let ClientError::Status { method, url, status: status @ (404 | 406 | 415), message } = error else {
            return error;
        };
        let version = match self.version().await {
            Ok(version) => version,
            Err(error) => return error,
        };
        let message = match status {
            404 => message,
            _ => {
                let media_type = request.content_type.or(request.accept).unwrap_or("this media type");
                let dialect = self.dialect;
                format!(
                    "the server is MidoNet {version}, and does not know {media_type}: does `[midonet] version = \
                     {dialect}` fit it? {message}"
                )
            }
        };
        ClientError::Status { method, url, status, message }
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
        expected: Expected<'_>,
    ) -> Result<Answer, Failed> {
        if self.tenure.as_ref().is_some_and(|tenure| !tenure.is_current()) {
            let error = ClientError::LockLost { method: method.as_str(), url: url.to_owned() };
            return Err(Failed { outcome: Outcome::LockLost, error, retry_after: None });
        }
        self.statistics.calls.fetch_add(1, Ordering::Relaxed);
        let lost = |error: reqwest::Error| {
            let (outcome, error) = http::lost(method.as_str(), url, error);
            Failed { outcome, error, retry_after: None }
        };
        let response = request.send().await.map_err(lost)?;
        let retry_after = http::header(response.headers(), RETRY_AFTER);
        let read = http::read(response, expected.limit()).await.map_err(lost)?;
        let status = read.status;
        if matches!(status, 429 | 503) {
            self.statistics.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        check(method, url, expected, read).map_err(|error| Failed {
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

/// Returns the error of a login without the words of the response: they may hold a token.
fn without_words(error: ClientError) -> ClientError {
    match error {
        ClientError::Unexpected { method, url, status, response } => {
            let words = "(the body of a login is not shown)".to_owned();
            let response = Box::new(Unexpected { words, ..*response });
            ClientError::Unexpected { method, url, status, response }
        }
        other => other,
    }
}

/// Returns a token as a header that logs don't show.
fn header_of(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(token)
        .map_err(|_| ClientError::Setup("the token has characters that no header may have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
