//! All questions of all tenants: what is alike is asked once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::questions::{Answers, Subject, ask, ask_provider, groups};
use super::shape::alike;

/// Asks everything about all tenants, on so many threads. `done` is told how many more tenants have their answers.
/// Whatever the number of threads, violations come by question, and in the order of the tenants.
pub fn ask_all(subject: Subject<'_>, threads: usize, done: &(dyn Fn(usize) + Sync)) -> Answers {
    let groups = groups(subject.topology);
    let alike = alike(subject, &groups);
    let firsts = alike.iter().filter_map(|same| same.first().copied()).collect();
    let mut found = ask_each(subject, &groups, firsts, threads, done);
    // What is wrong with the first of some is asked of each, for its own packets and lines.
    let (mut proven, mut others) = (0, Vec::new());
    for (same, (_, answers)) in alike.iter().zip(&found) {
        let rest = same.get(1..).unwrap_or_default();
        match answers.violations.is_empty() && answers.unproven.is_empty() {
            true => proven += rest.iter().filter_map(|at| groups.get(*at)).map(BTreeSet::len).sum::<usize>(),
            false => others.extend(rest),
        }
    }
    done(proven);
    found.extend(ask_each(subject, &groups, others, threads, done));
    found.sort_by_key(|(at, _)| *at);
    let mut all = Answers { violations: ask_provider(subject.topology), unproven: Vec::new() };
    for (_, answers) in found {
        all.violations.extend(answers.violations);
        all.unproven.extend(answers.unproven);
    }
    all.violations.sort_by_key(|violation| violation.question);
    all
}

/// Asks about these groups; the answers come in their order.
fn ask_each(
    subject: Subject<'_>,
    groups: &[BTreeSet<&str>],
    asked: Vec<usize>,
    threads: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<(usize, Answers)> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Answers)>> = Mutex::new(Vec::with_capacity(asked.len()));
    let work = || {
        while let Some(place) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(group) = groups.get(*place) else { continue };
            let answers = ask(subject, group);
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*place, answers));
            done(group.len());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, asked.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|(place, _)| *place);
    found
}
