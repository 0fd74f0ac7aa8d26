//! The options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Which spec.
#[derive(Args, Clone)]
pub(crate) struct Spec {
    /// A tenant file, or a folder of them.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The site file, where it is neither beside the tenant files nor in the folder above.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// The lock file, where it is not `midoform.lock` beside the site file.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The dialect of the API, instead of the site file's: 1 or 5.
    #[arg(long, value_name = "1|5", value_parser = ["1", "5"])]
    pub(crate) api_version: Option<String>,
    /// Refuse to give out addresses: everything has to be in the lock file.
    #[arg(long)]
    pub(crate) locked: bool,
}

/// Which API.
#[derive(Args, Clone)]
pub(crate) struct Api {
    /// The API's base URL, instead of the site file's.
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// Where the embedded API keeps its state, instead of `.midoform` beside the site file.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How many seconds one call of the API may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) login: Login,
}

/// Who asks.
#[derive(Args, Clone)]
pub(crate) struct Login {
    /// A file with the logins, for its owner alone (docs/login.md), instead of MIDONET_CREDENTIALS_FILE.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
}

/// Which policies besides the site file's.
#[derive(Args, Clone)]
pub(crate) struct Policy {
    /// Hold the tenants against the policy in this file too (again for each).
    #[arg(long = "policy", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Which objects.
#[derive(Args, Clone)]
pub(crate) struct Select {
    /// Only this tenant, or only this object and what it stands on (again for each).
    #[arg(long, value_name = "KEY")]
    pub(crate) target: Vec<String>,
    /// Leave this tenant, or this object and what is below it, as it is (again for each).
    #[arg(long, value_name = "KEY")]
    pub(crate) exclude: Vec<String>,
}

/// How changes are agreed to, and made.
#[derive(Args, Clone)]
pub(crate) struct Consent {
    /// Don't ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many steps are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) parallel: u16,
    /// The result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Read the network again afterwards, and say when it is not what it should be.
    #[arg(long)]
    pub(crate) verify: bool,
    /// When a call fails for good, take back what this run made.
    #[arg(long)]
    pub(crate) rollback_on_error: bool,
    /// Begin nothing more after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) deadline: Option<u64>,
    /// How much of what is there may be deleted at once, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) most_deleted: u8,
    /// Delete more than that.
    #[arg(long)]
    pub(crate) allow_mass_delete: bool,
    /// How many seconds to wait for another apply to end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) lock_timeout: u64,
}

impl Consent {
    /// How long to wait for another apply to end.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.lock_timeout)
    }
}
