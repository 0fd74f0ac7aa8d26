//! Authentication: logins, and the tokens of requests.
//!
//! With the mock provider everybody is the administrator (01-login). No recording has a missing, expired or unknown
//! token, since the recorded servers used the mock provider; the messages and headers here are those of MidoNet's login
//! and token filters.

mod keystone_client;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use uuid::Uuid;

pub use keystone_client::{KeystoneSettings, KeystoneVersion};
pub use users::{User, Users, UsersError};

use crate::http::reply::Reply;
use crate::resources::login;
use crate::version::Version;

/// The authentication of clients.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody is the administrator, as with MidoNet's mock provider: any credentials log in, and requests need no
    /// token (01-login).
    #[default]
    None,
    /// Users log in with a name and a password, and get tokens.
    Basic {
        /// The users.
        users: Users,
        /// The lifetime of a token.
        lifetime: Duration,
    },
    /// Users and tokens are Keystone's.
    Keystone(KeystoneSettings),
}

/// A token as a login returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) key: String,
    pub(crate) expires: Option<Timestamp>,
}

/// The rights of a token's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) admin: bool,
}

/// The reason to refuse a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request has no token.
    NoToken,
    /// The token is unknown or expired.
    BadToken,
    /// The token can't be validated.
    Unanswered(String),
}

/// Authenticates requests.
#[derive(Debug)]
pub(crate) struct Authenticator {
    provider: Provider,
    /// The tokens that a fault invalidated.
    invalidated: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
enum Provider {
    Mock,
    Basic { users: Users, lifetime: Duration, sessions: Mutex<BTreeMap<String, Session>> },
    Keystone(keystone_client::Client),
}

#[derive(Debug)]
struct Session {
    expires: Timestamp,
    admin: bool,
}

impl Authenticator {
    pub(crate) fn new(auth: Auth) -> Result<Authenticator, reqwest::Error> {
        let provider = match auth {
            Auth::None => Provider::Mock,
            Auth::Basic { users, lifetime } => {
                Provider::Basic { users, lifetime, sessions: Mutex::default() }
            }
            Auth::Keystone(settings) => Provider::Keystone(keystone_client::Client::new(settings)?),
        };
        Ok(Authenticator { provider, invalidated: Mutex::default() })
    }

    /// Responds to a login.
    pub(crate) async fn login(
        &self,
        version: Version,
        authorization: Option<&str>,
        project: Option<&str>,
    ) -> Reply {
        let charset = version.traits().charset;
        let outcome = match credentials(authorization) {
            Ok((name, password)) => self.token(version, &name, &password, project).await,
            Err(message) => Err(message.to_owned()),
        };
        match outcome {
            Err(message) => challenge(&message, charset),
            Ok(token) => {
                let expires = token.expires.map(cookie_time);
                let mut cookie = format!("sessionId={}", token.key);
                if let Some(expires) = &expires {
                    cookie = format!("{cookie}; Expires={expires}");
                }
                let kind = format!("{};charset={charset}", login::MEDIA_TYPE);
                Reply::json(200, &kind, &login::token(&token.key, expires.as_deref()))
                    .header("set-cookie", cookie)
            }
        }
    }

    async fn token(
        &self,
        version: Version,
        name: &str,
        password: &str,
        project: Option<&str>,
    ) -> Result<Token, String> {
        match &self.provider {
            Provider::Mock => Ok(Token { key: version.traits().mock_token.to_owned(), expires: None }),
            Provider::Keystone(client) => client.login(name, password, project).await,
            Provider::Basic { users, lifetime, sessions } => {
                let user = users.known(name, password).ok_or("Invalid credentials")?;
                let roles = match project {
                    Some(project) => user.tenants.get(project),
                    None => {
                        user.tenants.values().find(|roles| is_admin(roles)).or(user.tenants.values().next())
                    }
                };
                let roles = roles.ok_or("Invalid credentials")?;
                let expires = Timestamp::now().checked_add(*lifetime).map_err(|why| why.to_string())?;
                let key = Uuid::new_v4().simple().to_string();
                let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Timestamp::now();
                sessions.retain(|_, session| session.expires > now);
                sessions.insert(key.clone(), Session { expires, admin: is_admin(roles) });
                Ok(Token { key, expires: Some(expires) })
            }
        }
    }

    /// Returns the rights of a request's sender.
    pub(crate) async fn identify(&self, token: Option<&str>) -> Result<Identity, Refusal> {
        let token = token.filter(|token| !token.trim().is_empty());
        if let Some(token) = token
            && self.invalidated.lock().unwrap_or_else(PoisonError::into_inner).contains(token)
        {
            return Err(Refusal::BadToken);
        }
        match (&self.provider, token) {
            (Provider::Mock, _) => Ok(Identity { admin: true }),
            (_, None) => Err(Refusal::NoToken),
            (Provider::Keystone(client), Some(token)) => client.identify(token).await,
            (Provider::Basic { sessions, .. }, Some(token)) => {
                let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                match sessions.get(token) {
                    Some(session) if session.expires > Timestamp::now() => {
                        Ok(Identity { admin: session.admin })
                    }
                    _ => Err(Refusal::BadToken),
                }
            }
        }
    }

