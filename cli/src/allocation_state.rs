//! The allocations of a site: in the lock file beside it, or in the store that it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::spec::Site;
use midoform_reconcile::recorder::{Bookkeeping, Recorder};
use midoform_store::allocation::{StoredAllocations, ZoneHostChanges};
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::Etcd;
use midoform_store::backends::lock_file::LockFile;
use midoform_store::locks::{LEASE, Lock};
use midoform_store::open::{Location, OpenOptions};
use midoform_store::publication::Publication;
use midoform_store::{SharedStore, allocation, keys, locks, open};

use crate::error::CommandError;
use crate::known_allocations::Known;

/// The location of a site's allocations.
#[derive(Clone)]
pub(crate) struct AllocationState {
    /// The location that the site names.
    location: Location,
    /// The lock file, if the site has no store, or if `--lock` names one.
    lock_file: Option<LockFile>,
    opened: Arc<OnceLock<SharedStore>>,
}

impl std::fmt::Debug for AllocationState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown())
    }
}

/// The right to change some tenants.
pub(crate) struct Guard {
    store: SharedStore,
    lock: Lock,
    /// The allocations in the store, once they are read.
    stored: tokio::sync::Mutex<Option<StoredAllocations>>,
    /// True once something may have been changed.
    has_begun: AtomicBool,
}

impl AllocationState {
    /// Returns the state that the site names, or `--lock`. A site file that can't be read names none.
    pub(crate) fn of(
        site: Option<&Site>,
        root: &Path,
        lock: Option<&PathBuf>,
    ) -> Result<AllocationState, CommandError> {
        let login = open::login(&|name| std::env::var(name).ok())?;
        let around = OpenOptions { folder: root.to_path_buf(), login, timeout: None };
        let location = site.map_or(Location::LockFile, |site| open::location_of(site, &around));
        let lock_file = match (lock, &location) {
            (Some(path), _) => Some(LockFile::at(path)),
            (None, Location::LockFile) => Some(LockFile::at(root.join("midoform.lock"))),
            (None, _) => None,
        };
        Ok(AllocationState { location, lock_file, opened: Arc::default() })
    }

    /// Returns the lock file, if the allocations are in one.
    pub(crate) fn lock_file(&self) -> Option<&LockFile> {
        self.lock_file.as_ref()
    }

    /// Returns the file that the allocations are in; none if a server has them.
    pub(crate) fn file(&self) -> Option<&Path> {
        match (&self.lock_file, &self.location) {
            (Some(file), _) => Some(file.path()),
            (None, Location::Embedded(path)) => Some(path),
            (None, Location::Etcd(..) | Location::LockFile) => None,
        }
    }

    /// Returns true if the allocations are in a store, which pods use as well.
    pub(crate) fn is_store(&self) -> bool {
        self.lock_file.is_none()
    }

    /// Returns true if the allocations are on a server.
    pub(crate) fn is_remote(&self) -> bool {
        self.is_store() && matches!(self.location, Location::Etcd(..))
    }

    /// Returns its name, for people.
    pub(crate) fn shown(&self) -> String {
        match (&self.lock_file, &self.location, self.opened.get()) {
            (Some(file), ..) => file.path().display().to_string(),
            (None, _, Some(store)) => store.name(),
            (None, Location::Embedded(path), None) => format!("the store {}", path.display()),
            (None, Location::Etcd(settings, _), None) => format!("etcd at {}", settings.endpoints.join(", ")),
            (None, Location::LockFile, None) => String::new(),
        }
    }

    /// Opens the store. Returns none if it does not exist and `make` is false.
    pub(crate) fn open(&self, make: bool) -> Result<Option<SharedStore>, CommandError> {
        if let Some(store) = self.opened.get() {
            return Ok(Some(store.clone()));
        }
        let store: SharedStore = match (&self.lock_file, &self.location) {
            (Some(file), _) => Arc::new(file.clone()),
            (None, Location::Embedded(path)) if !make && !path.exists() => return Ok(None),
            (None, Location::Embedded(path)) => Arc::new(Embedded::open(path)?),
            (None, Location::Etcd(settings, tls)) => Arc::new(Etcd::open_tls(settings.clone(), tls)?),
            (None, Location::LockFile) => return Ok(None),
        };
        Ok(Some(self.opened.get_or_init(|| store).clone()))
    }

