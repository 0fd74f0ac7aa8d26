//! The lock of an endpoint: one verb at a time works on one interface of one container.
//!
//! Each endpoint has a lock file of its own, so no endpoint waits for another one. The file is removed when the lock is
//! released, while it is still locked. So a run that was waiting may lock a file that no longer has its name. Therefore a
//! run that got the lock compares the file with the one at the path, and opens it again if they differ. Only the holder
//! removes the file, so at most one run holds a file that has the name.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use midoform_store::ipam::Owner;
use midoform_store::private_folder;
use uuid::Uuid;

use super::journal::release_name;
use crate::protocol::error::{CniError, Code, Result};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// Held until it is dropped, or until the process ends.
pub(crate) struct EndpointLock {
    path: PathBuf,
    file: File,
}

impl EndpointLock {
    /// Acquires the lock, waiting at most `longest`.
    pub(crate) async fn acquire(
        state: &Path,
        host: Uuid,
        owner: &Owner,
        longest: Duration,
    ) -> Result<EndpointLock> {
        let folder = state.join("locks");
        let path = folder.join(release_name(host, owner));
        let end = Instant::now() + longest;
        loop {
            match EndpointLock::try_acquire(&folder, &path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Ok(None) => {
                    let message = format!("another run of midonet-cni for {owner} has not ended");
                    return Err(CniError::new(Code::TryAgainLater, message));
                }
                Err(error) => return Err(CniError::file(&folder, error)),
            }
        }
    }

    /// Tries once. Returns `None` if another run holds the lock.
    fn try_acquire(folder: &Path, path: &Path) -> io::Result<Option<EndpointLock>> {
        loop {
            let file = match open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    private_folder::create(folder)?;
                    open(path)?
                }
                other => other?,
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, path)? => {
                    return Ok(Some(EndpointLock { path: path.to_owned(), file }));
                }
                // The former holder removed the file after this run had opened it.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl Drop for EndpointLock {
    /// Removes the file. It is still locked: it is unlocked when it is closed, after this.
    fn drop(&mut self) {
        // If somebody else removed it, the file at the path is the lock of another run.
        if !is_at(&self.file, &self.path).unwrap_or_default() {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a lock file can't be removed: it stays");
        }
    }
}

/// Opens a lock file, or creates it. A symbolic link is not followed.
fn open(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    File::options().create(true).truncate(false).write(true).mode(0o600).custom_flags(no_follow).open(path)
}

/// Returns true if the open file is the one at the path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let locked = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the lock files that killed runs left.
pub(crate) fn remove_unused(state: &Path) {
    let folder = state.join("locks");
    let Ok(entries) = std::fs::read_dir(&folder) else { return };
    for entry in entries.flatten() {
        // A lock that is acquired here is released at once, which removes its file.
        if let Err(error) = EndpointLock::try_acquire(&folder, &entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "a lock file can't be used");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    fn owner(container: &str) -> Owner {
        Owner { network: "lab".to_owned(), container: container.to_owned(), interface: "eth0".to_owned() }
    }

    async fn acquire(state: &Path, container: &str, longest: Duration) -> Result<EndpointLock> {
        EndpointLock::acquire(state, Uuid::nil(), &owner(container), longest).await
    }

    fn files(state: &Path) -> usize {
        std::fs::read_dir(state.join("locks")).unwrap().count()
    }

    #[tokio::test]
    async fn a_lock_keeps_nobody_else_out() {
        let folder = tempfile::tempdir().unwrap();
        let held = acquire(folder.path(), "c", Duration::ZERO).await.unwrap();
        let error = acquire(folder.path(), "c", Duration::ZERO).await.err().unwrap();
        assert_eq!(error.code, Code::TryAgainLater);
        for number in 0..1000 {
            acquire(folder.path(), &format!("c{number}"), Duration::ZERO).await.unwrap();
        }
        assert_eq!(files(folder.path()), 1, "a lock that is released leaves no file");
        drop(held);
        assert_eq!(files(folder.path()), 0);
        acquire(folder.path(), "c", Duration::ZERO).await.unwrap();
    }

    /// Many threads acquire and release one lock. Each release removes the file while others wait for it.
    #[test]
    fn two_never_hold_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (is_held, count) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let path = folder.path().join("locks").join(release_name(Uuid::nil(), &owner("c")));
                    let end = Instant::now() + Duration::from_secs(2);
                    while Instant::now() < end {
                        let lock = EndpointLock::try_acquire(&folder.path().join("locks"), &path).unwrap();
                        let Some(lock) = lock else { continue };
                        assert!(!is_held.swap(true, Ordering::SeqCst), "two hold the lock");
                        std::thread::yield_now();
                        is_held.store(false, Ordering::SeqCst);
                        count.fetch_add(1, Ordering::Relaxed);
                        drop(lock);
                    }
                });
            }
        });
        assert!(count.load(Ordering::Relaxed) > 10, "{count:?}");
        assert_eq!(files(folder.path()), 0);
    }

    #[tokio::test]
    async fn files_of_killed_runs_are_removed_and_those_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let held = acquire(folder.path(), "c", Duration::ZERO).await.unwrap();
        let left = folder.path().join("locks").join(release_name(Uuid::nil(), &owner("gone")));
        std::fs::write(&left, "").unwrap();
        remove_unused(folder.path());
        assert_eq!(files(folder.path()), 1);
        acquire(folder.path(), "c", Duration::ZERO).await.err().unwrap();
        drop(held);
    }
}