    /// Makes a token invalid, whichever provider issued it.
    pub(crate) fn invalidate(&self, token: &str) {
        self.invalidated.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned());
    }

    /// Returns the provider's tenants, by id and name; none with the mock provider, for which every name is a tenant.
    pub(crate) async fn tenants(&self) -> Result<Option<Vec<(String, String)>>, String> {
        match &self.provider {
            Provider::Mock => Ok(None),
            Provider::Basic { users, .. } => Ok(Some(
                users.tenants().iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect(),
            )),
            Provider::Keystone(client) => client.tenants().await.map(Some),
        }
    }
}

impl Refusal {
    /// Returns the response to a refused request.
    pub(crate) fn reply(&self, version: Version) -> Reply {
        let charset = version.traits().charset;
        match self {
            Refusal::NoToken => plain("No token was passed in.", charset),
            Refusal::BadToken => challenge("Authentication error", charset),
            Refusal::Unanswered(why) => plain(why, charset),
        }
    }
}

/// Returns the response to a user who is not an administrator: 401 without a message on 5.x, whose API is for
/// administrators only. The rights of a tenant's users on 1.x are not implemented: they have none here.
pub(crate) fn not_admin(version: Version) -> Reply {
    let charset = version.traits().charset;
    let status = if version.traits().is_1x { 403 } else { 401 };
    with_charset(Reply::error_without_message(status), charset)
}

fn with_charset(mut reply: Reply, charset: &str) -> Reply {
    reply.content_type = reply.content_type.map(|kind| format!("{kind};charset={charset}"));
    reply
}

fn plain(message: &str, charset: &str) -> Reply {
    with_charset(Reply::error(401, message), charset)
}

fn challenge(message: &str, charset: &str) -> Reply {
    plain(message, charset).header("www-authenticate", "Basic  realm=\"BASIC_AUTH_REALM\"")
}

/// Writes an expiry time as MidoNet does.
fn cookie_time(time: Timestamp) -> String {
    time.strftime("%a, %d-%m-%Y %H:%M:%S UTC").to_string()
}

/// Reads the name and password of a Basic header as the login filter does: exactly one colon, with text on both sides.
fn credentials(header: Option<&str>) -> Result<(String, String), &'static str> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let header = header.filter(|header| !header.is_empty()).ok_or(login::NO_CREDENTIALS)?;
    let encoded = match header.get(..6) {
        Some(scheme) if scheme.eq_ignore_ascii_case("basic ") => header.get(6..).unwrap_or_default(),
        _ => return Err("Authorization header does not contain Basic."),
    };
    let invalid = "Authorization header is not valid";
    let decoded = LENIENT.decode(encoded.trim()).map_err(|_| invalid)?;
    let decoded = String::from_utf8(decoded).map_err(|_| invalid)?;
    let mut parts: Vec<&str> = decoded.split(':').collect();
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    match parts.as_slice() {
        [name, password] => Ok(((*name).to_owned(), (*password).to_owned())),
        _ => Err(invalid),
    }
}

/// Returns true if the roles include `admin`.
fn is_admin(roles: &[String]) -> bool {
    roles.iter().any(|role| role.eq_ignore_ascii_case("admin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }

    #[test]
    fn credentials_are_read_as_midonet_reads_them() {
        let read = |text: &str| credentials(Some(&basic(text)));
        assert_eq!(read("admin:secret"), Ok(("admin".to_owned(), "secret".to_owned())));
        assert!(read("admin").is_err());
        assert!(read("admin:").is_err());
        assert!(read("a:b:c").is_err());
        assert_eq!(credentials(None), Err("Authorization header is not set."));
        assert_eq!(credentials(Some("Bearer x")), Err("Authorization header does not contain Basic."));
        assert_eq!(credentials(Some("Basic")), Err("Authorization header does not contain Basic."));
        assert_eq!(credentials(Some("Basic !!!")), Err("Authorization header is not valid"));
        assert_eq!(credentials(Some("basic YTpi")), Ok(("a".to_owned(), "b".to_owned())));
        assert!(credentials(Some("Básic YTpi")).is_err());
    }

    #[test]
    fn times_are_written_as_java_writes_them() {
        let time: Timestamp = "2026-11-24T03:05:00Z".parse().unwrap();
        assert_eq!(cookie_time(time), "Tue, 24-11-2026 03:05:00 UTC");
    }
}
