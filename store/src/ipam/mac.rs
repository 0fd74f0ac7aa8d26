//! MAC addresses of pods: no two ports of a bridge have the same one.
//!
//! The MAC address of most pods follows from their address ([`mac_of`]): the holder of the address has it as well. Only
//! another one, which a pod requested, has a key of its own. The static ports' stand in the tenant's `ready` key, which
//! every claim compares.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use midoform_compiler::values::MacAddress;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::attachment::{AddressRecord, Attachment, Holder, mac_of};
use super::pick::Chosen;
use super::{ClaimError, ClaimRequest, Ipam};
use crate::ready::{Ready, ReadyBridge};
use crate::record::{Held, Record, decode};
use crate::{Compare, Entry, Range, Revision, SharedStore, StoreError, get, keys};

/// The holder of a MAC address that does not follow from its pod's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacRecord {
    /// The holder.
    pub holder: Holder,
}

impl Record for MacRecord {
    const VERSION: u64 = 1;
}

/// A MAC address that no other port of the bridge has, as far as the store was read.
pub(super) struct FreeMac {
    pub(super) mac: MacAddress,
    /// The address that this MAC address follows from, if it is another one than the pod's: nobody may claim it meanwhile.
    pub(super) compare: Option<Compare>,
}

/// The MAC address of one claim, over all its attempts.
pub(super) struct MacChoice {
    /// The requested one, or the one of the last attempt: the next read looks whether somebody has it.
    looked_for: Option<MacAddress>,
    /// Those that other pods have, with their bridges.
    taken: BTreeSet<(MacAddress, Uuid)>,
}

impl MacChoice {
    pub(super) fn of(ask: &ClaimRequest) -> MacChoice {
        MacChoice { looked_for: ask.mac, taken: BTreeSet::new() }
    }

    /// Returns the keys to read before the next attempt.
    pub(super) fn range(&self, tenant: &str) -> Option<Range> {
        self.looked_for.map(|mac| Range::prefix(&keys::macs(tenant, mac)))
    }

    /// Selects the MAC address for an address: the requested one, or one that follows from the address and is free.
    ///
    /// # Errors
    /// When somebody else in the bridge has the requested one, or the store fails.
    pub(super) async fn select(
        &mut self,
        pods: &Ipam,
        ask: &ClaimRequest,
        ready: &Ready,
        chosen: &Chosen<'_>,
        read: &[Entry],
    ) -> Result<FreeMac, ClaimError> {
        if let Some(mac) = ask.mac {
            return requested(pods, ready, chosen, mac, read).await;
        }
        let bridge = chosen.bridge;
        let bridges = read.iter().filter_map(|entry| keys::bridge_of_mac(&entry.key));
        let looked_for = self.looked_for.into_iter();
        self.taken.extend(bridges.flat_map(|bridge| looked_for.clone().map(move |mac| (mac, bridge))));
        let is_free = |mac: &MacAddress| {
            !self.taken.contains(&(*mac, bridge.id)) && ready.port_with_mac(bridge, *mac).is_none()
        };
        let mac = candidates(chosen.address).find(is_free).unwrap_or_else(|| mac_of(chosen.address));
        self.looked_for = Some(mac);
        Ok(FreeMac { mac, compare: None })
    }
}

/// Returns the MAC addresses that a pod with this address may get: [`mac_of`], and those with another second byte.
fn candidates(address: Ipv4Addr) -> impl Iterator<Item = MacAddress> {
    let MacAddress([first, second, rest @ ..]) = mac_of(address);
    let [a, b, c, d] = rest;
    (second..=u8::MAX).map(move |second| MacAddress([first, second, a, b, c, d]))
}

/// Returns the address that a MAC address follows from.
fn address_behind(mac: MacAddress) -> Option<Ipv4Addr> {
    let [_, _, rest @ ..] = mac.0;
    let address = Ipv4Addr::from(rest);
    (mac_of(address) == mac).then_some(address)
}

