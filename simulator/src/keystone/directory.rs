//! Keystone's data: users from the file, projects (v2.0: tenants), and the issued tokens.
//!
//! With a state directory, projects survive a restart; tokens do not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::auth::Users;

/// The namespace of ids that are derived from names.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d69_646f_666f_726d_6b65_7973_746f_6e65);
/// The file of projects in a state directory.
const FILE: &str = "keystone.json";

/// Returns the id that is derived from a name: the same in every run.
pub(super) fn id_of(kind: &str, name: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{kind}/{name}").as_bytes()).simple().to_string()
}

/// The error for a state of the embedded Keystone that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoneStateError {
    /// The folder or the file can't be created or read.
    #[error("the state of Keystone in {path} can't be used")]
    Unusable {
        /// The folder or the file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is damaged. Nothing was changed in it.
    #[error(
        "the state of Keystone in {path} is damaged; put a copy back, or move it away to start without it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
}

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Json,
    pub(super) enabled: bool,
    /// Other fields that a client sent.
    pub(super) extra: Map<String, Json>,
}

/// An issued token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) user: String,
    /// The id of the token's project, if it has one.
    pub(super) project: Option<String>,
    /// The authentication methods, the last one first.
    pub(super) methods: Vec<&'static str>,
    pub(super) audit_ids: Vec<String>,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    revoked: bool,
}

/// The reason why a token can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadToken {
    /// No such token was issued.
    Unknown,
    /// The token is expired or revoked, or its project is disabled or deleted.
    Invalid,
}

/// The reason why a project can't be created or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProjectError {
    /// Another project has the name.
    Taken,
    /// No project has this id.
    Missing,
    /// The file can't be written.
    NotWritten(String),
}

/// The data of a Keystone.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) users: Users,
    projects: BTreeMap<String, Project>,
    tokens: BTreeMap<String, Token>,
    lifetime: Duration,
    file: Option<PathBuf>,
}

/// The content of the file in the state directory.
#[derive(Serialize, Deserialize)]
struct StateFile {
    projects: Vec<Project>,
}

impl Directory {
    /// Reads the stored projects, and adds the users' tenants.
    pub(super) fn open(
        users: Users,
        lifetime: Duration,
        state_dir: Option<&Path>,
    ) -> Result<Directory, KeystoneStateError> {
        let file = state_dir.map(|folder| folder.join(FILE));
        let mut projects: BTreeMap<String, Project> = BTreeMap::new();
        if let (Some(folder), Some(file)) = (state_dir, &file) {
            crate::journal::create_folder(folder).map_err(|source| unusable(folder, source))?;
            for project in read_projects(file)? {
                projects.insert(project.id.clone(), project);
            }
        }
        let known: BTreeSet<String> = projects.values().map(|project| project.name.clone()).collect();
        for name in users.tenants().into_iter().filter(|name| !known.contains(*name)) {
            let (id, name) = (id_of("project", name), name.to_owned());
            let description = Json::from("Bootstrap project for initializing the cloud.");
            let project = Project { id: id.clone(), name, description, enabled: true, extra: Map::new() };
            projects.insert(id, project);
        }
        Ok(Directory { users, projects, tokens: BTreeMap::new(), lifetime, file })
    }

    /// Returns all projects in the order of their ids.
    pub(super) fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    pub(super) fn project(&self, id: &str) -> Option<&Project> {
        self.projects.get(id)
    }

    pub(super) fn project_named(&self, name: &str) -> Option<&Project> {
        self.projects.values().find(|project| project.name == name)
    }

    /// Returns a user's roles in a project.
    pub(super) fn roles(&self, user: &str, project: &Project) -> &[String] {
        let user = self.users.users.iter().find(|known| known.name == user);
        user.and_then(|user| user.tenants.get(&project.name)).map_or(&[], Vec::as_slice)
    }

    /// Adds a project; its name has to be new.
    pub(super) fn create(&mut self, mut project: Project) -> Result<Project, ProjectError> {
        if self.project_named(&project.name).is_some() {
            return Err(ProjectError::Taken);
        }
        if project.id.is_empty() {
            project.id = Uuid::new_v4().simple().to_string();
        }
        self.projects.insert(project.id.clone(), project.clone());
        self.keep().inspect_err(|_| drop(self.projects.remove(&project.id)))?;
        Ok(project)
    }

