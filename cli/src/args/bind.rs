//! The options of `midoform bind`.

use clap::Args;

use super::Spec;

#[derive(Args)]
pub(crate) struct BindOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// The site's name of this host, if the site file does not tell it by the chassis (`system-id`).
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The host's Open vSwitch database, instead of the site file's.
    #[arg(long, value_name = "unix:PATH|tcp:HOST:PORT")]
    pub(crate) open_vswitch: Option<String>,
    /// The number of seconds to wait until OVN has installed the ports.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) wait: u64,
    /// Keep running: bind interfaces when they appear, and read the specs again every this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["wait", "dry_run", "release"])]
    pub(crate) watch: Option<u64>,
    /// Take out the interfaces of tenants that have no tenant file any more, too.
    #[arg(long)]
    pub(crate) prune: bool,
    /// Take out the interfaces of all static ports of the site on this host.
    #[arg(long)]
    pub(crate) release: bool,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the ports as JSON, one line for each look.
    #[arg(long)]
    pub(crate) json: bool,
}
