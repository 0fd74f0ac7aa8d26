//! The options of the commands about the store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Api, Spec};

/// The plugin's store, if its configuration names no other.
const PLUGIN_STORE: &str = "/var/lib/midonet-cni/store.db";

/// The store.
#[derive(Args, Clone)]
pub(crate) struct StoreLocation {
    /// The file of an embedded store.
    #[arg(long, value_name = "FILE", default_value = PLUGIN_STORE)]
    pub(crate) store: PathBuf,
    /// Use the etcd of this site file instead; MIDOFORM_ETCD_USERNAME and MIDOFORM_ETCD_PASSWORD are the login.
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_of: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    pub(crate) location: StoreLocation,
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Print everything in the store as JSON.
    Dump,
    /// Load a dump into an empty store.
    Load {
        /// The output of `store dump`.
        file: PathBuf,
    },
    /// Report what a crash left behind.
    Check(CheckOptions),
    /// Rewrite all values in the newest format.
    Migrate,
}

#[derive(Args)]
pub(crate) struct CheckOptions {
    /// Repair what surely nothing uses any more.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Check the pods' ports in MidoNet, too: the site file with the URL of its API.
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
    pub(crate) location: StoreLocation,
}

#[derive(Args)]
pub(crate) struct AttachmentsOptions {
    /// Inspect the containers whose ids begin with this text, or this pod (NAMESPACE/NAME).
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: Option<String>,
    /// Use the store of this site file (MIDOFORM_ETCD_USERNAME and MIDOFORM_ETCD_PASSWORD are the login for etcd).
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    pub(crate) site: Option<PathBuf>,
    /// The plugin's store on one machine.
    #[arg(long, value_name = "FILE", default_value = PLUGIN_STORE)]
    pub(crate) store: PathBuf,
    /// Show only this tenant's attachments.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Show only the attachments on the host with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) host: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
