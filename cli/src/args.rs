//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use midoform_reconcile::credentials::Logins;
use midoform_render::Format;

use crate::error::CommandError;

mod look;
pub(crate) use look::*;

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
    Store(crate::commands::store::StoreOptions),
    /// Check the specs, and put them into the store for midonet-cni.
    Push(crate::commands::store::PushOptions),
}

/// Which spec.
#[derive(Args, Clone)]
pub(crate) struct Spec {
    /// A tenant file, or a folder of them.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The site file, where it is neither beside the tenant files nor in the folder above.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, where it is not `midoform.lock` beside the site file.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The dialect of the API, instead of the site file's: 1 or 5.
    #[arg(long, value_name = "1|5", value_parser = ["1", "5"])]
    pub(crate) api_version: Option<String>,
    /// Refuse to give out addresses: everything has to be in the lock file.
    #[arg(long)]
    pub(crate) locked: bool,
}

/// Which API.
#[derive(Args, Clone)]
pub(crate) struct Api {
    /// The API's base URL, instead of the site file's.
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// Where the embedded API keeps its state, instead of `.midoform` beside the site file.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How many seconds one call of the API may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) login: Login,
}

/// Who asks.
#[derive(Args, Clone)]
pub(crate) struct Login {
    /// A file with the logins, for its owner alone (docs/login.md), instead of MIDONET_CREDENTIALS_FILE.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
}

impl Login {
    /// The logins that are at hand.
    pub(crate) fn logins(&self) -> Result<Logins, CommandError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file =
            self.credentials.clone().or_else(|| variable("MIDONET_CREDENTIALS_FILE").map(PathBuf::from));
        Ok(Logins::find(file.as_deref(), &variable)?)
    }
}

/// Which policies besides the site file's.
#[derive(Args, Clone)]
pub(crate) struct Policy {
    /// Hold the tenants against the policy in this file too (again for each).
    #[arg(long = "policy", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ValidateOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Findings in which form: for people, for machines, or as a code host reads them.
    #[arg(long, short, value_enum, default_value_t = FindingsFormat::Text)]
    pub(crate) format: FindingsFormat,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Warnings are errors.
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

impl ValidateOptions {
    /// The form that was asked for.
    pub(crate) fn format(&self) -> FindingsFormat {
        if self.json { FindingsFormat::Json } else { self.format }
    }
}

/// The forms of findings.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindingsFormat {
    /// For people, with the lines that are meant.
    Text,
    /// For machines.
    Json,
    /// SARIF 2.1.0, which code hosts and editors read.
    Sarif,
    /// GitHub workflow commands, which become annotations.
    Github,
    /// GitLab's code quality report.
    Gitlab,
}

#[derive(Args)]
pub(crate) struct PlanOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) policy: Policy,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) select: Select,
    /// In which form. Findings for code hosts (SARIF, GitHub, GitLab) are of `validate` and `verify`: a plan has none.
    #[arg(long, short, default_value = "text", value_parser = ["text", "json", "markdown", "shell", "dot", "mermaid"])]
    pub(crate) format: String,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Save the plan, for `midoform apply FILE`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write a review page too: one HTML file with the topology, the risks and the calls, which asks no network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Plan against an empty network, without asking any API.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Plan against what this spec says, as if it were the network: what changes from one spec to another.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["offline", "out"])]
    pub(crate) against: Option<PathBuf>,
    /// End with 2 where changes are pending.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Show calls and unchanged objects too.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// A folder with templates that replace those that ship (see `midoform templates`).
    #[arg(long, value_name = "FOLDER")]
    pub(crate) templates: Option<PathBuf>,
}

impl PlanOptions {
    /// The form that was asked for.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format.parse().unwrap_or(Format::Text) }
    }
}

/// Which objects.
#[derive(Args, Clone)]
pub(crate) struct Select {
    /// Only this tenant, or only this object and what it stands on (again for each).
    #[arg(long, value_name = "KEY")]
    pub(crate) target: Vec<String>,
    /// Leave this tenant, or this object and what is below it, as it is (again for each).
    #[arg(long, value_name = "KEY")]
    pub(crate) exclude: Vec<String>,
}

