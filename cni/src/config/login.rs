//! Logins to the API and to etcd.

use std::path::Path;

use serde::Deserialize;

use super::keys::{Keys, read_file};
use crate::protocol::error::{CniError, Result};
use crate::protocol::request::Variables;

/// A user with a password, or a token.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[serde(default)]
    pub(crate) username: Option<String>,
    #[serde(default)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    pub(crate) project: Option<String>,
    #[serde(default)]
    pub(crate) token: Option<String>,
}

/// The secrets are not shown.
impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Login {
    /// Reads a login from one key of the configuration, or from the file that another key names.
    pub(super) fn read(keys: &Keys<'_>, inline: &str, file: &str) -> Result<Login> {
        match (keys.map.get(inline), keys.path(file)?) {
            (Some(_), Some(_)) => {
                Err(CniError::configuration(file, format!("and `{inline}` exclude each other")))
            }
            (Some(value), None) => keys.decode(inline, value),
            (None, Some(path)) => read_login(file, &path),
            (None, None) => Ok(Login::default()),
        }
    }

    /// Takes an empty login from the environment.
    pub(super) fn take_from_environment(&mut self, variables: Variables<'_>) {
        let variable = |name: &str| variables(name).filter(|value| !value.is_empty());
        if *self != Login::default() {
            return;
        }
        *self = Login {
            username: variable("MIDONET_USERNAME"),
            password: variable("MIDONET_PASSWORD"),
            project: variable("MIDONET_PROJECT"),
            token: variable("MIDONET_TOKEN"),
        };
    }
}

fn read_login(key: &str, path: &Path) -> Result<Login> {
    let text = read_file(path).map_err(|error| {
        CniError::configuration(key, format!("({}) can't be read", path.display())).caused_by(error)
    })?;
    // The message of serde could quote the secrets, so the error only has the place.
    serde_json::from_slice(&text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let problem = format!("({}) is not {{\"username\": …, \"password\": …}} ({place})", path.display());
        CniError::configuration(key, problem)
    })
}
