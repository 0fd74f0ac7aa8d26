//! The laboratory as the command line sees it: where it is, what it is made of, what is sent in it.

pub(crate) mod layout;
pub(crate) mod own_command;
pub(crate) mod packet;
pub(crate) mod site_copy;
pub(crate) mod spec_copy;

use std::path::{Path, PathBuf};

use midoform_lab::{Folder, Lab, LabError};
use tokio::sync::{mpsc, oneshot};

use crate::args::LabName;
use crate::error::CommandError;
use crate::ui::Ui;

/// Returns the folder of all laboratories.
pub(crate) fn all() -> PathBuf {
    midoform_lab::of_all(std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).as_deref())
}

/// Returns an error unless this user may make namespaces.
pub(crate) fn need_root() -> Result<(), CommandError> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(LabError::NotRoot.into()),
    }
}

/// Returns the folder of the laboratory that the command line names, or of the only one.
pub(crate) fn folder_of(name: &LabName) -> Result<Folder, CommandError> {
    let all = all();
    if let Some(name) = &name.name {
        return Ok(Folder::named(&all, name)?);
    }
    let mut found = Folder::all(&all);
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(LabError::Absent(all).into()),
        (Some(last), _) => {
            let names: Vec<&str> = found.iter().chain([&last]).map(Folder::name).collect();
            Err(CommandError::Usage(format!(
                "there are several laboratories: choose one with --name: {}",
                names.join(", ")
            )))
        }
    }
}

/// Returns the laboratory that the command line names, or the only one.
pub(crate) fn open(name: &LabName) -> Result<Lab, CommandError> {
    need_root()?;
    let folder = folder_of(name)?;
    let absent = LabError::Absent(folder.path().to_path_buf());
    Lab::open(folder)?.ok_or(absent.into())
}

/// Returns the folder with programs that the command line or the environment names.
pub(crate) fn programs(option: Option<&Path>) -> Result<Option<PathBuf>, CommandError> {
    let variable =
        || std::env::var_os("MIDOFORM_OVN_ROOT").filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(root) = option.map(Path::to_path_buf).or_else(variable) else { return Ok(None) };
    root.canonicalize().map(Some).map_err(|error| CommandError::file(&root, error))
}

/// Does slow work in a thread of its own, which an interruption leaves behind: another run goes on from there.
pub(crate) async fn aside<T: Send + 'static>(
    ui: &Ui,
    work: impl FnOnce(&dyn Fn(&str)) -> Result<T, LabError> + Send + 'static,
) -> Result<T, CommandError> {
    let (say, mut said) = mpsc::unbounded_channel::<String>();
    let (done, mut result) = oneshot::channel();
    std::thread::spawn(move || {
        // If nobody listens any more, the command was interrupted.
        let result = work(&|text| drop(say.send(text.to_owned())));
        let _ = done.send(result);
    });
    loop {
        tokio::select! {
            biased;
            Some(text) = said.recv() => ui.status(&text),
            result = &mut result => {
                let result = result.map_err(|_| CommandError::Internal("the work on the laboratory stopped".to_owned()))?;
                return Ok(result?);
            }
            Ok(()) = tokio::signal::ctrl_c() => {
                let message = "the laboratory is not complete: `midoform lab up` goes on, `midoform lab down` deletes it";
                return Err(CommandError::Interrupted(message.to_owned()));
            }
        }
    }
}
