//! `midoform`: compiles tenant specs into plans of MidoNet API calls, shows them, applies them.
//!
//! Data goes to standard output, everything else to standard error. [`error`] maps every failure to an exit code.

mod allocation_state;
mod args;
mod attached;
mod binding;
mod code_host_report;
mod commands;
mod cut_pods;
mod doctor;
mod drift_metrics;
mod drift_report;
mod error;
mod execution;
mod goals;
mod keystone_projects;
mod known_allocations;
mod laboratory;
mod long_lines;
mod manual;
mod preflight;
mod progress;
mod project;
mod provider_conflicts;
mod publication;
mod report;
mod saved_plan;
mod secrets_in_lines;
mod selection;
mod session;
mod sources;
mod static_ports;
mod store_choice;
mod takeover;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use error::{CommandError, Exit};
use ui::Ui;

/// A plan has millions of small texts. The time in which this allocator makes and frees them grows only with their number.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are printed to standard output.
            let mistaken = error.use_stderr();
            // If the message can't be written, the exit code still tells.
            let _ = error.print();
            return if mistaken { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let ui = Ui::new(&arguments.common);
    match run(&ui, arguments).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            report::command_error(&ui, &error);
            error.exit().into()
        }
    }
}

async fn run(ui: &Ui, arguments: Arguments) -> Result<Exit, CommandError> {
    match arguments.command {
        Command::Init(options) => commands::init::run(ui, &options).await,
        Command::Doctor(options) => commands::doctor::run(ui, &options).await,
        Command::Validate(options) => commands::validate::run(ui, &options).await,
        Command::Plan(options) => commands::plan::run(ui, &options).await,
        Command::Apply(options) => commands::apply::run(ui, &options).await,
        Command::Bind(options) => commands::bind::run(ui, &options).await,
        Command::Undo(options) => commands::undo::run(ui, &options).await,
        Command::Drift(options) => commands::drift::run(ui, &options).await,
        Command::Adopt(options) => commands::adopt::run(ui, &options).await,
        Command::Import(options) => commands::import::run(ui, &options).await,
        Command::Destroy(options) => commands::destroy::run(ui, options).await,
        Command::Show(options) => commands::show::run(ui, &options).await,
        Command::Trace(options) => commands::trace::run(ui, &options).await,
        Command::Verify(options) => commands::verify::run(ui, &options).await,
        Command::Graph(options) => commands::graph::run(ui, &options).await,
        Command::Schema(options) => commands::schema::run(ui, &options).await,
        Command::Explain(options) => commands::explain::run(ui, &options).await,
        Command::Lock(options) => commands::lock::run(ui, &options).await,
        Command::Templates(options) => commands::templates::run(ui, &options).await,
        Command::Serve(options) => commands::serve::run(ui, options).await,
        Command::Completions(options) => commands::completions::run(ui, &options).await,
        Command::Manual(options) => commands::manual::run(ui, &options).await,
        Command::Attachments(options) => commands::attachments::run(ui, &options).await,
        Command::Store(options) => commands::store::run(ui, &options).await,
        Command::Lab(options) => commands::lab::run(ui, &options).await,
        Command::Push(options) => commands::push::run(ui, &options).await,
    }
}
