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

    /// Opens the container's namespace. The plugin's own namespace is an error: the container would change the host's
    /// interfaces.
    pub(crate) fn open(path: &Path) -> Result<Namespace> {
        let shown = path.display();
        let failed = |error: io::Error| CniError::file(path, error);
        let Some(namespace) = Namespace::at(path).map_err(failed)? else {
            let message = format!("CNI_NETNS {shown} is not a network namespace");
            return Err(CniError::new(Code::UnknownContainer, message));
        };
        if namespace.is_own().map_err(failed)? {
            let message = format!("CNI_NETNS {shown} is the plugin's own network namespace");
            return Err(CniError::new(Code::InvalidEnvironment, message)
                .hint("a container on the host's network must not call the plugin"));
        }
        Ok(namespace)
    }

    /// Opens the container's namespace for DEL. Returns `None` if there is nothing to do in it: it is gone, the path is not a
    /// network namespace, or it is the plugin's own. DEL then releases the rest.
    pub(crate) fn open_for_del(path: &Path) -> Option<Namespace> {
        let skipped = |reason: &str| {
            tracing::warn!(path = %path.display(), reason, "DEL does nothing in the network namespace");
            None
        };
        let namespace = match Namespace::at(path) {
            Ok(Some(namespace)) => namespace,
            Ok(None) => return None,
            Err(error) => return skipped(&error.to_string()),
        };
        match namespace.is_own() {
            Ok(false) => {}
            Ok(true) => return skipped("it is the plugin's own network namespace"),
            Err(error) => return skipped(&error.to_string()),
        }
        // It may be a namespace of another kind. A thread of its own enters it, since the namespace of this one must stay.
        let entered = std::thread::scope(|scope| scope.spawn(|| namespace.enter()).join());
        match entered {
            Ok(Ok(())) => Some(namespace),
            Ok(Err(error)) => skipped(&error.to_string()),
            Err(_) => skipped("the thread that entered it stopped"),
        }
    }

    /// Opens the namespace at a path. Returns `None` if there is none.
    fn at(path: &Path) -> io::Result<Option<Namespace>> {
        // The process has ended, or is ending.
        let is_gone =
            |error: &io::Error| error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3);
        // To open something else could wait, or have an effect: a pipe, a device.
        let file = match std::fs::metadata(path)
            .and_then(|found| found.is_file().then(|| File::open(path)).transpose())
        {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // If somebody unmounted the namespace, the empty file remains.
        Ok(is_namespace(&file).then_some(Namespace(file)))
    }

    fn is_own(&self) -> io::Result<bool> {
        let (own, found) = (Namespace::own()?.0.metadata()?, self.0.metadata()?);
        Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
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
