//! The options of the commands for the first steps.

use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use super::{Api, Spec};

#[derive(Args)]
pub(crate) struct InitOptions {
    /// The folder of the new files.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The site's name; otherwise the folder's.
    #[arg(long, value_name = "NAME")]
    pub(crate) site_name: Option<String>,
    /// The base URL of the MidoNet API, or the servers of OVN's northbound database (unix:PATH, tcp:HOST:PORT, ssl:HOST:PORT; a
    /// cluster's separated by commas); otherwise the MidoNet API inside midoform.
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// The dialect: 1 for MidoNet 1.x, 5 for MidoNet 5.x.
    #[arg(long, value_name = "1|5", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) midonet_version: Option<u8>,
    /// The id of the router that leads outside; otherwise midoform makes one.
    #[arg(long, value_name = "ID")]
    pub(crate) provider_router: Option<Uuid>,
    /// With OVN: the chassis that traffic to the outside passes.
    #[arg(long, value_name = "NAME")]
    pub(crate) gateway_chassis: Option<String>,
    /// The first tenant's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Ask nothing: what is not given has its default.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print the files and the next commands as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    /// The folder of the CNI configuration.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/cni/net.d")]
    pub(crate) cni_configuration: PathBuf,
    /// The folder of the CNI plugins.
    #[arg(long, value_name = "FOLDER", default_value = "/opt/cni/bin")]
    pub(crate) cni_plugins: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
