//! Checks the history of one address as several processes saw it: it is accepted if there is an order of the calls,
//! each at one moment between its start and its reply, in which the address is only claimed while it has no holder.
//!
//! The search is Wing and Gong's with Lowe's memory of visited states. A call whose reply was lost may have happened
//! at any later time, or never.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

/// An operation on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// The owner claimed the free address.
    Claim,
    /// The owner released it.
    Release,
    /// The owner's address was read.
    Seen,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) act: Act,
    pub(crate) owner: String,
    /// The start, on a clock that all processes share.
    pub(crate) called: u64,
    /// The time of the reply; none if it was lost.
    pub(crate) answered: Option<u64>,
}

impl Operation {
    fn end(&self) -> u64 {
        self.answered.unwrap_or(u64::MAX)
    }
}

/// A state of the search: the calls that are done, and the holder of the address.
type State = (usize, BTreeSet<usize>, Option<usize>);

struct Search {
    /// The calls in the order of their starts, with the owner as a number.
    operations: Vec<(Operation, usize)>,
    tried: HashSet<State>,
}

impl Search {
    /// Returns the possible next calls: those that began before the reply of any open call.
    fn next(&self, (first, done, holder): &State) -> Vec<State> {
        let mut latest = u64::MAX;
        let mut next = Vec::new();
        for (at, (operation, owner)) in self.operations.iter().enumerate().skip(*first) {
            if operation.called > latest {
                break;
            }
            if done.contains(&at) {
                continue;
            }
            latest = latest.min(operation.end());
            let is_mine = *holder == Some(*owner);
            let after = match operation.act {
                Act::Claim if holder.is_none() => Some(*owner),
                Act::Seen if is_mine => *holder,
                Act::Release if is_mine => None,
                Act::Release => *holder,
                Act::Claim | Act::Seen => continue,
            };
            let (mut first, mut done) = (*first, done.clone());
            done.insert(at);
            while done.remove(&first) {
                first += 1;
            }
            next.push((first, done, after));
        }
        next
    }

    /// Returns true if all calls with replies are done.
    fn is_over(&self, (first, done, _): &State) -> bool {
        let left = self.operations.iter().enumerate().skip(*first);
        left.filter(|(at, _)| !done.contains(at)).all(|(_, (operation, _))| operation.answered.is_none())
    }
}

