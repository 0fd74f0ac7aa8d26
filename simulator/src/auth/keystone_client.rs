//! A client for Keystone: Identity v2.0 (`/v2.0`) or v3 (`/v3`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Identity, Refusal, Token};

/// The time limit for a response.
const TIME: Duration = Duration::from_secs(10);
/// The service's own token is renewed when it expires within this time.
const GUARD: Duration = Duration::from_secs(60);

/// The versions of Keystone's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeystoneVersion {
    /// Identity v2.0: tenants.
    V2,
    /// Identity v3: projects.
    V3,
}

/// The address of a Keystone, and the login to validate tokens with.
#[derive(Clone)]
pub struct KeystoneSettings {
    /// The URL without the version: `http://127.0.0.1:5000`.
    pub url: String,
    /// The version of its API.
    pub version: KeystoneVersion,
    /// The name of an administrator.
    pub username: String,
    /// The administrator's password.
    pub password: String,
    /// The administrator's tenant, which is also the tenant of a login without one.
    pub project: String,
}

/// Leaves the password out.
impl std::fmt::Debug for KeystoneSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeystoneSettings")
            .field("url", &self.url)
            .field("version", &self.version)
            .field("username", &self.username)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

/// A token with its roles, as Keystone returns them.
struct TokenDetails {
    token: Token,
    roles: Vec<String>,
}

/// A client for one Keystone.
#[derive(Debug)]
pub(super) struct Client {
    settings: KeystoneSettings,
    http: reqwest::Client,
    own: Mutex<Option<Token>>,
}

