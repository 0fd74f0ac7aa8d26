//! The counts of a client's calls.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a client's calls, by kind.
#[derive(Debug, Default)]
pub struct Statistics {
    pub(super) calls: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) confirmed: AtomicU64,
}

/// [`Statistics`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Calls that were sent, or attempted.
    pub calls: u64,
    /// Calls that were retries.
    pub retries: u64,
    /// Calls that the server turned away because it was busy (429, 503).
    pub turned_away: u64,
    /// POSTs whose response was lost, and that were executed.
    pub confirmed: u64,
}

impl Statistics {
    /// Returns the counts.
    pub fn counts(&self) -> Counts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts {
            calls: read(&self.calls),
            retries: read(&self.retries),
            turned_away: read(&self.turned_away),
            confirmed: read(&self.confirmed),
        }
    }
}
