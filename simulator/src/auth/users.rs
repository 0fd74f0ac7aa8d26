//! Users and tenants, read from a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use subtle::ConstantTimeEq as _;

/// Users with their passwords and their roles in tenants.
///
/// ```toml
/// admin_token = "a token of Keystone's that never ends"   # may be left out
///
/// [[user]]
/// name = "admin"
/// password = "secret"
/// tenants = { admin = ["admin"], acme = ["member"] }
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Keystone's admin token, which has all rights and never expires.
    #[serde(default)]
    pub admin_token: Option<String>,
    /// The users.
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The password.
    pub password: String,
    /// The user's tenants, with the user's roles in each.
    pub tenants: BTreeMap<String, Vec<String>>,
}

/// Leaves the passwords and the admin token out.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.users.iter().map(|user| &user.name)).finish()
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

/// The error for a file of users that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct UsersError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: String,
}

impl Users {
    /// Reads a file of users.
    ///
    /// # Errors
    /// When the file can't be read, is not TOML of this form, or has a user twice.
    pub fn read(path: &Path) -> Result<Users, UsersError> {
        let bad = |why: String| UsersError { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|why| bad(why.to_string()))?;
        let users: Users = toml::from_str(&text).map_err(|why| bad(why.to_string()))?;
        users.problem().map_or(Ok(users.clone()), |why| Err(bad(why)))
    }

    fn problem(&self) -> Option<String> {
        let mut names = BTreeSet::new();
        for user in &self.users {
            if user.name.is_empty() || user.name.contains(':') {
                return Some(format!("the user name {:?} must not be empty or contain a colon", user.name));
            }
            if user.password.is_empty() || user.password.contains(':') {
                // MidoNet splits credentials at every colon.
                return Some(format!("the password of {:?} must not be empty or contain a colon", user.name));
            }
            if user.tenants.is_empty() {
                return Some(format!("the user {:?} belongs to no tenant", user.name));
            }
            if !names.insert(&user.name) {
                return Some(format!("the user {:?} is listed twice", user.name));
            }
        }
        None
    }

    /// Returns the user with this name and password.
    pub(crate) fn known(&self, name: &str, password: &str) -> Option<&User> {
        let user = self.users.iter().find(|user| user.name == name)?;
        bool::from(user.password.as_bytes().ct_eq(password.as_bytes())).then_some(user)
    }

    /// Returns the names of all tenants.
    pub(crate) fn tenants(&self) -> BTreeSet<&str> {
        self.users.iter().flat_map(|user| user.tenants.keys()).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Users, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        std::fs::write(&path, text).unwrap();
        Users::read(&path).map_err(|why| why.why)
    }

    #[test]
    fn users_are_read_from_a_file() {
        let text = "[[user]]\nname = \"a\"\npassword = \"b\"\ntenants = { acme = [\"admin\"] }\n";
        let users = read(text).unwrap();
        assert!(users.known("a", "b").is_some());
        assert!(users.known("a", "c").is_none());
        assert!(users.known("a", "bb").is_none());
        assert!(users.known("b", "b").is_none());
        assert!(!format!("{users:?}").contains("\"b\""));
        assert!(read(&format!("{text}{text}")).unwrap_err().contains("twice"));
        assert!(
            read("[[user]]\nname = \"a\"\npassword = \"b\"\ntenants = {}\n")
                .unwrap_err()
                .contains("no tenant")
        );
        assert!(read("[[user]]\nname = \"a\"\n").unwrap_err().contains("password"));
        assert!(read("colour = 1").unwrap_err().contains("colour"));
        assert!(Users::read(Path::new("/nowhere/users.toml")).is_err());
    }
}