#[derive(Args)]
pub(crate) struct ApplyOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) policy: Policy,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Refuse any plan but the one with this SHA-256.
    #[arg(long, value_name = "HASH")]
    pub(crate) expect: Option<String>,
    /// Take down the tenants that were applied once and that no file speaks of any more.
    #[arg(long, conflicts_with_all = ["target", "exclude"])]
    pub(crate) prune: bool,
    /// Change so many tenants at a time, and look after each batch whether all is as it should be.
    #[arg(long, value_name = "TENANTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,
    /// Go no further when a look after a batch finds that something is not as it should be.
    #[arg(long, requires = "batch")]
    pub(crate) pause_on_drift: bool,
}

/// How changes are agreed to, and made.
#[derive(Args, Clone)]
pub(crate) struct Consent {
    /// Don't ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many steps are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) parallel: u16,
    /// The result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Read the network again afterwards, and say when it is not what it should be.
    #[arg(long)]
    pub(crate) verify: bool,
    /// When a call fails for good, take back what this run made.
    #[arg(long)]
    pub(crate) rollback_on_error: bool,
    /// Begin nothing more after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) deadline: Option<u64>,
    /// How much of what is there may be deleted at once, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) most_deleted: u8,
    /// Delete more than that.
    #[arg(long)]
    pub(crate) allow_mass_delete: bool,
    /// How many seconds to wait for another apply to end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) lock_timeout: u64,
}

impl Consent {
    /// How long to wait for another apply to end.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.lock_timeout)
    }
}

#[derive(Args)]
pub(crate) struct DriftOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) select: Select,
    /// What differs as JSON, one line for each look.
    #[arg(long)]
    pub(crate) json: bool,
    /// Look again every so many seconds, until interrupted.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) watch: Option<u64>,
    /// With --watch: serve metrics for Prometheus at this address, as /metrics.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "watch")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
}

/// Where what is taken over is written down.
#[derive(Args, Clone)]
pub(crate) struct Into {
    /// The folder of the tenant files.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The site file, where it is neither in that folder nor in the one above.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, where it is not `midoform.lock` beside the site file.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The dialect of the API, instead of the site file's: 1 or 5.
    #[arg(long, value_name = "1|5", value_parser = ["1", "5"])]
    pub(crate) api_version: Option<String>,
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print the spec, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many seconds to wait for another apply to end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) lock_timeout: u64,
    /// The result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct AdoptOptions {
    /// The tenants, by the names that the Go plugin gave them (the pods' namespaces), or by MidoNet's tenantId.
    #[arg(required = true, value_name = "TENANT")]
    pub(crate) tenants: Vec<String>,
    /// The plugin's keys of etcd in a file: etcd's answer to `GET /v2/keys/?recursive=true`, or an object of keys.
    #[arg(long, value_name = "FILE", conflicts_with = "etcd_v2")]
    pub(crate) export: Option<PathBuf>,
    /// The plugin's etcd, which has to have its v2 API on; ETCD_USERNAME and ETCD_PASSWORD log in.
    #[arg(long, value_name = "URL")]
    pub(crate) etcd_v2: Option<String>,
    /// The tenant's router, where several go by its name.
    #[arg(long, value_name = "ID")]
    pub(crate) router: Option<uuid::Uuid>,
    /// Adopt it even though the next apply will change something.
    #[arg(long)]
    pub(crate) force: bool,
    /// The tenant file, instead of TENANT.toml in the folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) into: Into,
}

#[derive(Args)]
pub(crate) struct ImportOptions {
    /// The router, by its id or its name.
    pub(crate) router: String,
    /// The tenant's name in the spec, where the router's does not say it.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Write the spec alone: the objects stay nobody's, and an apply would make others.
    #[arg(long)]
    pub(crate) no_bind: bool,
    /// The tenant file, instead of NAME.toml in the folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) into: Into,
}

#[derive(Args)]
pub(crate) struct UndoOptions {
    /// The plan that was applied, as `midoform plan --out` saved it.
    pub(crate) plan: PathBuf,
    /// The site file, where it is not in the plan's folder: its relative paths are from its own folder on.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, where it is not `midoform.lock` beside the plan.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Undo it even though the network is not what the plan left.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct DestroyOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    /// Only this tenant (again for each).
    #[arg(long, value_name = "TENANT")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Detach what is attached to the tenants' bridges.
    #[arg(long)]
    pub(crate) force: bool,
    /// Delete the Keystone projects as well that midoform made for the tenants.
    #[arg(long)]
    pub(crate) delete_project: bool,
}

#[derive(Args)]
pub(crate) struct LockOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) login: Login,
    /// Move what clashes after a merge and was never applied.
    #[arg(long)]
    pub(crate) repair: bool,
    /// The result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
