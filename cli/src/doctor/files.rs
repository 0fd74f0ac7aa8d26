//! The configuration, and the permissions of the files that midoform reads and writes.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use midoform_compiler::Compiled;
use midoform_compiler::diagnostic::{Diagnostic, Severity};
use rustix::fs::{Access, access};

use super::Finding;
use crate::session::Target;

const CONFIGURATION: &str = "configuration";
const PERMISSIONS: &str = "permissions";

/// Judges specs that can't be compiled.
pub(crate) fn wrong_specs(found: &[Diagnostic], shown: &str) -> Finding {
    let errors = found.iter().filter(|one| one.severity == Severity::Error).count();
    let first = found.iter().find(|one| one.severity == Severity::Error);
    let first = first.map(|first| format!(": {}", first.message)).unwrap_or_default();
    let found = match errors {
        1 => format!("the specs have an error{first}"),
        _ => format!("the specs have {errors} errors; the first{first}"),
    };
    Finding::wrong(CONFIGURATION, found, format!("`midoform validate {shown}` shows the lines"))
}

/// Judges specs that were compiled.
pub(crate) fn specs(compiled: &Compiled, shown: &str) -> Finding {
    let what = format!("site `{}`, {} tenants", compiled.site.name.value, compiled.tenants.len());
    match compiled.warnings.len() {
        0 => Finding::right(CONFIGURATION, format!("{what}, no warnings")),
        count => Finding::doubtful(
            CONFIGURATION,
            format!("{what}, {count} warnings"),
            format!("`midoform validate {shown}` shows them"),
        ),
    }
}

/// Judges a file that midoform replaces: its folder has to be writable.
pub(crate) fn replaced(path: &Path) -> Finding {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let (shown, above) = (path.display(), folder.display());
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::right(PERMISSIONS, format!("{shown} can be written")),
        Err(error) => Finding::wrong(
            PERMISSIONS,
            format!("{shown} can't be written: {error}"),
            format!("let this user write into {above}, or name another lock file with --lock"),
        ),
    }
}

/// Judges a folder or a file that only its owner may read.
pub(crate) fn private(path: &Path, what: &str) -> Option<Finding> {
    let metadata = std::fs::metadata(path).ok()?;
    let (mode, shown) = (metadata.permissions().mode() & 0o777, path.display());
    let own = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 {
        let safe = if metadata.is_dir() { "700" } else { "600" };
        let found = format!("others can read {what} {shown} (mode {mode:o})");
        return Some(Finding::wrong(PERMISSIONS, found, format!("chmod {safe} {shown}")));
    }
    if metadata.uid() != own && own != 0 {
        let found = format!("{what} {shown} belongs to user {}", metadata.uid());
        return Some(Finding::wrong(PERMISSIONS, found, "run midoform as that user, or as root"));
    }
    Some(Finding::right(PERMISSIONS, format!("only its owner can read {what} {shown}")))
}

/// Judges the state folder of the embedded API.
pub(crate) fn state_folder(target: &Target) -> Option<Finding> {
    match target {
        Target::Embedded { folder, .. } if folder.exists() => private(folder, "the embedded API's state"),
        _ => None,
    }
}
