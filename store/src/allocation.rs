//! What tenants were given, in the store (`docs/store.md`): read whole, written by whoever holds the tenants' locks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use midoform_compiler::network::lock_file;
use midoform_compiler::spec::Site;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::object::Object;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::keys;
use crate::locks::Lock;
use crate::record::{Record, decode, encode};
use crate::{Commit, Compare, Entry, Range, Revision, SharedStore, StoreError, Transaction};

/// How often what others were given meanwhile is taken in before this gives up.
const ROUNDS: u32 = 100;

/// What one tenant was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct GivenRecord {
    applied: bool,
    protect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    project_made: bool,
    link: Option<LinkRecord>,
    bridges: BTreeMap<String, Ipv4Net>,
    /// The bridges that were added because one of the spec was full, and for which.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    grown: BTreeMap<String, String>,
    ports: Vec<String>,
    /// What a run that has not ended well was making (1.x).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    making: Vec<(Key, Object)>,
}

impl Record for GivenRecord {
    const VERSION: u64 = 1;
}

/// The two addresses of a link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct LinkRecord {
    provider: Ipv4Addr,
    tenant: Ipv4Addr,
}

impl Record for LinkRecord {
    const VERSION: u64 = 1;
}

impl From<LinkAddresses> for LinkRecord {
    fn from(link: LinkAddresses) -> Self {
        LinkRecord { provider: link.provider, tenant: link.tenant }
    }
}

impl From<LinkRecord> for LinkAddresses {
    fn from(link: LinkRecord) -> Self {
        LinkAddresses { provider: link.provider, tenant: link.tenant }
    }
}

/// The ids that don't follow from the keys: of the server's choosing, and of what was adopted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct IdsRecord {
    ids: BTreeMap<Key, Uuid>,
}

impl Record for IdsRecord {
    const VERSION: u64 = 1;
}

/// Another one whenever something is given out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct PoolsRecord {
    given: u64,
}

impl Record for PoolsRecord {
    const VERSION: u64 = 1;
}

/// What a key below `given/` is about.
enum Part {
    Tenant(String),
    Ids(String),
    Peer(String),
    Pools,
}

fn part_of(key: &str) -> Option<Part> {
    let parts: Vec<String> = key.split('/').map(keys::name_of).collect::<Option<_>>()?;
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["given", "tenant", tenant] => Some(Part::Tenant((*tenant).to_owned())),
        ["given", "ids", tenant] => Some(Part::Ids((*tenant).to_owned())),
        ["given", "peer", one, other] => Some(Part::Peer(format!("{one}/{other}"))),
        ["given", "pools"] => Some(Part::Pools),
        _ => None,
    }
}

/// The keys that hold what was given out, sorted.
pub(crate) fn keys_of(allocations: &Allocations) -> BTreeSet<String> {
    let tenants = allocations.tenants.iter().flat_map(|(name, tenant)| {
        let ids = (!tenant.ids.is_empty()).then(|| keys::ids(name));
        std::iter::once(keys::given(name)).chain(ids)
    });
    let peers = allocations.peers.keys().map(|pair| keys::peer(pair));
    tenants.chain(peers).collect()
}

/// The value of a key of [`keys_of`].
pub(crate) fn value_of(allocations: &Allocations, key: &str) -> Option<String> {
    match part_of(key)? {
        Part::Tenant(tenant) => {
            let given = allocations.tenants.get(&tenant)?;
            Some(encode(&GivenRecord {
                applied: given.applied,
                protect: given.protect,
                tenant_id: given.tenant_id.clone(),
                project_made: given.project_made,
                link: given.link.map(LinkRecord::from),
                bridges: given.bridges.clone(),
                grown: given.grown.clone(),
                ports: given.ports.clone(),
                making: given.making.clone(),
            }))
        }
        Part::Ids(tenant) => {
            let ids = &allocations.tenants.get(&tenant)?.ids;
            (!ids.is_empty()).then(|| encode(&IdsRecord { ids: ids.clone() }))
        }
        Part::Peer(pair) => allocations.peers.get(&pair).map(|link| encode(&LinkRecord::from(*link))),
        Part::Pools => None,
    }
}

/// What a key below `given/` holds, as this midoform writes it; none where it holds nothing worth a key, or something
/// of a later midoform's.
///
/// # Errors
/// When this midoform doesn't understand the value.
pub fn newest(store: &str, entry: &Entry) -> Result<Option<String>, StoreError> {
    match part_of(&entry.key) {
        None => return Ok(None),
        Some(Part::Pools) => return Ok(Some(encode(&decode::<PoolsRecord>(store, entry)?.record))),
        Some(_) => {}
    }
    let mut allocations = Allocations::default();
    put(&mut allocations, store, entry)?;
    Ok(value_of(&allocations, &entry.key))
}

