//! Runs all checks of all tenants; groups that are alike are verified once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::checks::{check_group_on, check_provider, groups};
use super::report::{Subject, Verification};
use super::shape::alike;

/// Runs all checks of all tenants, on this number of threads. `done` gets the number of tenants that are finished.
/// Violations are sorted by check, then by tenant, for any number of threads.
pub fn check_all(subject: Subject<'_>, threads: usize, done: &(dyn Fn(usize) + Sync)) -> Verification {
    let groups = groups(subject.topology);
    let alike = alike(subject, &groups);
    let firsts = alike.iter().filter_map(|same| same.first().copied()).collect();
    let mut found = check_each(subject, &groups, firsts, threads, done);
    // If the first of a shape has violations, each group is verified, for its own packets and lines.
    let (mut proven, mut others) = (0, Vec::new());
    for (same, (_, report)) in alike.iter().zip(&found) {
        let rest = same.get(1..).unwrap_or_default();
        match report.violations.is_empty() && report.unproven.is_empty() {
            true => proven += rest.iter().filter_map(|at| groups.get(*at)).map(BTreeSet::len).sum::<usize>(),
            false => others.extend(rest),
        }
    }
    done(proven);
    found.extend(check_each(subject, &groups, others, threads, done));
    found.sort_by_key(|(at, _)| *at);
    let mut all = Verification { violations: check_provider(subject.topology), unproven: Vec::new() };
    for (_, report) in found {
        all.violations.extend(report.violations);
        all.unproven.extend(report.unproven);
    }
    all.violations.sort_by_key(|violation| violation.check);
    all
}

/// Verifies these groups; the results come in their order.
fn check_each(
    subject: Subject<'_>,
    groups: &[BTreeSet<&str>],
    asked: Vec<usize>,
    threads: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<(usize, Verification)> {
    // Threads that have no group of their own help with one.
    let each = (threads / asked.len().max(1)).max(1);
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Verification)>> = Mutex::new(Vec::with_capacity(asked.len()));
    let work = || {
        while let Some(place) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(group) = groups.get(*place) else { continue };
            let report = check_group_on(each, subject, group);
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*place, report));
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
