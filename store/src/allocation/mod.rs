//! The allocations of a site in its store (`docs/store.md`): read as a whole, written by the holder of the tenants' locks.

pub(crate) mod records;

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use midoform_compiler::names::{PeerPair, TenantName};
use midoform_compiler::network::allocation::{Allocations, LinkAddresses};
use midoform_compiler::network::clash::clashes;
use midoform_compiler::spec::Site;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::keys::AllocationKey;
use crate::locks::Lock;
use crate::record::{decode, encode};
use crate::{Commit, Compare, Range, Revision, SharedStore, StoreError, Transaction, keys};

use records::Pools;
pub use records::newest;
pub(crate) use records::{delete, keys_of, put, value_of};

/// The number of attempts to write beside other writers.
const ROUNDS: u32 = 100;

/// The allocations as they were read from the store or last written to it.
#[derive(Clone, Debug)]
pub struct StoredAllocations {
    /// The allocations.
    pub allocations: Allocations,
    /// The revision of [`keys::POOLS`].
    pools: Revision,
    /// The counter there.
    count: u64,
}

/// The failure to write allocations.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AllocationError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was lost.
    #[error("the lock of {tenants} was lost meanwhile; nothing more was written: run it again")]
    Lost {
        /// The tenants that were locked.
        tenants: String,
    },
    /// Another tenant was allocated the same addresses meanwhile.
    #[error(
        "another tenant was allocated addresses meanwhile that this run had picked: {addresses}; run it again"
    )]
    Clash {
        /// The addresses and both tenants.
        addresses: String,
    },
    /// A change needs a lock that is not held.
    #[error("no lock is held for tenant `{tenant}`, so its allocations are not written")]
    NotLocked {
        /// The tenant.
        tenant: String,
    },
}

/// Reads all allocations.
///
/// # Errors
/// When the store fails, or holds a value that this midoform does not understand.
pub async fn load(store: &SharedStore) -> Result<StoredAllocations, StoreError> {
    let name = store.name();
    let found = store.read(&[Range::prefix(keys::ALLOCATIONS)]).await?;
    let mut stored =
        StoredAllocations { allocations: Allocations::default(), pools: Revision::ABSENT, count: 0 };
    for entry in found.iter().flatten() {
        match AllocationKey::of(&entry.key) {
            Some(AllocationKey::Pools) => {
                let held = decode::<Pools>(&name, entry)?;
                (stored.pools, stored.count) = (held.revision, held.record.count);
            }
            Some(_) => put(&mut stored.allocations, &name, entry)?,
            // A key of a newer midoform.
            None => {}
        }
    }
    Ok(stored)
}

/// Returns the tenants of a key. A write of the key needs the lock of one of them.
fn tenants_of(key: &str) -> Vec<TenantName> {
    match AllocationKey::of(key) {
        Some(AllocationKey::Tenant(tenant) | AllocationKey::Ids(tenant)) => vec![tenant],
        Some(AllocationKey::Peer(pair)) => pair.tenants().map(TenantName::clone).into(),
        Some(AllocationKey::Generation(key)) if key.owner() == key.as_str() => vec![key.owner().into()],
        // All runs write the generations of the site's objects, and the hosts of its tunnel zone.
        Some(AllocationKey::Generation(_) | AllocationKey::ZoneHost(_) | AllocationKey::Pools) | None => {
            Vec::new()
        }
    }
}

fn fence_for(lock: &Lock, key: &str) -> Result<Compare, AllocationError> {
    let tenants = tenants_of(key);
    if tenants.is_empty() {
        return Ok(lock.fence());
    }
    let fence = tenants.iter().find_map(|tenant| lock.fence_of_tenant(tenant));
    fence.ok_or_else(|| AllocationError::NotLocked { tenant: tenants.join("/") })
}

/// Writes the allocations, where they differ from `stored`. Returns false if there were other allocations meanwhile or
/// the lock was lost; then nothing or only a part is written, and the caller has to read again.
///
/// # Errors
/// When the store fails, or the allocations of a tenant would change that is not locked.
pub async fn write(
    store: &SharedStore,
    lock: &Lock,
    stored: &mut StoredAllocations,
    now: &Allocations,
) -> Result<bool, AllocationError> {
    let changes = records::changes(&stored.allocations, now);
    let is_allocation = !changes.is_empty() && addresses(&stored.allocations) != addresses(now);
    // One write of each transaction is for the counter.
    for some in changes.chunks(store.most_writes().saturating_sub(1).max(1)) {
        let mut transaction = Transaction::default();
        let mut fences: Vec<Compare> = Vec::new();
        for (key, value) in some {
            let fence = fence_for(lock, key)?;
            if !fences.contains(&fence) {
                fences.push(fence);
            }
            transaction = match value {
                Some(value) => transaction.put(key, value),
                None => transaction.delete(key),
            };
        }
        transaction = transaction.when_all(&fences);
        if is_allocation {
            let pools = Pools { count: stored.count.wrapping_add(1) };
            transaction = transaction.when(keys::POOLS, stored.pools).put(keys::POOLS, encode(&pools));
        }
        match store.commit(&transaction).await? {
            Commit::Conflict => return Ok(false),
            Commit::Done(revisions) if is_allocation => {
                stored.count = stored.count.wrapping_add(1);
                stored.pools = revisions.last().copied().unwrap_or(Revision::ABSENT);
            }
            Commit::Done(_) => {}
        }
    }
    stored.allocations = now.clone();
    Ok(true)
}