/// Accepts the history of an address that was free before it; otherwise returns the length of the longest order.
pub(crate) fn check(operations: &[Operation]) -> Result<(), String> {
    let mut owners = BTreeMap::new();
    let mut sorted: Vec<(Operation, usize)> = operations
        .iter()
        .map(|operation| {
            let count = owners.len();
            (operation.clone(), *owners.entry(&operation.owner).or_insert(count))
        })
        .collect();
    sorted.sort_by_key(|(operation, _)| (operation.called, operation.end()));
    let mut search = Search { operations: sorted, tried: HashSet::new() };
    let mut furthest = 0;
    let mut open: Vec<State> = vec![(0, BTreeSet::new(), None)];
    while let Some(state) = open.pop() {
        if search.is_over(&state) {
            return Ok(());
        }
        furthest = furthest.max(state.0);
        for next in search.next(&state).into_iter().rev() {
            if search.tried.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    let around: Vec<String> = search
        .operations
        .iter()
        .skip(furthest.saturating_sub(3))
        .take(8)
        .map(|(operation, _)| format!("{operation:?}"))
        .collect();
    Err(format!("no order of these is possible, from the {furthest}th on:\n  {}", around.join("\n  ")))
}

/// Returns how often an address certainly had two holders at once: both claims had replies, and no release had begun.
pub(crate) fn duplicates(operations: &[Operation]) -> usize {
    let released = |owner: &str| {
        let mut calls = operations.iter().filter(|it| it.act == Act::Release && it.owner == owner);
        calls.next().map_or(u64::MAX, |first| calls.fold(first.called, |least, it| least.min(it.called)))
    };
    let mut held: Vec<(u64, u64)> = operations
        .iter()
        .filter(|it| it.act == Act::Claim)
        .filter_map(|it| Some((it.answered?, released(&it.owner))))
        .filter(|(from, to)| from < to)
        .collect();
    held.sort_unstable();
    let mut end = 0;
    let mut found = 0;
    for (from, to) in held {
        found += usize::from(from < end);
        end = end.max(to);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Operation, owner, start and reply; 0: no reply.
    type Told<'t> = (Act, &'t str, u64, u64);

    fn history(lines: &[Told<'_>]) -> Vec<Operation> {
        let operation = |(act, owner, called, answered): &Told<'_>| Operation {
            act: *act,
            owner: (*owner).to_owned(),
            called: *called,
            answered: (*answered > 0).then_some(*answered),
        };
        lines.iter().map(operation).collect()
    }

    use Act::{Claim, Release, Seen};

    #[test]
    fn what_can_be_so_is_accepted() {
        let good: [&[Told<'_>]; 7] = [
            &[],
            &[(Claim, "a", 1, 2), (Release, "a", 3, 4), (Claim, "b", 5, 6), (Seen, "b", 7, 8)],
            // The claim began before the reply of the other's release.
            &[(Claim, "a", 1, 2), (Release, "a", 3, 9), (Claim, "b", 4, 5)],
            // The replies came in the other order.
            &[(Claim, "b", 1, 9), (Claim, "a", 2, 3), (Release, "a", 4, 5)],
            // The reply of the release was lost: it was done.
            &[(Claim, "a", 1, 2), (Release, "a", 3, 0), (Claim, "b", 8, 9)],
            // The reply of a claim was lost: it was never done.
            &[(Claim, "a", 1, 0), (Claim, "b", 2, 3), (Seen, "b", 8, 9)],
            // It was done late, when the address was free again.
            &[(Claim, "a", 1, 0), (Claim, "b", 2, 3), (Release, "b", 4, 5), (Seen, "a", 8, 9)],
        ];
        for lines in good {
            let history = history(lines);
            assert_eq!((check(&history), duplicates(&history)), (Ok(()), 0));
        }
    }

    #[test]
    fn what_can_t_be_so_is_rejected() {
        let bad: [(&[Told<'_>], usize); 7] = [
            (&[(Claim, "a", 1, 2), (Claim, "b", 3, 4)], 1),
            (&[(Claim, "a", 1, 2), (Claim, "b", 3, 4), (Release, "a", 5, 6)], 1),
            // Overlapping calls change nothing while the address is not released.
            (&[(Claim, "a", 1, 4), (Claim, "b", 2, 3)], 1),
            // It was released before it was read.
            (&[(Claim, "a", 1, 2), (Release, "a", 3, 4), (Seen, "a", 5, 6)], 0),
            // The reply of the second came before the first began its release.
            (&[(Claim, "a", 1, 2), (Claim, "b", 3, 6), (Release, "a", 7, 8)], 1),
            // A lost reply of another owner's claim explains nothing.
            (&[(Claim, "c", 1, 0), (Claim, "a", 1, 2), (Claim, "b", 3, 4)], 1),
            // It was read before anybody claimed it.
            (&[(Seen, "a", 1, 2), (Claim, "a", 3, 4)], 0),
        ];
        for (lines, held_twice) in bad {
            let history = history(lines);
            assert!(check(&history).is_err(), "{lines:?}");
            assert_eq!(duplicates(&history), held_twice, "{lines:?}");
        }
    }

    /// Tries all orders, one after the other.
    fn by_force(operations: &[Operation], done: &mut Vec<usize>, holder: Option<&str>) -> bool {
        let left: Vec<usize> = (0..operations.len()).filter(|at| !done.contains(at)).collect();
        if left.iter().all(|at| operations[*at].answered.is_none()) {
            return true;
        }
        left.iter().any(|at| {
            let operation = &operations[*at];
            if left.iter().any(|other| operations[*other].end() < operation.called) {
                return false;
            }
            let mine = holder == Some(operation.owner.as_str());
            let after = match operation.act {
                Claim if holder.is_none() => Some(operation.owner.as_str()),
                Seen if mine => holder,
                Release if mine => None,
                Release => holder,
                Claim | Seen => return false,
            };
            done.push(*at);
            let found = by_force(operations, done, after);
            done.pop();
            found
        })
    }

    proptest! {
        #[test]
        fn it_says_what_trying_all_orders_says(
            calls in prop::collection::vec((0..3usize, 0..3usize, 0..12u64, 1..6u64, 0..8u32), 0..7)
        ) {
            let acts = [Claim, Release, Seen];
            let history: Vec<Operation> = calls
                .iter()
                .map(|(act, owner, called, takes, lost)| Operation {
                    act: acts[*act],
                    owner: ["a", "b", "c"][*owner].to_owned(),
                    called: *called,
                    answered: (*lost > 0).then_some(called + takes),
                })
                .collect();
            prop_assert_eq!(check(&history).is_ok(), by_force(&history, &mut Vec::new(), None));
        }
    }
}
