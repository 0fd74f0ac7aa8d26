//! Writes files atomically: after a crash the old file or the new file is there, and it is complete.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// The most links that are followed from one path.
const MOST_LINKS: usize = 40;

/// Writes a file that the user names. If it is a link, the file that it leads to is written. A device or a pipe is
/// written to, and never replaced. A reader of a pipe that ends early is no error.
///
/// # Errors
/// When the file can't be written; then an old file is unchanged.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let target = target_of(path)?;
    match is_stream(&target) {
        true => write_to_stream(&target, fill),
        false => replace_atomically(&target, fill),
    }
}

/// Writes a temporary file beside the old one, makes sure that it is on the disk, and renames it to the old one. A link is
/// replaced, and not followed.
///
/// # Errors
/// When any of this fails; then the old file is unchanged.
pub fn replace_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, File::sync_all, fill)?;
    File::open(folder_of(path))?.sync_all()
}

/// Replaces a file in the same way, and waits for no disk. The end of a process loses nothing; but after a power failure, the file may
/// be the old one, or the new one as far as it was written.
///
/// # Errors
/// When any of this fails; then the old file is unchanged.
pub(crate) fn replace_until_power_failure(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, |_| Ok(()), fill)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn replace(
    path: &Path,
    sync: impl FnOnce(&File) -> io::Result<()>,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let old = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".midoform-");
    let permissions = usual_permissions();
    if let (None, Some(permissions)) = (&old, permissions) {
        builder.permissions(permissions);
    }
    let beside = builder.tempfile_in(folder).map_err(|error| without_temporary_name(&error, folder))?;
    let mut writer = BufWriter::new(beside.as_file());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    sync(beside.as_file())?;
    if let Some(old) = old {
        keep_owner(beside.as_file(), &old);
        beside.as_file().set_permissions(old.permissions())?;
    }
    // It is closed before it has the name: only then does another machine see all of it in a shared folder.
    beside.into_temp_path().persist(path).map_err(|error| error.error)
}

/// Returns the error for a folder in which no file can be created. The temporary file's name says nothing to the user.
fn without_temporary_name(error: &io::Error, folder: &Path) -> io::Error {
    let source = error.get_ref().and_then(std::error::Error::source);
    let of_system = source.and_then(|source| source.downcast_ref::<io::Error>()).map(ToString::to_string);
    let cause = of_system.unwrap_or_else(|| io::Error::from(error.kind()).to_string());
    io::Error::new(error.kind(), format!("the folder {}: {cause}", folder.display()))
}

/// Returns the path that a path leads to by links. The last of them may not exist yet.
pub(crate) fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let is_link = fs::symlink_metadata(&target).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link || is_descriptor(&target) {
            return Ok(target);
        }
        target = target.parent().unwrap_or_else(|| Path::new("")).join(fs::read_link(&target)?);
    }
    Err(io::Error::other("it leads through too many links"))
}

/// Returns true for names of this process's own open files.
fn is_descriptor(path: &Path) -> bool {
    let standard = [Path::new("/dev/stdout"), Path::new("/dev/stderr")];
    let is_in = |folder: &str| path.parent().is_some_and(|parent| parent.ends_with(folder));
    standard.contains(&path) || path.starts_with("/dev/fd") || (path.starts_with("/proc") && is_in("fd"))
}

/// Returns true if a path is a device, a pipe, or an open file of this process.
fn is_stream(path: &Path) -> bool {
    let is_special = |metadata: fs::Metadata| !metadata.is_file() && !metadata.is_dir();
    is_descriptor(path) || fs::metadata(path).is_ok_and(is_special)
}

fn write_to_stream(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let file = File::options().append(true).open(path)?;
    let mut writer = BufWriter::new(&file);
    match fill(&mut writer).and_then(|()| writer.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Returns the permissions of a new file, from which the system takes those that the user's mask forbids.
#[cfg(unix)]
fn usual_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual_permissions() -> Option<Permissions> {
    None
}

/// Gives a file the owner and the group of the one that it replaces, as far as the system allows it.
#[cfg(unix)]
fn keep_owner(file: &File, old: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    // Only the administrator may give files away; for all others the owner is the same already.
    let _ = fchown(file, Some(old.uid()), Some(old.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _old: &fs::Metadata) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_file_below_proc_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new("/proc/self/root");
        let path = root.join(folder.path().strip_prefix("/").unwrap()).join("file");
        for text in ["one", "two"] {
            write_atomically(&path, |writer| writer.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn an_open_file_is_written_to() {
        let file = tempfile::tempfile().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
        assert!(is_stream(&path));
    }
}
