//! Lists of rows of which the first that matches decides, for sets of packets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use uuid::Uuid;

use super::matches::{Between, Undecided};
use super::network::{List, Verdict};
use super::walk::Walker;
use crate::semantics::Frame;
use crate::verify::header::{Protocols, Range};
use crate::verify::packet_set::Fields;
use crate::verify::path::{Path, Tracking};
use crate::verify::sets::{Set, Sets};
use midoform_compiler::values::MacAddress;

/// What a list decides about packets.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) accepted: Vec<Path>,
    /// The dropped packets, and the row that drops them.
    pub(super) dropped: Vec<(Path, Uuid)>,
}

/// Everything that a list's decision about a header depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    list: usize,
    between: Between,
    macs: (MacAddress, MacAddress),
    frame: Frame,
    protocols: Protocols,
    tracking: Tracking,
    /// The variable of each field, with its range where that is not in the header as it was sent.
    fields: [(usize, Option<Range>); 4],
}

/// The headers, as they were sent, that a list accepts and drops.
#[derive(Debug, Default)]
struct Verdicts {
    /// With the row that accepts; none where no row matches, or where rows are not told apart.
    accepted: Vec<(Set, Option<Uuid>)>,
    dropped: Vec<(Set, Uuid)>,
}

/// The decisions that were computed.
#[derive(Debug, Default)]
pub(crate) struct Known(RefCell<BTreeMap<Position, Rc<Result<Verdicts, Undecided>>>>);

impl Known {
    /// Forgets all of them: their sets are not valid any more.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Position {
    fn of(list: &List, path: &Path, between: Between) -> Position {
        let field = |at: usize| {
            let variable = path.variable(at);
            (variable, (variable >= path.header.len()).then(|| path.range(variable)))
        };
        Position {
            list: list.number,
            between,
            macs: (path.source_mac, path.destination_mac),
            frame: path.frame,
            protocols: path.protocols,
            tracking: path.tracking,
            fields: [field(0), field(1), field(2), field(3)],
        }
    }
}

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
