//! Network namespaces.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{LabError, Result, of};

/// The folder in which iproute2 keeps the names of namespaces.
const NAMES: &str = "/run/netns";

/// Returns the path of a namespace's name.
fn path_of(name: &str) -> PathBuf {
    Path::new(NAMES).join(name)
}

/// Returns true if a namespace has this name.
pub(crate) fn exists(name: &str) -> bool {
    const NSFS: u64 = 0x6e73_6673;
    let file = File::open(path_of(name));
    file.is_ok_and(|file| rustix::fs::fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(NSFS)))
}

/// Returns the names that begin so, of namespaces and of what a killed `ip netns add` left.
pub(crate) fn with_prefix(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(NAMES).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

/// Returns the number by which the kernel knows a namespace.
pub(crate) fn number(name: &str) -> Option<u64> {
    exists(name).then(|| fs::metadata(path_of(name)).ok().map(|found| found.ino())).flatten()
}

/// Deletes a namespace's name. The kernel deletes the namespace when its last process has ended.
pub(crate) fn delete(name: &str) -> Result<()> {
    let path = path_of(name);
    // Something else may be mounted below it, or nothing if a command was killed.
    while rustix::mount::unmount(&path, UnmountFlags::DETACH).is_ok() {}
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LabError::File { path, source: error }),
        _ => Ok(()),
    }
}

/// Moves the calling thread into a namespace. It stays there.
pub(crate) fn enter(name: &str) -> Result<()> {
    let path = path_of(name);
    let operation = format!("entering the network namespace {name}");
    let file = File::open(path).map_err(of(operation.clone()))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(of(operation))
}

/// Does something in a namespace, in a thread of its own: the namespace of this one stays.
///
/// # Errors
/// When there is no such namespace, or the work fails.
pub(crate) fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let entered = || enter(name).and_then(|()| work());
    let joined = std::thread::scope(|scope| scope.spawn(entered).join());
    joined.unwrap_or_else(|_| {
        Err(LabError::Kernel {
            operation: format!("the work in the network namespace {name}"),
            source: io::Error::other("its thread stopped"),
        })
    })
}
