//! The API's token of an earlier run, in a file that only its owner can read: it saves a login a run.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::config::Login;

/// The file for one login at one API: another password is another file, so that a changed one is used at once.
fn path(state: &Path, url: &str, login: &Login) -> PathBuf {
    let mut hash = Sha256::new();
    for part in [Some(url), login.username.as_deref(), login.password.as_deref(), login.project.as_deref()] {
        hash.update(part.unwrap_or_default().as_bytes());
        hash.update([0]);
    }
    state.join(format!("token-{}", hex::encode(&hash.finalize()).get(..16).unwrap_or_default()))
}

/// The token, if there is one that nobody else can have read or written.
pub(crate) fn read(state: &Path, url: &str, login: &Login) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let path = path(state, url, login);
    let metadata = std::fs::symlink_metadata(&path).ok()?;
    let is_safe = metadata.is_file() && metadata.mode() & 0o077 == 0 && metadata.len() < 64 * 1024;
    if !is_safe {
        tracing::warn!(path = %path.display(), "not a file that only its owner can read: the token in it is not used");
        return None;
    }
    std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Keeps a token.
pub(crate) fn write(state: &Path, url: &str, login: &Login, token: &str) -> io::Result<()> {
    std::fs::create_dir_all(state)?;
    // Temporary files are their owner's alone.
    let mut file = tempfile::Builder::new().prefix(".token-").tempfile_in(state)?;
    file.write_all(token.as_bytes())?;
    file.persist(path(state, url, login)).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let login =
            Login { username: Some("u".to_owned()), password: Some("p".to_owned()), ..Login::default() };
        write(folder.path(), "http://a", &login, "secret").unwrap();
        assert_eq!(read(folder.path(), "http://a", &login).as_deref(), Some("secret"));
        assert_eq!(read(folder.path(), "http://b", &login), None);
        let file = path(folder.path(), "http://a", &login);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(folder.path(), "http://a", &login), None);
    }
}
