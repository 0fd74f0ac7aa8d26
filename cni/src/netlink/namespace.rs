//! Network namespaces: opened once, compared, entered by a thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::protocol::error::{CniError, Code, Result};

/// A network namespace, kept open: whoever removes its path meanwhile doesn't change which one is meant.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// The one that this thread is in.
    pub(crate) fn own() -> io::Result<Namespace> {
        Ok(Namespace(File::open("/proc/thread-self/ns/net")?))
    }

    /// The one at a path; nothing where there is none any more. The plugin's own is refused, before anything is
    /// done to it: a DEL there would take the host's interfaces.
    pub(crate) fn open(path: &Path) -> Result<Option<Namespace>> {
        let shown = path.display();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // The process is gone, or between its end and its burial.
            Err(error) if error.raw_os_error() == Some(3) => return Ok(None),
            Err(error) => return Err(CniError::file(path, &error)),
        };
        // A path that was a namespace's until somebody unmounted it.
        if !is_namespace(&file) {
            return Ok(None);
        }
        let failed = |error: io::Error| CniError::file(path, &error);
        let own = Namespace::own().and_then(|own| own.0.metadata()).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            let message = format!("CNI_NETNS {shown} is the plugin's own network namespace");
            return Err(CniError::new(Code::InvalidEnvironment, message)
                .details("a container on the host's network needs no plugin"));
        }
        Ok(Some(Namespace(file)))
    }

    /// Moves the calling thread into it.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// For messages that name a namespace by descriptor.
    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    pub(super) fn try_clone(&self) -> io::Result<Namespace> {
        Ok(Namespace(self.0.try_clone()?))
    }
}

/// Whether a file is of the kernel's file system of namespaces.
fn is_namespace(file: &File) -> bool {
    const NSFS: u64 = 0x6e73_6673;
    rustix::fs::fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(NSFS))
}
