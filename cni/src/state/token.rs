//! The API's token of an earlier run, in a file that only its owner can read. It saves each run a login.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{hashed_name, make_private};
use crate::config::Login;

/// Returns the file for the token of one login at one API. Another password has another file, so a changed password
/// takes effect at once.
fn path(state: &Path, url: &str, login: &Login) -> PathBuf {
    let parts = [Some(url), login.username.as_deref(), login.password.as_deref(), login.project.as_deref()];
    state.join(format!("token-{}", hashed_name(parts.map(Option::unwrap_or_default), 16)))
}

/// Returns the kept token, if there is one that no other user can have read or written.
pub(crate) fn read(state: &Path, url: &str, login: &Login) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let path = path(state, url, login);
    let metadata = std::fs::symlink_metadata(&path).ok()?;
    let is_safe = metadata.is_file() && metadata.mode() & 0o077 == 0 && metadata.len() < 64 * 1024;
    if !is_safe {
        tracing::warn!(path = %path.display(), "other users can read or write the token file: the token is not used");
        return None;
    }
    std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Keeps a token for the next run.
pub(crate) fn write(state: &Path, url: &str, login: &Login, token: &str) -> io::Result<()> {
    make_private(state)?;
    // Only the owner can read a temporary file.
    let mut file = tempfile::Builder::new().prefix(".token-").tempfile_in(state)?;
    file.write_all(token.as_bytes())?;
    file.persist(path(state, url, login)).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_others_can_read_is_not_used() {
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
