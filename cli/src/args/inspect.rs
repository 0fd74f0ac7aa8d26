//! The options of the commands that change nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use midoform_compiler::values::ethertype;
use midoform_render::Format;

use super::{Api, Policy, Select, Spec};

#[derive(Args)]
pub(crate) struct ValidateOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// The format of the findings.
    #[arg(long, short, value_enum, default_value_t = FindingsFormat::Text)]
    pub(crate) format: FindingsFormat,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Treat warnings as errors.
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

impl ValidateOptions {
    /// Returns the requested format.
    pub(crate) fn format(&self) -> FindingsFormat {
        if self.json { FindingsFormat::Json } else { self.format }
    }
}

/// The formats of findings.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindingsFormat {
    /// Text for people, with the lines of the files.
    Text,
    /// JSON.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
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
    /// The format. A plan has no findings: for code hosts (SARIF, GitHub, GitLab), use `validate` and `verify`.
    #[arg(long, short, default_value = "text", value_parser = ["text", "json", "markdown", "shell", "dot", "mermaid"])]
    pub(crate) format: String,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Save the plan, for `midoform apply FILE`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write a review page, too: one HTML file with the topology, the risks and the calls, for use without a network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Plan against an empty network, without an API.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Plan against this spec instead of the network, to see the changes from one spec to another.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["offline", "out"])]
    pub(crate) against: Option<PathBuf>,
    /// Delete the rules and routes in midoform's own chains and routers that midoform did not create.
    #[arg(long, conflicts_with_all = ["offline", "against"])]
    pub(crate) remove_foreign: bool,
    /// Give free addresses to the links that somebody else uses as well on the provider router. Their traffic is interrupted.
    #[arg(long)]
    pub(crate) move_links: bool,
    /// End with exit code 2 if changes are pending.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Show calls and unchanged objects, too.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// A folder with templates that replace the built-in ones (see `midoform templates`).
    #[arg(long, value_name = "FOLDER")]
    pub(crate) templates: Option<PathBuf>,
}

impl PlanOptions {
    /// Returns the requested format.
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
    /// Print the differences as JSON, one line for each comparison.
    #[arg(long)]
    pub(crate) json: bool,
    /// Compare again every this many seconds, until interrupted.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) watch: Option<u64>,
    /// Serve metrics for Prometheus at this address, as /metrics (with --watch).
    #[arg(long, value_name = "ADDRESS:PORT", requires = "watch")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
}

#[derive(Args)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print JSON.
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
    /// Trace through the network as the API shows it, instead of the spec.
    #[arg(long)]
    pub(crate) live: bool,
    /// The format.
    #[arg(long, short, default_value = "text", value_parser = ["text", "json", "mermaid"])]
    pub(crate) format: String,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

fn ethertype_of(text: &str) -> Result<u16, String> {
    ethertype::parse(text)
        .ok_or_else(|| format!("`{text}` is neither an EtherType's name nor a number such as 0x86dd"))
}

/// The packet.
#[derive(Args)]
pub(crate) struct PacketOptions {
    /// The sender: TENANT/BRIDGE/ADDRESS, TENANT/PORT for a static port, world, or world/ADDRESS.
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) from: String,
    /// The destination: an address, TENANT/BRIDGE/ADDRESS, or TENANT/PORT.
    #[arg(long, value_name = "ADDRESS|ENDPOINT")]
    pub(crate) to: String,
    /// TCP, to this port.
    #[arg(long, value_name = "PORT", group = "carried")]
    pub(crate) tcp: Option<u16>,
    /// UDP, to this port.
    #[arg(long, value_name = "PORT", group = "carried")]
    pub(crate) udp: Option<u16>,
    /// An ICMP echo request (the default).
    #[arg(long, group = "carried")]
    pub(crate) icmp: bool,
    /// Another IP protocol, by number.
    #[arg(long, value_name = "NUMBER", group = "carried")]
    pub(crate) protocol: Option<u8>,
    /// An ARP packet that claims the source address: a request for the destination, or a reply to it.
    #[arg(long, value_name = "OPERATION", group = "carried", value_parser = ["request", "reply"])]
    pub(crate) arp: Option<String>,
    /// A frame of another EtherType: a name (ipv6) or a number (0x88cc).
    #[arg(long, value_name = "ETHERTYPE", group = "carried", value_parser = ethertype_of)]
    pub(crate) ethertype: Option<u16>,
    /// A VLAN tag.
    #[arg(long, value_name = "VLAN", value_parser = clap::value_parser!(u16).range(1..4095))]
    pub(crate) vlan: Option<u16>,
    /// The source port of TCP or UDP.
    #[arg(long, value_name = "PORT", default_value_t = 40_000)]
    pub(crate) source_port: u16,
    /// Another source address than the sender's own.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<std::net::Ipv4Addr>,
}

#[derive(Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// The format of the results.
    #[arg(long, short, value_enum, default_value_t = FindingsFormat::Text)]
    pub(crate) format: FindingsFormat,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

impl VerifyOptions {
    /// Returns the requested format.
    pub(crate) fn format(&self) -> FindingsFormat {
        if self.json { FindingsFormat::Json } else { self.format }
    }
}

#[derive(Args)]
pub(crate) struct GraphOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// The format.
    #[arg(long, short, default_value = "dot", value_parser = ["dot", "mermaid"])]
    pub(crate) format: String,
}

#[derive(Args)]
pub(crate) struct SchemaOptions {
    /// The file that the schema describes.
    #[arg(default_value = "tenant", value_parser = ["tenant", "site", "policy", "plan"])]
    pub(crate) of: String,
}

#[derive(Args)]
pub(crate) struct ExplainOptions {
    /// The object's key, as a plan shows it.
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct TemplatesOptions {
    /// The folder. Existing files stay as they are.
    pub(crate) folder: PathBuf,
}

#[derive(Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args)]
pub(crate) struct ManualOptions {
    /// The folder. Existing files are replaced.
    pub(crate) folder: PathBuf,
    /// Write the chapters of the reference that follow from the program, as Markdown.
    #[arg(long)]
    pub(crate) markdown: bool,
}
