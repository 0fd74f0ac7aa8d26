//! Other commands of midoform, on the laboratory's copy of the spec.
//!
//! They run as processes of their own: so their output and their exit codes are the same as when people run them there.

use std::process::{Command, Stdio};

use midoform_lab::{Folder, MARK};

use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Returns a command of midoform on the laboratory's copy of the spec.
fn command(ui: &Ui, folder: &Folder, arguments: &[&str]) -> Result<Command, CommandError> {
    let own =
        std::env::current_exe().map_err(|error| CommandError::file("/proc/self/exe".as_ref(), error))?;
    let mut command = Command::new(&own);
    command.args(arguments).arg(folder.spec()).env(MARK, folder.path()).stdin(Stdio::null());
    if ui.is_quiet() {
        command.arg("--quiet");
    }
    Ok(command)
}

/// Applies the copy of the spec to the laboratory's OVN, and waits until every host has it. The plan goes into a file.
pub(crate) fn apply(ui: &Ui, folder: &Folder) -> Result<(), CommandError> {
    let arguments = [
        "apply",
        "--engine",
        "ovn",
        "--yes",
        "--prune",
        "--allow-mass-delete",
        "--wait",
        "hv",
        "--lock-timeout",
        "60",
    ];
    let shown = folder.path().join("apply.log");
    let plan = std::fs::File::create(&shown).map_err(|error| CommandError::file(&shown, error))?;
    let mut command = command(ui, folder, &arguments)?;
    let status = command.stdout(plan).status().map_err(|error| CommandError::file(&folder.spec(), error))?;
    match status.code().and_then(|code| u8::try_from(code).ok()).map(Exit::of_code) {
        Some(Exit::Done) => Ok(()),
        other => Err(CommandError::NotApplied {
            exit: other.unwrap_or(Exit::Interrupted),
            log: shown.display().to_string(),
        }),
    }
}

/// Traces a packet with midoform through the rows of the laboratory's OVN, and returns what it prints; none if it says why it can't on
/// standard error.
pub(crate) fn trace(ui: &Ui, folder: &Folder, arguments: &[&str]) -> Result<Option<String>, CommandError> {
    let mut command = command(ui, folder, &[&["trace", "--engine", "ovn", "--live"], arguments].concat())?;
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| CommandError::file(&folder.spec(), error))?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}
