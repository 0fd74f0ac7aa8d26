//! Folders that only their owner can read: state, tokens, locks.

use std::io;
use std::path::Path;

/// Creates a folder, and those above it, with access for the owner alone (0700). A folder that is there stays as it is.
///
/// # Errors
/// When it can't be created.
pub fn create(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Creates a folder, and takes all access to it from others. This is for folders that belong to midoform alone, by
/// their name: earlier versions created them with access for all.
///
/// # Errors
/// When it can't be created. That its access can't be changed is no error: it may belong to another user.
pub fn make_private(folder: &Path) -> io::Result<()> {
    create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mut permissions = std::fs::symlink_metadata(folder)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o700);
            let _ = std::fs::set_permissions(folder, permissions);
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(folder: &Path) -> u32 {
        std::fs::metadata(folder).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folders_are_for_their_owner() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a/b");
        create(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&above.path().join("a"))), (0o700, 0o700));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        create(&folder).unwrap();
        assert_eq!(mode(&folder), 0o755, "somebody may have chosen that");
        make_private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }
}
