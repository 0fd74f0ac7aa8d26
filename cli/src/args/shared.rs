//! The options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// The spec.
#[derive(Args, Clone)]
pub(crate) struct Spec {
    /// A tenant file, or a folder of tenant files.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The site file, if it is neither beside the tenant files nor in the parent folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, if it is not `midoform.lock` beside the site file.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The dialect of the API, instead of the site file's.
    #[arg(long, value_name = "1|5", value_parser = ["1", "5"])]
    pub(crate) api_version: Option<String>,
    /// The engine, if the site file has the tables of both.
    #[arg(long, value_name = "ENGINE", value_parser = ["midonet", "ovn"], conflicts_with = "api_version")]
    pub(crate) engine: Option<String>,
    /// Refuse to allocate addresses: all of them must be in the lock file.
    #[arg(long)]
    pub(crate) locked: bool,
}

/// The API.
#[derive(Args, Clone)]
pub(crate) struct Api {
    /// The API's base URL, or the servers of OVN's northbound database, instead of the site file's.
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// The folder for the embedded API's state, instead of `.midoform` beside the site file.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The time limit of an API call, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) login: Login,
}

/// The login.
#[derive(Args, Clone)]
pub(crate) struct Login {
    /// A file with logins that only its owner can read (docs/login.md), instead of MIDONET_CREDENTIALS_FILE.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
}

/// The policies besides the site file's.
#[derive(Args, Clone)]
pub(crate) struct Policy {
    /// Check the tenants against the policy in this file, too (repeatable).
    #[arg(long = "policy", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// The selected objects.
#[derive(Args, Clone)]
pub(crate) struct Select {
    /// Include only this tenant, or only this object and its dependencies (repeatable).
    #[arg(long, value_name = "KEY")]
    pub(crate) target: Vec<String>,
    /// Leave out this tenant, or this object and the objects below it (repeatable).
    #[arg(long, value_name = "KEY")]
    pub(crate) exclude: Vec<String>,
}

/// The consent to changes, and the way in which they are made.
#[derive(Args, Clone)]
pub(crate) struct Consent {
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show the changes, and make none.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The number of steps that are executed at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) parallel: u16,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Read the network again at the end, and report remaining differences.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Undo the changes of this run when a call finally fails.
    #[arg(long)]
    pub(crate) rollback_on_error: bool,
    /// Begin no more steps after this number of seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) deadline: Option<u64>,
    /// The share of the existing objects that may be deleted at once, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) most_deleted: u8,
    /// Allow a larger share to be deleted.
    #[arg(long)]
    pub(crate) allow_mass_delete: bool,
    /// The number of seconds to wait for another run on the same tenants.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) lock_timeout: u64,
    /// The part of OVN to wait for at the end: the southbound database (sb), every chassis (hv), or nothing (none).
    #[arg(long, value_name = "PART", default_value = "sb")]
    pub(crate) wait: WaitFor,
    /// The number of seconds to wait for it.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait_timeout: u64,
}

/// The part of OVN that a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitFor {
    None,
    Sb,
    Hv,
}

impl Consent {
    /// Returns the time to wait for another run on the same tenants.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.lock_timeout)
    }
}
