//! `midoform`: compiles tenant specs into plans of MidoNet API calls, shows them, applies them.
//!
//! Data goes to standard output, everything else to standard error. [`error`] maps every way to fail to an
//! exit code.

mod args;
mod commands;
mod error;
mod progress;
mod project;
mod projects;
mod report;
mod session;
mod state;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use error::{CommandError, Exit};
use ui::Ui;

/// A plan is millions of small texts: this allocator makes and frees them in time that grows with their number.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes.
            let mistaken = error.use_stderr();
            // Where the message can't be written, the exit code still says it.
            let _ = error.print();
            return if mistaken { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let ui = Ui::new(&arguments.common);
    match run(&ui, arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            report::command_error(&ui, &error);
            error.exit().into()
        }
    }
}

fn run(ui: &Ui, arguments: Arguments) -> Result<Exit, CommandError> {
    match arguments.command {
        Command::Validate(options) => commands::validate::run(ui, &options),
        Command::Plan(options) => commands::plan::run(ui, &options),
        Command::Apply(options) => commands::apply::run(ui, &options),
        Command::Undo(options) => commands::saved::undo(ui, &options),
        Command::Drift(options) => commands::drift::run(ui, &options),
        Command::Adopt(options) => commands::adopt::adopt(ui, &options),
        Command::Import(options) => commands::adopt::import(ui, &options),
        Command::Destroy(options) => commands::destroy::run(ui, &options),
        Command::Show(options) => commands::show::run(ui, &options),
        Command::Trace(options) => commands::trace::run(ui, &options),
        Command::Verify(options) => commands::verify::run(ui, &options),
        Command::Graph(options) => commands::graph::run(ui, &options),
        Command::Schema(options) => commands::schema::run(ui, &options),
        Command::Explain(options) => commands::explain::run(ui, &options),
        Command::Lock(options) => commands::lock::run(ui, &options),
        Command::Templates(options) => commands::templates::run(ui, &options),
        Command::Serve(options) => commands::serve::run(ui, options),
        Command::Completions(options) => commands::completions::run(ui, &options),
        Command::Attachments(options) => commands::attachments::run(ui, &options),
        Command::Store(options) => commands::store::run(ui, &options),
        Command::Push(options) => commands::store::push(ui, &options),
    }
}