    /// Changes a project.
    pub(super) fn change(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Project),
    ) -> Result<Project, ProjectError> {
        let before = self.projects.get(id).cloned().ok_or(ProjectError::Missing)?;
        let mut after = before.clone();
        change(&mut after);
        if self.project_named(&after.name).is_some_and(|other| other.id != id) {
            return Err(ProjectError::Taken);
        }
        self.projects.insert(id.to_owned(), after.clone());
        if let Err(why) = self.keep() {
            self.projects.insert(id.to_owned(), before);
            return Err(why);
        }
        Ok(after)
    }

    /// Deletes a project; its tokens become invalid.
    pub(super) fn delete(&mut self, id: &str) -> Result<(), ProjectError> {
        let project = self.projects.remove(id).ok_or(ProjectError::Missing)?;
        if let Err(why) = self.keep() {
            self.projects.insert(id.to_owned(), project);
            return Err(why);
        }
        Ok(())
    }

    /// Writes the projects to a new file, which then replaces the old one, so that the file is always complete.
    fn keep(&self) -> Result<(), ProjectError> {
        let Some(file) = &self.file else { return Ok(()) };
        let write = || -> std::io::Result<()> {
            let kept = StateFile { projects: self.projects.values().cloned().collect() };
            let fresh = file.with_extension("json.new");
            let mut out = std::fs::File::create(&fresh)?;
            out.write_all(&serde_json::to_vec_pretty(&kept)?)?;
            out.sync_all()?;
            std::fs::rename(&fresh, file)?;
            match file.parent() {
                Some(folder) => std::fs::File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        };
        write().map_err(|why| ProjectError::NotWritten(why.to_string()))
    }

    /// Issues a token. A token that was issued for another token expires with it.
    pub(super) fn issue(&mut self, user: &str, project: Option<&str>, parent: Option<&Token>) -> Token {
        let now = whole_seconds(Timestamp::now());
        let later = now.checked_add(self.lifetime).unwrap_or(Timestamp::MAX);
        let mut audit_ids = vec![URL_SAFE_NO_PAD.encode(Uuid::new_v4())];
        audit_ids.extend(parent.and_then(|parent| parent.audit_ids.last().cloned()));
        let mut methods = if parent.is_some() { vec!["token"] } else { vec!["password"] };
        methods.extend(parent.into_iter().flat_map(|parent| parent.methods.iter().copied()));
        methods.dedup();
        let random: Vec<u8> = (0..4).flat_map(|_| Uuid::new_v4().into_bytes()).collect();
        let token = Token {
            id: format!("gAAAAA{}", URL_SAFE_NO_PAD.encode(random)),
            user: user.to_owned(),
            project: project.map(str::to_owned),
            methods,
            audit_ids,
            issued: now,
            expires: parent.map_or(later, |parent| parent.expires),
            revoked: false,
        };
        // Tokens that expired more than a day ago are dropped.
        let day = Duration::from_secs(24 * 3600);
        self.tokens.retain(|_, token| token.expires.checked_add(day).is_ok_and(|end| end > now));
        self.tokens.insert(token.id.clone(), token.clone());
        token
    }

    /// Returns a valid token.
    pub(super) fn token(&self, id: &str) -> Result<&Token, BadToken> {
        let token = self.tokens.get(id).ok_or(BadToken::Unknown)?;
        let project = token.project.as_ref().map(|id| self.projects.get(id));
        let usable = project.is_none_or(|project| project.is_some_and(|project| project.enabled));
        if token.revoked || !usable || token.expires <= Timestamp::now() {
            Err(BadToken::Invalid)
        } else {
            Ok(token)
        }
    }

    pub(super) fn revoke(&mut self, id: &str) {
        if let Some(token) = self.tokens.get_mut(id) {
            token.revoked = true;
        }
    }

    /// Returns true if this is the admin token.
    pub(super) fn is_admin_token(&self, id: &str) -> bool {
        self.users.admin_token.as_ref().is_some_and(|token| token.as_bytes().ct_eq(id.as_bytes()).into())
    }
}

fn unusable(path: &Path, source: std::io::Error) -> KeystoneStateError {
    KeystoneStateError::Unusable { path: path.to_owned(), source }
}

/// Reads the projects that an earlier process stored; none when there is no file yet.
fn read_projects(file: &Path) -> Result<Vec<Project>, KeystoneStateError> {
    let text = match std::fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| unusable(file, source))?,
    };
    let stored: Result<StateFile, _> = serde_json::from_slice(&text);
    let damaged = |source| KeystoneStateError::Damaged { path: file.to_owned(), source };
    Ok(stored.map_err(damaged)?.projects)
}

/// Drops the fraction of a second, as Keystone's tokens do.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Writes a time as Keystone does.
pub(super) fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        toml::from_str("[[user]]\nname = \"a\"\npassword = \"b\"\ntenants = { acme = [\"admin\"] }\n")
            .unwrap()
    }

    fn project(name: &str) -> Project {
        let (id, name) = (String::new(), name.to_owned());
        Project { id, name, description: Json::from(""), enabled: true, extra: Map::new() }
    }

    #[test]
    fn projects_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Directory::open(users(), Duration::from_secs(60), Some(folder.path()));
        let mut directory = open().unwrap();
        let created = directory.create(project("beta")).unwrap();
        assert_eq!(directory.create(project("acme")), Err(ProjectError::Taken));
        drop(directory);
        let mut directory = open().unwrap();
        assert_eq!(directory.project_named("beta"), Some(&created));
        assert_eq!(directory.projects().count(), 2);
        directory.delete(&created.id).unwrap();
        assert_eq!(directory.delete(&created.id), Err(ProjectError::Missing));
        drop(directory);
        assert_eq!(open().unwrap().projects().count(), 1);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(matches!(open(), Err(KeystoneStateError::Damaged { .. })));
    }

    #[test]
    fn tokens_become_invalid() {
        let mut directory = Directory::open(users(), Duration::from_secs(60), None).unwrap();
        let created = directory.create(project("beta")).unwrap();
        let first = directory.issue("a", Some(&created.id), None);
        let second = directory.issue("a", None, Some(&first));
        assert_eq!(second.expires, first.expires);
        assert!(directory.token(&first.id).is_ok());
        directory.delete(&created.id).unwrap();
        assert_eq!(directory.token(&first.id), Err(BadToken::Invalid));
        directory.revoke(&second.id);
        assert_eq!(directory.token(&second.id), Err(BadToken::Invalid));
        assert_eq!(directory.token("nonsense"), Err(BadToken::Unknown));
        let mut directory = Directory::open(users(), Duration::ZERO, None).unwrap();
        let token = directory.issue("a", None, None);
        assert_eq!(directory.token(&token.id), Err(BadToken::Invalid));
    }
}
