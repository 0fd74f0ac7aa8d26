//! The tenant of a pod. Its first pod makes it, and a pod that finds no free address adds a bridge.
//!
//! Both are done under the locks of the tenant and its peers, with the compiler and the reconciler, as `midoform apply`
//! does it (`ensure`).

mod ensure;
mod growth;
mod peers;
pub(crate) mod port_mappings;

use std::time::Duration;

use midoform_compiler::network::provider_use::Neighbours;
use midoform_store::locks::{LEASE, Lock, LockError};
use midoform_store::ready::Ready;
use midoform_store::record::Held;
use midoform_store::{SharedStore, allocation, keys, locks, tenants};

use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};

use ensure::ensure;
use growth::{added_bridges, check_may_grow, next_name, note_added_bridges};
use peers::TenantAndPeers;

/// The number of times that the work is tried again if the lock was lost.
const TRIES: u32 = 3;

/// Makes the tenant, unless another run does so first.
pub(crate) async fn make_ready(backend: &mut Backend<'_>, tenant: &str) -> Result<()> {
    under_lock(backend, tenant, async |backend, store, lock| {
        if tenants::ready(store, tenant).await?.is_some() {
            return Ok(());
        }
        tracing::info!(step = "tenant", tenant, "this is the tenant's first pod: making the tenant");
        let specs = read_locked(backend, store, lock, tenant).await?;
        ensure(backend, store, lock, &specs, None).await
    })
    .await
}

/// Adds a bridge beside `bridge`, which is full, unless another run does so first.
pub(crate) async fn add_bridge(
    backend: &mut Backend<'_>,
    tenant: &str,
    full: &Held<Ready>,
    bridge: &str,
) -> Result<()> {
    under_lock(backend, tenant, async |backend, store, lock| {
        let now = tenants::ready(store, tenant).await?;
        if now.is_none_or(|now| now.revision != full.revision) {
            return Ok(());
        }
        let specs = read_locked(backend, store, lock, tenant).await?;
        check_may_grow(&specs, &full.record)?;
        let mut added = added_bridges(&full.record);
        let name = next_name(&full.record, bridge);
        tracing::info!(step = "bridge", tenant, bridge, name, "the bridge is full: adding another");
        added.insert(name, bridge.to_owned());
        ensure(backend, store, lock, &specs, Some(added)).await
    })
    .await
}

/// Fails if no bridge could be added for pods that find no free address. Changes nothing.
pub(crate) async fn check_growth(backend: &mut Backend<'_>, tenant: &str, full: &Ready) -> Result<()> {
    let store = backend.store().await?;
    let specs = TenantAndPeers::read(&store, backend.config, tenant).await?;
    check_may_grow(&specs, full)?;
    let mut added = added_bridges(full);
    if let Some(first) = full.bridges.first() {
        added.insert(next_name(full, &first.name), first.name.clone());
    }
    let mut loaded = allocation::load(&store).await?;
    note_added_bridges(&mut loaded.allocations, tenant, &added);
    specs.compile(backend.config, &loaded.allocations, &Neighbours::default()).map(drop)
}

/// Does work under the locks of the tenant and its peers. If a lock is lost, as on a machine that is too busy, the work is
/// done again: it finds what was done already.
async fn under_lock<'b>(
    backend: &mut Backend<'b>,
    tenant: &str,
    mut work: impl AsyncFnMut(&mut Backend<'b>, &SharedStore, &Lock) -> Result<()>,
) -> Result<()> {
    let store = backend.store().await?;
    for left in (0..TRIES).rev() {
        let lock = acquire(backend, &store, tenant).await?;
        let result = work(backend, &store, &lock).await;
        lock.release().await;
        match result {
            Err(error) if error.code == Code::TryAgainLater && left > 0 => {
                tracing::warn!(step = "tenant", tenant, error = error.in_full(), "trying again");
            }
            other => return other,
        }
    }
    Ok(())
}

/// Acquires the locks of the tenant and of the peers that name it back. So of two peers that are made at the same time,
/// the second finds the first and links both.
async fn acquire(backend: &Backend<'_>, store: &SharedStore, tenant: &str) -> Result<Lock> {
    // A quarter of the time is left for the work, and to report who holds the lock.
    let longest: Duration = backend.config.timeouts.add.mul_f32(0.75);
    let tenants = peers::to_lock(store, tenant).await?;
    let names: Vec<String> = tenants.iter().map(|tenant| keys::tenant_lock(tenant)).collect();
    let lock = locks::acquire_all(store, &names, "midonet-cni ADD", longest, LEASE).await;
    lock.map_err(|error| match error {
        LockError::Store(error) => error.into(),
        LockError::Busy { name, holder } => {
            let message = format!("another run is changing tenant `{tenant}`");
            CniError::new(Code::TryAgainLater, message)
                .hint(format!("`{name}` is in use by {holder}; wait until it ends"))
        }
    })
}

/// Reads the specs again, now that nobody else can change them. Fails if the lock does not cover a new peer.
async fn read_locked(
    backend: &Backend<'_>,
    store: &SharedStore,
    lock: &Lock,
    tenant: &str,
) -> Result<TenantAndPeers> {
    let specs = TenantAndPeers::read(store, backend.config, tenant).await?;
    match specs.to_lock().iter().find(|name| lock.fence_of_tenant(name).is_none()) {
        None => Ok(specs),
        Some(name) => {
            let message = format!("somebody just added the peer `{name}` to tenant `{tenant}`");
            Err(CniError::new(Code::TryAgainLater, message))
        }
    }
}
