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
//! An arrow points at what has to be there first. Where the arrows leave a choice, what closes comes before
//! what connects: rules stand before the links, so that no packet passes a tenant whose rules are not in.

use crate::topology::Entry;
use crate::topology::key::{Key, SITE};
use crate::topology::kinds::{Kind, Object, Reference};

/// Returns what entries are sorted by for their creation: the site's objects first, then tenant by tenant, each in the order
/// of the kinds, rules by chain and place; at the end the links that join two tenants.
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
    let place = entry.object.place();
    let parent = place.and_then(|_| entry.object.parent()?.reference.key()).map(Key::as_str);
    (group, tenant, Kind::of(&entry.object), parent, place.unwrap_or(0), entry.key.as_str())
}
