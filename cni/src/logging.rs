//! The log: a file, or standard error, which runtimes pass to journald. It never goes to standard output.
//!
//! Each event is one line of JSON, with container, interface, tenant and step as fields. The types that hold secrets do not
//! show them, so the log never has any.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use midoform_store::private_folder;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::LogSettings;

/// The size limit of the log file, in bytes. A larger file is renamed to `.old` and replaces an earlier one.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Starts logging. If the file can't be written, the log goes to standard error and has a warning: a container must not
/// lose its network because of a log.
pub(crate) fn start(settings: &LogSettings) {
    let named = settings.level.as_deref().map(str::to_ascii_lowercase);
    let level = match named.as_deref() {
        None | Some("info") => Ok(LevelFilter::INFO),
        Some("warning") => Ok(LevelFilter::WARN),
        Some("fatal" | "panic") => Ok(LevelFilter::ERROR),
        Some(other) => other.parse(),
    };
    // The debug logs of other crates may show bodies and headers.
    let level_or_info = level.as_ref().copied().unwrap_or(LevelFilter::INFO);
    let only_own = Targets::new()
        .with_target("midonet_cni", level_or_info)
        .with_target("midoform_reconcile", level_or_info.min(LevelFilter::INFO))
        .with_target("midoform_store", level_or_info.min(LevelFilter::INFO));
    let file =
        settings.file.as_ref().map(|path| open(path).map_err(|error| format!("{}: {error}", path.display())));
    let format =
        fmt::layer().json().flatten_event(true).with_span_list(false).with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry();
    let problem = match file {
        Some(Ok(file)) => {
            let _ = registry.with(format.with_writer(Arc::new(file)).with_filter(only_own)).try_init();
            None
        }
        other => {
            let _ = registry.with(format.with_writer(std::io::stderr).with_filter(only_own)).try_init();
            other.and_then(Result::err)
        }
    };
    if let Some(problem) = problem {
        tracing::warn!(problem, "the log file can't be written");
    }
    if level.is_err() {
        tracing::warn!(
            level = settings.level,
            "the log level is unknown; the levels are error, warn, info, debug and trace"
        );
    }
}

/// Opens the log file. Standard input and output are refused, by whatever name: standard output has only the result.
fn open(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|found| is_standard_stream((found.dev(), found.ino()))) {
        return Err(refused());
    }
    if std::fs::metadata(path).is_ok_and(|found| is_device(&found)) {
        let message = "it is a device, and the log is for a file (or /dev/null)";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if let Some(folder) = path.parent() {
        private_folder::create(folder)?;
    }
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() > LARGEST) {
        // If two runs do this at the same time, the second finds a small file, or none.
        let _ = std::fs::rename(path, path.with_extension("old"));
    }
    // A pipe that nobody reads is an error at once.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().create(true).append(true).mode(0o640).custom_flags(no_wait).open(path)?;
    let opened = file.metadata()?;
    match is_standard_stream((opened.dev(), opened.ino())) {
        true => Err(refused()),
        false => Ok(file),
    }
}

/// Returns true for a device: a terminal, a disk. `/dev/null` takes a log that nobody wants.
fn is_device(found: &std::fs::Metadata) -> bool {
    let kind = found.file_type();
    let is_null = std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == found.rdev());
    (kind.is_char_device() || kind.is_block_device()) && !is_null
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is standard input or output, which are not for the log")
}

/// Returns true if a file, named by device and inode, is the one behind standard input or output.
fn is_standard_stream(file: (u64, u64)) -> bool {
    let (input, output) = (rustix::fs::fstat(io::stdin()), rustix::fs::fstat(io::stdout()));
    [input, output].into_iter().flatten().any(|stream| (stream.st_dev, stream.st_ino) == file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn the_log_is_for_a_file() {
        let zero = std::fs::metadata("/dev/zero").unwrap();
        assert!(is_device(&zero));
        assert_eq!(open(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(!is_device(&std::fs::metadata("/dev/null").unwrap()));
        assert!(!is_device(&std::fs::metadata("/proc/self/stat").unwrap()));
    }
}
