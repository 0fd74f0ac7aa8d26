//! The options of commands that look, at a network or at midoform itself, and of the embedded API.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use midoform_render::Format;

use super::{Api, Policy, Select, Spec};

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

#[derive(Args)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct TraceOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) packet: PacketOptions,
    /// Through the network as the API has it, not as the spec wants it.
    #[arg(long)]
    pub(crate) live: bool,
    /// In which form.
    #[arg(long, short, default_value = "text", value_parser = ["text", "json", "mermaid"])]
    pub(crate) format: String,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

/// Which packet.
#[derive(Args)]
pub(crate) struct PacketOptions {
    /// Who sends it: TENANT/BRIDGE/ADDRESS, TENANT/PORT for a static port, world, or world/ADDRESS.
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: String,
    /// Where it goes: an address, TENANT/BRIDGE/ADDRESS, or TENANT/PORT.
    #[arg(long, value_name = "ADDRESS|PLACE")]
    pub(crate) to: String,
    /// TCP, to this port.
    #[arg(long, value_name = "PORT", group = "carried")]
    pub(crate) tcp: Option<u16>,
    /// UDP, to this port.
    #[arg(long, value_name = "PORT", group = "carried")]
    pub(crate) udp: Option<u16>,
    /// An ICMP echo request (what is sent where nothing else is named).
    #[arg(long, group = "carried")]
    pub(crate) icmp: bool,
    /// Another IP protocol, by number.
    #[arg(long, value_name = "NUMBER", group = "carried")]
    pub(crate) protocol: Option<u8>,
    /// The source port of TCP or UDP.
    #[arg(long, value_name = "PORT", default_value_t = 40_000)]
    pub(crate) source_port: u16,
    /// A source address that is not the sender's own.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<std::net::Ipv4Addr>,
}

#[derive(Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// The answers in which form: for people, for machines, or what does not hold as a code host reads findings.
    #[arg(long, short, value_enum, default_value_t = FindingsFormat::Text)]
    pub(crate) format: FindingsFormat,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

impl VerifyOptions {
    /// The form that was asked for.
    pub(crate) fn format(&self) -> FindingsFormat {
        if self.json { FindingsFormat::Json } else { self.format }
    }
}

#[derive(Args)]
pub(crate) struct GraphOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// In which form.
    #[arg(long, short, default_value = "dot", value_parser = ["dot", "mermaid"])]
    pub(crate) format: String,
}

#[derive(Args)]
pub(crate) struct SchemaOptions {
    /// Of which file.
    #[arg(default_value = "tenant", value_parser = ["tenant", "site", "policy"])]
    pub(crate) of: String,
}

#[derive(Args)]
pub(crate) struct ExplainOptions {
    /// The object's key, as a plan shows it.
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct TemplatesOptions {
    /// The folder; files that are there already are left.
    pub(crate) folder: PathBuf,
}

#[derive(Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
