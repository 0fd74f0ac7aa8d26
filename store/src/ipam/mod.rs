//! The addresses of pods: claimed together with the record of the attachment, in one transaction, and so never held
//! by two, nor by nobody.
//!
//! A claim is one read and one commit; a release is one commit. Each address that was ever given out has one key,
//! which says who holds it or since when it is free; a free one has a second key, which orders the free ones by time.
//!
//! An embedded database is one machine's, and its pods end when the machine loses its power: these commits need not be
//! on the disk at once ([`Transaction::is_brief`]).

pub(crate) mod attachment;
mod pick;
pub mod ports;
pub mod reclaim;
mod transactions;

use std::net::Ipv4Addr;
use std::time::Duration;

use midoform_compiler::values::MacAddress;
use uuid::Uuid;

pub use self::attachment::{AddressRecord, Attachment, Holder, Owner, Progress, mac_of};
use self::pick::{Pick, Window};
use self::transactions::{Chosen, attachment_of, burn_of, claim_of, release_of};
use crate::ready::{Ready, ReadyBridge};
use crate::record::{Held, decode, encode};
use crate::{Commit, Entry, Range, Revision, SharedStore, StoreError, Transaction, keys, now, read_one};

/// How long a released address rests before somebody else gets it, unless nothing else is left.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// How much of a tenant's addresses and of its released ones is read: at first, then where that shows nothing.
const WINDOWS: [(Option<u32>, Option<u32>); 3] = [(Some(32), Some(64)), (Some(512), Some(512)), (None, None)];

/// After so many lost races something else is wrong.
const MOST_ATTEMPTS: u32 = 200;

/// What is wanted of a claim.
#[derive(Clone, Debug)]
pub struct Ask {
    /// For whom.
    pub owner: Owner,
    /// The host.
    pub host: Uuid,
    /// The tenant.
    pub tenant: String,
    /// The bridge; none: the first of the spec.
    pub bridge: Option<String>,
    /// This address and no other; it may lie in any of the tenant's bridges unless one is named.
    pub address: Option<Ipv4Addr>,
    /// The MAC address; none: [`mac_of`] the address.
    pub mac: Option<MacAddress>,
    /// The interface on the host.
    pub host_interface: String,
    /// The bridge port's id, where it is known before.
    pub port: Option<Uuid>,
    /// The pod, for people.
    pub pod: Option<String>,
    /// Whatever else the attachment has to say.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// How a claim ended.
#[derive(Clone, Debug)]
pub enum Claim {
    /// It holds an address.
    Attached {
        /// What was claimed, or had been before.
        attachment: Box<Held<Attachment>>,
        /// The tenant.
        ready: Box<Ready>,
        /// False where the same owner had it already.
        new: bool,
    },
    /// The tenant is not made yet: make it under its lock, and ask again.
    NotReady,
    /// No address is left on these bridges: add another one under the tenant's lock, and ask again.
    Full {
        /// The tenant, as it was when all was taken.
        ready: Box<Held<Ready>>,
        /// The bridge of the spec that has to grow.
        bridge: String,
    },
}

/// Why a claim failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address that was asked for is somebody else's.
    #[error("the address {address} is held by {holder}")]
    Taken {
        /// Which.
        address: Ipv4Addr,
        /// Who has it.
        holder: Holder,
    },
    /// The address that was asked for can be nobody's.
    #[error("the address {address} can't be had: {why}")]
    Unusable {
        /// Which.
        address: Ipv4Addr,
        /// Why not.
        why: String,
    },
    /// There is no such bridge.
    #[error("tenant `{tenant}` has no bridge `{bridge}`; it has: {known}")]
    NoBridge {
        /// The tenant.
        tenant: String,
        /// Which.
        bridge: String,
        /// Its bridges.
        known: String,
    },
    /// The same owner is attached, but not to what it asks for now.
    #[error(
        "{owner} holds {address} of tenant `{tenant}` already, and asks for something else: detach it first"
    )]
    Elsewhere {
        /// Who.
        owner: Owner,
        /// What it holds.
        address: Ipv4Addr,
        /// The tenant of that.
        tenant: String,
    },
    /// Others were faster, again and again.
    #[error("no address could be claimed: others were faster {MOST_ATTEMPTS} times in a row")]
    Contended,
}

