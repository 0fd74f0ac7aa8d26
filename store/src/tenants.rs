//! The tenants in the store: the specs that were pushed, and the tenants that are ready for pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use midoform_compiler::names::TenantName;
use midoform_compiler::values::MacAddress;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ready::{Ready, ReadyPort};
use super::{keys, now};
use crate::ipam::mac::pod_with_mac;
use crate::ipam::{AddressRecord, Attachment, Holder};
use crate::record::{Held, Record, decode, encode};
use crate::{Commit, Compare, Entry, Range, Revision, SharedStore, StoreError, Transaction, get, read_one};

/// The greatest number of writes in one commit: etcd accepts 128 operations.
pub(crate) const MOST_WRITES: usize = 60;

/// A file that `midoform push` stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedFile {
    /// The file's name, for messages.
    pub file: String,
    /// The text.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
}

impl PushedFile {
    /// Returns a file with this name and text.
    pub fn new(file: &str, text: &str) -> PushedFile {
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        PushedFile { file: file.to_owned(), text: text.to_owned(), sha256 }
    }
}

impl Record for PushedFile {
    const VERSION: u64 = 1;
}

/// The files for a tenant's first pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The site file.
    pub site: Option<PushedFile>,
    /// The tenant's spec; none: the default layout.
    pub tenant: Option<PushedFile>,
}

/// The failure to publish or withdraw a tenant.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TenantError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was lost: somebody else may be changing the tenant.
    #[error("the lock of tenant `{tenant}` was lost meanwhile; nothing more was written: run it again")]
    Lost {
        /// The tenant.
        tenant: TenantName,
    },
    /// The address of a static port is held by somebody else.
    #[error("the address {address} of the static port `{port}` is held by {holder}")]
    Taken {
        /// The address.
        address: Ipv4Addr,
        /// The port.
        port: String,
        /// The holder.
        holder: Holder,
    },
    /// A pod has the MAC address of a static port.
    #[error("the MAC address {mac} of the static port `{port}` is used on the same bridge by {holder}")]
    MacTaken {
        /// The MAC address.
        mac: MacAddress,
        /// The port.
        port: String,
        /// The pod.
        holder: Holder,
    },
    /// Pods are attached.
    #[error("tenant `{tenant}` has {count} pods attached, {first} among them: detach them first")]
    Attached {
        /// The tenant.
        tenant: TenantName,
        /// The number of pods.
        count: usize,
        /// One of them.
        first: Holder,
    },
}

/// Reads the files that were pushed for a tenant.
///
/// # Errors
/// When the store fails.
pub async fn sources(store: &SharedStore, tenant: &str) -> Result<Sources, StoreError> {
    let ranges = [Range::key(keys::SITE), Range::key(&keys::spec(tenant))];
    let mut found = store.read(&ranges).await?.into_iter();
    let mut next = || found.next().and_then(|entries| entries.into_iter().next());
    let name = store.name();
    let pushed = |entry: Option<Entry>| -> Result<Option<PushedFile>, StoreError> {
        entry.map(|entry| decode(&name, &entry).map(|held| held.record)).transpose()
    };
    Ok(Sources { site: pushed(next())?, tenant: pushed(next())? })
}

/// A tenant that has a spec in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedTenant {
    /// The spec.
    pub spec: PushedFile,
    /// True if the tenant is ready for pods, and was made from that spec.
    pub is_made: bool,
}

/// Reads the specs of those tenants that have one in the store.
///
/// # Errors
/// When the store fails.
pub async fn pushed(
    store: &SharedStore,
    tenants: &BTreeSet<TenantName>,
) -> Result<BTreeMap<TenantName, PushedTenant>, StoreError> {
    let name = store.name();
    let mut found = BTreeMap::new();
    let all: Vec<&TenantName> = tenants.iter().collect();
    for some in all.chunks(MOST_WRITES / 2) {
        let keys = some.iter().flat_map(|tenant| [keys::spec(tenant), keys::ready(tenant)]);
        let ranges: Vec<Range> = keys.map(|key| Range::key(&key)).collect();
        let entries = store.read(&ranges).await?;
        for (tenant, pair) in some.iter().zip(entries.chunks(2)) {
            let [spec, ready] = pair else { continue };
            let Some(spec) = spec.first() else { continue };
            let spec = decode::<PushedFile>(&name, spec)?.record;
            let ready = ready.first().map(|ready| decode::<Ready>(&name, ready)).transpose()?;
            let is_made = ready.is_some_and(|ready| ready.record.spec == spec.sha256);
            found.insert((*tenant).clone(), PushedTenant { spec, is_made });
        }
    }
    Ok(found)
}

/// Reads a tenant that is ready for pods; none if it is not.
///
/// # Errors
/// When the store fails.
pub async fn ready(store: &SharedStore, tenant: &str) -> Result<Option<Held<Ready>>, StoreError> {
    let entry = get(&**store, &keys::ready(tenant)).await?;
    entry.map(|entry| decode(&store.name(), &entry)).transpose()
}

