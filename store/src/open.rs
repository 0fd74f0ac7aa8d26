//! Which store a site has, and opening it: the same for everything that works on a site.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::source::Spanned;
use midoform_compiler::spec::Site;

use super::{SharedStore, StoreError};
use crate::backends::embedded::Embedded;
use crate::backends::etcd::{self, Etcd, Tls};

/// How long one call of etcd may take, where the site file doesn't say.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What the site file does not say.
#[derive(Clone, Default)]
pub struct Around {
    /// The folder that relative paths are from: the site file's.
    pub folder: PathBuf,
    /// User and password of etcd ([`login`]).
    pub login: Option<(String, String)>,
    /// How long one call of etcd may take, where the site file doesn't say; none: [`TIMEOUT`].
    pub timeout: Option<Duration>,
}

/// Where a site's store is.
#[derive(Clone)]
pub enum Place {
    /// The lock file beside the site file.
    LockFile,
    /// An embedded database: its file.
    Embedded(PathBuf),
    /// etcd, with the files for TLS.
    Etcd(etcd::Settings, Tls),
}

/// User and password of etcd, from the environment: `MIDOFORM_ETCD_USERNAME` and `MIDOFORM_ETCD_PASSWORD`.
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

/// Where the site's store is. Reads nothing.
pub fn place_of(site: &Site, around: &Around) -> Place {
    let within = |path: &Spanned<String>| around.folder.join(&path.value);
    if let Some(store) = &site.store {
        return Place::Embedded(within(&store.path));
    }
    let Some(settings) = &site.etcd else { return Place::LockFile };
    let timeout = settings.timeout.map(|seconds| Duration::from_secs(seconds.value));
    let path = |path: &Option<Spanned<String>>| path.as_ref().map(within);
    let tls = Tls { ca: path(&settings.ca), identity: path(&settings.cert).zip(path(&settings.key)) };
    let settings = etcd::Settings {
        endpoints: settings.endpoints.iter().map(|endpoint| endpoint.value.clone()).collect(),
        login: around.login.clone(),
        prefix: Etcd::prefix_of(&site.name.value),
        timeout: timeout.or(around.timeout).unwrap_or(TIMEOUT),
    };
    Place::Etcd(settings, tls)
}

/// Opens the site's store; none where that is the lock file. etcd is connected to by the first call.
///
/// # Errors
/// When it can't be opened, or a certificate's file can't be read.
pub fn open(site: &Site, around: &Around) -> Result<Option<SharedStore>, StoreError> {
    Ok(match place_of(site, around) {
        Place::LockFile => None,
        Place::Embedded(path) => Some(Arc::new(Embedded::open(&path)?)),
        Place::Etcd(settings, tls) => Some(Arc::new(Etcd::open_tls(settings, &tls)?)),
    })
}
