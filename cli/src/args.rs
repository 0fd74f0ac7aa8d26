//! The command line.

mod bind;
mod change;
mod first;
mod inspect;
mod lab;
mod serve;
mod shared;
mod store;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::Exit;

pub(crate) use bind::*;
pub(crate) use change::*;
pub(crate) use first::*;
pub(crate) use inspect::*;
pub(crate) use lab::*;
pub(crate) use serve::*;
pub(crate) use shared::*;
pub(crate) use store::*;

/// Compiles declarative tenant specs into plans of MidoNet API calls, shows them, and applies them.
#[derive(Parser)]
#[command(name = "midoform", version, about, arg_required_else_help = true, after_help = after_help())]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The columns of the help that midoform breaks into lines itself: those of an ordinary terminal.
const HELP_WIDTH: usize = 80;

/// Returns the end of the help: the exit codes, and where a login comes from.
fn after_help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for exit in Exit::ALL {
        let (code, meaning) = exit.described();
        text += &hanging(&format!("  {code:>3}  "), &meaning.replace('`', ""));
    }
    text + "\n\
        Login: from the environment, MIDONET_TOKEN, or MIDONET_USERNAME, MIDONET_PASSWORD and\n\
        MIDONET_PROJECT, or OpenStack's variables (OS_…) for Keystone; or from a file (--credentials)."
}

/// Returns a text behind its head, with further lines below the first one's text. clap breaks lines too, but begins them at the left.
fn hanging(head: &str, text: &str) -> String {
    let indent = head.chars().count();
    let (mut lines, mut column) = (head.to_owned(), indent);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > HELP_WIDTH {
            lines += &format!("\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += length;
    }
    lines + "\n"
}

/// The options of all commands.
#[derive(Args)]
pub(crate) struct Common {
    /// Use colour: on a terminal, always, or never.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub(crate) color: When,
    /// Print less on standard error.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a first site file and a first tenant file.
    Init(InitOptions),
    /// Look at the configuration, the store, the API and this machine, and say what is wrong.
    Doctor(DoctorOptions),
    /// Check a tenant file, or a folder of tenant files, and report every problem.
    Validate(ValidateOptions),
    /// Show the API calls of an apply, and the reason for each.
    Plan(PlanOptions),
    /// Change the network to match the spec.
    Apply(ApplyOptions),
    /// Plug the interfaces of static ports into this host's Open vSwitch (OVN).
    Bind(BindOptions),
    /// Undo the changes of a saved plan.
    Undo(UndoOptions),
    /// Report the differences between the network and the spec, and change nothing.
    Drift(DriftOptions),
    /// Adopt tenants that the Go plugin created.
    Adopt(AdoptOptions),
    /// Write a spec for a router and its bridges, whoever created them.
    Import(ImportOptions),
    /// Delete tenants from the network.
    Destroy(DestroyOptions),
    /// Show the objects of the tenants in the network.
    Show(ShowOptions),
    /// Trace one packet through the network, rule by rule, and its reply.
    Trace(TraceOptions),
    /// Prove for all packets that tenants are isolated and that their rules hold.
    Verify(VerifyOptions),
    /// Draw the topology, as Graphviz DOT or Mermaid.
    Graph(GraphOptions),
    /// Print the JSON Schema of a tenant file, the site file, a policy file, or a plan.
    Schema(SchemaOptions),
    /// Explain one object: its kind, its line in the spec, its dependencies, its API calls.
    Explain(ExplainOptions),
    /// Allocate addresses without an apply, or repair the lock file after a merge.
    Lock(LockOptions),
    /// Write the templates of plans into a folder, so that you can change them.
    Templates(TemplatesOptions),
    /// Serve the embedded MidoNet API.
    Serve(ServeOptions),
    /// Print the completion script for a shell.
    Completions(CompletionsOptions),
    /// Write the manual: pages for man, completion scripts, or the chapters of the reference.
    Manual(ManualOptions),
    /// List and inspect the containers that midonet-cni has attached.
    Attachments(AttachmentsOptions),
    /// Dump, load, check or migrate the store.
    Store(StoreOptions),
    /// Try a spec: a network on OVN in namespaces of this machine.
    Lab(LabOptions),
    /// Check the specs, and write them into the store for midonet-cni.
    Push(PushOptions),
}
