//! The lock file beside the spec: read whole, written whole, one process at a time.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use midoform_compiler::allocation::Allocations;
use midoform_compiler::lock;
use midoform_compiler::source::{Source, Unreadable};

/// A lock file.
#[derive(Clone, Debug)]
pub struct LockFile {
    path: PathBuf,
}

/// The right to write a lock file, until it is dropped. A dead process does not keep it.
#[derive(Debug)]
pub struct Guard {
    file: File,
    path: PathBuf,
}

/// Why a lock file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// Another process is applying.
    #[error("{path} is in use by {holder}; wait for it to end, or let --lock-timeout wait")]
    Busy {
        /// The file.
        path: String,
        /// Who, and since when.
        holder: String,
    },
    /// The right to write was lost: the file that stands for it was taken away or replaced meanwhile.
    #[error("{path}: the right to write it was lost meanwhile; nothing was written: plan again")]
    Lost {
        /// The file.
        path: String,
    },
    /// The system's words.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl LockFile {
    /// The lock file at this path, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        LockFile { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content, or nothing where there is no file yet.
    pub fn source(&self) -> Option<Source> {
        let name = self.path.display().to_string();
        match std::fs::read(&self.path) {
            Ok(bytes) => Some(Source { name: name.into(), content: Ok(bytes) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                Some(Source { name: name.into(), content: Err(Unreadable::Failed(error.to_string())) })
            }
        }
    }

    /// Takes the right to write, waiting so long for another process to let it go.
    ///
    /// # Errors
    /// When another process has it, or when the folder can't be written.
    pub fn acquire(&self, patience: Duration) -> Result<Guard, LockFileError> {
        let path = self.path.with_extension("lock.busy");
        let shown = path.display().to_string();
        let failed = |source| LockFileError::File { path: shown.clone(), source };
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.map_err(failed)?;
        let end = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(100).min(patience));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let read = file.read_to_string(&mut holder);
                    if read.is_err() || holder.trim().is_empty() {
                        "another midoform".clone_into(&mut holder);
                    }
                    let path = self.path.display().to_string();
                    return Err(LockFileError::Busy { path, holder: holder.trim().to_owned() });
                }
                Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        // For whoever meets it; who can't be told is no reason to fail.
        let _ = file.set_len(0).and_then(|()| file.write_all(holder().as_bytes()));
        Ok(Guard { file, path })
    }

    /// Writes it, if that changes it: to a file beside, then in its place.
    ///
    /// # Errors
    /// When it can't be written; then the old one is still there, whole.
    pub fn write(&self, guard: &Guard, allocations: &Allocations) -> Result<(), LockFileError> {
        let text = lock::to_toml(allocations);
        if std::fs::read_to_string(&self.path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        if !guard.is_held() {
            return Err(LockFileError::Lost { path: self.path.display().to_string() });
        }
        write_atomically(&self.path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| LockFileError::File { path: self.path.display().to_string(), source })
    }
}

impl Guard {
    /// Whether the file that is locked is still the one that others find.
    fn is_held(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(own), Ok(found)) => own.ino() == found.ino() && own.dev() == found.dev(),
            _ => false,
        }
    }
}

/// Who this process is, for whoever waits for it.
fn holder() -> String {
    let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let user = std::env::var("USER").unwrap_or_default();
    let at = if host.trim().is_empty() { String::new() } else { format!(" on {}", host.trim()) };
    let by = if user.is_empty() { String::new() } else { format!(" of {user}") };
    format!("process {}{by}{at}, since {since}", std::process::id())
}

/// Writes a file beside, makes sure that it is on the disk, and puts it in the place of the old one.
///
/// # Errors
/// When any of this fails; then the old file is still there, whole.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let beside = tempfile::Builder::new().prefix(".midoform-").tempfile_in(folder)?;
    let mut writer = BufWriter::new(beside.as_file());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    beside.as_file().sync_all()?;
    set_usual_permissions(beside.as_file(), path)?;
    beside.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Temporary files are for the owner only; a file that Git keeps has the permissions of the one it replaces,
/// or the usual ones.
#[cfg(unix)]
fn set_usual_permissions(file: &File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|old| old.permissions().mode()).unwrap_or(0o644);
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_usual_permissions(_file: &File, _path: &Path) -> io::Result<()> {
    Ok(())
}
