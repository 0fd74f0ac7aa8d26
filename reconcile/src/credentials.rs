//! Reads logins from a file that only its owner can read, or from the environment. They are never in a spec.

use std::cell::Cell;
use std::io::Read as _;
use std::path::Path;

use midoform_store::input_file;
use serde::Deserialize;

use crate::client;
use crate::client::ClientError;
use crate::keystone::{IdentityVersion, Login, Named, Secret, base_of};

/// The problem of a value that can't be part of a login.
const UNSENDABLE: &str = "has a line break or another control character, which no login has: remove it";

/// The largest file that is read.
const LARGEST: u64 = 1 << 16;

/// The logins that were found. All parts of a login come from one place.
#[derive(Default)]
pub struct Logins {
    /// The login for the MidoNet API itself.
    pub midonet: Option<client::Credentials>,
    /// The login for Keystone.
    pub keystone: Option<KeystoneLogin>,
}

/// A login for Keystone, and its server.
#[derive(Clone, Debug)]
pub struct KeystoneLogin {
    /// Keystone's URL without a version, if it was set.
    pub url: Option<String>,
    /// The version of the Identity API, if it was set.
    pub version: Option<IdentityVersion>,
    /// The login.
    pub login: Login,
}

/// The reason why there are no logins. It contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file can't be read.
    #[error("the credentials file {path} can't be read")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Others can read the file.
    #[error(
        "{path}: users other than its owner can read it (mode {mode:03o}): run `chmod 600 {path}`, and change the secrets in it"
    )]
    Open {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// The file does not contain logins.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: String,
        /// The problem, without the file's content.
        problem: String,
    },
    /// The environment has an incomplete login.
    #[error("{0}")]
    Incomplete(String),
    /// The URL is invalid.
    #[error(transparent)]
    Url(#[from] ClientError),
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    midonet: Option<MidonetTable>,
    keystone: Option<KeystoneTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MidonetTable {
    token: Option<String>,
    username: Option<String>,
    password: Option<String>,
    project: Option<String>,
}

/// The parts of a login for Keystone, named like OpenStack's variables without `OS_`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeystoneTable {
    auth_url: Option<String>,
    identity_api_version: Option<String>,
    token: Option<String>,
    application_credential_id: Option<String>,
    application_credential_name: Option<String>,
    application_credential_secret: Option<String>,
    user_id: Option<String>,
    username: Option<String>,
    password: Option<String>,
    user_domain_id: Option<String>,
    user_domain_name: Option<String>,
    project_id: Option<String>,
    project_name: Option<String>,
    project_domain_id: Option<String>,
    project_domain_name: Option<String>,
}

impl Logins {
    /// Reads the logins of the file, if one is named. Logins that it does not have come from the environment.
    ///
    /// # Errors
    /// When the file can't be read, is readable by others, or contains something else, or a login is incomplete.
    pub fn find(
        file: Option<&Path>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Logins, CredentialsError> {
        let mut logins = match file {
            Some(path) => read(path)?,
            None => Logins::default(),
        };
        // A line break often comes from a file that was read into the variable.
        let unsendable = Cell::new(None);
        let variable = |name: &str| {
            let value = variable(name)?;
            if value.contains(char::is_control) {
                unsendable.set(Some(name.to_owned()));
            }
            Some(value)
        };
        let refuse_unsendable = || match unsendable.take() {
            Some(name) => Err(CredentialsError::Incomplete(format!("{name} {UNSENDABLE}"))),
            None => Ok(()),
        };
        if logins.midonet.is_none() {
            let table = MidonetTable {
                token: variable("MIDONET_TOKEN"),
                username: variable("MIDONET_USERNAME"),
                password: variable("MIDONET_PASSWORD"),
                project: variable("MIDONET_PROJECT"),
            };
            refuse_unsendable()?;
            logins.midonet = midonet(table);
        }
        if logins.keystone.is_none() {
            let table = from_environment(&variable);
            refuse_unsendable()?;
            logins.keystone = keystone(table, "the environment (OS_…)")?;
        }
        Ok(logins)
    }
}

fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> KeystoneTable {
    let os = |name: &str| variable(&format!("OS_{name}"));
    KeystoneTable {
        auth_url: os("AUTH_URL"),
        identity_api_version: os("IDENTITY_API_VERSION"),
        token: os("TOKEN"),
        application_credential_id: os("APPLICATION_CREDENTIAL_ID"),
        application_credential_name: os("APPLICATION_CREDENTIAL_NAME"),
        application_credential_secret: os("APPLICATION_CREDENTIAL_SECRET"),
        user_id: os("USER_ID"),
        username: os("USERNAME"),
        password: os("PASSWORD"),
        user_domain_id: os("USER_DOMAIN_ID"),
        user_domain_name: os("USER_DOMAIN_NAME"),
        project_id: os("PROJECT_ID").or_else(|| os("TENANT_ID")),
        project_name: os("PROJECT_NAME").or_else(|| os("TENANT_NAME")),
        project_domain_id: os("PROJECT_DOMAIN_ID"),
        project_domain_name: os("PROJECT_DOMAIN_NAME"),
    }
}

fn read(path: &Path) -> Result<Logins, CredentialsError> {
    let shown = path.display().to_string();
    let failed = |source| CredentialsError::File { path: shown.clone(), source };
    let content = |problem: String| CredentialsError::Content { path: shown.clone(), problem };
    let file = input_file::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(content("it is not a file".to_owned()));
    }
    // The permissions are those of the opened file: nobody can replace it in between.
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CredentialsError::Open { path: shown.clone(), mode });
        }
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    // TOML's own errors would show the file's content.
    let document: Document = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        content(format!(
            "line {line} is not allowed in a file of logins: it has the tables [midonet] (token, or username, password, \
             project) and [keystone] (auth_url, identity_api_version, username, password, project_name …), and all values are strings"
        ))
    })?;
    if let Some(key) = unsendable_key(&text) {
        return Err(content(format!("`{key}` {UNSENDABLE}")));
    }
    let login = keystone(document.keystone.unwrap_or_default(), &shown)?;
    Ok(Logins { midonet: document.midonet.and_then(midonet), keystone: login })
}