async fn requested(
    pods: &Ipam,
    ready: &Ready,
    chosen: &Chosen<'_>,
    mac: MacAddress,
    read: &[Entry],
) -> Result<FreeMac, ClaimError> {
    let bridge = chosen.bridge;
    let taken = |holder: Holder| ClaimError::MacTaken { mac, bridge: bridge.name.clone(), holder };
    if let Some(port) = ready.port_with_mac(bridge, mac) {
        return Err(taken(Holder::Port { name: port.name.clone() }));
    }
    if let Some(entry) = read.iter().find(|entry| keys::bridge_of_mac(&entry.key) == Some(bridge.id)) {
        return Err(taken(decode::<MacRecord>(&pods.store.name(), entry)?.record.holder));
    }
    let other = address_behind(mac).filter(|behind| bridge.is_usable(*behind) && *behind != chosen.address);
    let Some(other) = other else { return Ok(FreeMac { mac, compare: None }) };
    let key = keys::address(&ready.tenant, other);
    let known: Option<Held<AddressRecord>> = match get(&*pods.store, &key).await? {
        Some(entry) => Some(decode(&pods.store.name(), &entry)?),
        None => None,
    };
    if let Some(holder) = known.as_ref().and_then(|held| held.record.holder.as_ref())
        && has_mac(&pods.store, holder, bridge, mac).await?
    {
        return Err(taken(holder.clone()));
    }
    let revision = known.map_or(Revision::ABSENT, |held| held.revision);
    Ok(FreeMac { mac, compare: Some(Compare { key, revision }) })
}

/// Returns true if the holder of an address is a pod that has this MAC address in the bridge.
async fn has_mac(
    store: &SharedStore,
    holder: &Holder,
    bridge: &ReadyBridge,
    mac: MacAddress,
) -> Result<bool, StoreError> {
    let Holder::Container { host, owner } = holder else { return Ok(false) };
    let Some(entry) = get(&**store, &keys::attachment(*host, owner)).await? else { return Ok(false) };
    let held: Held<Attachment> = decode(&store.name(), &entry)?;
    Ok(held.record.mac == mac && held.record.bridge_id == bridge.id)
}

/// Returns the key of an attachment's MAC address as it is now; none if the attachment has no such key. A pod that an earlier
/// midoform attached has none: the key may be another pod's.
///
/// # Errors
/// When the store fails.
pub(super) async fn key_of(
    store: &SharedStore,
    attachment: &Attachment,
) -> Result<Option<Compare>, StoreError> {
    if !attachment.has_own_mac() {
        return Ok(None);
    }
    let key = keys::mac(&attachment.tenant, attachment.mac, attachment.bridge_id);
    let Some(entry) = get(&**store, &key).await? else { return Ok(None) };
    let held: Held<MacRecord> = decode(&store.name(), &entry)?;
    let is_own = held.record.holder == attachment.holder();
    Ok(is_own.then_some(Compare { key, revision: held.revision }))
}

/// Returns the pod that has the MAC address in a bridge of the tenant, if there is one.
///
/// # Errors
/// When the store fails.
pub(crate) async fn pod_with_mac(
    store: &SharedStore,
    tenant: &str,
    bridge: &ReadyBridge,
    mac: MacAddress,
) -> Result<Option<Holder>, StoreError> {
    if let Some(entry) = get(&**store, &keys::mac(tenant, mac, bridge.id)).await? {
        return Ok(Some(decode::<MacRecord>(&store.name(), &entry)?.record.holder));
    }
    let Some(behind) = address_behind(mac).filter(|behind| bridge.is_usable(*behind)) else {
        return Ok(None);
    };
    let Some(entry) = get(&**store, &keys::address(tenant, behind)).await? else { return Ok(None) };
    let holder = decode::<AddressRecord>(&store.name(), &entry)?.record.holder;
    match holder {
        Some(holder) if has_mac(store, &holder, bridge, mac).await? => Ok(Some(holder)),
        _ => Ok(None),
    }
}
