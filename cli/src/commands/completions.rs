//! `midoform completions SHELL`: prints a completion script.

use clap::CommandFactory;

use crate::args::{Arguments, CompletionsOptions};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &CompletionsOptions) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "midoform", &mut script);
    ui.data(|out| out.write_all(&script))?;
    Ok(Exit::Done)
}
