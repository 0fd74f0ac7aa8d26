//! What a crash leaves behind: found, and put right where nobody can still be using it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::attachment::{AddressRecord, Attachment, Freed, Holder};
use super::ports::{Left, Reclaiming, UNFINISHED};
use crate::ready::Ready;
use crate::record::{Held, decode, encode};
use crate::{Commit, Entry, Range, SharedStore, StoreError, Transaction, keys, now};

/// Something in the store that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is: `claim-without-attachment`, `attachment-without-claim`, `attachment-without-tenant`,
    /// `free-key-missing`, `free-key-too-many`, `reclaim-unfinished`, `unreadable`; with MidoNet's ports ([`super::ports`])
    /// `attachment-without-port`, `attachment-unfinished`, `port-without-claim`.
    pub code: &'static str,
    /// The key.
    pub key: String,
    /// What is wrong, in words.
    pub what: String,
    /// Whether a repair puts it right; else somebody has to look.
    pub safe: bool,
    /// Whether it was put right.
    pub repaired: bool,
    #[serde(skip)]
    pub(super) repair: Option<Repair>,
}

/// How a finding is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// In the store, where it is still as it was found.
    Commit(Transaction),
    /// In MidoNet.
    Port(Box<Left>),
}

impl Finding {
    pub(super) fn new(code: &'static str, key: &str, what: String, repair: Option<Transaction>) -> Finding {
        Finding::with(code, key, what, repair.map(Repair::Commit))
    }

    pub(super) fn with(code: &'static str, key: &str, what: String, repair: Option<Repair>) -> Finding {
        Finding { code, key: key.to_owned(), what, safe: repair.is_some(), repaired: false, repair }
    }
}

/// Everything that is claimed, as of one moment.
#[derive(Debug)]
pub struct World {
    pub(super) addresses: BTreeMap<String, Held<AddressRecord>>,
    freed: BTreeMap<String, Entry>,
    pub(super) attachments: BTreeMap<String, Held<Attachment>>,
    pub(super) ready: BTreeMap<String, Ready>,
    findings: Vec<Finding>,
}

/// Looks through all that is claimed: every address has its holder, every attachment its address, every free
/// address its place in the order.
///
/// # Errors
/// When the store fails.
pub async fn check(store: &SharedStore) -> Result<Vec<Finding>, StoreError> {
    Ok(read(store).await?.findings)
}

/// The same, with what was seen.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &SharedStore) -> Result<World, StoreError> {
    let ranges = ["pod/", keys::ATTACHMENTS, "ready/", keys::RECLAIMING].map(Range::prefix);
    let mut found = store.read(&ranges).await?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let mut world = World {
        addresses: BTreeMap::new(),
        freed: BTreeMap::new(),
        attachments: BTreeMap::new(),
        ready: BTreeMap::new(),
        findings: Vec::new(),
    };
    let name = store.name();
    let unreadable =
        |entry: &Entry, error: &StoreError| Finding::new("unreadable", &entry.key, error.to_string(), None);
    for entry in next() {
        if entry.key.split('/').nth(2) == Some("free") {
            world.freed.insert(entry.key.clone(), entry);
            continue;
        }
        match decode(&name, &entry) {
            Ok(held) => drop(world.addresses.insert(entry.key, held)),
            Err(error) => world.findings.push(unreadable(&entry, &error)),
        }
    }
    for entry in next() {
        match decode(&name, &entry) {
            Ok(held) => drop(world.attachments.insert(entry.key, held)),
            Err(error) => world.findings.push(unreadable(&entry, &error)),
        }
    }
    for entry in next() {
        match decode::<Ready>(&name, &entry) {
            Ok(held) => drop(world.ready.insert(held.record.tenant.clone(), held.record)),
            Err(error) => world.findings.push(unreadable(&entry, &error)),
        }
    }
    for entry in next() {
        match decode::<Reclaiming>(&name, &entry) {
            Ok(held) => world.look_at_reclaiming(&held),
            Err(error) => world.findings.push(unreadable(&entry, &error)),
        }
    }
    world.look_at_addresses();
    world.look_at_freed();
    world.look_at_attachments();
    Ok(world)
}

/// Puts right what is safe: what was found is still so, or nothing is written.
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

