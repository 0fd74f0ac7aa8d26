//! A client of Keystone's Identity API, v2.0 and v3: it logs in, and finds, makes and deletes projects.
//!
//! A tenant of one version is a project of the other: its id is MidoNet's `tenantId`. No secret is in
//! any of its errors, even if a server repeats it.

mod login;
mod v2;
mod v3;

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use midoform_compiler::plan::Method;
use midoform_compiler::printable::beginning;
use midoform_compiler::spec::url::base_url;
use midoform_store::locks::Tenure;
use serde_json::Value as Json;

use crate::client_error::{ClientError, counted};
use crate::http;
use crate::retry;
use crate::retry::{Decision, Outcome};

pub use login::{Login, Named, Secret};

/// The versions of the Identity API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityVersion {
    /// v2.0.
    V2,
    /// v3.
    V3,
}

/// The settings of a client of Keystone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keystone's URL, without a version in its path.
    pub url: String,
    /// The version of the Identity API.
    pub version: IdentityVersion,
    /// The login.
    pub login: Login,
    /// The domain of the projects, by name: v3 alone. `Default` where absent.
    pub domain: Option<String>,
    /// The time limit of a call.
    pub timeout: Duration,
    /// The file of the CAs that sign Keystone's certificate, as PEM; none: those of the system.
    pub ca: Option<PathBuf>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The project's id.
    pub id: String,
    /// The project's name.
    pub name: String,
    /// True if it may be used.
    pub enabled: bool,
}

/// A client of one Keystone.
#[derive(Debug)]
pub struct Keystone {
    settings: Settings,
    http: reqwest::Client,
    token: RwLock<Option<Secret>>,
    /// Held while a token is fetched, so that one call fetches it for all.
    renewing: tokio::sync::Mutex<()>,
    /// The domain's id, once it is known.
    domain: tokio::sync::OnceCell<String>,
    /// The lock that every call needs; none: no call needs one.
    tenure: Option<Tenure>,
}

/// One call, as both versions make it.
struct Call<'a> {
    method: Method,
    path: String,
    query: Vec<(&'static str, &'a str)>,
    body: Option<Json>,
}

/// A response.
struct Answer {
    subject: Option<Secret>,
    body: Json,
}

impl<'a> Call<'a> {
    fn get(path: impl Into<String>, query: Vec<(&'static str, &'a str)>) -> Self {
        Call { method: Method::Get, path: path.into(), query, body: None }
    }

    fn post(path: &str, body: Json) -> Self {
        Call { method: Method::Post, path: path.to_owned(), query: Vec::new(), body: Some(body) }
    }

    fn delete(path: String) -> Self {
        Call { method: Method::Delete, path, query: Vec::new(), body: None }
    }
}

impl Keystone {
    /// Sets a client up. Nothing is sent before the first call.
    ///
    /// # Errors
    /// When the URL is invalid, or contains a login.
    pub fn new(settings: Settings) -> Result<Keystone, ClientError> {
        let url = base_of(&settings.url)?;
        let http = http::client(settings.timeout, settings.ca.as_deref(), http::is_plain(&url))?;
        let token = RwLock::new(settings.login.token().cloned());
        let settings = Settings { url, ..settings };
        let (renewing, domain) = (tokio::sync::Mutex::default(), tokio::sync::OnceCell::new());
        Ok(Keystone { settings, http, token, renewing, domain, tenure: None })
    }

    /// Returns the client with the lock that its calls need: once the lock is lost, no call is sent.
    #[must_use]
    pub fn under(self, tenure: Tenure) -> Keystone {
        Keystone { tenure: Some(tenure), ..self }
    }

    /// Returns Keystone's URL.
    pub fn url(&self) -> &str {
        &self.settings.url
    }

    /// Returns a token: the current one, or a new one.
    ///
    /// # Errors
    /// When the login is refused, or Keystone can't be reached.
    pub async fn token(&self) -> Result<Secret, ClientError> {
        match self.known_token() {
            Some(token) => Ok(token),
            None => self.renew(None).await,
        }
    }

