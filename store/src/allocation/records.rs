//! Allocations cut into the keys of a store: the serde form of [`Allocations`], a value for each tenant and each pair of
//! peers. The ids of a tenant have a key of their own.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use midoform_compiler::topology::key::Key;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::AllocationKey;
use crate::record::{Record, decode, encode};
use crate::{Entry, StoreError, keys};

impl Record for TenantAllocation {
    const VERSION: u64 = 1;
}

impl Record for LinkAddresses {
    const VERSION: u64 = 1;
}

/// The ids of a tenant that don't follow from the keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ids {
    ids: BTreeMap<Key, Uuid>,
}

impl Record for Ids {
    const VERSION: u64 = 1;
}

/// The last generation of ids.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generation {
    last: u32,
}

impl Record for Generation {
    const VERSION: u64 = 1;
}

/// A host that midoform put into the tunnel zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ZoneHost {
    name: String,
}

impl Record for ZoneHost {
    const VERSION: u64 = 1;
}

/// A counter that changes with each allocation of an address or network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pools {
    #[serde(rename = "given")]
    pub(super) count: u64,
}

impl Record for Pools {
    const VERSION: u64 = 1;
}

/// Returns the keys of these allocations.
pub(crate) fn keys_of(allocations: &Allocations) -> BTreeSet<String> {
    let tenants = allocations.tenants.iter().flat_map(|(name, tenant)| {
        let ids = (!tenant.ids.is_empty()).then(|| keys::tenant_ids(name));
        std::iter::once(keys::tenant_allocation(name)).chain(ids)
    });
    let peers = allocations.peers.keys().map(keys::peer_link);
    let generations = allocations.generations.keys().map(keys::generation);
    let hosts = allocations.zone_hosts.keys().copied().map(keys::zone_host);
    tenants.chain(peers).chain(generations).chain(hosts).collect()
}

/// Returns the value of a key of [`keys_of`].
pub(crate) fn value_of(allocations: &Allocations, key: &str) -> Option<String> {
    match AllocationKey::of(key)? {
        AllocationKey::Tenant(tenant) => {
            let tenant = allocations.tenants.get(&tenant)?;
            Some(encode(&TenantAllocation { ids: BTreeMap::new(), ..tenant.clone() }))
        }
        AllocationKey::Ids(tenant) => {
            let ids = &allocations.tenants.get(&tenant)?.ids;
            (!ids.is_empty()).then(|| encode(&Ids { ids: ids.clone() }))
        }
        AllocationKey::Peer(pair) => allocations.peers.get(&pair).map(encode),
        AllocationKey::Generation(key) => {
            allocations.generations.get(&key).map(|last| encode(&Generation { last: *last }))
        }
        AllocationKey::ZoneHost(id) => {
            allocations.zone_hosts.get(&id).map(|name| encode(&ZoneHost { name: name.clone() }))
        }
        AllocationKey::Pools => None,
    }
}

/// Returns the keys whose values differ, with the new value; none where the key is deleted.
pub(super) fn changes(before: &Allocations, after: &Allocations) -> Vec<(String, Option<String>)> {
    let keys: BTreeSet<String> = keys_of(before).union(&keys_of(after)).cloned().collect();
    let changed = keys.into_iter().filter_map(|key| {
        let (old, new) = (value_of(before, &key), value_of(after, &key));
        (old != new).then_some((key, new))
    });
    changed.collect()
}

/// Returns a key's value as this midoform writes it; none for keys of a newer midoform, and for values that are not
/// worth a key.
///
/// # Errors
/// When this midoform does not understand the value.
pub fn newest(store: &str, entry: &Entry) -> Result<Option<String>, StoreError> {
    match AllocationKey::of(&entry.key) {
        None => return Ok(None),
        Some(AllocationKey::Pools) => return Ok(Some(encode(&decode::<Pools>(store, entry)?.record))),
        Some(_) => {}
    }
    let mut allocations = Allocations::default();
    put(&mut allocations, store, entry)?;
    Ok(value_of(&allocations, &entry.key))
}

/// Adds a key's value to the allocations.
///
/// # Errors
/// When this midoform does not understand the value, or does not know the key.
pub(crate) fn put(allocations: &mut Allocations, store: &str, entry: &Entry) -> Result<(), StoreError> {
    match AllocationKey::of(&entry.key) {
        Some(AllocationKey::Tenant(tenant)) => {
            let record = decode::<TenantAllocation>(store, entry)?.record;
            let tenant = allocations.tenants.entry(tenant).or_default();
            *tenant = TenantAllocation { ids: std::mem::take(&mut tenant.ids), ..record };
        }
        Some(AllocationKey::Ids(tenant)) => {
            let ids = decode::<Ids>(store, entry)?.record.ids;
            allocations.tenants.entry(tenant).or_default().ids = ids;
        }
        Some(AllocationKey::Peer(pair)) => {
            let link = decode::<LinkAddresses>(store, entry)?.record;
            allocations.peers.insert(pair, link);
        }
        Some(AllocationKey::Generation(key)) => {
            let generation = decode::<Generation>(store, entry)?.record;
            allocations.generations.insert(key, generation.last);
        }
        Some(AllocationKey::ZoneHost(id)) => {
            let host = decode::<ZoneHost>(store, entry)?.record;
            allocations.zone_hosts.insert(id, host.name);
        }
        Some(AllocationKey::Pools) => drop(decode::<Pools>(store, entry)?),
        None => {
            let (store, key) = (store.to_owned(), entry.key.clone());
            let cause = "there is no such key: use a newer midoform".to_owned();
            return Err(StoreError::Value { store, key, cause });
        }
    }
    Ok(())
}

/// Removes a key's value from the allocations.
pub(crate) fn delete(allocations: &mut Allocations, key: &str) {
    match AllocationKey::of(key) {
        Some(AllocationKey::Tenant(tenant)) => {
            let ids = allocations.tenants.remove(&tenant).map(|tenant| tenant.ids).unwrap_or_default();
            if !ids.is_empty() {
                allocations.tenants.insert(tenant, TenantAllocation { ids, ..TenantAllocation::default() });
            }
        }
        Some(AllocationKey::Ids(name)) => {
            if let Some(tenant) = allocations.tenants.get_mut(&name) {
                tenant.ids.clear();
                if *tenant == TenantAllocation::default() {
                    allocations.tenants.remove(&name);
                }
            }
        }
        Some(AllocationKey::Peer(pair)) => drop(allocations.peers.remove(&pair)),
        Some(AllocationKey::Generation(key)) => drop(allocations.generations.remove(&key)),
        Some(AllocationKey::ZoneHost(id)) => drop(allocations.zone_hosts.remove(&id)),
        Some(AllocationKey::Pools) | None => {}
    }
}