    /// Reads the allocations.
    pub(crate) async fn known(&self) -> Result<Known, CommandError> {
        if let Some(file) = &self.lock_file {
            return Ok(file.source().map_or(Known::Nothing, Known::LockFile));
        }
        let Some(store) = self.open(false)? else { return Ok(Known::Nothing) };
        let stored = allocation::load(&store).await?;
        Ok(Known::Store { name: store.name(), allocations: stored.allocations })
    }

    /// Returns the publication of these tenants.
    pub(crate) async fn published(
        &self,
        tenants: &BTreeSet<TenantName>,
    ) -> Result<Publication, CommandError> {
        match self.open(false)? {
            Some(store) => Ok(Publication::read(&store, tenants).await?),
            None => Ok(Publication::default()),
        }
    }

    /// Runs work under the lock of these tenants. Waits for others no longer than `patience`; `by` is the command that
    /// others see as the holder. The lock is released at the end, also if somebody interrupts the work before it wrote
    /// anything.
    pub(crate) async fn with_lock<T>(
        &self,
        tenants: &BTreeSet<TenantName>,
        by: &str,
        patience: Duration,
        work: impl AsyncFnOnce(&Guard) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let guard = tokio::select! {
            guard = self.acquire(tenants, by, patience) => guard?,
            error = interruption() => return Err(error),
        };
        let result = tokio::select! {
            result = work(&guard) => result,
            error = guard.interruption() => Err(error),
        };
        guard.lock.release().await;
        result
    }

    async fn acquire(
        &self,
        tenants: &BTreeSet<TenantName>,
        by: &str,
        patience: Duration,
    ) -> Result<Guard, CommandError> {
        if self.lock_file.is_some() && !matches!(self.location, Location::LockFile) {
            let message = "--lock: the site keeps its allocations in its store, and a lock file beside it could only \
                           contradict it";
            return Err(CommandError::Usage(message.to_owned()));
        }
        let store =
            self.open(true)?.ok_or_else(|| CommandError::Internal("no store was opened".to_owned()))?;
        let names: Vec<String> = tenants.iter().map(|tenant| keys::tenant_lock(tenant)).collect();
        let lock = locks::acquire_all(&store, &names, by, patience, LEASE).await?;
        Ok(Guard { store, lock, stored: tokio::sync::Mutex::new(None), has_begun: AtomicBool::new(false) })
    }

    /// Writes the allocations of the tenants that are locked, if they changed.
    pub(crate) async fn write(
        &self,
        guard: &Guard,
        site: &Site,
        allocations: &Allocations,
    ) -> Result<(), CommandError> {
        guard.begin();
        let mut known = guard.stored.lock().await;
        let mut stored = match known.take() {
            Some(stored) => stored,
            None => allocation::load(&guard.store).await?,
        };
        let (store, lock, hosts) = (&guard.store, &guard.lock, ZoneHostChanges::new());
        let result =
            allocation::write_beside_others(store, lock, site, &mut stored, allocations, &hosts).await;
        *known = Some(stored);
        Ok(result?)
    }
}

impl Guard {
    /// Marks the beginning of the changes: from here on an interruption ends nothing halfway, and what runs has to
    /// look at Ctrl-C itself.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Waits for Ctrl-C; it counts only until the changes begin.
    async fn interruption(&self) -> CommandError {
        let error = interruption().await;
        if self.has_begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        error
    }

    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Returns a recorder of a run under this lock, which begins with these allocations.
    pub(crate) async fn recorder<'a>(
        &'a self,
        site: &'a Site,
        allocations: Allocations,
        books: Bookkeeping<'a>,
    ) -> Result<Recorder<'a>, CommandError> {
        let stored = match self.stored.lock().await.take() {
            Some(stored) => stored,
            None => allocation::load(&self.store).await?,
        };
        Ok(Recorder::new(&self.store, &self.lock, site, stored, allocations, books))
    }
}

/// Waits for Ctrl-C. Where signals can't be had, it waits forever.
async fn interruption() -> CommandError {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    CommandError::Interrupted("nothing was changed".to_owned())
}