/// Changes of [`Allocations::zone_hosts`]: the name of a host that midoform puts into the tunnel zone; none for one that it took out.
/// All runs change them, whatever tenants they lock.
pub type ZoneHostChanges = BTreeMap<Uuid, Option<String>>;

/// Writes the allocations of the locked tenants, and these changes of the tunnel zone's hosts. Allocations that others made
/// meanwhile stay, unless they clash.
///
/// # Errors
/// When the store fails, the lock was lost, or another tenant was allocated the same addresses.
pub async fn write_beside_others(
    store: &SharedStore,
    lock: &Lock,
    site: &Site,
    stored: &mut StoredAllocations,
    now: &Allocations,
    hosts: &ZoneHostChanges,
) -> Result<(), AllocationError> {
    for _ in 0..ROUNDS {
        let now = merged(&stored.allocations, now, lock, hosts);
        if addresses(&stored.allocations) != addresses(&now)
            && let Some(clash) = clashes(&now, site).into_iter().next()
        {
            let addresses = format!("{}, of `{}` and `{}`", clash.addresses, clash.keeps, clash.moves);
            return Err(AllocationError::Clash { addresses });
        }
        if write(store, lock, stored, &now).await? {
            return Ok(());
        }
        if !lock.is_held().await? {
            return Err(AllocationError::Lost { tenants: lock.names().join(", ") });
        }
        *stored = load(store).await?;
    }
    let holder = "other processes, which write all the time; try again later".to_owned();
    Err(StoreError::Busy { store: store.name(), holder }.into())
}

/// Merges the new allocations of the locked tenants with the stored ones of all others.
fn merged(stored: &Allocations, own: &Allocations, lock: &Lock, hosts: &ZoneHostChanges) -> Allocations {
    let is_own = |tenant: &str| lock.fence_of_tenant(tenant).is_some();
    let is_own_pair = |pair: &PeerPair| pair.tenants().into_iter().any(|tenant| is_own(tenant));
    let tenants = stored.tenants.iter().filter(|(name, _)| !is_own(name));
    let own_tenants = own.tenants.iter().filter(|(name, _)| is_own(name));
    let peers = stored.peers.iter().filter(|(pair, _)| !is_own_pair(pair));
    let own_peers = own.peers.iter().filter(|(pair, _)| is_own_pair(pair));
    let mut merged = Allocations {
        tenants: tenants.chain(own_tenants).map(|(name, tenant)| (name.clone(), tenant.clone())).collect(),
        peers: peers.chain(own_peers).map(|(pair, link)| (pair.clone(), *link)).collect(),
        generations: stored.generations.clone(),
        zone_hosts: stored.zone_hosts.clone(),
    };
    merged.add_generations(own);
    for (host, name) in hosts {
        match name {
            Some(name) => drop(merged.zone_hosts.insert(*host, name.clone())),
            None => drop(merged.zone_hosts.remove(host)),
        }
    }
    merged
}

/// The link and the networks of each tenant, and the links between peers.
type Addresses<'a> =
    (Vec<(&'a str, Option<LinkAddresses>, &'a BTreeMap<String, Ipv4Net>)>, Vec<LinkAddresses>);

/// Returns all allocated addresses.
fn addresses(allocations: &Allocations) -> Addresses<'_> {
    let tenants =
        allocations.tenants.iter().map(|(name, tenant)| (name.as_str(), tenant.link, &tenant.bridges));
    (tenants.collect(), allocations.peers.values().copied().collect())
}

/// Returns the value of [`keys::POOLS`] for a store that keeps no counter: a hash of all addresses. None where nothing
/// is allocated.
pub(crate) fn pools_of(allocations: &Allocations) -> Option<String> {
    if allocations.tenants.is_empty() && allocations.peers.is_empty() {
        return None;
    }
    let hash = Sha256::digest(format!("{:?}", addresses(allocations)));
    let count = hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    Some(encode(&Pools { count }))
}
