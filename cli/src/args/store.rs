//! The options of the commands about the store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Api, Spec};

/// The plugin's store, if its configuration names no other.
const PLUGIN_STORE: &str = "/var/lib/midonet-cni/store.db";

/// Which store.
#[derive(Args, Clone)]
pub(crate) struct StorePlace {
    /// The file of an embedded store.
    #[arg(long, value_name = "FILE", default_value = PLUGIN_STORE)]
    pub(crate) store: PathBuf,
    /// The site file that names an etcd, which is used instead; MIDOFORM_ETCD_USERNAME and MIDOFORM_ETCD_PASSWORD
    /// log in.
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_of: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    pub(crate) place: StorePlace,
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Print everything in the store as JSON.
    Dump,
    /// Put a dump into an empty store.
    Load {
        /// What `store dump` printed.
        file: PathBuf,
    },
    /// Say what a crash left behind.
    Check(CheckOptions),
    /// Write all values in the newest form.
    Migrate,
}

#[derive(Args)]
pub(crate) struct CheckOptions {
    /// Put right what nobody can still be using.
    #[arg(long)]
    pub(crate) repair: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Look at the pods' ports in MidoNet too: the site file that says where its API is.
    #[arg(long, value_name = "FILE")]
    pub(crate) midonet_of: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: Api,
}

#[derive(Args)]
pub(crate) struct PushOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) place: StorePlace,
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
    #[arg(long, value_name = "FILE", default_value = PLUGIN_STORE)]
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
