//! Checks the consistency of addresses and attachments after crashes, and repairs what is certainly not in use.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use midoform_compiler::names::TenantName;

use super::attachment::{AddressRecord, Attachment, Freed, Holder};
use super::finding::Repair;
pub use super::finding::{Code, Finding};
use super::mac::MacRecord;
use super::orphaned_port::{PortDeletion, UNFINISHED};
use crate::keys::KeyKind;
use crate::ready::Ready;
use crate::record::{Held, Record, decode, encode};
use crate::{Commit, Entry, Range, Revision, SharedStore, StoreError, Transaction, keys, now};

/// All addresses and attachments, as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The addresses that were allocated at least once, by key.
    pub(super) addresses: BTreeMap<String, KnownAddress>,
    /// The second keys of free addresses, by key.
    freed: BTreeMap<String, FreedKey>,
    pub(super) attachments: BTreeMap<String, Held<Attachment>>,
    pub(super) ready: BTreeMap<TenantName, Ready>,
    macs: BTreeMap<String, Held<MacRecord>>,
    findings: Vec<Finding>,
}

/// An address of a tenant.
#[derive(Debug)]
pub(super) struct KnownAddress {
    pub(super) tenant: TenantName,
    pub(super) address: Ipv4Addr,
    pub(super) held: Held<AddressRecord>,
}

/// The second key of a free address.
#[derive(Debug)]
struct FreedKey {
    tenant: TenantName,
    address: Ipv4Addr,
    since: u64,
    revision: Revision,
}

/// Reads all addresses and attachments, and checks them: every address has its holder, every attachment its address, every
/// free address its second key.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &SharedStore) -> Result<Snapshot, StoreError> {
    let ranges =
        [keys::ADDRESSES, keys::ATTACHMENTS, keys::READY, keys::RECLAIMING, keys::MACS].map(Range::prefix);
    let mut found = store.read(&ranges).await?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let name = store.name();
    let mut snapshot = Snapshot {
        addresses: BTreeMap::new(),
        freed: BTreeMap::new(),
        attachments: BTreeMap::new(),
        ready: BTreeMap::new(),
        macs: BTreeMap::new(),
        findings: Vec::new(),
    };
    snapshot.read_addresses(&name, next());
    snapshot.attachments = by_key(snapshot.decoded(&name, next()));
    let ready: Vec<Held<Ready>> = snapshot.decoded(&name, next());
    snapshot.ready = ready.into_iter().map(|held| (held.record.tenant.clone(), held.record)).collect();
    for deletion in snapshot.decoded(&name, next()) {
        snapshot.check_deletion(&deletion);
    }
    snapshot.macs = by_key(snapshot.decoded(&name, next()));
    snapshot.check_addresses();
    snapshot.check_freed();
    snapshot.check_attachments();
    snapshot.check_macs();
    Ok(snapshot)
}

fn by_key<R>(records: Vec<Held<R>>) -> BTreeMap<String, Held<R>> {
    records.into_iter().map(|held| (held.key.clone(), held)).collect()
}

/// Repairs the findings that are safe to repair and still exist.
///
/// # Errors
/// When the store fails.
pub async fn repair(store: &SharedStore, findings: &mut [Finding]) -> Result<(), StoreError> {
    for finding in findings {
        if let Some(Repair::Commit(repair)) = &finding.repair {
            finding.repaired = matches!(store.commit(repair).await?, Commit::Done(_));
        }
    }
    Ok(())
}

impl Snapshot {
    /// Returns the inconsistencies.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Takes the keys of addresses apart, and decodes their values.
    fn read_addresses(&mut self, store: &str, entries: Vec<Entry>) {
        for entry in entries {
            match KeyKind::of(&entry.key) {
                Some(KeyKind::Freed { tenant, since, address }) => {
                    let revision = entry.revision;
                    self.freed.insert(entry.key, FreedKey { tenant, address, since, revision });
                }
                Some(KeyKind::Address(tenant, address)) => {
                    for held in self.decoded(store, vec![entry]) {
                        let key = held.key.clone();
                        self.addresses.insert(key, KnownAddress { tenant: tenant.clone(), address, held });
                    }
                }
                _ => {
                    let what = "this is not the key of an address".to_owned();
                    self.findings.push(Finding::new(Code::Unreadable, &entry.key, what, None));
                }
            }
        }
    }

    /// Decodes records. Those that can't be decoded become findings.
    fn decoded<R: Record>(&mut self, store: &str, entries: Vec<Entry>) -> Vec<Held<R>> {
        let mut records = Vec::new();
        for entry in entries {
            match decode(store, &entry) {
                Ok(held) => records.push(held),
                Err(error) => {
                    self.findings.push(Finding::new(Code::Unreadable, &entry.key, error.to_string(), None));
                }
            }
        }
        records
    }