/// Pod addresses in a store.
#[derive(Clone, Debug)]
pub struct Pods {
    store: SharedStore,
    quarantine: Duration,
}

/// What one read showed.
struct Seen {
    ready: Option<Held<Ready>>,
    own: Option<Held<Attachment>>,
    asked: Option<Held<AddressRecord>>,
    start: u32,
    from_start: Vec<Entry>,
    up_to_start: Vec<Entry>,
    freed: Vec<Entry>,
}

impl Pods {
    /// The addresses in this store, with the usual quarantine.
    pub fn new(store: SharedStore) -> Self {
        Pods { store, quarantine: QUARANTINE }
    }

    /// With another quarantine.
    #[must_use]
    pub fn with_quarantine(self, quarantine: Duration) -> Self {
        Pods { quarantine, ..self }
    }

    /// The store.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Claims an address and writes the attachment down, in one read and one commit unless others interfere. The
    /// same owner asking again gets what it has.
    ///
    /// # Errors
    /// When the store fails, or when what is asked for can't be had.
    pub async fn claim(&self, ask: &Ask) -> Result<Claim, ClaimError> {
        let mut tried = 0;
        let mut window = 0;
        let mut unsure: Option<(Attachment, Transaction)> = None;
        while tried < MOST_ATTEMPTS {
            let (limit, freed_limit) = WINDOWS.get(window).copied().unwrap_or_default();
            let seen = self.look(ask, limit, freed_limit).await?;
            if let Some(own) = seen.own {
                let new = unsure.is_some_and(|(sent, _)| sent == own.record);
                return already(ask, own, seen.ready, new);
            }
            if let Some((sent, burn)) = &unsure {
                if self.settle(sent, burn).await? {
                    unsure = None;
                }
                tried += 1;
                pause(tried).await;
                continue;
            }
            let Some(ready) = seen.ready.as_ref() else { return Ok(Claim::NotReady) };
            let picked = match ask.address {
                Some(address) => Some(asked_for(ask, &ready.record, address, seen.asked.as_ref())?),
                None => self.next(ask, &ready.record, &seen, (limit, freed_limit), tried)?,
            };
            let Some(chosen) = picked else {
                if window + 1 < WINDOWS.len() {
                    window += 1;
                    continue;
                }
                return Ok(full(ask, ready));
            };
            let attachment = attachment_of(ask, &chosen);
            match self.store.commit(&claim_of(&attachment, ready, &chosen)).await {
                Ok(Commit::Done(revisions)) => {
                    let revision = revisions.first().copied().unwrap_or(Revision::ABSENT);
                    let held = Held { key: attachment.key(), revision, record: attachment };
                    let ready = Box::new(ready.record.clone());
                    return Ok(Claim::Attached { attachment: Box::new(held), ready, new: true });
                }
                Ok(Commit::Conflict) => {}
                Err(StoreError::Uncertain { .. }) => {
                    let burn = burn_of(&attachment, &chosen);
                    unsure = Some((attachment, burn));
                }
                Err(other) => return Err(other.into()),
            }
            tried += 1;
            pause(tried).await;
        }
        Err(ClaimError::Contended)
    }

