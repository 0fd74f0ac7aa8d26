//! Network namespaces.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::protocol::error::{CniError, Code, Result};

/// An open network namespace. It stays the same one if somebody removes or replaces its path.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// Opens the namespace of the calling thread.
    pub(crate) fn own() -> io::Result<Namespace> {
        Ok(Namespace(File::open("/proc/thread-self/ns/net")?))
    }

    /// Opens the namespace at a path. Returns `None` if there is none any more. The plugin's own namespace is an error: a
    /// DEL there would remove the host's interfaces.
    pub(crate) fn open(path: &Path) -> Result<Option<Namespace>> {
        let shown = path.display();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // The process has ended, or is ending.
            Err(error) if error.raw_os_error() == Some(3) => return Ok(None),
            Err(error) => return Err(CniError::file(path, error)),
        };
        // Somebody unmounted the namespace, and the empty file remains.
        if !is_namespace(&file) {
            return Ok(None);
        }
        let failed = |error: io::Error| CniError::file(path, error);
        let own = Namespace::own().and_then(|own| own.0.metadata()).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            let message = format!("CNI_NETNS {shown} is the plugin's own network namespace");
            return Err(CniError::new(Code::InvalidEnvironment, message)
                .hint("a container on the host's network must not call the plugin"));
        }
        Ok(Some(Namespace(file)))
    }

    /// Opens the namespace at a path. That there is none is an error.
    pub(crate) fn open_existing(path: &Path) -> Result<Namespace> {
        Namespace::open(path)?.ok_or_else(|| {
            let message = format!("CNI_NETNS {} is not a network namespace", path.display());
            CniError::new(Code::UnknownContainer, message)
        })
    }

    /// Moves the calling thread into the namespace.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Returns the file descriptor, for messages that name a namespace by it.
    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    pub(super) fn try_clone(&self) -> io::Result<Namespace> {
        Ok(Namespace(self.0.try_clone()?))
    }
}

/// Returns true if a file belongs to the kernel's file system of namespaces.
fn is_namespace(file: &File) -> bool {
    const NSFS: u64 = 0x6e73_6673;
    rustix::fs::fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(NSFS))
}
