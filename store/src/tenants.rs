//! Tenants in the store: specs that were pushed, and which tenants are ready for pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ready::Ready;
use super::{keys, now};
use crate::ipam::{AddressRecord, Attachment, Holder};
use crate::record::{Held, Record, decode, encode};
use crate::{Commit, Compare, Entry, Range, Revision, SharedStore, StoreError, Transaction, get, read_one};

/// How many writes one commit has at most: etcd takes 128 operations.
pub(crate) const MOST_WRITES: usize = 60;

/// A file that `midoform push` put into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The file's name, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
}

impl Pushed {
    /// A file of this name and text.
    pub fn new(file: &str, text: &str) -> Pushed {
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        Pushed { file: file.to_owned(), text: text.to_owned(), sha256 }
    }
}

impl Record for Pushed {
    const VERSION: u64 = 1;
}

/// What a tenant's first pod needs: the files that were pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The site file.
    pub site: Option<Pushed>,
    /// The tenant's spec; none: the default layout.
    pub tenant: Option<Pushed>,
}

/// Why a tenant can't be made ready, or taken back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TenantError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was lost: somebody else may be changing the tenant.
    #[error("the lock of tenant `{tenant}` was lost meanwhile; nothing more was written: run it again")]
    Lost {
        /// The tenant.
        tenant: String,
    },
    /// A static port's address is somebody else's.
    #[error("the address {address} of the static port `{port}` is held by {holder}")]
    Taken {
        /// Which.
        address: Ipv4Addr,
        /// The port.
        port: String,
        /// Who has it.
        holder: Holder,
    },
    /// Pods are attached.
    #[error("tenant `{tenant}` has {count} pods attached, {first} among them: detach them first")]
    Attached {
        /// The tenant.
        tenant: String,
        /// How many.
        count: usize,
        /// One of them.
        first: Holder,
    },
}

/// The files that were pushed for a tenant.
///
/// # Errors
/// When the store fails.
pub async fn sources(store: &SharedStore, tenant: &str) -> Result<Sources, StoreError> {
    let ranges = [Range::key(keys::SITE), Range::key(&keys::spec(tenant))];
    let mut found = store.read(&ranges).await?.into_iter();
    let mut next = || found.next().and_then(|entries| entries.into_iter().next());
    let name = store.name();
    let pushed = |entry: Option<Entry>| -> Result<Option<Pushed>, StoreError> {
        entry.map(|entry| decode(&name, &entry).map(|held| held.record)).transpose()
    };
    Ok(Sources { site: pushed(next())?, tenant: pushed(next())? })
}

/// A tenant that has a spec in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedTenant {
    /// The spec.
    pub spec: Pushed,
    /// Whether the tenant is ready for pods, and was made from that spec.
    pub is_made: bool,
}

/// Those of these tenants whose specs were pushed.
///
/// # Errors
/// When the store fails.
pub async fn pushed(
    store: &SharedStore,
    tenants: &BTreeSet<String>,
) -> Result<BTreeMap<String, PushedTenant>, StoreError> {
    let name = store.name();
    let mut found = BTreeMap::new();
    let all: Vec<&String> = tenants.iter().collect();
    for some in all.chunks(MOST_WRITES / 2) {
        let keys = some.iter().flat_map(|tenant| [keys::spec(tenant), keys::ready(tenant)]);
        let ranges: Vec<Range> = keys.map(|key| Range::key(&key)).collect();
        let entries = store.read(&ranges).await?;
        for (tenant, pair) in some.iter().zip(entries.chunks(2)) {
            let [spec, ready] = pair else { continue };
            let Some(spec) = spec.first() else { continue };
            let spec = decode::<Pushed>(&name, spec)?.record;
            let ready = ready.first().map(|ready| decode::<Ready>(&name, ready)).transpose()?;
            let is_made = ready.is_some_and(|ready| ready.record.spec == spec.sha256);
            found.insert((*tenant).clone(), PushedTenant { spec, is_made });
        }
    }
    Ok(found)
}

/// Whether a tenant is ready for pods.
///
/// # Errors
/// When the store fails.
pub async fn ready(store: &SharedStore, tenant: &str) -> Result<Option<Held<Ready>>, StoreError> {
    let entry = get(&**store, &keys::ready(tenant)).await?;
    entry.map(|entry| decode(&store.name(), &entry)).transpose()
}

/// Says that a tenant is made as this record has it, and claims the addresses of its static ports. To be called
/// under the tenant's lock, after its plan was carried out.
///
/// # Errors
/// When the store fails, the lock was lost, or a static port's address is held by somebody else.
pub async fn publish(store: &SharedStore, fence: &Compare, record: &Ready) -> Result<(), TenantError> {
    let before = ready(store, &record.tenant).await?;
    let known = addresses(store, &record.tenant).await?;
    let mut transaction = fenced(fence);
    let kept: BTreeMap<Ipv4Addr, &str> =
        record.ports.iter().map(|port| (port.address, port.name.as_str())).collect();
    for (address, held) in &known {
        let Some(Holder::Port { name }) = &held.record.holder else { continue };
        if kept.get(address) != Some(&name.as_str()) && !kept.contains_key(address) {
            transaction = free(transaction, &record.tenant, *address, held);
            transaction = send_when_long(store, fence, &record.tenant, transaction).await?;
        }
    }
    for port in &record.ports {
        transaction = claim_port(transaction, record, &port.name, port.address, known.get(&port.address))?;
        transaction = send_when_long(store, fence, &record.tenant, transaction).await?;
    }
    if before.as_ref().is_none_or(|before| before.record != *record) {
        let key = keys::ready(&record.tenant);
        // An earlier commit whose answer was lost must not be done after this one.
        let revision = before.map_or(Revision::ABSENT, |before| before.revision);
        transaction = transaction.when(&key, revision).put(&key, encode(record));
    }
    send(store, &record.tenant, &transaction).await
}

