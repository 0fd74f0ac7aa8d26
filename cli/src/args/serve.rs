//! The options of the embedded API.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(crate) struct ServeOptions {
    /// The version of MidoNet.
    #[arg(long, default_value = "5.8", value_parser = ["1.7", "5.0", "5.0.2", "5.8"])]
    pub(crate) version: String,
    /// The address to listen on. Port 0 stands for any free port.
    #[arg(long, default_value = "127.0.0.1:8181", value_name = "ADDRESS:PORT")]
    pub(crate) listen: std::net::SocketAddr,
    /// The authentication: none accepts everybody, basic uses the users file, keystone uses a Keystone.
    #[arg(long, default_value = "none", value_parser = ["none", "basic", "keystone"])]
    pub(crate) auth: String,
    /// A TOML file of users with their passwords and tenants (docs/serve.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// The lifetime of a token, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) token_seconds: u64,
    /// The URL of the Keystone, without a version in its path. OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME are an
    /// administrator's login. Without this option, the embedded Keystone is used.
    #[arg(long, value_name = "URL")]
    pub(crate) keystone_url: Option<String>,
    /// The version of Keystone's API.
    #[arg(long, value_name = "2|3", default_value = "3", value_parser = ["2", "3"])]
    pub(crate) keystone_version: String,
    /// Serve the embedded Keystone at this address, too, for the users of the file.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) keystone_listen: Option<std::net::SocketAddr>,
    /// Register a host (repeatable).
    #[arg(long, value_name = "ID=NAME")]
    pub(crate) host: Vec<String>,
    /// The folder for the state. Without it, the state ends with the server.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Let clients set faults over /_faults, for tests.
    #[arg(long)]
    pub(crate) faults: bool,
    /// Serve the whole state at /_topology.
    #[arg(long)]
    pub(crate) inspect: bool,
    /// Play the part of the hosts' agents: hosts are alive, bound ports are active, and GET /_agent lists what came back
    #[arg(long)]
    pub(crate) agent: bool,
    /// Log every request to standard error.
    #[arg(long, default_value = "off", value_parser = ["off", "text", "json"])]
    pub(crate) log: String,
    /// Serve over TLS with this certificate (PEM, with its intermediate certificates).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