impl Client {
    pub(super) fn new(settings: KeystoneSettings) -> Result<Client, reqwest::Error> {
        // It fails if a provider is installed already, which is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http =
            reqwest::Client::builder().timeout(TIME).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Client { settings, http, own: Mutex::default() })
    }

    /// Logs a user in.
    pub(super) async fn login(
        &self,
        name: &str,
        password: &str,
        project: Option<&str>,
    ) -> Result<Token, String> {
        let project = project.filter(|project| !project.trim().is_empty()).unwrap_or(&self.settings.project);
        let said = self.authenticate(name, password, project).await?;
        Ok(said.ok_or_else(|| "Invalid Keystone credentials".to_owned())?.token)
    }

    /// Validates a token, and returns its owner's rights.
    pub(super) async fn identify(&self, token: &str) -> Result<Identity, Refusal> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte);
        if self.settings.version == KeystoneVersion::V2 && !token.bytes().all(is_safe) {
            // The token becomes a part of the path: with a slash, it would be another path.
            return Err(Refusal::BadToken);
        }
        let mut answer = self.ask_about(token).await.map_err(Refusal::Unanswered)?;
        if matches!(answer.0, 401 | 403) {
            // Keystone refuses the service's own token: it may have been revoked.
            *self.own.lock().unwrap_or_else(PoisonError::into_inner) = None;
            answer = self.ask_about(token).await.map_err(Refusal::Unanswered)?;
        }
        match answer {
            (404, _) => Err(Refusal::BadToken),
            (200..=299, body) => {
                let roles = self.read(&body, Some(token)).map(|said| said.roles).unwrap_or_default();
                Ok(Identity { admin: roles.iter().any(|role| role.eq_ignore_ascii_case("admin")) })
            }
            (status, _) => Err(Refusal::Unanswered(format!("Keystone answered with {status}"))),
        }
    }

    async fn ask_about(&self, token: &str) -> Result<(u16, Json), String> {
        let own = self.own_token().await?;
        let request = match self.settings.version {
            KeystoneVersion::V2 => self.http.get(self.url(&format!("/v2.0/tokens/{token}"))),
            KeystoneVersion::V3 => {
                self.http.get(self.url("/v3/auth/tokens")).header("X-Subject-Token", token)
            }
        };
        self.send(request.header("X-Auth-Token", own)).await
    }

    /// Returns all tenants, by id and name.
    pub(super) async fn tenants(&self) -> Result<Vec<(String, String)>, String> {
        let own = self.own_token().await?;
        let (path, list) = match self.settings.version {
            KeystoneVersion::V2 => ("/v2.0/tenants", "tenants"),
            KeystoneVersion::V3 => ("/v3/projects", "projects"),
        };
        let (status, body) = self.send(self.http.get(self.url(path)).header("X-Auth-Token", own)).await?;
        if status != 200 {
            return Err(format!("Keystone answered with {status}"));
        }
        let text = |entry: &Json, name: &str| entry.get(name).and_then(Json::as_str).map(str::to_owned);
        let tenants = body.get(list).and_then(Json::as_array).into_iter().flatten();
        Ok(tenants.filter_map(|entry| Some((text(entry, "id")?, text(entry, "name")?))).collect())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.url.trim_end_matches('/'))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, Json), String> {
        let failed = |why: reqwest::Error| format!("Connection to Keystone failed: {}", why.without_url());
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let header =
            answer.headers().get("X-Subject-Token").and_then(|token| token.to_str().ok()).map(str::to_owned);
        let mut body: Json = answer.json().await.unwrap_or(Json::Null);
        if let (Some(id), Some(token)) = (header, body.get_mut("token").and_then(Json::as_object_mut)) {
            // In v3, only a header has the token's id.
            token.insert("id".to_owned(), Json::from(id));
        }
        Ok((status, body))
    }

    /// Returns a token for a name and a password; none if Keystone refuses them.
    async fn authenticate(
        &self,
        name: &str,
        password: &str,
        project: &str,
    ) -> Result<Option<TokenDetails>, String> {
        let (path, body) = match self.settings.version {
            KeystoneVersion::V2 => {
                let credentials = json!({ "username": name, "password": password });
                (
                    "/v2.0/tokens",
                    json!({ "auth": { "passwordCredentials": credentials, "tenantName": project } }),
                )
            }
            KeystoneVersion::V3 => {
                let domain = json!({ "id": "default" });
                let user = json!({ "name": name, "password": password, "domain": domain });
                let identity = json!({ "methods": ["password"], "password": { "user": user } });
                let scope = json!({ "project": { "name": project, "domain": domain } });
                ("/v3/auth/tokens", json!({ "auth": { "identity": identity, "scope": scope } }))
            }
        };
        match self.send(self.http.post(self.url(path)).json(&body)).await? {
            (200..=299, body) => {
                self.read(&body, None).map(Some).ok_or_else(|| "Keystone's answer has no token".to_owned())
            }
            (401, _) => Ok(None),
            (status, _) => Err(format!("Keystone answered with {status}")),
        }
    }

    fn read(&self, body: &Json, known: Option<&str>) -> Option<TokenDetails> {
        let (token, expires, roles) = match self.settings.version {
            KeystoneVersion::V2 => {
                (body.pointer("/access/token")?, "expires", body.pointer("/access/user/roles"))
            }
            KeystoneVersion::V3 => (body.get("token")?, "expires_at", body.pointer("/token/roles")),
        };
        let key = known.or_else(|| token.get("id")?.as_str())?.to_owned();
        let expires = token.get(expires)?.as_str()?.parse().ok();
        let names = roles.and_then(Json::as_array).into_iter().flatten();
        let roles = names.filter_map(|role| Some(role.get("name")?.as_str()?.to_owned())).collect();
        Some(TokenDetails { token: Token { key, expires }, roles })
    }

    /// Returns the service's own token, renewed if needed.
    async fn own_token(&self) -> Result<String, String> {
        let soon = Timestamp::now().checked_add(GUARD).map_err(|why| why.to_string())?;
        {
            let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) =
                own.as_ref().filter(|token| token.expires.is_none_or(|expires| expires > soon))
            {
                return Ok(token.key.clone());
            }
        }
        let KeystoneSettings { username, password, project, .. } = &self.settings;
        let said = self.authenticate(username, password, project).await?;
        let token =
            said.ok_or_else(|| format!("Keystone does not know the administrator {username:?}"))?.token;
        let key = token.key.clone();
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(key)
    }
}