    /// Returns a token that replaces this one, which has ended. If the login is a token, there is no other.
    ///
    /// # Errors
    /// When the login is refused, or Keystone can't be reached.
    pub async fn renew(&self, ended: Option<&Secret>) -> Result<Secret, ClientError> {
        if let Some(token) = self.settings.login.token() {
            return Ok(token.clone());
        }
        let _renewing = self.renewing.lock().await;
        if let Some(token) = self.known_token().filter(|token| Some(token) != ended) {
            return Ok(token);
        }
        let call = match self.settings.version {
            IdentityVersion::V2 => v2::login(&self.settings.login)?,
            IdentityVersion::V3 => v3::login(&self.settings.login),
        };
        // Logging in twice makes a second token, which does no harm.
        let answer = self.send(&call, None, Method::Get).await?;
        let token = match self.settings.version {
            IdentityVersion::V2 => v2::token(&answer.body),
            IdentityVersion::V3 => answer.subject,
        };
        let token = token.ok_or_else(|| self.nonsense(&call, "a login without a token"))?;
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn known_token(&self) -> Option<Secret> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the project with this name, if there is one.
    ///
    /// # Errors
    /// When Keystone can't be reached, or refuses the call.
    pub async fn find(&self, name: &str) -> Result<Option<Project>, ClientError> {
        let (call, list) = match self.settings.version {
            IdentityVersion::V2 => (v2::find(name), "tenants"),
            IdentityVersion::V3 => (v3::find(name, self.domain().await?), "projects"),
        };
        let answer = match self.call(&call).await {
            // v2.0 returns this for a name that no project has.
            Err(ClientError::Status { status: 404, .. }) => return Ok(None),
            other => other?,
        };
        let one = answer.body.get("tenant").into_iter();
        let many = answer.body.get(list).and_then(Json::as_array).into_iter().flatten();
        let found = one.chain(many).filter_map(project_of).find(|project| project.name == name);
        match found {
            None if !["tenant", list].iter().any(|key| answer.body.get(*key).is_some()) => {
                Err(self.nonsense(&call, "no list of projects"))
            }
            Some(project) if !project.enabled => Err(ClientError::Setup(format!(
                "the Keystone project `{name}` ({}) is disabled: enable it, or give the tenant another `tenant_id`",
                project.id
            ))),
            other => Ok(other),
        }
    }

    /// Makes the project with this name. Tells whether it was made, or existed before.
    ///
    /// # Errors
    /// When Keystone can't be reached, or refuses the call.
    pub async fn find_or_make(&self, name: &str) -> Result<(Project, bool), ClientError> {
        if let Some(project) = self.find(name).await? {
            return Ok((project, false));
        }
        let call = match self.settings.version {
            IdentityVersion::V2 => v2::make(name),
            IdentityVersion::V3 => v3::make(name, self.domain().await?),
        };
        let mut lost = false;
        loop {
            let failed = match self.call(&call).await {
                Ok(answer) => {
                    let made =
                        ["tenant", "project"].iter().find_map(|key| project_of(answer.body.get(*key)?));
                    let made = made.map(|project| (project, true));
                    return made.ok_or_else(|| self.nonsense(&call, "no project in the response"));
                }
                Err(failed) => failed,
            };
            // Somebody else made it first, or the reply was lost after it was made.
            let found = self.find(name).await?.map(|project| (project, lost || failed.is_uncertain()));
            match found {
                Some(found) => return Ok(found),
                None if failed.is_uncertain() && !lost => lost = true,
                None => return Err(failed),
            }
        }
    }

    /// Deletes the project with this id. A project that does not exist is no error.
    ///
    /// # Errors
    /// When Keystone can't be reached, or refuses the call.
    pub async fn delete(&self, id: &str) -> Result<(), ClientError> {
        if id.is_empty()
            || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return Err(ClientError::Setup(format!("`{id}` is not the id of a Keystone project")));
        }
        let call = match self.settings.version {
            IdentityVersion::V2 => Call::delete(format!("/v2.0/tenants/{id}")),
            IdentityVersion::V3 => Call::delete(format!("/v3/projects/{id}")),
        };
        match self.call(&call).await {
            Ok(_) | Err(ClientError::Status { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the id of the projects' domain. The id of `Default` is `default` everywhere.
    async fn domain(&self) -> Result<&str, ClientError> {
        let look_up = || async {
            let Some(name) = &self.settings.domain else { return Ok("default".to_owned()) };
            let call = Call::get("/v3/domains", vec![("name", name)]);
            let answer = self.call(&call).await?;
            let domains = answer.body.get("domains").and_then(Json::as_array).into_iter().flatten();
            let ids = domains.filter(|domain| domain.get("name").and_then(Json::as_str) == Some(name));
            let id = ids.filter_map(|domain| domain.get("id")?.as_str()).next().map(str::to_owned);
            id.ok_or_else(|| ClientError::Setup(format!("Keystone has no domain `{name}`")))
        };
        self.domain.get_or_try_init(look_up).await.map(String::as_str)
    }

    /// Makes a call with a token. A token that has ended is renewed once.
    async fn call(&self, call: &Call<'_>) -> Result<Answer, ClientError> {
        let token = self.token().await?;
        match self.send(call, Some(&token), call.method).await {
            Err(ClientError::Refused { status: 401, .. }) if self.settings.login.token().is_none() => {
                let token = self.renew(Some(&token)).await?;
                self.send(call, Some(&token), call.method).await
            }
            other => other,
        }
    }

    /// Sends a call, and retries it as [`retry::next`] decides for the method `like`. A POST that may have been
    /// executed is not repeated here.
    async fn send(
        &self,
        call: &Call<'_>,
        token: Option<&Secret>,
        like: Method,
    ) -> Result<Answer, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (outcome, error) = match self.attempt(call, token).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match retry::next(like, outcome, tries, None, fastrand::f64()) {
                Decision::Again(wait) => tokio::time::sleep(wait).await,
                Decision::LookFirst(_) | Decision::GiveUp => return Err(counted(error, tries)),
            }
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        token: Option<&Secret>,
    ) -> Result<Answer, (Outcome, ClientError)> {
        let method = call.method.as_str();
        let url = format!("{}{}", self.settings.url, call.path);
        let target = match call.query.is_empty() {
            true => reqwest::Url::parse(&url),
            false => reqwest::Url::parse_with_params(&url, &call.query),
        };
        if self.tenure.as_ref().is_some_and(|tenure| !tenure.is_current()) {
            return Err((Outcome::LockLost, ClientError::LockLost { method, url }));
        }
        let unusable = |error: &dyn std::error::Error| {
            (Outcome::Status(0), ClientError::Setup(format!("{url}: {error}")))
        };
        let target = target.map_err(|error| unusable(&error))?;
        let mut request = match call.method {
            Method::Get => self.http.get(target),
            Method::Post => self.http.post(target),
            Method::Put => self.http.put(target),
            Method::Delete => self.http.delete(target),
        };
        if let Some(token) = token {
            let header = token.header().map_err(|error| (Outcome::Status(0), error))?;
            request = request.header("x-auth-token", header);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let lost = |error: reqwest::Error| http::lost(method, &url, error);
        let response = request.send().await.map_err(lost)?;
        let subject = response.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        let subject = subject.map(|token| Secret::new(token.to_owned()));
        let read = http::read(response, http::LARGEST_OBJECT).await.map_err(lost)?;
        match self.judge(call.method, &url, read) {
            Ok(body) => Ok(Answer { subject, body }),
            Err((status, error)) => Err((Outcome::Status(status), error)),
        }
    }

    /// Returns the body of a response that Keystone gives to an executed call: a JSON object, or nothing after a
    /// DELETE. A 404 is an answer only with Keystone's own error in it.
    fn judge(&self, called: Method, url: &str, read: http::Read) -> Result<Json, (u16, ClientError)> {
        let (status, method) = (read.status, called.as_str());
        let text = read.text().unwrap_or_default();
        let body: Json = match read.is_json() {
            true => serde_json::from_str(text).unwrap_or_default(),
            false => Json::Null,
        };
        // A secret is removed before the text is cut, or a part of it could stay.
        let message = || {
            beginning(&self.without_secrets(&message_of(&body, &String::from_utf8_lossy(&read.body))), 300)
        };
        let error = match (status, called) {
            (204, Method::Delete) => return Ok(Json::Null),
            (200 | 201, Method::Get | Method::Post) if body.is_object() => return Ok(body),
            (200..=399, _) => self.not_keystone(read, method, url),
            (404, _) if body.get("error").is_none() => self.not_keystone(read, method, url),
            (401 | 403, _) => {
                ClientError::Refused { method, url: url.to_owned(), status, message: message() }
            }
            _ => ClientError::Status { method, url: url.to_owned(), status, message: message() },
        };
        Err((status, error))
    }

    /// Returns the error for a response that is not Keystone's. A secret that it repeats is not in it.
    fn not_keystone(&self, read: http::Read, method: &'static str, url: &str) -> ClientError {
        let read = http::Read {
            body: self.without_secrets(&String::from_utf8_lossy(&read.body)).into_bytes(),
            location: read.location.as_deref().map(|location| self.without_secrets(location)),
            ..read
        };
        read.unexpected(method, url, "a JSON object of Keystone's")
    }

    /// Returns a server's message without any secret that the server repeats.
    fn without_secrets(&self, words: &str) -> String {
        let token = self.known_token();
        let secrets = self.settings.login.secrets().into_iter().chain(token.as_ref());
        secrets.fold(words.to_owned(), |words, secret| secret.taken_out_of(&words))
    }

    fn nonsense(&self, call: &Call<'_>, cause: &str) -> ClientError {
        let url = format!("{}{}", self.settings.url, call.path);
        ClientError::Setup(format!(
            "{} {url}: Keystone's response can't be read: {cause}",
            call.method.as_str()
        ))
    }
}

/// Returns the URL of a Keystone without the version that `OS_AUTH_URL` often ends with.
///
/// # Errors
/// When it is no URL, or contains a login or a query, which would appear in errors.
pub fn base_of(url: &str) -> Result<String, ClientError> {
    let url = base_url(url)
        .map_err(|problem| ClientError::Setup(format!("Keystone's URL {problem}: {}", problem.help())))?;
    let url = url.trim_end_matches('/');
    let bare = ["/v3", "/v2.0"].iter().find_map(|version| url.strip_suffix(version));
    Ok(bare.unwrap_or(url).trim_end_matches('/').to_owned())
}

fn project_of(json: &Json) -> Option<Project> {
    let text = |field: &str| json.get(field).and_then(Json::as_str).map(str::to_owned);
    let enabled = json.get("enabled").and_then(Json::as_bool).unwrap_or(true);
    Some(Project { id: text("id")?, name: text("name")?, enabled })
}

fn message_of(body: &Json, text: &str) -> String {
    let said = body.pointer("/error/message").and_then(Json::as_str).map(str::to_owned);
    let words = said.unwrap_or_else(|| text.to_owned());
    if words.is_empty() { "(no message)".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_off_urls() {
        for url in ["http://k:5000", "http://k:5000/", "http://k:5000/v3", "http://k:5000/v2.0/"] {
            assert_eq!(base_of(url).unwrap(), "http://k:5000");
        }
        assert_eq!(base_of("https://k/identity/v3").unwrap(), "https://k/identity");
    }

    #[test]
    fn a_login_in_a_url_is_refused_and_not_told() {
        for url in [
            "http://me:hunter2@k:5000",
            "ftp://me:hunter2@k",
            "hunter2",
            "me:hunter2@k:5000",
            "http:\\\\me:hunter2@k:5000",
            "http://k:5000/v3?x=hunter2",
            "http://k:5000/v3#hunter2",
        ] {
            let error = base_of(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
