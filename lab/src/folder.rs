//! The folder of a laboratory, and the names that follow from it.
//!
//! Everything of a laboratory can be found again from its folder's path alone: its namespaces by their prefix, its processes by a
//! variable of their environment. So whatever ends a command, and even if somebody deleted the folder, `down` finds all of it.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::error::{LabError, Result, at};

/// The variable that every process of a laboratory has in its environment: the laboratory's folder.
pub const MARK: &str = "MIDOFORM_LAB";

/// The longest path of a Unix domain socket.
const LONGEST_SOCKET: usize = 107;
/// The longest path of a socket within the folder.
const LONGEST_INSIDE: &str = "/host16/ovn-controller.ctl";

/// The folder of a laboratory. It may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    name: String,
    path: PathBuf,
    prefix: String,
}

/// The right to change a laboratory. It ends with the value.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// Returns the folder of the laboratory with this name, below the folder of all laboratories.
    ///
    /// # Errors
    /// When the name can't be one of a folder and of namespaces.
    pub fn named(all: &Path, name: &str) -> Result<Folder> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_plain) || name.starts_with('-') {
            return Err(LabError::Name(name.to_owned()));
        }
        // The path decides about the names of namespaces, so it has to be the same from every working folder.
        let all = std::path::absolute(all).map_err(at(all))?;
        let all = all.canonicalize().unwrap_or(all);
        let path = all.join(name);
        let tag = hex::encode(&Sha256::digest(path.as_os_str().as_bytes())[..4]);
        let short: String = name.chars().take(10).collect();
        Ok(Folder { name: name.to_owned(), path, prefix: format!("mf-{short}-{tag}-") })
    }

    /// Returns the laboratories that have a folder, in the order of their names.
    pub fn all(all: &Path) -> Vec<Folder> {
        let entries = fs::read_dir(all).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names.iter().filter_map(|name| Folder::named(all, name).ok()).collect()
    }

    /// Returns the laboratory's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the beginning of the names of the laboratory's namespaces.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the name of one of the laboratory's namespaces.
    pub fn namespace(&self, of: &str) -> String {
        format!("{}{of}", self.prefix)
    }

    /// Returns the folder of the copied spec.
    pub fn spec(&self) -> PathBuf {
        self.path.join("spec")
    }

    /// Returns true if it exists.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Creates the folder, which only its owner can read, and takes the laboratory's lock.
    ///
    /// # Errors
    /// When the folder can't be made, sockets in it would have too long paths, or another command has the lock.
    pub fn create(&self) -> Result<Lock> {
        if self.path.as_os_str().len() + LONGEST_INSIDE.len() > LONGEST_SOCKET {
            return Err(LabError::PathTooLong { folder: self.path.clone(), most: LONGEST_SOCKET });
        }
        midoform_store::private_folder::make_private(&self.path).map_err(at(&self.path))?;
        self.lock()
    }

    /// Takes the laboratory's lock.
    ///
    /// # Errors
    /// When the folder is not there, or another command has the lock.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path.join("lock");
        let file = File::options().create(true).append(true).open(&path).map_err(at(&path))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(LabError::Busy(self.path.clone()));
        }
        // Somebody may have deleted the laboratory in between.
        let is_same = fs::metadata(&path)
            .and_then(|there| Ok((there.ino(), file.metadata()?.ino())))
            .is_ok_and(|(there, own)| there == own);
        match is_same {
            true => Ok(Lock { _file: file }),
            false => Err(LabError::Busy(self.path.clone())),
        }
    }
}

/// Returns the folder of all laboratories: below `XDG_STATE_HOME` if that is set, or else in `/var/lib/midoform/labs`.
pub fn of_all(state_home: Option<&Path>) -> PathBuf {
    match state_home.filter(|home| home.is_absolute()) {
        Some(home) => home.join("midoform/labs"),
        None => PathBuf::from("/var/lib/midoform/labs"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn two_labs_share_no_name() {
        let all = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let prefix = |folder: &Path, name: &str| Folder::named(folder, name).unwrap().prefix().to_owned();
        let own = prefix(all.path(), "seed");
        assert!(own.starts_with("mf-seed-"), "{own}");
        assert_ne!(own, prefix(other.path(), "seed"));
        assert_ne!(prefix(all.path(), "a-very-long-name"), prefix(all.path(), "a-very-long-other"));
        for wrong in ["", "a/b", "..", "-x", "ä", "a b", &"x".repeat(33)] {
            assert!(matches!(Folder::named(all.path(), wrong), Err(LabError::Name(_))), "{wrong}");
        }
    }

    #[test]
    fn one_command_at_a_time_changes_a_lab() {
        let all = tempfile::tempdir().unwrap();
        let folder = Folder::named(all.path(), "seed").unwrap();
        let lock = folder.create().unwrap();
        assert!(matches!(folder.lock(), Err(LabError::Busy(_))));
        drop(lock);
        let _lock = folder.lock().unwrap();
        assert_eq!(Folder::all(all.path()), [folder]);
    }

    #[test]
    fn a_folder_whose_sockets_would_not_work_is_refused() {
        let deep = Path::new("/tmp").join("x".repeat(80));
        let folder = Folder::named(&deep, "seed").unwrap();
        assert!(matches!(folder.create(), Err(LabError::PathTooLong { .. })));
    }
}
