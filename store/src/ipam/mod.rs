//! IPAM: the addresses of pods. An address and its attachment are claimed in one transaction, so an address never has two
//! holders, and no address is lost.
//!
//! A claim is one read and one commit; a release is one commit. Each address that was allocated at least once has one
//! key with its holder or the time of its release. A free address has a second key, which orders the free addresses by
//! time.
//!
//! An embedded database belongs to one machine, and its pods end when the machine loses its power: these commits need
//! not be on the disk at once ([`Transaction::is_brief`]).

pub(crate) mod attachment;
pub mod consistency;
mod finding;
pub mod host_interface;
pub(crate) mod mac;
mod orphaned_port;
mod pick;
pub mod ports;
mod transactions;

use std::net::Ipv4Addr;
use std::time::Duration;

use midoform_compiler::names::TenantName;
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

pub use self::attachment::{AddressRecord, Attachment, Holder, Progress, mac_of};
use self::mac::MacChoice;
pub use self::mac::MacRecord;
use self::pick::{Chosen, Pick, Window};
use self::transactions::{attachment_of, claim_of, release_of, supersede_of};
pub use crate::owner::Owner;
use crate::ready::{Ready, ReadyBridge};
use crate::record::{Held, decode, encode};
use crate::{Commit, Entry, Range, Revision, SharedStore, StoreError, Transaction, keys, now, read_one};

/// The time for which a released address is not allocated again, unless no other address is left.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// The number of addresses and of released addresses that are read: first, and in the next reads if none was free.
const WINDOWS: [(Option<u32>, Option<u32>); 3] = [(Some(32), Some(64)), (Some(512), Some(512)), (None, None)];

/// The greatest number of attempts. After so many lost races something else is wrong.
const MOST_ATTEMPTS: u32 = 200;

/// The request for an address.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The container and interface.
    pub owner: Owner,
    /// The host.
    pub host: Uuid,
    /// The tenant.
    pub tenant: TenantName,
    /// The bridge; none: the first of the spec.
    pub bridge: Option<String>,
    /// The only acceptable address, in any of the tenant's bridges unless one is named; none: any address.
    pub address: Option<Ipv4Addr>,
    /// The MAC address; none: [`mac_of`] the address, or a similar one if somebody in the bridge has that one.
    pub mac: Option<MacAddress>,
    /// The interface on the host. A new claim needs a name that no attachment had before
    /// ([`host_interface::new_host_interface`]).
    pub host_interface: String,
    /// The bridge port's id, if it is known before.
    pub port: Option<Uuid>,
    /// The pod, for people.
    pub pod: Option<String>,
    /// Further values for the attachment.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// The outcome of a claim.
#[derive(Clone, Debug)]
pub enum Claim {
    /// The interface has an address.
    Attached {
        /// The attachment, new or from an earlier claim.
        attachment: Box<Held<Attachment>>,
        /// The tenant.
        ready: Box<Ready>,
        /// False if the same owner had it already.
        new: bool,
    },
    /// The tenant is not ready yet: make it under its lock, and claim again.
    NotReady,
    /// No address is left on these bridges: add another bridge under the tenant's lock, and claim again.
    Full {
        /// The tenant as it was read.
        ready: Box<Held<Ready>>,
        /// The bridge of the spec that is full.
        bridge: String,
    },
}

/// The failure of a claim.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The requested address is held by somebody else.
    #[error("the address {address} is held by {holder}")]
    Taken {
        /// The address.
        address: Ipv4Addr,
        /// The holder.
        holder: Holder,
    },
    /// Another port of the bridge has the requested MAC address.
    #[error("the MAC address {mac} is used on bridge `{bridge}` by {holder}")]
    MacTaken {
        /// The MAC address.
        mac: MacAddress,
        /// The bridge.
        bridge: String,
        /// The holder.
        holder: Holder,
    },
    /// No pod can have the requested address.
    #[error("no pod can have the address {address}: {why}")]
    Unusable {
        /// The address.
        address: Ipv4Addr,
        /// The reason.
        why: String,
    },
    /// There is no such bridge.
    #[error("tenant `{tenant}` has no bridge `{bridge}`; it has: {known}")]
    NoBridge {
        /// The tenant.
        tenant: TenantName,
        /// The bridge.
        bridge: String,
        /// Its bridges.
        known: String,
    },
    /// The same owner is attached already, with other values than it requests now.
    #[error(
        "{owner} holds {address} of tenant `{tenant}` already, and requests another one: detach it first"
    )]
    Elsewhere {
        /// The container and interface.
        owner: Owner,
        /// The address that it holds.
        address: Ipv4Addr,
        /// The tenant of that address.
        tenant: TenantName,
    },
    /// Other claims were faster in each attempt.
    #[error("no address could be claimed: other claims were faster {MOST_ATTEMPTS} times in a row")]
    Contended,
}

