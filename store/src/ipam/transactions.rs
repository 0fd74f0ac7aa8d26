//! The transactions of claims and releases.

use midoform_compiler::values::MacAddress;

use super::ClaimRequest;
use super::attachment::{AddressRecord, Attachment, Freed, Progress};
use super::mac::{FreeMac, MacRecord};
use super::pick::Chosen;
use crate::ready::Ready;
use crate::record::{Held, encode};
use crate::{Compare, Transaction, keys, now};

/// Returns the attachment of a claim.
pub(super) fn attachment_of(ask: &ClaimRequest, chosen: &Chosen<'_>, mac: MacAddress) -> Attachment {
    Attachment {
        owner: ask.owner.clone(),
        host: ask.host,
        tenant: ask.tenant.clone(),
        bridge: chosen.bridge.name.clone(),
        bridge_id: chosen.bridge.id,
        address: chosen.address,
        cidr: chosen.bridge.cidr,
        gateway: chosen.bridge.gateway,
        mac,
        host_interface: ask.host_interface.clone(),
        earlier_interfaces: Vec::new(),
        port: ask.port,
        state: Progress::Intent,
        since: now(),
        pod: ask.pod.clone(),
        extra: ask.extra.clone(),
    }
}

/// Writes address and attachment, if the tenant is still the one that was read, and nobody in the bridge has the MAC address.
pub(super) fn claim_of(
    attachment: &Attachment,
    ready: &Held<Ready>,
    chosen: &Chosen<'_>,
    mac: &FreeMac,
) -> Transaction {
    let (holder, since) = (Some(attachment.holder()), attachment.since);
    let address = AddressRecord { holder, since, last: None, interfaces: Vec::new() };
    let key = keys::address(&attachment.tenant, attachment.address);
    let (compared, revision) = &chosen.compare;
    let mac_key = keys::mac(&attachment.tenant, mac.mac, attachment.bridge_id);
    let mut transaction = Transaction::default()
        .when(&ready.key, ready.revision)
        .when_absent(attachment.key())
        .when_absent(keys::reclaiming(attachment.host, &attachment.owner))
        .when(compared, *revision)
        .when_absent(&mac_key)
        .when_all(mac.compare.as_slice())
        .put(attachment.key(), encode(attachment))
        .put(key, encode(&address))
        .brief();
    if attachment.has_own_mac() {
        transaction = transaction.put(mac_key, encode(&MacRecord { holder: attachment.holder() }));
    }
    match &chosen.freed {
        Some(freed) => transaction.delete(freed),
        None => transaction,
    }
}

/// Frees the address and deletes the attachment. `mac` is the key of its MAC address as it was read.
pub(super) fn release_of(held: &Held<Attachment>, mac: Option<Compare>) -> Transaction {
    let Attachment { tenant, address, .. } = &held.record;
    let since = now();
    let interfaces = held.record.host_interfaces().cloned().collect();
    let free = AddressRecord { holder: None, since, last: Some(held.record.holder()), interfaces };
    let transaction = Transaction::default()
        .when(&held.key, held.revision)
        .delete(&held.key)
        .put(keys::address(tenant, *address), encode(&free))
        .put(keys::freed(tenant, since, *address), encode(&Freed {}))
        .brief();
    match mac {
        Some(mac) => transaction.delete(&mac.key).when_all([mac].as_slice()),
        None => transaction,
    }
}

/// Writes the free address again: an earlier claim of it that is still on its way then fails its compare.
pub(super) fn supersede_of(attachment: &Attachment, chosen: &Chosen<'_>) -> Transaction {
    let Attachment { tenant, address, .. } = attachment;
    let before = chosen.freed.as_deref().and_then(keys::freed_since).unwrap_or_default();
    let since = now().max(before + 1);
    let (compared, revision) = &chosen.compare;
    let transaction = Transaction::default()
        .when(compared, *revision)
        .put(keys::address(tenant, *address), encode(&AddressRecord::free(since)))
        .put(keys::freed(tenant, since, *address), encode(&Freed {}));
    match &chosen.freed {
        Some(freed) => transaction.delete(freed),
        None => transaction,
    }
}
