//! Logs: to a file, or to standard error, which runtimes hand to journald. Never to standard output.
//!
//! One line of JSON for each event, with container, interface, tenant and step as fields. Secrets never come here: what
//! holds them has no way to be shown.

use std::fs::File;
use std::sync::Arc;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::LogSettings;

/// A log file that is larger is put aside, in the place of the one that was put aside before.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Starts logging. A file that can't be written is no reason to leave a container without a network: the log goes to
/// standard error then, and says why.
pub(crate) fn start(settings: &LogSettings) {
    let named = settings.level.as_deref().map(str::to_ascii_lowercase);
    let level = match named.as_deref() {
        None | Some("info") => Ok(LevelFilter::INFO),
        Some("warning") => Ok(LevelFilter::WARN),
        Some("fatal" | "panic") => Ok(LevelFilter::ERROR),
        Some(other) => other.parse(),
    };
    // Other crates' debug logs may show bodies and headers.
    let only_own = Targets::new()
        .with_target("midonet_cni", level.as_ref().copied().unwrap_or(LevelFilter::INFO))
        .with_target(
            "midoform_applier",
            level.as_ref().copied().unwrap_or(LevelFilter::INFO).min(LevelFilter::INFO),
        );
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
            "there is no such log level; error, warn, info, debug and trace exist"
        );
    }
}

fn open(path: &std::path::Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LARGEST) {
        // Of two runs that do so at once, the second finds a small file, or none.
        let _ = std::fs::rename(path, path.with_extension("old"));
    }
    File::options().create(true).append(true).mode(0o640).open(path)
}