    /// Sees to it that a claim whose answer was lost, and which was not done yet, is never done: it may still be on
    /// its way, through a member that was paused. False where that is not known, or where it was done after all.
    async fn settle(&self, sent: &Attachment, burn: &Transaction) -> Result<bool, ClaimError> {
        match self.store.commit(burn).await {
            Ok(Commit::Done(_)) => Ok(true),
            // It was done, or somebody else has the address: what shows is how it stays.
            Ok(Commit::Conflict) => Ok(self.find(sent.host, &sent.owner).await?.is_none()),
            Err(StoreError::Uncertain { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// One read: the tenant, the own attachment, a part of the addresses from a random one on, the first free ones.
    async fn look(
        &self,
        ask: &Ask,
        limit: Option<u32>,
        freed_limit: Option<u32>,
    ) -> Result<Seen, StoreError> {
        let addresses = keys::addresses(&ask.tenant);
        let start = fastrand::u32(..);
        let from = format!("{addresses}{start:08x}");
        let limited = |range: Range, limit: Option<u32>| match limit {
            Some(limit) => range.limit(limit),
            None => range,
        };
        let mut ranges =
            vec![Range::key(&keys::ready(&ask.tenant)), Range::key(&keys::attachment(ask.host, &ask.owner))];
        match ask.address {
            Some(address) => ranges.push(Range::key(&keys::address(&ask.tenant, address))),
            None => {
                let below = Range { from: addresses.clone(), to: from.clone(), limit: None };
                ranges.push(limited(Range::within(&addresses, &from), limit));
                ranges.push(limited(below, limit));
                ranges.push(limited(Range::prefix(&keys::free(&ask.tenant)), freed_limit));
            }
        }
        let mut found = self.store.read(&ranges).await?.into_iter();
        let mut next = || found.next().unwrap_or_default();
        let name = self.store.name();
        let ready = next().first().map(|entry| decode(&name, entry)).transpose()?;
        let own = next().first().map(|entry| decode(&name, entry)).transpose()?;
        let (mut asked, mut from_start) = (None, Vec::new());
        match ask.address {
            Some(_) => asked = next().first().map(|entry| decode(&name, entry)).transpose()?,
            None => from_start = next(),
        }
        Ok(Seen { ready, own, asked, start, from_start, up_to_start: next(), freed: next() })
    }

    /// The next address; none where what was read shows none.
    fn next<'r>(
        &self,
        ask: &Ask,
        ready: &'r Ready,
        seen: &Seen,
        (limit, freed_limit): (Option<u32>, Option<u32>),
        tried: u32,
    ) -> Result<Option<Chosen<'r>>, ClaimError> {
        let bridges = bridges_of(ask, ready)?;
        let window = Window {
            start: seen.start,
            limit,
            from_start: &seen.from_start,
            up_to_start: &seen.up_to_start,
            freed: &seen.freed,
            freed_limit,
        };
        let quarantine = u64::try_from(self.quarantine.as_millis()).unwrap_or(u64::MAX);
        let rested = now().saturating_sub(quarantine);
        let (address, compare, freed) = match window
            .pick(&bridges, rested, tried, &mut |of| fastrand::usize(..of.max(1)))
        {
            Pick::New(address) => (address, (keys::address(&ask.tenant, address), Revision::ABSENT), None),
            Pick::Freed { address, key, revision } => (address, (key.clone(), revision), Some(key)),
            Pick::Unknown | Pick::Full => return Ok(None),
        };
        let bridge = bridges.into_iter().find(|bridge| bridge.cidr.contains(&address));
        Ok(bridge.map(|bridge| Chosen { bridge, address, compare, freed }))
    }

    /// What an interface is attached to, if it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, host: Uuid, owner: &Owner) -> Result<Option<Held<Attachment>>, StoreError> {
        let entry = crate::get(&*self.store, &keys::attachment(host, owner)).await?;
        entry.map(|entry| decode(&self.store.name(), &entry)).transpose()
    }

    /// What is attached: everywhere, or on one host.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(&self, host: Option<Uuid>) -> Result<Vec<Held<Attachment>>, StoreError> {
        let prefix = host.map_or_else(|| keys::ATTACHMENTS.to_owned(), keys::attachments_of_host);
        let name = self.store.name();
        let found = read_one(&*self.store, Range::prefix(&prefix)).await?;
        found.iter().map(|entry| decode(&name, entry)).collect()
    }

    /// Writes a changed attachment (its port's id, how far it came); false where it is not the one that was read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn update(&self, held: &mut Held<Attachment>) -> Result<bool, StoreError> {
        let transaction = Transaction::default()
            .when(&held.key, held.revision)
            .put(&held.key, encode(&held.record))
            .brief();
        match self.store.commit(&transaction).await {
            Ok(Commit::Done(revisions)) => {
                held.revision = revisions.first().copied().unwrap_or(Revision::ABSENT);
                Ok(true)
            }
            Ok(Commit::Conflict) => Ok(false),
            Err(StoreError::Uncertain { .. }) => match self.find(held.record.host, &held.record.owner).await?
            {
                Some(found) if found.record == held.record => {
                    held.revision = found.revision;
                    Ok(true)
                }
                _ => Ok(false),
            },
            Err(other) => Err(other),
        }
    }

    /// Gives the address back, and forgets the attachment: one commit. An attachment that is gone already, or that
    /// the same owner claimed anew since, is left as it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn release(&self, held: &Held<Attachment>) -> Result<(), ClaimError> {
        let mut current = held.clone();
        for tried in 1..MOST_ATTEMPTS {
            match self.store.commit(&release_of(&current)).await {
                Ok(Commit::Done(_)) => return Ok(()),
                Ok(Commit::Conflict) | Err(StoreError::Uncertain { .. }) => {}
                Err(other) => return Err(other.into()),
            }
            match self.find(current.record.host, &current.record.owner).await? {
                Some(found) if is_same_claim(&found.record, &held.record) => current = found,
                _ => return Ok(()),
            }
            pause(tried).await;
        }
        Err(ClaimError::Contended)
    }
}

