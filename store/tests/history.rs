//! Whether what several saw of one address can be so: a history of calls is accepted if there is an order of them,
//! each at one moment between its call and its answer, in which an address is only claimed while nobody holds it.
//!
//! The search is Wing and Gong's with Lowe's memory of what was tried. A call whose answer was lost may have happened
//! at any time since, or never.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

/// What was done to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// It was free, and is this owner's.
    Claim,
    /// It is not this owner's any more.
    Release,
    /// It was seen to be this owner's.
    Seen,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) act: Act,
    pub(crate) owner: String,
    /// When it was made, on a clock that all share.
    pub(crate) called: u64,
    /// When its answer came; none: nobody knows whether it was done.
    pub(crate) answered: Option<u64>,
}

impl Operation {
    fn end(&self) -> u64 {
        self.answered.unwrap_or(u64::MAX)
    }
}

/// What is done, as far as it is not simply everything up to some place; and who holds the address.
type State = (usize, BTreeSet<usize>, Option<usize>);

struct Search {
    /// In the order of their calls, with the owner as a number.
    operations: Vec<(Operation, usize)>,
    tried: HashSet<State>,
}

impl Search {
    /// Those that may come next: called before any that is not done was answered, and possible.
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

    /// Whether all that was answered is done.
    fn is_over(&self, (first, done, _): &State) -> bool {
        let left = self.operations.iter().enumerate().skip(*first);
        left.filter(|(at, _)| !done.contains(at)).all(|(_, (operation, _))| operation.answered.is_none())
    }
}

/// Accepts a history of one address, which was free before it; else says how far an order goes.
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

/// How often an address was held by two at once beyond all doubt: both were answered, and neither had let it go.
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

    /// What was done, by whom, when it was called and when answered; 0: never.
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
            // The claim's call was made before the other's release was answered.
            &[(Claim, "a", 1, 2), (Release, "a", 3, 9), (Claim, "b", 4, 5)],
            // Answered in the other order.
            &[(Claim, "b", 1, 9), (Claim, "a", 2, 3), (Release, "a", 4, 5)],
            // The answer of the release was lost: it was done.
            &[(Claim, "a", 1, 2), (Release, "a", 3, 0), (Claim, "b", 8, 9)],
            // The answer of a claim was lost: it was never done.
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
            // Overlapping calls help neither, where nobody lets it go.
            (&[(Claim, "a", 1, 4), (Claim, "b", 2, 3)], 1),
            // It was let go before it was seen.
            (&[(Claim, "a", 1, 2), (Release, "a", 3, 4), (Seen, "a", 5, 6)], 0),
            // The second was answered before the first began to let it go.
            (&[(Claim, "a", 1, 2), (Claim, "b", 3, 6), (Release, "a", 7, 8)], 1),
            // A lost answer of another's claim explains nothing.
            (&[(Claim, "c", 1, 0), (Claim, "a", 1, 2), (Claim, "b", 3, 4)], 1),
            // Seen before anybody asked for it.
            (&[(Seen, "a", 1, 2), (Claim, "a", 3, 4)], 0),
        ];
        for (lines, held_twice) in bad {
            let history = history(lines);
            assert!(check(&history).is_err(), "{lines:?}");
            assert_eq!(duplicates(&history), held_twice, "{lines:?}");
        }
    }

    /// All orders, one after the other.
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