/// Returns the first key of a file of logins whose value has a control character.
fn unsendable_key(text: &str) -> Option<String> {
    let tables: toml::Table = toml::from_str(text).ok()?;
    let mut values = tables.values().filter_map(toml::Value::as_table).flatten();
    let found = values.find(|(_, value)| value.as_str().is_some_and(|text| text.contains(char::is_control)));
    found.map(|(key, _)| key.clone())
}

fn midonet(table: MidonetTable) -> Option<client::Credentials> {
    if let Some(token) = table.token {
        return Some(client::Credentials::Token(token));
    }
    let (username, password) = table.username.zip(table.password)?;
    Some(client::Credentials::Password { username, password, project: table.project })
}

/// Returns a login from its parts; none if they contain no secret.
fn keystone(table: KeystoneTable, source: &str) -> Result<Option<KeystoneLogin>, CredentialsError> {
    let named = |id: Option<String>, name: Option<String>| id.map(Named::Id).or(name.map(Named::Name));
    let default = || Named::Id("default".to_owned());
    let user = named(table.user_id, table.username);
    let user_domain = named(table.user_domain_id, table.user_domain_name).unwrap_or_else(default);
    let credential = named(table.application_credential_id, table.application_credential_name);
    let incomplete = |what: &str| Err(CredentialsError::Incomplete(format!("{source}: {what}")));
    let login = match (table.application_credential_secret, table.token, table.password) {
        (Some(secret), ..) => {
            let user = user.map(|user| (user, user_domain));
            match (credential, user) {
                (None, _) => {
                    return incomplete("the secret of an application credential needs its id or its name");
                }
                (Some(Named::Name(_)), None) => {
                    return incomplete("the name of an application credential needs its user");
                }
                (Some(credential @ Named::Id(_)), _) => {
                    Login::ApplicationCredential { credential, user: None, secret: Secret::new(secret) }
                }
                (Some(credential), user) => {
                    Login::ApplicationCredential { credential, user, secret: Secret::new(secret) }
                }
            }
        }
        (None, Some(token), _) => Login::Token(Secret::new(token)),
        (None, None, Some(password)) => Login::Password {
            user: match user {
                Some(user) => user,
                None => return incomplete("a password needs a user"),
            },
            user_domain,
            password: Secret::new(password),
            project: named(table.project_id, table.project_name),
            project_domain: named(table.project_domain_id, table.project_domain_name).unwrap_or_else(default),
        },
        (None, None, None) => return Ok(None),
    };
    let version = match table.identity_api_version.as_deref().map(|version| version.trim_start_matches('v')) {
        None => match table.auth_url.as_deref().map(|url| url.trim_end_matches('/').ends_with("/v2.0")) {
            Some(true) => Some(IdentityVersion::V2),
            _ => None,
        },
        Some("2" | "2.0") => Some(IdentityVersion::V2),
        Some("3" | "3.0") => Some(IdentityVersion::V3),
        Some(_) => return incomplete("the version of the Identity API is 2 or 3"),
    };
    let url = table.auth_url.as_deref().map(base_of).transpose()?;
    Ok(Some(KeystoneLogin { url, version, login }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Logins, CredentialsError> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Logins::find(None, &|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn each_kind_of_login_is_found() {
        let password =
            [("OS_AUTH_URL", "http://k:5000/v3"), ("OS_USERNAME", "me"), ("OS_PASSWORD", "hunter2")];
        let found = from(&password).unwrap().keystone.unwrap();
        assert_eq!(found.url.as_deref(), Some("http://k:5000"));
        assert!(matches!(found.login, Login::Password { project: None, .. }));
        let tenant =
            [password.as_slice(), &[("OS_TENANT_NAME", "t"), ("OS_IDENTITY_API_VERSION", "2.0")]].concat();
        let found = from(&tenant).unwrap().keystone.unwrap();
        assert_eq!(found.version, Some(IdentityVersion::V2));
        assert!(
            matches!(found.login, Login::Password { project: Some(Named::Name(name)), .. } if name == "t")
        );
        assert!(matches!(from(&[("OS_TOKEN", "t")]).unwrap().keystone.unwrap().login, Login::Token(_)));
        let credential = [("OS_APPLICATION_CREDENTIAL_SECRET", "s"), ("OS_APPLICATION_CREDENTIAL_ID", "i")];
        let found = from(&credential).unwrap().keystone.unwrap();
        assert!(matches!(found.login, Login::ApplicationCredential { user: None, .. }));
        assert!(from(&[]).unwrap().keystone.is_none());
    }

    #[test]
    fn half_a_login_is_told() {
        for half in [
            vec![("OS_PASSWORD", "hunter2")],
            vec![("OS_APPLICATION_CREDENTIAL_SECRET", "hunter2")],
            vec![("OS_APPLICATION_CREDENTIAL_SECRET", "hunter2"), ("OS_APPLICATION_CREDENTIAL_NAME", "n")],
            vec![("OS_USERNAME", "u"), ("OS_PASSWORD", "hunter2"), ("OS_IDENTITY_API_VERSION", "4")],
            vec![("OS_USERNAME", "u"), ("OS_PASSWORD", "hunter2"), ("OS_AUTH_URL", "http://u:hunter2@k")],
        ] {
            let error = from(&half).err().unwrap().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_line_break_in_a_login_names_its_variable() {
        let password = [("OS_USERNAME", "u"), ("OS_PASSWORD", "p"), ("OS_AUTH_URL", "http://k:5000")];
        let midonet = [("MIDONET_USERNAME", "u"), ("MIDONET_PASSWORD", "p"), ("MIDONET_PROJECT", "p")];
        for login in [password, midonet] {
            for (name, _) in login {
                let mut wrong = login.to_vec();
                wrong
                    .iter_mut()
                    .filter(|(other, _)| *other == name)
                    .for_each(|(_, value)| *value = "hunter2\n");
                let error = from(&wrong).err().unwrap().to_string();
                assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
            }
        }
        assert!(from(&[("MIDONET_TOKEN", "a\rb")]).err().unwrap().to_string().contains("MIDONET_TOKEN"));
        let file = file("[midonet]\nusername = \"u\"\npassword = \"p\"\nproject = \"hunter2\\n\"\n", 0o600);
        let error = Logins::find(Some(file.path()), &|_| None).err().unwrap().to_string();
        assert!(error.contains("`project`") && !error.contains("hunter2"), "{error}");
    }

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        use std::os::unix::fs::PermissionsExt as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_file_is_for_its_owner_alone() {
        let text = "[midonet]\ntoken = \"hunter2\"\n[keystone]\nusername = \"u\"\npassword = \"hunter3\"\n";
        for mode in [0o640, 0o604, 0o620, 0o644, 0o777] {
            let file = file(text, mode);
            let error = Logins::find(Some(file.path()), &|_| None).err().unwrap().to_string();
            assert!(error.contains("chmod 600") && !error.contains("hunter"), "{error}");
        }
        let file = file(text, 0o600);
        let found = Logins::find(Some(file.path()), &|_| Some("of the environment".to_owned())).unwrap();
        assert!(matches!(found.midonet, Some(client::Credentials::Token(token)) if token == "hunter2"));
        assert!(found.keystone.unwrap().url.is_none(), "each login is whole from one place");
    }

    #[test]
    fn what_a_file_says_is_not_told() {
        for text in [
            "[keystone]\npassword = hunter2\n",
            "[keystone]\npasswort = \"hunter2\"\n",
            "[keystone]\npassword = [\"hunter2\"]\n",
            "[midonet]\ntoken = \"hunter2\n",
            "hunter2",
        ] {
            let file = file(text, 0o600);
            let error = Logins::find(Some(file.path()), &|_| None).err().unwrap().to_string();
            assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
        }
    }
}
