//! Selects the next address from a few keys: this takes no longer in a large network, and many claims at once rarely select
//! the same address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::keys::{self, spread};
use crate::ready::ReadyBridge;
use crate::{Entry, Revision};

/// Addresses that were released within this time count as released at once, in milliseconds.
const TOGETHER: u64 = 100;

/// The selected address, with the compare for its key.
#[derive(Clone)]
pub(super) struct Chosen<'r> {
    pub(super) bridge: &'r ReadyBridge,
    pub(super) address: Ipv4Addr,
    pub(super) compare: (String, Revision),
    /// The second key of a free address.
    pub(super) freed: Option<String>,
}

/// The part of a tenant's addresses that was read: the keys from a random one on, those before it, and the released ones,
/// each up to a limit.
pub(super) struct Window<'a> {
    /// The random start, as a [`spread`] address.
    pub(super) start: u32,
    /// The limit of the read; none: all were read.
    pub(super) limit: Option<u32>,
    pub(super) from_start: &'a [Entry],
    pub(super) up_to_start: &'a [Entry],
    pub(super) freed: &'a [Entry],
    pub(super) freed_limit: Option<u32>,
}

/// The selected address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// An address that was never allocated.
    New(Ipv4Addr),
    /// A released address, with its second key.
    Freed { address: Ipv4Addr, key: String, revision: Revision },
    /// None in the part that was read.
    Unknown,
    /// None at all.
    Full,
}

impl Window<'_> {
    /// Selects an address that was never allocated, otherwise the one that was released least recently. Addresses that were
    /// released after `rested` are selected only if no other is left. `chance` selects among equally good addresses.
    pub(super) fn pick(
        &self,
        bridges: &[&ReadyBridge],
        rested: u64,
        tried: u32,
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> Pick {
        if let Some(address) = self.never_used(bridges, chance) {
            return Pick::New(address);
        }
        let mine: Vec<(u64, Ipv4Addr, &Entry)> = self
            .freed
            .iter()
            .filter_map(|entry| Some((keys::freed_since(&entry.key)?, keys::address_of(&entry.key)?, entry)))
            .filter(|(_, address, _)| is_offered(bridges, *address))
            .collect();
        let is_rested = |since: u64| since <= rested;
        let whole = self.is_whole();
        if !mine.first().is_some_and(|(since, ..)| is_rested(*since)) && !whole {
            return Pick::Unknown;
        }
        let Some((oldest, ..)) = mine.first() else { return Pick::Full };
        // After a lost race the selection is wider.
        let further = if tried == 0 { 0 } else { 4usize << (2 * tried.min(8)) };
        let alike = |at: usize, since: u64| since <= oldest + TOGETHER || at < further;
        let good = mine
            .iter()
            .enumerate()
            .take_while(|(at, (since, ..))| alike(*at, *since) && is_rested(*since) == is_rested(*oldest))
            .count();
        match mine.get(chance(good.max(1))) {
            Some((_, address, entry)) => {
                Pick::Freed { address: *address, key: entry.key.clone(), revision: entry.revision }
            }
            None => Pick::Full,
        }
    }

    /// Returns true if all keys were read.
    pub(super) fn is_whole(&self) -> bool {
        ended(self.from_start, self.limit)
            && ended(self.up_to_start, self.limit)
            && ended(self.freed, self.freed_limit)
    }

    fn never_used(
        &self,
        bridges: &[&ReadyBridge],
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> Option<Ipv4Addr> {
        let spreads = |entries: &[Entry]| -> BTreeSet<u32> {
            entries.iter().filter_map(|entry| keys::address_of(&entry.key)).map(spread).collect()
        };
        let (high, low) = (spreads(self.from_start), spreads(self.up_to_start));
        let last = |known: &BTreeSet<u32>, entries, end| match ended(entries, self.limit) {
            true => Some(end),
            false => known.last().copied(),
        };
        let mut parts = Vec::new();
        if let Some(end) = last(&high, self.from_start, u32::MAX) {
            parts.push((self.start, end, &high));
        }
        if let Some(below) = self.start.checked_sub(1)
            && let Some(end) = last(&low, self.up_to_start, below)
        {
            parts.push((0, end, &low));
        }
        let turn = chance(bridges.len().max(1));
        for (start, end, used) in parts {
            for at in 0..bridges.len() {
                let Some(bridge) = bridges.get((at + turn) % bridges.len()) else { continue };
                let free = |address: &Ipv4Addr| {
                    !used.contains(&spread(*address))
                        && bridge.is_usable(*address)
                        && !bridge.set_aside.contains(address)
                };
                if let Some(found) = spread_over(bridge, start, end).find(free) {
                    return Some(found);
                }
            }
        }
        None
    }
}

/// Returns true if a pod that requests no particular address can have this one.
fn is_offered(bridges: &[&ReadyBridge], address: Ipv4Addr) -> bool {
    bridges.iter().any(|bridge| bridge.is_usable(address) && !bridge.set_aside.contains(&address))
}

fn ended(entries: &[Entry], limit: Option<u32>) -> bool {
    limit.is_none_or(|limit| entries.len() < limit as usize)
}

/// Returns the addresses of a network in the order of their keys, from one key to another. In this order they are evenly
/// spaced: the bits of the network are the low ones, and the bits of the host count up above them.
fn spread_over(bridge: &ReadyBridge, start: u32, end: u32) -> impl Iterator<Item = Ipv4Addr> {
    let host_bits = 32 - u32::from(bridge.cidr.prefix_len());
    let base = u64::from(spread(bridge.cidr.network()));
    let step = 1u64 << (32 - host_bits);
    let first = u64::from(start).saturating_sub(base).div_ceil(step);
    let keys = (first..1u64 << host_bits).map(move |at| at * step + base);
    let keys = keys.take_while(move |key| *key <= u64::from(end));
    keys.filter_map(|key| u32::try_from(key).ok()).map(keys::unspread)
}
