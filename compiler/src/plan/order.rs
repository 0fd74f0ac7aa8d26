//! The order in which objects are created: that of the table of kinds (`topology/kinds/mod.rs`). They are deleted the other
//! way round.
//!
//! ```text
//!   tunnel zone ◄── tunnel zone host                          port group ◄────────────┐
//!                                                                                     │
//!   chain ◄──── router ◄── router port ◄─┬─ rule ◄─ ... ◄─ route                port group port
//!     ▲ ▲                                │                                            │
//!     │ └────── bridge ◄── bridge port ◄─┴─ port link                                 │
//!     └────────────────────────┘   ▲                                                  │
//!                                  ├──────────────────────────────────────────────────┘
//!                                  └─ host interface port
//! ```
//!
//! An arrow points at the object that has to exist first. If the arrows leave a choice, rules come before links, so that
//! no packet passes a tenant before its rules are created.

use crate::topology::key::{Key, SITE};
use crate::topology::kinds::{Kind, Object, Reference};
use crate::topology::{Entry, Topology};

/// Returns the sort key of an entry for its creation. The site's objects come first, then tenant by tenant, each in the
/// order of the kinds, rules by chain and position. The links that join two tenants come last.
pub fn creation_order<'a>(entry: &'a Entry) -> impl Ord + use<'a> {
    let tenant = entry.key.owner();
    let joins_tenants = match &entry.object {
        Object::PortLink(link) => {
            let other = |reference: &Reference| reference.key().is_some_and(|key| key.owner() != tenant);
            other(&link.port) || other(&link.peer)
        }
        _ => false,
    };
    let group = match () {
        () if tenant == SITE => 0,
        () if joins_tenants => 2,
        () => 1,
    };
    let position = entry.object.position();
    let parent = position.and_then(|_| entry.object.parent()?.reference.key()).map(Key::as_str);
    (group, tenant, Kind::of(&entry.object), parent, position.unwrap_or(0), entry.key.as_str())
}

/// Returns the entries in the order of creation. They come by key, so tenant by tenant: the few entries of each
/// tenant are sorted first, and nearly nothing is left to sort for the whole.
pub fn in_creation_order(topology: &Topology) -> Vec<&Entry> {
    let mut entries: Vec<&Entry> = Vec::with_capacity(topology.len());
    for tenant in topology.entries().chunk_by(|a, b| a.key.owner() == b.key.owner()) {
        let start = entries.len();
        entries.extend(tenant);
        if let Some(own) = entries.get_mut(start..) {
            own.sort_by(|a, b| creation_order(a).cmp(&creation_order(b)));
        }
    }
    entries.sort_by_cached_key(|entry| creation_order(entry));
    entries
}
