//! Logins for Keystone. Secrets are never shown.

use reqwest::header::HeaderValue;

use crate::client_error::ClientError;

/// The shortest secret that is removed from messages. A shorter text occurs in many words that are no secret.
const SHORTEST_TAKEN_OUT: usize = 4;

/// A secret text, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Secret {
    /// Makes a secret.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// Returns the text itself, to be sent.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns the secret as a header that logs don't show.
    pub(crate) fn header(&self) -> Result<HeaderValue, ClientError> {
        let mut value = HeaderValue::from_str(&self.0)
            .map_err(|_| ClientError::Setup("the token has characters that no header may have".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Returns another text without this secret.
    pub(super) fn taken_out_of(&self, words: &str) -> String {
        match self.0.len() >= SHORTEST_TAKEN_OUT {
            true => words.replace(&self.0, "***"),
            false => words.to_owned(),
        }
    }
}

/// The name or the id of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An id.
    Id(String),
    /// A name.
    Name(String),
}

/// A login for Keystone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A name and a password.
    Password {
        /// The user.
        user: Named,
        /// The user's domain (v3).
        user_domain: Named,
        /// The password.
        password: Secret,
        /// The project that the token is for.
        project: Option<Named>,
        /// The project's domain (v3).
        project_domain: Named,
    },
    /// A token. It can't be renewed.
    Token(Secret),
    /// An application credential (v3).
    ApplicationCredential {
        /// The credential. A name needs its user.
        credential: Named,
        /// The user, and the user's domain, if the credential is named by its name.
        user: Option<(Named, Named)>,
        /// The credential's secret.
        secret: Secret,
    },
}

impl Login {
    /// Returns the token, if the login is one.
    pub(super) fn token(&self) -> Option<&Secret> {
        match self {
            Login::Token(token) => Some(token),
            _ => None,
        }
    }

    pub(super) fn secrets(&self) -> Vec<&Secret> {
        match self {
            Login::Password { password: secret, .. }
            | Login::Token(secret)
            | Login::ApplicationCredential { secret, .. } => vec![secret],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_a_secret() {
        let secret = Secret::new("hunter2".to_owned());
        let login =
            Login::ApplicationCredential { credential: Named::Id("c".to_owned()), user: None, secret };
        assert!(!format!("{login:?} {:?}", login.secrets()).contains("hunter2"));
        assert_eq!(login.secrets()[0].taken_out_of("no hunter2 here"), "no *** here");
    }
}
