//! Objects that make way for others: an interface has one binding, an address in a tunnel zone one host.

use std::collections::BTreeMap;

use super::{Differ, Remaking, Verdict};
use crate::topology::key::Key;
use crate::topology::kinds::Kind;

impl<'a> Differ<'a> {
    /// Lets an object that is deleted or replaced make way for another one that gets what it occupies. Two objects that exchange
    /// interfaces are both deleted before both are created.
    pub(super) fn make_way(&mut self) {
        let observed = self.observed.topology.entries().iter();
        let occupied = observed
            .filter_map(|entry| Some(((Kind::of(&entry.object), entry.object.occupies()?), &entry.key)));
        let occupied: BTreeMap<(Kind, String), &'a Key> = occupied.collect();
        if occupied.is_empty() {
            return;
        }
        for entry in self.desired.entries() {
            let Some(needed) = entry.object.occupies() else { continue };
            let Some(holder) = occupied.get(&(Kind::of(&entry.object), needed)) else { continue };
            if **holder == entry.key {
                continue;
            }
            match self.verdicts.get(*holder) {
                Some(Verdict::Replace(difference)) => {
                    let why = Remaking::MakesWay { to: entry.key.clone(), difference: difference.clone() };
                    self.verdicts.insert(holder, Verdict::Remake(why));
                }
                Some(Verdict::Delete) => {
                    self.deleted_first.insert((*holder).clone());
                }
                _ => {}
            }
            self.in_the_way.entry(&entry.key).or_default().push((*holder).clone());
        }
    }
}
