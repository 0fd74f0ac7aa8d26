//! The options of commands that look, at a network or at midoform itself, and of the embedded API.

use std::path::PathBuf;

use clap::Args;

use super::{Api, FindingsFormat, Spec};

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
pub(crate) struct ServeOptions {
    /// Which MidoNet: 1.7, 5.0 or 5.8.
    #[arg(long, default_value = "5.8", value_parser = ["1.7", "5.0", "5.0.2", "5.8"])]
    pub(crate) version: String,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8181", value_name = "ADDRESS:PORT")]
    pub(crate) listen: std::net::SocketAddr,
    /// Who may call: none lets everybody; basic asks the users file; keystone asks a Keystone.
    #[arg(long, default_value = "none", value_parser = ["none", "basic", "keystone"])]
    pub(crate) auth: String,
    /// Users with their passwords and tenants, as TOML (docs/serve.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// How many seconds a token lasts.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) token_seconds: u64,
    /// The Keystone to ask, without a version in its path; OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME name an
    /// administrator. Without it the embedded one is asked.
    #[arg(long, value_name = "URL")]
    pub(crate) keystone_url: Option<String>,
    /// Which of Keystone's APIs to ask: 2 or 3.
    #[arg(long, value_name = "2|3", default_value = "3", value_parser = ["2", "3"])]
    pub(crate) keystone_version: String,
    /// Serves the embedded Keystone as well, to the users of the file.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) keystone_listen: Option<std::net::SocketAddr>,
    /// Registers a host (again for each).
    #[arg(long, value_name = "ID=NAME")]
    pub(crate) host: Vec<String>,
    /// Where the state is kept; without it, nowhere.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Lets faults be set over /_faults: for tests.
    #[arg(long)]
    pub(crate) faults: bool,
    /// Shows the whole state at /_topology.
    #[arg(long)]
    pub(crate) inspect: bool,
    /// Logs every request to standard error.
    #[arg(long, default_value = "off", value_parser = ["off", "text", "json"])]
    pub(crate) log: String,
    /// Serves over TLS with this certificate (PEM, with those that vouch for it).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct AttachmentsOptions {
    /// Inspect the containers whose ids begin so, or this pod (NAMESPACE/NAME).
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: Option<String>,
    /// A site file: what its store knows (MIDOFORM_ETCD_USERNAME and MIDOFORM_ETCD_PASSWORD log in to etcd).
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    pub(crate) site: Option<PathBuf>,
    /// The plugin's store on one machine.
    #[arg(long, value_name = "FILE", default_value = crate::commands::attachments::STORE)]
    pub(crate) store: PathBuf,
    /// Only those of this tenant.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Only those of the host with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) host: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