/// Checks whether the static ports of a tenant can be published, before the first call of its plan.
///
/// # Errors
/// When the store fails, or a pod has the address or the MAC address of a static port.
pub async fn check_static_ports(store: &SharedStore, record: &Ready) -> Result<(), TenantError> {
    if record.ports.is_empty() {
        return Ok(());
    }
    let before = ready(store, &record.tenant).await?;
    let new_ports = new_ports(record, before.as_ref());
    if new_ports.is_empty() {
        return Ok(());
    }
    check_macs(store, record, &new_ports).await?;
    let known = addresses(store, &record.tenant).await?;
    for port in new_ports {
        refuse_taken(&port.name, port.address, known.get(&port.address))?;
    }
    Ok(())
}

/// Returns the static ports that are not published yet as they are now.
fn new_ports<'r>(record: &'r Ready, before: Option<&Held<Ready>>) -> Vec<&'r ReadyPort> {
    let is_new = |port: &&ReadyPort| !before.is_some_and(|before| before.record.ports.contains(port));
    record.ports.iter().filter(is_new).collect()
}

/// Fails if a pod has the address of a static port. `known` is the address in the store.
fn refuse_taken(
    port: &str,
    address: Ipv4Addr,
    known: Option<&Held<AddressRecord>>,
) -> Result<(), TenantError> {
    match known.and_then(|held| held.record.holder.as_ref()) {
        Some(by @ Holder::Container { .. }) => {
            Err(TenantError::Taken { address, port: port.to_owned(), holder: by.clone() })
        }
        _ => Ok(()),
    }
}

/// Publishes a tenant as ready for pods, and claims the addresses of its static ports. The caller holds the tenant's lock
/// and has executed its plan.
///
/// # Errors
/// When the store fails, the lock was lost, or a pod has the address or the MAC address of a static port.
pub async fn publish(store: &SharedStore, fence: &Compare, record: &Ready) -> Result<(), TenantError> {
    let before = ready(store, &record.tenant).await?;
    let new_ports = new_ports(record, before.as_ref());
    check_macs(store, record, &new_ports).await?;
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
        // An earlier commit whose reply was lost must not be executed after this one.
        let revision = before.map_or(Revision::ABSENT, |before| before.revision);
        transaction = transaction.when(&key, revision).put(&key, encode(record));
    }
    send(store, &record.tenant, &transaction).await?;
    // From here on no pod can claim these MAC addresses. One that did so meanwhile is reported.
    check_macs(store, record, &new_ports).await
}

/// Fails if a pod has the MAC address of one of these static ports in the same bridge.
async fn check_macs(store: &SharedStore, record: &Ready, ports: &[&ReadyPort]) -> Result<(), TenantError> {
    for port in ports {
        let bridge = record.bridges.iter().find(|bridge| bridge.cidr.contains(&port.address));
        let (Some(mac), Some(bridge)) = (port.mac, bridge) else { continue };
        if let Some(holder) = pod_with_mac(store, &record.tenant, bridge, mac).await? {
            return Err(TenantError::MacTaken { mac, port: port.name.clone(), holder });
        }
    }
    Ok(())
}

/// Withdraws a tenant before it is destroyed: no more pods can be attached to it, and its addresses are deleted. With
/// `force` also while pods are attached; their attachments stay, and their hosts delete them.
///
/// # Errors
/// When the store fails, the lock was lost, or pods are attached.
pub async fn withdraw(
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
        // From here on no claim succeeds: each compares this key.
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

/// Reads the attachments of a tenant on all hosts.
///
/// # Errors
/// When the store fails.
pub async fn attached(store: &SharedStore, tenant: &str) -> Result<Vec<Held<Attachment>>, StoreError> {
    let name = store.name();
    let all = read_one(&**store, Range::prefix(keys::ATTACHMENTS)).await?;
    let all: Result<Vec<Held<Attachment>>, StoreError> =
        all.iter().map(|entry| decode(&name, entry)).collect();
    Ok(all?.into_iter().filter(|held| held.record.tenant == *tenant).collect())
}

async fn refuse_attached(store: &SharedStore, tenant: &str) -> Result<(), TenantError> {
    let mut holders: Vec<Holder> =
        addresses(store, tenant).await?.into_values().filter_map(|held| held.record.holder).collect();
    holders.retain(|holder| matches!(holder, Holder::Container { .. }));
    match holders.first() {
        None => Ok(()),
        Some(first) => {
            Err(TenantError::Attached { tenant: tenant.into(), count: holders.len(), first: first.clone() })
        }
    }
}

/// Reads every address of a tenant that was allocated at least once.
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
    let mine = AddressRecord { holder: Some(holder.clone()), ..AddressRecord::free(now()) };
    let Some(held) = known else {
        return Ok(transaction.when_absent(&key).put(&key, encode(&mine)));
    };
    refuse_taken(port, address, known)?;
    match &held.record.holder {
        Some(by) if *by == holder => Ok(transaction),
        // Another static port of this tenant: the spec moved its address to this one.
        Some(_) => Ok(transaction.when(&key, held.revision).put(&key, encode(&mine))),
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
        .put(&held.key, encode(&AddressRecord::free(since)))
        .put(keys::freed(tenant, since, address), encode(&crate::ipam::attachment::Freed {}))
}

pub(super) fn fenced(fence: &Compare) -> Transaction {
    Transaction::default().when_all(std::slice::from_ref(fence))
}

/// Commits the transaction and returns an empty one, if it has become too long for one commit.
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

/// Commits a transaction. A conflict means that the lock was lost, or that somebody changed the tenant without it: the
/// caller has to start again in both cases.
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
        Commit::Conflict => Err(TenantError::Lost { tenant: tenant.into() }),
    }
}