/// Says that no more pods can be attached to a tenant, and forgets its addresses: before it is destroyed. With
/// `force` even while some are attached, whose attachments stay for their hosts to find.
///
/// # Errors
/// When the store fails, the lock was lost, or pods are attached.
pub async fn retire(
    store: &SharedStore,
    fence: &Compare,
    tenant: &str,
    force: bool,
) -> Result<(), TenantError> {
    if !force {
        refuse_attached(store, tenant).await?;
    }
    let before = ready(store, tenant).await?;
    if let Some(before) = &before {
        // From here on nobody claims: a claim compares this key.
        send(store, tenant, &fenced(fence).delete(&before.key)).await?;
    }
    if !force && let Err(attached) = refuse_attached(store, tenant).await {
        if let Some(before) = before {
            send(store, tenant, &fenced(fence).put(&before.key, encode(&before.record))).await?;
        }
        return Err(attached);
    }
    let below = [keys::addresses(tenant), keys::free(tenant)];
    for prefix in below {
        let mut transaction = fenced(fence);
        for entry in read_one(&**store, Range::prefix(&prefix)).await? {
            transaction = transaction.delete(entry.key);
            transaction = send_when_long(store, fence, tenant, transaction).await?;
        }
        send(store, tenant, &transaction).await?;
    }
    Ok(())
}

/// The attachments of a tenant, on all hosts.
///
/// # Errors
/// When the store fails.
pub async fn attached(store: &SharedStore, tenant: &str) -> Result<Vec<Held<Attachment>>, StoreError> {
    let name = store.name();
    let all = read_one(&**store, Range::prefix(keys::ATTACHMENTS)).await?;
    let all: Result<Vec<Held<Attachment>>, StoreError> =
        all.iter().map(|entry| decode(&name, entry)).collect();
    Ok(all?.into_iter().filter(|held| held.record.tenant == tenant).collect())
}

async fn refuse_attached(store: &SharedStore, tenant: &str) -> Result<(), TenantError> {
    let mut holders: Vec<Holder> =
        addresses(store, tenant).await?.into_values().filter_map(|held| held.record.holder).collect();
    holders.retain(|holder| matches!(holder, Holder::Container { .. }));
    match holders.first() {
        None => Ok(()),
        Some(first) => Err(TenantError::Attached {
            tenant: tenant.to_owned(),
            count: holders.len(),
            first: first.clone(),
        }),
    }
}

/// Every address of a tenant that was ever given out.
///
/// # Errors
/// When the store fails.
pub async fn addresses(
    store: &SharedStore,
    tenant: &str,
) -> Result<BTreeMap<Ipv4Addr, Held<AddressRecord>>, StoreError> {
    let name = store.name();
    let mut known = BTreeMap::new();
    for entry in read_one(&**store, Range::prefix(&keys::addresses(tenant))).await? {
        if let Some(address) = keys::address_of(&entry.key) {
            known.insert(address, decode(&name, &entry)?);
        }
    }
    Ok(known)
}

fn claim_port(
    transaction: Transaction,
    record: &Ready,
    port: &str,
    address: Ipv4Addr,
    known: Option<&Held<AddressRecord>>,
) -> Result<Transaction, TenantError> {
    let key = keys::address(&record.tenant, address);
    let holder = Holder::Port { name: port.to_owned() };
    let mine = AddressRecord { holder: Some(holder.clone()), since: now(), last: None };
    let Some(held) = known else {
        return Ok(transaction.when_absent(&key).put(&key, encode(&mine)));
    };
    match &held.record.holder {
        Some(by) if *by == holder => Ok(transaction),
        // Another static port of this tenant: the spec gave its address to this one.
        Some(Holder::Port { .. }) => Ok(transaction.when(&key, held.revision).put(&key, encode(&mine))),
        Some(by @ Holder::Container { .. }) => {
            Err(TenantError::Taken { address, port: port.to_owned(), holder: by.clone() })
        }
        None => Ok(transaction.when(&key, held.revision).put(&key, encode(&mine)).delete(keys::freed(
            &record.tenant,
            held.record.since,
            address,
        ))),
    }
}

fn free(
    transaction: Transaction,
    tenant: &str,
    address: Ipv4Addr,
    held: &Held<AddressRecord>,
) -> Transaction {
    let since = now();
    transaction
        .when(&held.key, held.revision)
        .put(&held.key, encode(&AddressRecord { holder: None, since, last: None }))
        .put(keys::freed(tenant, since, address), encode(&crate::ipam::attachment::Freed {}))
}

pub(super) fn fenced(fence: &Compare) -> Transaction {
    Transaction::default().when_all(std::slice::from_ref(fence))
}

/// Sends what has been gathered, and begins anew, where it grows too long for one commit.
async fn send_when_long(
    store: &SharedStore,
    fence: &Compare,
    tenant: &str,
    transaction: Transaction,
) -> Result<Transaction, TenantError> {
    if transaction.writes.len() < MOST_WRITES {
        return Ok(transaction);
    }
    send(store, tenant, &transaction).await?;
    Ok(fenced(fence))
}

/// A conflict is a lost lock, or somebody who changed the tenant without it: to begin anew is right for both.
pub(super) async fn send(
    store: &SharedStore,
    tenant: &str,
    transaction: &Transaction,
) -> Result<(), TenantError> {
    if transaction.writes.is_empty() {
        return Ok(());
    }
    match store.commit(transaction).await? {
        Commit::Done(_) => Ok(()),
        Commit::Conflict => Err(TenantError::Lost { tenant: tenant.to_owned() }),
    }
}
