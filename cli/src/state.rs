//! Where a site keeps what it gave out: the lock file beside it, or the store that it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use midoform_compiler::Allocated;
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::lock_file;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::Site;
use midoform_store::allocation::StoredAllocations;
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::Etcd;
use midoform_store::backends::lock_file::LockFile;
use midoform_store::locks::{LEASE, Lock};
use midoform_store::open::{Around, Place};
use midoform_store::publication::Publication;
use midoform_store::{SharedStore, allocation, keys, locks, open, tenants};

use crate::error::CommandError;
use crate::session::{block_on, runtime};

/// What a site gave out, and where it keeps it.
#[derive(Clone)]
pub(crate) struct State {
    /// The place that the site names.
    place: Place,
    /// The lock file, where it is that, or `--lock` names one.
    lock_file: Option<LockFile>,
    opened: Arc<OnceLock<SharedStore>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown())
    }
}

/// The allocations that a command starts from.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// Nothing is allocated yet, or a server was not asked.
    Nothing,
    /// The lock file, as it was read.
    LockFile(Source),
    /// The allocations of a store, by its name, or those of a lock file that changed since it was read.
    Store { name: String, allocations: Allocations },
}

impl Known {
    /// The allocations as the compiler takes them.
    pub(crate) fn input(&self) -> Allocated<'_> {
        match self {
            Known::Nothing => Allocated::Nothing,
            Known::LockFile(source) => Allocated::LockFile(source),
            Known::Store { name, allocations } => Allocated::Store { name, allocations },
        }
    }

    /// The allocations; none where the lock file can't be read, for the reasons in the diagnostics.
    pub(crate) fn allocations(&self, diagnostics: &mut Diagnostics) -> Option<Allocations> {
        match self {
            Known::Nothing => Some(Allocations::default()),
            Known::LockFile(source) => {
                lock_file::parse(source, SourceId(1), diagnostics).map(|file| file.allocations)
            }
            Known::Store { allocations, .. } => Some(allocations.clone()),
        }
    }

    /// Goes on with other allocations.
    pub(crate) fn replace(&mut self, allocations: Allocations) {
        let name = match self {
            Known::Nothing => "midoform.lock".to_owned(),
            Known::LockFile(source) => source.name.to_string(),
            Known::Store { name, .. } => std::mem::take(name),
        };
        *self = Known::Store { name, allocations };
    }
}

/// The right to change some tenants, let go at the end.
pub(crate) struct Guard {
    store: SharedStore,
    lock: Option<Lock>,
    /// What the store is known to say; read before the first write.
    given: tokio::sync::Mutex<Option<StoredAllocations>>,
}

impl State {
    /// The place that the site names, or `--lock`. A site file that can't be read names none.
    pub(crate) fn of(
        site: Option<&Site>,
        root: &Path,
        lock: Option<&PathBuf>,
    ) -> Result<State, CommandError> {
        let login = open::login(&|name| std::env::var(name).ok())?;
        let around = Around { folder: root.to_path_buf(), login, timeout: None };
        let place = site.map_or(Place::LockFile, |site| open::place_of(site, &around));
        let lock_file = match (lock, &place) {
            (Some(path), _) => Some(LockFile::at(path)),
            (None, Place::LockFile) => Some(LockFile::at(root.join("midoform.lock"))),
            (None, _) => None,
        };
        Ok(State { place, lock_file, opened: Arc::default() })
    }

    /// The lock file, where that is the place.
    pub(crate) fn lock_file(&self) -> Option<&LockFile> {
        self.lock_file.as_ref()
    }

    /// Whether it is a store that pods are attached with.
    pub(crate) fn is_store(&self) -> bool {
        self.lock_file.is_none()
    }

    /// Whether reading it needs a server.
    pub(crate) fn is_remote(&self) -> bool {
        self.is_store() && matches!(self.place, Place::Etcd(..))
    }

    /// What it is and where, for people.
    pub(crate) fn shown(&self) -> String {
        match (&self.lock_file, &self.place, self.opened.get()) {
            (Some(file), ..) => file.path().display().to_string(),
            (None, _, Some(store)) => store.name(),
            (None, Place::Embedded(path), None) => format!("the store {}", path.display()),
            (None, Place::Etcd(settings, _), None) => format!("etcd at {}", settings.endpoints.join(", ")),
            (None, Place::LockFile, None) => String::new(),
        }
    }

