//! Opens the store of a site: the one place that decides which store that is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::source::Spanned;
use midoform_compiler::spec::Site;

use super::{SharedStore, StoreError};
use crate::backends::embedded::Embedded;
use crate::backends::etcd::{self, Etcd, Tls};

/// The time limit of a call to etcd, where the site file has none.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The settings that are not in the site file.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// The folder of the site file: relative paths start there.
    pub folder: PathBuf,
    /// User and password of etcd ([`login`]).
    pub login: Option<(String, String)>,
    /// The time limit of a call to etcd, where the site file has none; none: [`TIMEOUT`].
    pub timeout: Option<Duration>,
}

/// The location of a site's store.
#[derive(Clone)]
pub enum Location {
    /// The lock file beside the site file.
    LockFile,
    /// An embedded database: its file.
    Embedded(PathBuf),
    /// etcd, with the files for TLS.
    Etcd(etcd::Settings, Tls),
}

/// Reads user and password of etcd from the environment: `MIDOFORM_ETCD_USERNAME` and `MIDOFORM_ETCD_PASSWORD`.
///
/// # Errors
/// When only one of them is set.
pub fn login(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<(String, String)>, StoreError> {
    const NAMES: [&str; 2] = ["MIDOFORM_ETCD_USERNAME", "MIDOFORM_ETCD_PASSWORD"];
    match NAMES.map(|name| variable(name).filter(|value| !value.is_empty())) {
        [Some(user), Some(password)] => Ok(Some((user, password))),
        [None, None] => Ok(None),
        [user, _] => {
            let [set, missing] = if user.is_some() { NAMES } else { [NAMES[1], NAMES[0]] };
            let cause = format!("{set} is set, and {missing} is not");
            Err(StoreError::Refused { store: "etcd".to_owned(), cause })
        }
    }
}

/// Returns the location of the site's store. Reads nothing.
pub fn location_of(site: &Site, options: &OpenOptions) -> Location {
    let within = |path: &Spanned<String>| options.folder.join(&path.value);
    if let Some(store) = &site.store {
        return Location::Embedded(within(&store.path));
    }
    let Some(settings) = &site.etcd else { return Location::LockFile };
    let timeout = settings.timeout.map(|seconds| Duration::from_secs(seconds.value));
    let path = |path: &Option<Spanned<String>>| path.as_ref().map(within);
    let tls = Tls { ca: path(&settings.ca), identity: path(&settings.cert).zip(path(&settings.key)) };
    let settings = etcd::Settings {
        endpoints: settings.endpoints.iter().map(|endpoint| endpoint.value.clone()).collect(),
        login: options.login.clone(),
        prefix: Etcd::prefix_of(&site.name.value),
        timeout: timeout.or(options.timeout).unwrap_or(TIMEOUT),
    };
    Location::Etcd(settings, tls)
}

/// Opens the site's store; none if it is the lock file. The first call connects to etcd.
///
/// # Errors
/// When the database can't be opened, or the file of a certificate can't be read.
pub fn open(site: &Site, options: &OpenOptions) -> Result<Option<SharedStore>, StoreError> {
    Ok(match location_of(site, options) {
        Location::LockFile => None,
        Location::Embedded(path) => Some(Arc::new(Embedded::open(&path)?)),
        Location::Etcd(settings, tls) => Some(Arc::new(Etcd::open_tls(settings, &tls)?)),
    })
}
