//! Lists of rows of which the first that matches decides, for sets of packets.

use std::rc::Rc;

use uuid::Uuid;

use super::decided::{Decided, Position, Verdicts};
use super::matches::{Between, Undecided};
use super::network::{List, Verdict};
use super::walk::Walker;
use crate::verify::packet_set::Fields;
use crate::verify::path::Path;
use crate::verify::sets::{Set, Sets};

impl Walker<'_> {
    /// Lets a list decide about packets.
    pub(super) fn decide(&self, list: &List, path: Path, between: Between) -> Decided {
        let mut decided = Decided::default();
        let mut waiting = vec![path];
        while let Some(path) = waiting.pop() {
            if list.rows.is_empty() {
                decided.accepted.push(path);
                continue;
            }
            if !self.may_go_on(1) {
                break;
            }
            match &*self.verdicts(list, &path, between) {
                Ok(verdicts) => self.apply(verdicts, path, &mut decided),
                Err(Undecided { variable, ranges }) => {
                    let (inside, outside) = path.split_by(self.sets, *variable, ranges);
                    waiting.extend(inside.into_iter().chain(outside));
                }
            }
        }
        decided
    }

    fn apply(&self, verdicts: &Verdicts, path: Path, decided: &mut Decided) {
        for (set, row) in &verdicts.accepted {
            if let Some(mut path) = part(self.sets, &path, *set) {
                path.rules.extend(row);
                decided.accepted.push(path);
            }
        }
        for (set, row) in &verdicts.dropped {
            if let Some(mut path) = part(self.sets, &path, *set) {
                if self.keeps_rules {
                    path.rules.push(*row);
                }
                decided.dropped.push((path, *row));
            }
        }
        self.may_go_on(verdicts.accepted.len() + verdicts.dropped.len());
    }

    fn verdicts(&self, list: &List, path: &Path, between: Between) -> Rc<Result<Verdicts, Undecided>> {
        let position = Position::of(list, path, between);
        if let Some(known) = self.known.0.borrow().get(&position) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.computed(list, path, between));
        self.known.0.borrow_mut().insert(position, Rc::clone(&found));
        found
    }

    /// Computes the verdicts. Rows of one priority decide together: if they differ about a packet, chance decides in OVN, and
    /// nothing is proven.
    fn computed(&self, list: &List, path: &Path, between: Between) -> Result<Verdicts, Undecided> {
        let sets = self.sets;
        let (mut left, mut accepted, mut verdicts) = (Set::ALL, Vec::new(), Verdicts::default());
        for rows in list.rows.chunk_by(|one, other| one.priority == other.priority) {
            let mut own: Vec<(Set, bool, Uuid)> = Vec::new();
            for row in rows {
                self.may_go_on(1);
                let matched = sets.common(left, row.matched.set(sets, path, between)?);
                if matched.is_none() {
                    continue;
                }
                let drops = row.verdict == Verdict::Drop;
                let clashes = |(set, other, _): &(Set, bool, Uuid)| {
                    *other != drops && !sets.common(*set, matched).is_none()
                };
                if own.iter().any(clashes) {
                    self.fail(format!("two rows of the priority {} decide differently", row.priority));
                }
                own.push((matched, drops, row.id));
            }
            for (matched, drops, row) in own {
                let matched = sets.common(left, matched);
                left = sets.without(left, matched);
                match (drops, self.keeps_rules) {
                    _ if matched.is_none() => {}
                    (false, false) => accepted.push(matched),
                    (false, true) => verdicts.accepted.push((matched, Some(row))),
                    (true, keeps_rules) => self.add_dropped(&mut verdicts, (matched, row), keeps_rules),
                }
            }
            if left.is_none() {
                break;
            }
        }
        accepted.push(left);
        let accepted = sets.united(accepted);
        if !accepted.is_none() {
            verdicts.accepted.push((accepted, None));
        }
        Ok(verdicts)
    }

    /// Adds packets that a row drops. Where rows are not told apart, those are one set that may drop replies, or that may not.
    fn add_dropped(&self, verdicts: &mut Verdicts, (set, row): (Set, Uuid), keeps_rules: bool) {
        let is_alike = |other: &Uuid| self.stateless.contains(other) == self.stateless.contains(&row);
        let same = verdicts.dropped.iter_mut().find(|(_, other)| !keeps_rules && is_alike(other));
        match same {
            Some((known, _)) => *known = self.sets.united(vec![*known, set]),
            None => verdicts.dropped.push((set, row)),
        }
    }
}

/// Returns the packets of a path that were sent with headers of a set.
fn part(sets: &Sets, path: &Path, set: Set) -> Option<Path> {
    match set {
        Set::ALL => Some(path.clone()),
        _ => path.clone().split_set(sets, Fields::Diagram(set), path.around().fields).0,
    }
}

impl Walker<'_> {
    /// Splits the packets of a path: those that a condition selects, and the others.
    pub(super) fn split(
        &self,
        matched: &super::matches::Match,
        path: Path,
        between: Between,
    ) -> (Vec<Path>, Vec<Path>) {
        let (mut inside, mut outside, mut waiting) = (Vec::new(), Vec::new(), vec![path]);
        while let Some(path) = waiting.pop().filter(|_| self.may_go_on(1)) {
            match matched.set(self.sets, &path, between) {
                Ok(Set::ALL) => inside.push(path),
                Ok(Set::NONE) => outside.push(path),
                Ok(set) => {
                    let around = path.around().fields;
                    let (fits, fails) = path.split_set(self.sets, Fields::Diagram(set), around);
                    inside.extend(fits);
                    outside.extend(fails);
                }
                Err(Undecided { variable, ranges }) => {
                    let (fits, fails) = path.split_by(self.sets, variable, &ranges);
                    waiting.extend(fits.into_iter().chain(fails));
                }
            }
        }
        (inside, outside)
    }
}