    fn check_addresses(&mut self) {
        for (key, KnownAddress { tenant, address, held }) in &self.addresses {
            let address = *address;
            match &held.record.holder {
                Some(Holder::Container { host, owner }) => {
                    let own = keys::attachment(*host, owner);
                    let attached = self.attachments.get(&own);
                    if attached.is_some_and(|it| it.record.address == address && it.record.tenant == *tenant)
                    {
                        continue;
                    }
                    let what =
                        format!("{address} of `{tenant}` is held by {owner}, which is not attached to it");
                    let (since, last) = (now(), held.record.holder.clone());
                    let revision = attached.map_or(Revision::ABSENT, |held| held.revision);
                    let free = Transaction::default()
                        .when(key, held.revision)
                        .when(own, revision)
                        .put(key, encode(&AddressRecord { last, ..AddressRecord::free(since) }))
                        .put(keys::freed(tenant, since, address), encode(&Freed {}));
                    self.findings.push(Finding::new(Code::ClaimWithoutAttachment, key, what, Some(free)));
                }
                Some(Holder::Port { .. }) => {}
                None => {
                    let place = keys::freed(tenant, held.record.since, address);
                    if !self.freed.contains_key(&place) {
                        let what = format!("{address} of `{tenant}` is free, and has no second key");
                        let put = Transaction::default()
                            .when(key, held.revision)
                            .when_absent(&place)
                            .put(&place, encode(&Freed {}));
                        self.findings.push(Finding::new(Code::FreeKeyMissing, key, what, Some(put)));
                    }
                }
            }
        }
    }

    fn check_deletion(&mut self, held: &Held<PortDeletion>) {
        if now().saturating_sub(held.record.since) >= UNFINISHED {
            let what = format!("the deletion of port {} was interrupted", held.record.port);
            let delete = Transaction::default().when(&held.key, held.revision).delete(&held.key);
            self.findings.push(Finding::new(Code::ReclaimUnfinished, &held.key, what, Some(delete)));
        }
    }

    fn check_freed(&mut self) {
        for (key, FreedKey { tenant, address, since, revision: freed }) in &self.freed {
            let own = keys::address(tenant, *address);
            let known = self.addresses.get(&own).map(|known| &known.held);
            if known.is_some_and(|held| held.record.holder.is_none() && held.record.since == *since) {
                continue;
            }
            let what = format!("{address} of `{tenant}` has a second key, and is not free since that time");
            let revision = known.map_or(Revision::ABSENT, |held| held.revision);
            let delete = Transaction::default().when(key, *freed).when(own, revision).delete(key);
            self.findings.push(Finding::new(Code::FreeKeyTooMany, key, what, Some(delete)));
        }
    }

    fn check_macs(&mut self) {
        let key_of = |it: &Attachment| keys::mac(&it.tenant, it.mac, it.bridge_id);
        for (key, held) in &self.macs {
            let Holder::Container { host, owner } = &held.record.holder else { continue };
            let own = keys::attachment(*host, owner);
            let attached = self.attachments.get(&own);
            if attached.is_some_and(|it| it.record.has_own_mac() && key_of(&it.record) == *key) {
                continue;
            }
            let what = format!("this MAC address is held by {owner}, which does not have it");
            let revision = attached.map_or(Revision::ABSENT, |held| held.revision);
            let delete = Transaction::default().when(key, held.revision).when(own, revision).delete(key);
            self.findings.push(Finding::new(Code::MacWithoutAttachment, key, what, Some(delete)));
        }
        for (own, held) in self.attachments.iter().filter(|(_, held)| held.record.has_own_mac()) {
            let (owner, mac, key) = (&held.record.owner, held.record.mac, key_of(&held.record));
            let holder = held.record.holder();
            match self.macs.get(&key) {
                Some(known) if known.record.holder == holder => {}
                Some(known) => {
                    let by = &known.record.holder;
                    let what =
                        format!("{owner} is attached with the MAC address {mac}, which is held by {by}");
                    self.findings.push(Finding::new(Code::MacHeldTwice, own, what, None));
                }
                None => {
                    let what = format!("{owner} is attached with the MAC address {mac}, which has no key");
                    let put = Transaction::default()
                        .when(own, held.revision)
                        .when_absent(&key)
                        .put(&key, encode(&MacRecord { holder }));
                    self.findings.push(Finding::new(Code::MacKeyMissing, own, what, Some(put)));
                }
            }
        }
    }

    fn check_attachments(&mut self) {
        for (key, held) in &self.attachments {
            let Attachment { tenant, address, owner, .. } = &held.record;
            let known = self.addresses.get(&keys::address(tenant, *address)).map(|known| &known.held);
            let holds = known.and_then(|known| known.record.holder.as_ref()) == Some(&held.record.holder());
            if !self.ready.contains_key(tenant) {
                let what = format!("{owner} is attached to `{tenant}`, which does not exist (any more)");
                // A pod may still use it: its DEL or the GC of its host deletes it.
                self.findings.push(Finding::new(Code::AttachmentWithoutTenant, key, what, None));
            } else if !holds {
                let by = known.and_then(|known| known.record.holder.clone());
                let by = by.map_or_else(|| "nobody".to_owned(), |holder| holder.to_string());
                let what = format!("{owner} is attached with {address} of `{tenant}`, which is held by {by}");
                self.findings.push(Finding::new(Code::AttachmentWithoutClaim, key, what, None));
            }
        }
    }
}