/// Takes in what a key holds.
///
/// # Errors
/// When this midoform doesn't understand the value, or no such key is known.
pub(crate) fn put(allocations: &mut Allocations, store: &str, entry: &Entry) -> Result<(), StoreError> {
    match part_of(&entry.key) {
        Some(Part::Tenant(tenant)) => {
            let record = decode::<GivenRecord>(store, entry)?.record;
            let own = allocations.tenants.entry(tenant).or_default();
            let ids = std::mem::take(&mut own.ids);
            *own = TenantAllocation {
                applied: record.applied,
                protect: record.protect,
                tenant_id: record.tenant_id,
                project_made: record.project_made,
                link: record.link.map(LinkAddresses::from),
                bridges: record.bridges,
                grown: record.grown,
                ports: record.ports,
                making: record.making,
                ids,
                span: own.span,
            };
        }
        Some(Part::Ids(tenant)) => {
            let ids = decode::<IdsRecord>(store, entry)?.record.ids;
            allocations.tenants.entry(tenant).or_default().ids = ids;
        }
        Some(Part::Peer(pair)) => {
            let link = decode::<LinkRecord>(store, entry)?.record;
            allocations.peers.insert(pair, link.into());
        }
        Some(Part::Pools) => drop(decode::<PoolsRecord>(store, entry)?),
        None => {
            let (store, key) = (store.to_owned(), entry.key.clone());
            let cause = "there is no such key: use a newer midoform".to_owned();
            return Err(StoreError::Value { store, key, cause });
        }
    }
    Ok(())
}

/// Forgets what a key held.
pub(crate) fn forget(allocations: &mut Allocations, key: &str) {
    match part_of(key) {
        Some(Part::Tenant(tenant)) => {
            let ids = allocations.tenants.remove(&tenant).map(|given| given.ids).unwrap_or_default();
            if !ids.is_empty() {
                allocations.tenants.insert(tenant, TenantAllocation { ids, ..TenantAllocation::default() });
            }
        }
        Some(Part::Ids(tenant)) => {
            if let Some(given) = allocations.tenants.get_mut(&tenant) {
                given.ids.clear();
                if *given == TenantAllocation::default() {
                    allocations.tenants.remove(&tenant);
                }
            }
        }
        Some(Part::Peer(pair)) => drop(allocations.peers.remove(&pair)),
        Some(Part::Pools) | None => {}
    }
}

/// Everything that was given out, and the state of the pools that it was read in.
#[derive(Clone, Debug)]
pub struct Given {
    /// What was given out.
    pub allocations: Allocations,
    pools: Revision,
    given: u64,
}

/// Why what was given out can't be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GivenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was lost.
    #[error("the lock of {tenants} was lost meanwhile; nothing more was written: run it again")]
    Lost {
        /// Whose.
        tenants: String,
    },
    /// Somebody else was given the same place meanwhile.
    #[error("another tenant was given a place meanwhile that this run had picked: {what}; run it again")]
    Clash {
        /// Which.
        what: String,
    },
    /// Something would be written that no lock is held for.
    #[error("no lock is held for tenant `{tenant}`, so what it was given is not written")]
    NotLocked {
        /// Which.
        tenant: String,
    },
}

/// Reads everything that was given out.
///
/// # Errors
/// When the store fails, or holds what this midoform does not understand.
pub async fn load(store: &SharedStore) -> Result<Given, StoreError> {
    let name = store.name();
    let found = store.read(&[Range::prefix(keys::GIVEN)]).await?;
    let mut given = Given { allocations: Allocations::default(), pools: Revision::ABSENT, given: 0 };
    for entry in found.iter().flatten() {
        match part_of(&entry.key) {
            Some(Part::Pools) => {
                let held = decode::<PoolsRecord>(&name, entry)?;
                (given.pools, given.given) = (held.revision, held.record.given);
            }
            Some(_) => put(&mut given.allocations, &name, entry)?,
            // A later midoform's.
            None => {}
        }
    }
    Ok(given)
}

/// A key's new value; none where it goes.
type Changed = (String, Option<String>);

/// What a key needs a lock for: one of these tenants'.
fn tenants_of(key: &str) -> Vec<String> {
    match part_of(key) {
        Some(Part::Tenant(tenant) | Part::Ids(tenant)) => vec![tenant],
        Some(Part::Peer(pair)) => pair.split('/').map(str::to_owned).collect(),
        Some(Part::Pools) | None => Vec::new(),
    }
}

