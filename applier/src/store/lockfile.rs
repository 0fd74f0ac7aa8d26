//! The lock file beside the spec: read whole, written whole, one process at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
    _file: File,
}

/// Why a lock file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// Another process is applying.
    #[error("{path} is in use: another midoform is applying; wait for it to end")]
    Busy {
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

    /// Takes the right to write.
    ///
    /// # Errors
    /// When another process has it, or when the folder can't be written.
    pub fn acquire(&self) -> Result<Guard, LockFileError> {
        let path = self.path.with_extension("lock.busy");
        let shown = path.display().to_string();
        let failed = |source| LockFileError::File { path: shown.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Guard { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(LockFileError::Busy { path: self.path.display().to_string() })
            }
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Writes it, if that changes it: to a file beside, then in its place.
    ///
    /// # Errors
    /// When it can't be written; then the old one is still there, whole.
    pub fn write(&self, _guard: &Guard, allocations: &Allocations) -> Result<(), LockFileError> {
        let text = lock::to_toml(allocations);
        if std::fs::read_to_string(&self.path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        write_atomically(&self.path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| LockFileError::File { path: self.path.display().to_string(), source })
    }
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
