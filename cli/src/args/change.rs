//! The options of the commands that change a network or its allocations.

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
    /// Apply only the plan with this SHA-256.
    #[arg(long, value_name = "HASH")]
    pub(crate) expect: Option<String>,
    /// Delete the tenants that were applied before and have no tenant file any more.
    #[arg(long, conflicts_with_all = ["target", "exclude"])]
    pub(crate) prune: bool,
    /// Apply the plan even if it takes away a bridge that pods are attached to, or changes its network.
    #[arg(long)]
    pub(crate) cut_pods: bool,
    /// Delete the rules and routes in midoform's own chains and routers that midoform did not create.
    #[arg(long)]
    pub(crate) remove_foreign: bool,
    /// Give free addresses to the links that somebody else uses as well on the provider router. Their traffic is interrupted.
    #[arg(long)]
    pub(crate) move_links: bool,
    /// Change this number of tenants at a time, and compare the network with the spec after each batch.
    #[arg(long, value_name = "TENANTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,
    /// Stop after a batch if the network differs from the spec.
    #[arg(long, requires = "batch")]
    pub(crate) pause_on_drift: bool,
}

impl ApplyOptions {
    /// Returns the batches in which tenants are changed, if any.
    pub(crate) fn batches(&self) -> Option<Batches> {
        self.batch.map(|tenants| Batches { tenants, pause_on_drift: self.pause_on_drift })
    }
}

/// The files and the network of a takeover.
#[derive(Args, Clone)]
pub(crate) struct Into {
    /// The folder of the tenant files.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The site file, if it is neither in that folder nor in its parent.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, if it is not `midoform.lock` beside the site file.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The dialect of the API, instead of the site file's.
    #[arg(long, value_name = "1|5", value_parser = ["1", "5"])]
    pub(crate) api_version: Option<String>,
    #[command(flatten)]
    pub(crate) api: Api,
    /// Print the spec, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The number of seconds to wait for another run on the same tenants.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) lock_timeout: u64,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct AdoptOptions {
    /// The tenants, by their names in the Go plugin (the pods' namespaces), or by MidoNet's tenantId.
    #[arg(required = true, value_name = "TENANT")]
    pub(crate) tenants: Vec<String>,
    /// A file with the plugin's keys: etcd's response to `GET /v2/keys/?recursive=true`, or a JSON object of keys.
    #[arg(long, value_name = "FILE", conflicts_with = "etcd_v2")]
    pub(crate) export: Option<PathBuf>,
    /// The plugin's etcd, with the v2 API enabled; ETCD_USERNAME and ETCD_PASSWORD are the login.
    #[arg(long, value_name = "URL")]
    pub(crate) etcd_v2: Option<String>,
    /// The tenant's router, if several routers have its name.
    #[arg(long, value_name = "ID")]
    pub(crate) router: Option<uuid::Uuid>,
    /// Adopt the tenant even if the next apply changes something.
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
    /// The tenant's name in the spec, instead of the one in the router's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Write only the spec: no ids are bound, and an apply creates new objects.
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
    /// The site file, if it is not in the plan's folder. Its relative paths start at its own folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, if it is not `midoform.lock` beside the plan.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Undo the plan even if this takes away a bridge that pods are attached to, or changes its network.
    #[arg(long)]
    pub(crate) cut_pods: bool,
    /// Undo the plan even if the network has changed since it was applied, and cut off pods.
    #[arg(long)]
    pub(crate) force: bool,
}

/// The value of `--site` without a file. Nobody can type it.
const OBJECTS: &str = "\0";

/// Makes `--site` without a file the same as `--site-objects`.
fn with_or_without_file(site: clap::Arg) -> clap::Arg {
    site.num_args(0..=1).default_missing_value(OBJECTS).help(
        "The site file, if it is neither beside the tenant files nor in the parent folder; without a FILE, the same as \
         --site-objects",
    )
}

#[derive(Args)]
#[command(mut_arg("site", with_or_without_file))]
pub(crate) struct DestroyOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) api: Api,
    /// Delete only this tenant (repeatable).
    #[arg(long, value_name = "TENANT")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Detach everything that is attached to the tenants' bridges.
    #[arg(long)]
    pub(crate) force: bool,
    /// Delete the site's own objects as well: the tunnel zone with its hosts, and the provider router if midoform manages it.
    #[arg(long)]
    pub(crate) site_objects: bool,
    /// Delete the Keystone projects that midoform created for the tenants, too.
    #[arg(long)]
    pub(crate) delete_project: bool,
}

impl DestroyOptions {
    /// Moves the meaning of `--site` without a file to the option for it.
    pub(crate) fn normalised(self) -> DestroyOptions {
        match self.spec.site.as_deref() == Some(std::path::Path::new(OBJECTS)) {
            true => DestroyOptions { spec: Spec { site: None, ..self.spec }, site_objects: true, ..self },
            false => self,
        }
    }
}

#[derive(Args)]
pub(crate) struct LockOptions {
    #[command(flatten)]
    pub(crate) spec: Spec,
    #[command(flatten)]
    pub(crate) login: Login,
    /// Reallocate addresses that clash after a merge and were never applied.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