    /// The store; none where there is none yet and it is not to be made.
    pub(crate) fn open(&self, make: bool) -> Result<Option<SharedStore>, CommandError> {
        if let Some(store) = self.opened.get() {
            return Ok(Some(store.clone()));
        }
        let store: SharedStore = match (&self.lock_file, &self.place) {
            (Some(file), _) => Arc::new(file.clone()),
            (None, Place::Embedded(path)) if !make && !path.exists() => return Ok(None),
            (None, Place::Embedded(path)) => Arc::new(Embedded::open(path)?),
            (None, Place::Etcd(settings, tls)) => Arc::new(Etcd::open_tls(settings.clone(), tls)?),
            (None, Place::LockFile) => return Ok(None),
        };
        Ok(Some(self.opened.get_or_init(|| store).clone()))
    }

    /// Reads the allocations.
    pub(crate) fn known(&self) -> Result<Known, CommandError> {
        if let Some(file) = &self.lock_file {
            return Ok(file.source().map_or(Known::Nothing, Known::LockFile));
        }
        let Some(store) = self.open(false)? else { return Ok(Known::Nothing) };
        let stored = block_on(async { Ok(allocation::load(&store).await?) })?;
        Ok(Known::Store { name: store.name(), allocations: stored.allocations })
    }

    /// What pods find of these tenants.
    pub(crate) fn published(&self, tenants: &BTreeSet<String>) -> Result<Publication, CommandError> {
        match self.open(false)? {
            Some(store) => block_on(async { Ok(Publication::read(&store, tenants).await?) }),
            None => Ok(Publication::default()),
        }
    }

    /// Takes the right to change these tenants, waiting so long for others. `by` says what for.
    pub(crate) fn acquire(
        &self,
        tenants: &BTreeSet<String>,
        by: &str,
        patience: Duration,
    ) -> Result<Guard, CommandError> {
        if self.lock_file.is_some() && !matches!(self.place, Place::LockFile) {
            let message = "--lock: the site keeps what it gave out in its store, and a lock file beside that could only \
                           contradict it";
            return Err(CommandError::Usage(message.to_owned()));
        }
        let store =
            self.open(true)?.ok_or_else(|| CommandError::Internal("no store was opened".to_owned()))?;
        let names: Vec<String> = tenants.iter().map(|tenant| keys::tenant_lock(tenant)).collect();
        let lock = block_on(async { Ok(locks::acquire_all(&store, &names, by, patience, LEASE).await?) })?;
        Ok(Guard { store, lock: Some(lock), given: tokio::sync::Mutex::new(None) })
    }

    /// Writes what is given out now to the tenants that the guard is for, if that changes it.
    pub(crate) async fn write(
        &self,
        guard: &Guard,
        site: &Site,
        allocations: &Allocations,
    ) -> Result<(), CommandError> {
        let mut known = guard.given.lock().await;
        let mut given = match known.take() {
            Some(given) => given,
            None => allocation::load(&guard.store).await?,
        };
        let result =
            allocation::write_beside_others(&guard.store, guard.lock()?, site, &mut given, allocations).await;
        *known = Some(given);
        Ok(result?)
    }
}

impl Guard {
    pub(crate) fn lock(&self) -> Result<&Lock, CommandError> {
        self.lock.as_ref().ok_or_else(|| CommandError::Internal("the lock was let go".to_owned()))
    }

    pub(crate) fn store(&self) -> &SharedStore {
        &self.store
    }

    /// What every write for this tenant compares.
    pub(crate) fn fence(&self, tenant: &str) -> Result<midoform_store::Compare, CommandError> {
        let fence = self.lock()?.fence_of_tenant(tenant);
        fence.ok_or_else(|| CommandError::Internal(format!("tenant `{tenant}` is not locked")))
    }

    /// No more pods are attached to these tenants from now on. Refuses while some are, unless they are to be cut off.
    pub(crate) async fn retire(&self, tenants: &BTreeSet<String>, force: bool) -> Result<(), CommandError> {
        for tenant in tenants {
            tenants::retire(&self.store, &self.fence(tenant)?, tenant, force).await?;
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        // Inside of the runtime it would wait for itself; then the lock ends with its lease, or with this process.
        if let (Err(_), Ok(runtime)) = (tokio::runtime::Handle::try_current(), runtime()) {
            runtime.block_on(lock.release());
        }
    }
}
