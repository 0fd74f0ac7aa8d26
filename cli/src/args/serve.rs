//! The options of the embedded API.

use std::path::PathBuf;

use clap::Args;

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
