//! The options of the commands that change a network, or the allocations of it.

use std::path::PathBuf;

use clap::Args;
use midoform_reconcile::batches::Batches;

use super::{Api, Consent, Login, Policy, Select, Spec};

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

impl ApplyOptions {
    /// Returns how tenants are changed a few at a time, if they are.
    pub(crate) fn batches(&self) -> Option<Batches> {
        self.batch.map(|tenants| Batches { tenants, pause_on_drift: self.pause_on_drift })
    }
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