impl World {
    /// What is wrong with it.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn look_at_addresses(&mut self) {
        for (key, held) in &self.addresses {
            let Some((tenant, address)) = place_of(key) else {
                let what = "the key is none of an address".to_owned();
                self.findings.push(Finding::new("unreadable", key, what, None));
                continue;
            };
            match &held.record.holder {
                Some(Holder::Container { host, owner }) => {
                    let own = keys::attachment(*host, owner);
                    let attached = self.attachments.get(&own);
                    if attached.is_some_and(|it| it.record.address == address && it.record.tenant == tenant) {
                        continue;
                    }
                    let what =
                        format!("{address} of `{tenant}` is held by {owner}, which is not attached to it");
                    let (since, last) = (now(), held.record.holder.clone());
                    let revision = attached.map_or(crate::Revision::ABSENT, |held| held.revision);
                    let free = Transaction::default()
                        .when(key, held.revision)
                        .when(own, revision)
                        .put(key, encode(&AddressRecord { holder: None, since, last }))
                        .put(keys::freed(&tenant, since, address), encode(&Freed {}));
                    self.findings.push(Finding::new("claim-without-attachment", key, what, Some(free)));
                }
                Some(Holder::Port { .. }) => {}
                None => {
                    let place = keys::freed(&tenant, held.record.since, address);
                    if !self.freed.contains_key(&place) {
                        let what = format!("{address} of `{tenant}` is free, and stands in no order");
                        let put = Transaction::default()
                            .when(key, held.revision)
                            .when_absent(&place)
                            .put(&place, encode(&Freed {}));
                        self.findings.push(Finding::new("free-key-missing", key, what, Some(put)));
                    }
                }
            }
        }
    }

    fn look_at_reclaiming(&mut self, held: &Held<Reclaiming>) {
        if now().saturating_sub(held.record.since) >= UNFINISHED {
            let what = format!("the deletion of port {} did not say how it ended", held.record.port);
            let delete = Transaction::default().when(&held.key, held.revision).delete(&held.key);
            self.findings.push(Finding::new("reclaim-unfinished", &held.key, what, Some(delete)));
        }
    }

    fn look_at_freed(&mut self) {
        for (key, entry) in &self.freed {
            let parts = tenant_of(key).zip(keys::address_of(key)).zip(keys::freed_since(key));
            let Some(((tenant, address), since)) = parts else {
                let what = "the key is none of a free address".to_owned();
                self.findings.push(Finding::new("unreadable", key, what, None));
                continue;
            };
            let own = keys::address(&tenant, address);
            let known = self.addresses.get(&own);
            if known.is_some_and(|held| held.record.holder.is_none() && held.record.since == since) {
                continue;
            }
            let what =
                format!("{address} of `{tenant}` stands among the free ones, and is not free since then");
            let revision = known.map_or(crate::Revision::ABSENT, |held| held.revision);
            let delete = Transaction::default().when(key, entry.revision).when(own, revision).delete(key);
            self.findings.push(Finding::new("free-key-too-many", key, what, Some(delete)));
        }
    }

    fn look_at_attachments(&mut self) {
        for (key, held) in &self.attachments {
            let Attachment { tenant, address, owner, .. } = &held.record;
            let known = self.addresses.get(&keys::address(tenant, *address));
            let holds = known.and_then(|known| known.record.holder.as_ref()) == Some(&held.record.holder());
            if !self.ready.contains_key(tenant) {
                let what = format!("{owner} is attached to `{tenant}`, which is not made (any more)");
                // A pod may still be wired up: its host's GC, or a DEL, takes it away.
                self.findings.push(Finding::new("attachment-without-tenant", key, what, None));
            } else if !holds {
                let by = known.and_then(|known| known.record.holder.clone());
                let by = by.map_or_else(|| "nobody".to_owned(), |holder| holder.to_string());
                let what = format!("{owner} is attached with {address} of `{tenant}`, which {by} holds");
                self.findings.push(Finding::new("attachment-without-claim", key, what, None));
            }
        }
    }
}

pub(super) fn tenant_of(key: &str) -> Option<String> {
    keys::name_of(key.split('/').nth(1)?)
}

fn place_of(key: &str) -> Option<(String, Ipv4Addr)> {
    tenant_of(key).zip(keys::address_of(key))
}
