//! The command line.

mod change;
mod inspect;
mod serve;
mod shared;
mod store;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use change::*;
pub(crate) use inspect::*;
pub(crate) use serve::*;
pub(crate) use shared::*;
pub(crate) use store::*;

/// Compiles declarative tenant specs into plans of MidoNet API calls, shows them, and applies them.
#[derive(Parser)]
#[command(name = "midoform", version, about, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, or nothing to do; 2 changes are pending (with --detailed-exitcode); 3 the spec is wrong;
4 the API can't be reached; 5 the login is refused; 6 a conflict: the network or the lock file has moved;
7 the API refuses or fails a call; 8 the network has drifted; 9 what is verified does not hold; 64 wrong usage;
70 an error of midoform itself; 74 a file can't be read or written; 130 interrupted.

Login: MIDONET_TOKEN, or MIDONET_USERNAME, MIDONET_PASSWORD and MIDONET_PROJECT, or OpenStack's variables (OS_…) for
Keystone, from the environment; or a file (--credentials).";

/// What every command understands.
#[derive(Args)]
pub(crate) struct Common {
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub(crate) color: When,
    /// Say less on standard error.
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
    /// Check a tenant file, or a folder of them, and say everything that is wrong.
    Validate(ValidateOptions),
    /// Show what would have to be called, and why.
    Plan(PlanOptions),
    /// Make the network what the spec says.
    Apply(ApplyOptions),
    /// Take back what a saved plan did.
    Undo(UndoOptions),
    /// Say what is not as the spec wants it, and change nothing.
    Drift(DriftOptions),
    /// Take over tenants that the Go plugin made.
    Adopt(AdoptOptions),
    /// Write a spec from a router and its bridges, whoever made them.
    Import(ImportOptions),
    /// Take tenants down.
    Destroy(DestroyOptions),
    /// Show what is there of the tenants.
    Show(ShowOptions),
    /// Follow one packet through the network, rule by rule, and its answer.
    Trace(TraceOptions),
    /// Prove for all packets that tenants stay apart, and that what the rules say holds.
    Verify(VerifyOptions),
    /// Draw the topology, as Graphviz DOT or Mermaid.
    Graph(GraphOptions),
    /// Print the JSON Schema of a tenant file, of the site file, or of a policy file.
    Schema(SchemaOptions),
    /// Explain one object: what it is, what caused it, what it stands on, how it is made.
    Explain(ExplainOptions),
    /// Give out addresses without applying, or repair the lock file after a merge.
    Lock(LockOptions),
    /// Write the templates that plans are shown with into a folder, to be changed there.
    Templates(TemplatesOptions),
    /// Serve the embedded MidoNet API.
    Serve(ServeOptions),
    /// Print the completions of a shell.
    Completions(CompletionsOptions),
    /// List and inspect what midonet-cni has attached, and where.
    Attachments(AttachmentsOptions),
    /// Dump, load, check or migrate the store.
    Store(StoreOptions),
    /// Check the specs, and put them into the store for midonet-cni.
    Push(PushOptions),
}
