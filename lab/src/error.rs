//! The failures of a laboratory.

use std::io;
use std::path::{Path, PathBuf};

/// The failure of an operation on a laboratory.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The caller may not make namespaces.
    #[error("a laboratory needs root: it makes network namespaces and starts Open vSwitch; run it with sudo")]
    NotRoot,
    /// Programs are not installed.
    #[error("these programs are missing: {}; install the Debian packages {packages}{elsewhere}", .programs.join(", "))]
    Missing {
        /// Their names.
        programs: Vec<String>,
        /// The Debian packages that have them.
        packages: String,
        /// Where else they were looked for, and what else helps.
        elsewhere: String,
    },
    /// A laboratory's name can't be used.
    #[error("a laboratory can't be called `{0}`: use up to 32 letters, digits, `-` and `_`")]
    Name(String),
    /// There is no such laboratory.
    #[error("there is no laboratory in {}: `midoform lab up SPEC` makes one", .0.display())]
    Absent(PathBuf),
    /// Another command works on the laboratory.
    #[error("another command works on the laboratory in {}; wait for it", .0.display())]
    Busy(PathBuf),
    /// What is there does not fit what is wanted.
    #[error("{0}")]
    Conflict(String),
    /// No place has this name.
    #[error("the laboratory has no place `{name}`; it has {known}")]
    NoPlace {
        /// The name.
        name: String,
        /// The places that there are.
        known: String,
    },
    /// A path leads to sockets whose paths are too long for the system.
    #[error(
        "{}: the sockets in this folder would have paths of more than {most} bytes, which the system does not take: \
         name a shorter folder with XDG_STATE_HOME", .folder.display()
    )]
    PathTooLong {
        /// The folder.
        folder: PathBuf,
        /// The length of the longest path.
        most: usize,
    },
    /// A file can't be used.
    #[error("{} can't be used", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The description of a laboratory can't be read.
    #[error("{} is not readable as the description of a laboratory ({why}): `midoform lab down` deletes it", .path.display())]
    Description {
        /// Its path.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A program failed.
    #[error("`{command}` failed: {output}")]
    Program {
        /// The program and its arguments.
        command: String,
        /// What it wrote.
        output: String,
    },
    /// A program did not end, or something did not happen in time.
    #[error("{what} took more than {seconds} s{advice}")]
    Late {
        /// What was waited for.
        what: String,
        /// The limit.
        seconds: u64,
        /// What to look at.
        advice: String,
    },
    /// An operation of the kernel failed.
    #[error("{operation} failed")]
    Kernel {
        /// The operation.
        operation: String,
        /// The reason.
        source: io::Error,
    },
    /// OVN's northbound database refuses pods.
    #[error("OVN's northbound database refuses the ports of pods: {0}")]
    Northbound(String),
    /// Some of a laboratory could not be deleted.
    #[error("not all of the laboratory could be deleted: {}", .0.join("; "))]
    Left(Vec<String>),
}

/// The result of an operation on a laboratory.
pub type Result<T> = std::result::Result<T, LabError>;

/// Names the file of a failure.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> LabError + '_ {
    |source| LabError::File { path: path.to_path_buf(), source }
}

/// Names the operation of a failure.
pub(crate) fn of<E: Into<io::Error>>(operation: impl Into<String>) -> impl FnOnce(E) -> LabError {
    let operation = operation.into();
    |source| LabError::Kernel { operation, source: source.into() }
}
