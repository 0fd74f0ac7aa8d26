//! `midoform manual FOLDER`: writes what the definition of the command line says, for `man`, shells and the reference.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use midoform_store::atomic_file::write_atomically;

use crate::args::{Arguments, ManualOptions};
use crate::error::{CommandError, Exit};
use crate::manual;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &ManualOptions) -> Result<Exit, CommandError> {
    let folder = &options.folder;
    if options.markdown {
        for (name, text) in [("commands.md", manual::commands()), ("errors.md", manual::errors())] {
            write(ui, &folder.join(name), text.as_bytes())?;
        }
        return Ok(Exit::Done);
    }
    for command in manual::each(manual::definition()) {
        let mut page = Vec::new();
        let name = command.get_display_name().unwrap_or_default().replace(' ', "-");
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        let path = folder.join("man").join(format!("{name}.1"));
        rendered.map_err(|error| CommandError::file(&path, error))?;
        write(ui, &path, &page)?;
    }
    let scripts = [(Shell::Bash, "midoform.bash"), (Shell::Zsh, "_midoform"), (Shell::Fish, "midoform.fish")];
    for (shell, name) in scripts {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "midoform", &mut script);
        write(ui, &folder.join("completions").join(name), &script)?;
    }
    Ok(Exit::Done)
}

fn write(ui: &Ui, path: &Path, text: &[u8]) -> Result<(), CommandError> {
    let failed = |error| CommandError::file(path, error);
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    write_atomically(path, |file| file.write_all(text)).map_err(failed)?;
    ui.status(&format!("written: {}", path.display()));
    Ok(())
}
