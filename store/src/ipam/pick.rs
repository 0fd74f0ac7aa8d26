//! Which address comes next: picked from a few keys, so that it takes no longer in a large network, and so that
//! many who pick at the same time don't pick the same.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::keys::{self, spread};
use crate::ready::ReadyBridge;
use crate::{Entry, Revision};

/// Addresses that were released within this time of each other are taken as released together.
const TOGETHER: u64 = 100;

/// What was read of a tenant's addresses: the keys from somewhere on, those from the beginning up to there, and
/// the released ones, each perhaps not to its end.
pub(super) struct Window<'a> {
    /// Where it starts, as a [`spread`] address.
    pub(super) start: u32,
    /// How many entries were asked for; none: all.
    pub(super) limit: Option<u32>,
    pub(super) from_start: &'a [Entry],
    pub(super) up_to_start: &'a [Entry],
    pub(super) freed: &'a [Entry],
    pub(super) freed_limit: Option<u32>,
}

/// An address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// One that nobody ever had.
    New(Ipv4Addr),
    /// A released one: the key that says so.
    Freed { address: Ipv4Addr, key: String, revision: Revision },
    /// Nothing in what was read, but not all was read.
    Unknown,
    /// There is none.
    Full,
}

impl Window<'_> {
    /// One that was never given out, else the one that was released least recently; one that still rests only
    /// where nothing else is left. `chance` says which of those that are as good as each other.
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
        // Whoever was beaten to it looks further afield.
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

    /// Whether all keys were read.
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

/// Whether a pod that asks for no address in particular can have this one.
fn is_offered(bridges: &[&ReadyBridge], address: Ipv4Addr) -> bool {
    bridges.iter().any(|bridge| bridge.is_usable(address) && !bridge.set_aside.contains(&address))
}

fn ended(entries: &[Entry], limit: Option<u32>) -> bool {
    limit.is_none_or(|limit| entries.len() < limit as usize)
}

/// The addresses of a network in the order of their keys, from one key to another. In that order a network's
/// addresses are evenly spaced: the network's bits are the low ones, and the host's count up above them.
fn spread_over(bridge: &ReadyBridge, start: u32, end: u32) -> impl Iterator<Item = Ipv4Addr> {
    let host_bits = 32 - u32::from(bridge.cidr.prefix_len());
    let base = u64::from(spread(bridge.cidr.network()));
    let step = 1u64 << (32 - host_bits);
    let first = u64::from(start).saturating_sub(base).div_ceil(step);
    let keys = (first..1u64 << host_bits).map(move |at| at * step + base);
    let keys = keys.take_while(move |key| *key <= u64::from(end));
    keys.filter_map(|key| u32::try_from(key).ok()).map(keys::gathered)
}
