//! The API's token of an earlier run, in a file that only its owner can read. It saves each run a login.
//!
//! Nothing of a secret is in the file's name. The file says which password the token was got with, as a hash with a salt
//! of its own: a changed password takes effect at once.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use midoform_store::private_folder;

use super::hashed_name;
use crate::config::Login;

/// Returns the file for the token of one user at one API.
fn path(state: &Path, url: &str, login: &Login) -> PathBuf {
    let parts = [Some(url), login.username.as_deref(), login.project.as_deref()];
    state.join(format!("login-{}", hashed_name(parts.map(Option::unwrap_or_default), 16)))
}

/// Returns the hash of a login's password.
fn hash(salt: &str, login: &Login) -> String {
    hashed_name([salt, login.password.as_deref().unwrap_or_default()], 64)
}

/// Returns the kept token, if there is one of this password that no other user can have read or written.
pub(crate) fn read(state: &Path, url: &str, login: &Login) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let path = path(state, url, login);
    let metadata = std::fs::symlink_metadata(&path).ok()?;
    let is_safe = metadata.is_file() && metadata.mode() & 0o077 == 0 && metadata.len() < 64 * 1024;
    if !is_safe {
        tracing::warn!(path = %path.display(), "other users can read or write the token file: the token is not used");
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let mut lines = text.lines();
    let (salt, known, token) = (lines.next()?, lines.next()?, lines.next()?);
    (known == hash(salt, login) && !token.is_empty()).then(|| token.to_owned())
}

/// Keeps a token for the next run.
pub(crate) fn write(state: &Path, url: &str, login: &Login, token: &str) -> io::Result<()> {
    private_folder::create(state)?;
    remove_earlier(state);
    let salt = format!("{:032x}", fastrand::u128(..));
    // Only the owner can read a temporary file.
    let mut file = tempfile::Builder::new().prefix(".login-").tempfile_in(state)?;
    writeln!(file, "{salt}\n{}\n{token}", hash(&salt, login))?;
    file.persist(path(state, url, login)).map(drop).map_err(|error| error.error)
}

/// Removes the files of earlier versions, whose names are hashes of passwords without a salt.
fn remove_earlier(state: &Path) {
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("token-") {
            // The next run that keeps a token tries again.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(password: &str) -> Login {
        Login { username: Some("u".to_owned()), password: Some(password.to_owned()), ..Login::default() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_token_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let login = login("p");
        write(folder.path(), "http://a", &login, "secret").unwrap();
        assert_eq!(read(folder.path(), "http://a", &login).as_deref(), Some("secret"));
        assert_eq!(read(folder.path(), "http://b", &login), None);
        let file = path(folder.path(), "http://a", &login);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(folder.path(), "http://a", &login), None);
    }

    #[test]
    fn the_file_s_name_says_nothing_of_the_password() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for (folder, password) in folders.iter().zip(["hunter2", "hunter3"]) {
            std::fs::write(folder.path().join("token-0123456789abcdef"), "of an earlier version").unwrap();
            write(folder.path(), "http://a", &login(password), "secret").unwrap();
        }
        let [first, second] = folders.each_ref().map(|folder| names(folder.path()));
        assert_eq!(first.len(), 1, "{first:?}");
        assert_eq!(first, second);
        let files =
            folders.each_ref().map(|folder| std::fs::read_to_string(folder.path().join(&first[0])).unwrap());
        assert!(!files.iter().any(|text| text.contains("hunter")));
        // Another password has no token, and the salt is new each time.
        assert_eq!(read(folders[0].path(), "http://a", &login("hunter3")), None);
        write(folders[0].path(), "http://a", &login("hunter2"), "secret").unwrap();
        assert_ne!(std::fs::read_to_string(folders[0].path().join(&first[0])).unwrap(), files[0]);
    }
}