fn fence_for(lock: &Lock, key: &str) -> Result<Compare, GivenError> {
    let tenants = tenants_of(key);
    let fence = tenants.iter().find_map(|tenant| lock.fence_of_tenant(tenant));
    fence.ok_or_else(|| GivenError::NotLocked { tenant: tenants.join("/") })
}

/// Writes what is given out now, where that is another thing than `given`; false, and nothing or only a part of it
/// done, where others were given something since or the lock was lost: then read again.
///
/// # Errors
/// When the store fails, or a tenant that is not locked would change.
pub async fn write(
    store: &SharedStore,
    lock: &Lock,
    given: &mut Given,
    now: &Allocations,
) -> Result<bool, GivenError> {
    let (before, after) = (keys_of(&given.allocations), keys_of(now));
    let mut changes: Vec<Changed> = Vec::new();
    for key in before.union(&after) {
        let (old, new) = (value_of(&given.allocations, key), value_of(now, key));
        if old != new {
            changes.push((key.clone(), new));
        }
    }
    let given_out = !changes.is_empty() && places(&given.allocations) != places(now);
    // One place is left for the pools.
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
        if given_out {
            let pools = PoolsRecord { given: given.given.wrapping_add(1) };
            transaction = transaction.when(keys::POOLS, given.pools).put(keys::POOLS, encode(&pools));
        }
        match store.commit(&transaction).await? {
            Commit::Conflict => return Ok(false),
            Commit::Done(revisions) if given_out => {
                given.given = given.given.wrapping_add(1);
                given.pools = revisions.last().copied().unwrap_or(Revision::ABSENT);
            }
            Commit::Done(_) => {}
        }
    }
    given.allocations = now.clone();
    Ok(true)
}

/// The same for what the lock is held for; what others were given meanwhile stays, unless both were given one place.
///
/// # Errors
/// When the store fails, the lock was lost, or somebody else was given the same place.
pub async fn write_beside_others(
    store: &SharedStore,
    lock: &Lock,
    site: &Site,
    given: &mut Given,
    now: &Allocations,
) -> Result<(), GivenError> {
    for _ in 0..ROUNDS {
        let now = merged(&given.allocations, now, lock);
        if places(&given.allocations) != places(&now) {
            let mut diagnostics = Diagnostics::default();
            lock_file::check(&now, site, &mut diagnostics);
            if let Some(clash) = diagnostics.into_sorted().into_iter().next() {
                return Err(GivenError::Clash { what: clash.message });
            }
        }
        if write(store, lock, given, &now).await? {
            return Ok(());
        }
        if !lock.is_held().await? {
            return Err(GivenError::Lost { tenants: lock.names().join(", ") });
        }
        *given = load(store).await?;
    }
    let cause = "it is written all the time; try again later".to_owned();
    Err(StoreError::Busy { store: store.name(), holder: cause }.into())
}

/// What the lock is held for as this run has it, everything else as the store does.
fn merged(stored: &Allocations, own: &Allocations, lock: &Lock) -> Allocations {
    let is_own = |tenant: &str| lock.fence_of_tenant(tenant).is_some();
    let is_own_pair = |pair: &str| pair.split('/').any(is_own);
    let tenants = stored.tenants.iter().filter(|(name, _)| !is_own(name));
    let own_tenants = own.tenants.iter().filter(|(name, _)| is_own(name));
    let peers = stored.peers.iter().filter(|(pair, _)| !is_own_pair(pair));
    let own_peers = own.peers.iter().filter(|(pair, _)| is_own_pair(pair));
    Allocations {
        tenants: tenants.chain(own_tenants).map(|(name, given)| (name.clone(), given.clone())).collect(),
        peers: peers.chain(own_peers).map(|(pair, link)| (pair.clone(), *link)).collect(),
    }
}

/// The addresses that were given out.
type Places<'a> =
    (Vec<(&'a String, Option<LinkAddresses>, &'a BTreeMap<String, Ipv4Net>)>, Vec<LinkAddresses>);

fn places(allocations: &Allocations) -> Places<'_> {
    let tenants = allocations.tenants.iter().map(|(name, given)| (name, given.link, &given.bridges));
    (tenants.collect(), allocations.peers.values().copied().collect())
}

/// The value of [`keys::POOLS`] where no counter is kept: it follows from all that was given out. None where nothing was.
pub(crate) fn pools_of(allocations: &Allocations) -> Option<String> {
    if allocations.tenants.is_empty() && allocations.peers.is_empty() {
        return None;
    }
    let hash = Sha256::digest(format!("{:?}", places(allocations)));
    let given = hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    Some(encode(&PoolsRecord { given }))
}