/// The addresses of pods in a store.
#[derive(Clone, Debug)]
pub struct Ipam {
    store: SharedStore,
    quarantine: Duration,
}

/// The result of one read.
struct Seen {
    ready: Option<Held<Ready>>,
    own: Option<Held<Attachment>>,
    asked: Option<Held<AddressRecord>>,
    start: u32,
    from_start: Vec<Entry>,
    up_to_start: Vec<Entry>,
    freed: Vec<Entry>,
    macs: Vec<Entry>,
}

impl Ipam {
    /// Returns the addresses in this store, with the usual quarantine.
    pub fn new(store: SharedStore) -> Self {
        Ipam::with_quarantine(store, QUARANTINE)
    }

    /// Returns the addresses in this store. A released address is not allocated again for the time of the quarantine, unless
    /// no other is left.
    pub fn with_quarantine(store: SharedStore, quarantine: Duration) -> Self {
        Ipam { store, quarantine }
    }

    /// Returns the store.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Claims an address and writes its attachment, with one read and one commit unless others interfere. A second
    /// request of the same owner returns what it has.
    ///
    /// # Errors
    /// When the store fails, or the request can't be fulfilled.
    pub async fn claim(&self, ask: &ClaimRequest) -> Result<Claim, ClaimError> {
        let mut tried = 0;
        let mut window = 0;
        let mut unsure: Option<(Attachment, Transaction)> = None;
        let mut macs = MacChoice::of(ask);
        while tried < MOST_ATTEMPTS {
            let (limit, freed_limit) = WINDOWS.get(window).copied().unwrap_or_default();
            let seen = self.look(ask, limit, freed_limit, macs.range(&ask.tenant)).await?;
            if let Some(own) = seen.own {
                let new = unsure.is_some_and(|(sent, _)| sent == own.record);
                return already(ask, own, seen.ready, new);
            }
            if let Some((sent, superseding)) = &unsure {
                if self.settle(sent, superseding).await? {
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
            let mac = macs.select(self, ask, &ready.record, &chosen, &seen.macs).await?;
            let attachment = attachment_of(ask, &chosen, mac.mac);
            match self.store.commit(&claim_of(&attachment, ready, &chosen, &mac)).await {
                Ok(Commit::Done(revisions)) => {
                    let revision = revisions.first().copied().unwrap_or(Revision::ABSENT);
                    let held = Held { key: attachment.key(), revision, record: attachment };
                    let ready = Box::new(ready.record.clone());
                    return Ok(Claim::Attached { attachment: Box::new(held), ready, new: true });
                }
                Ok(Commit::Conflict) => {}
                Err(StoreError::Uncertain { .. }) => {
                    let superseding = supersede_of(&attachment, &chosen);
                    unsure = Some((attachment, superseding));
                }
                Err(other) => return Err(other.into()),
            }
            tried += 1;
            pause(tried).await;
        }
        Err(ClaimError::Contended)
    }

    /// Makes sure that a commit whose reply was lost is not executed later: it may still arrive through a member that was
    /// paused. Returns false if that is not certain, or if the commit was executed.
    async fn settle(&self, sent: &Attachment, superseding: &Transaction) -> Result<bool, ClaimError> {
        match self.store.commit(superseding).await {
            Ok(Commit::Done(_)) => Ok(true),
            // It was executed, or somebody else has the address: what the store shows now is final.
            Ok(Commit::Conflict) => Ok(self.find(sent.host, &sent.owner).await?.is_none()),
            Err(StoreError::Uncertain { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// Reads the tenant, the own attachment, some addresses from a random one on, the first free ones, and the bridges in
    /// which a MAC address is used.
    async fn look(
        &self,
        ask: &ClaimRequest,
        limit: Option<u32>,
        freed_limit: Option<u32>,
        macs: Option<Range>,
    ) -> Result<Seen, StoreError> {
        let addresses = keys::addresses(&ask.tenant);
        let start = fastrand::u32(..);
        let from = format!("{addresses}{start:08x}");
        let limited = |range: Range, limit: Option<u32>| match limit {
            Some(limit) => range.limit(limit),
            None => range,
        };
        let has_macs = macs.is_some();
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
        ranges.extend(macs);
        let mut found = self.store.read(&ranges).await?;
        let macs = if has_macs { found.pop().unwrap_or_default() } else { Vec::new() };
        let mut found = found.into_iter();
        let mut next = || found.next().unwrap_or_default();
        let name = self.store.name();
        let ready = next().first().map(|entry| decode(&name, entry)).transpose()?;
        let own = next().first().map(|entry| decode(&name, entry)).transpose()?;
        let (mut asked, mut from_start) = (None, Vec::new());
        match ask.address {
            Some(_) => asked = next().first().map(|entry| decode(&name, entry)).transpose()?,
            None => from_start = next(),
        }
        Ok(Seen { ready, own, asked, start, from_start, up_to_start: next(), freed: next(), macs })
    }

    /// Selects the next address; none if the read shows no free one.
    fn next<'r>(
        &self,
        ask: &ClaimRequest,
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

    /// Reads the attachment of an interface, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, host: Uuid, owner: &Owner) -> Result<Option<Held<Attachment>>, StoreError> {
        let entry = crate::get(&*self.store, &keys::attachment(host, owner)).await?;
        entry.map(|entry| decode(&self.store.name(), &entry)).transpose()
    }

    /// Reads all attachments, or those of one host.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(&self, host: Option<Uuid>) -> Result<Vec<Held<Attachment>>, StoreError> {
        let prefix = host.map_or_else(|| keys::ATTACHMENTS.to_owned(), keys::attachments_of_host);
        let name = self.store.name();
        let found = read_one(&*self.store, Range::prefix(&prefix)).await?;
        found.iter().map(|entry| decode(&name, entry)).collect()
    }

    /// Writes a changed attachment (its port's id, its progress). Returns false if it is no longer the one that was read.
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

    /// Frees the address and deletes the attachment, in one commit. Does nothing if the attachment is gone already, or if
    /// the same owner has made a new claim since.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn release(&self, held: &Held<Attachment>) -> Result<(), ClaimError> {
        let mut current = held.clone();
        for tried in 1..MOST_ATTEMPTS {
            let mac = mac::key_of(&self.store, &current.record).await?;
            match self.store.commit(&release_of(&current, mac)).await {
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

/// Returns true if two records belong to one claim and differ in its progress only.
fn is_same_claim(one: &Attachment, other: &Attachment) -> bool {
    (one.since, one.address, &one.tenant) == (other.since, other.address, &other.tenant)
}

/// Waits for a short random time, so that claims that collided don't collide again.
async fn pause(tried: u32) {
    let most = 500u64 << tried.min(6);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..most))).await;
}

fn already(
    ask: &ClaimRequest,
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

fn bridges_of<'r>(ask: &ClaimRequest, ready: &'r Ready) -> Result<Vec<&'r ReadyBridge>, ClaimError> {
    let bridges = ready.bridges_for(ask.bridge.as_deref());
    if !bridges.is_empty() {
        return Ok(bridges);
    }
    let known: Vec<&str> = ready.bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    let bridge = ask.bridge.clone().unwrap_or_default();
    Err(ClaimError::NoBridge { tenant: ask.tenant.clone(), bridge, known: known.join(", ") })
}

/// Checks the requested address.
fn asked_for<'r>(
    ask: &ClaimRequest,
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

fn full(ask: &ClaimRequest, ready: &Held<Ready>) -> Claim {
    let bridges = ready.record.bridges_for(ask.bridge.as_deref());
    let first = bridges.iter().find(|bridge| bridge.grown_from.is_none()).or(bridges.first());
    let bridge = first.map(|bridge| bridge.name.clone()).unwrap_or_default();
    Claim::Full { ready: Box::new(ready.clone()), bridge }
}
