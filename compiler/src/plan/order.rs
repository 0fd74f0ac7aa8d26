//! The one order table: in which order kinds of objects are made. They are deleted the other way round.
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

use crate::topology::key::SITE;
use crate::topology::kind::Kind;
use crate::topology::object::Object;
use crate::topology::{Entry, dependencies};

/// Where an entry stands in the order of making: the site's objects first, then tenant by tenant, each in the
/// order of the kinds, rules by chain and place; at the end what joins two tenants.
pub fn creation_order<'a>(entry: &'a Entry) -> impl Ord + use<'a> {
    let tenant = entry.key.owner();
    let joins_tenants = match &entry.object {
        Object::PortLink(link) => {
            let other = |reference: &crate::topology::object::Reference| {
                reference.key().is_some_and(|key| key.owner() != tenant)
            };
            other(&link.port) || other(&link.peer)
        }
        _ => false,
    };
    let group = match () {
        () if tenant == SITE => 0,
        () if joins_tenants => 2,
        () => 1,
    };
    let (chain, position) = match &entry.object {
        Object::Rule(rule) => (rule.chain.key().map(|key| key.as_str()), rule.position),
        _ => (None, 0),
    };
    (group, tenant, Kind::of(&entry.object), chain, position, entry.key.as_str())
}

/// True when every object that an entry depends on comes before it. What the drawing above promises; tests
/// hold every plan against it.
pub fn respects_order(entries: &[&Entry]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    entries.iter().all(|entry| {
        let known = dependencies(&entry.object)
            .iter()
            .all(|key| seen.contains(key) || !entries.iter().any(|other| other.key == *key));
        seen.insert(entry.key.clone());
        known
    })
}