/// Whether two records are of one claim, which only came further.
fn is_same_claim(one: &Attachment, other: &Attachment) -> bool {
    (one.since, one.address, &one.tenant) == (other.since, other.address, &other.tenant)
}

/// A short random wait, so that those who met don't meet again.
async fn pause(tried: u32) {
    let most = 500u64 << tried.min(6);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..most))).await;
}

fn already(
    ask: &Ask,
    own: Held<Attachment>,
    ready: Option<Held<Ready>>,
    new: bool,
) -> Result<Claim, ClaimError> {
    let has = &own.record;
    let same = has.tenant == ask.tenant && ask.address.is_none_or(|address| address == has.address);
    match ready {
        Some(ready) if same => {
            Ok(Claim::Attached { attachment: Box::new(own), ready: Box::new(ready.record), new })
        }
        None if same => Ok(Claim::NotReady),
        _ => Err(ClaimError::Elsewhere {
            owner: ask.owner.clone(),
            address: has.address,
            tenant: has.tenant.clone(),
        }),
    }
}

fn bridges_of<'r>(ask: &Ask, ready: &'r Ready) -> Result<Vec<&'r ReadyBridge>, ClaimError> {
    let bridges = ready.bridges_for(ask.bridge.as_deref());
    if !bridges.is_empty() {
        return Ok(bridges);
    }
    let known: Vec<&str> = ready.bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    let bridge = ask.bridge.clone().unwrap_or_default();
    Err(ClaimError::NoBridge { tenant: ask.tenant.clone(), bridge, known: known.join(", ") })
}

/// The address that was asked for, if it can be had.
fn asked_for<'r>(
    ask: &Ask,
    ready: &'r Ready,
    address: Ipv4Addr,
    known: Option<&Held<AddressRecord>>,
) -> Result<Chosen<'r>, ClaimError> {
    let bridges = match ask.bridge {
        Some(_) => bridges_of(ask, ready)?,
        None => ready.bridges.iter().collect(),
    };
    let Some(bridge) = bridges.iter().copied().find(|bridge| bridge.cidr.contains(&address)) else {
        let networks: Vec<String> = bridges.iter().map(|bridge| bridge.cidr.to_string()).collect();
        let why = format!("it lies in none of the networks of the pod's bridges ({})", networks.join(", "));
        return Err(ClaimError::Unusable { address, why });
    };
    if !bridge.is_usable(address) {
        let what = if address == bridge.gateway { "the gateway" } else { "the network's own" };
        let why = format!("it is {what} of bridge `{}` ({})", bridge.name, bridge.cidr);
        return Err(ClaimError::Unusable { address, why });
    }
    let key = keys::address(&ask.tenant, address);
    let Some(known) = known else {
        return Ok(Chosen { bridge, address, compare: (key, Revision::ABSENT), freed: None });
    };
    match &known.record.holder {
        Some(holder) => Err(ClaimError::Taken { address, holder: holder.clone() }),
        None => {
            let freed = Some(keys::freed(&ask.tenant, known.record.since, address));
            Ok(Chosen { bridge, address, compare: (key, known.revision), freed })
        }
    }
}

fn full(ask: &Ask, ready: &Held<Ready>) -> Claim {
    let bridges = ready.record.bridges_for(ask.bridge.as_deref());
    let first = bridges.iter().find(|bridge| bridge.grown_from.is_none()).or(bridges.first());
    let bridge = first.map(|bridge| bridge.name.clone()).unwrap_or_default();
    Claim::Full { ready: Box::new(ready.clone()), bridge }
}
