//! The limit for calls in progress: lower when the server refuses calls (429) or gets slow, and higher again step by step. It is
//! a pure function of the observed calls.

use std::time::Duration;

/// The factor by which a server may get slower than at its best before the limit is lowered.
const SLOWER: f64 = 4.0;

/// A limit that adapts to the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrency {
    most: f64,
    now: f64,
    /// The duration of a call, smoothed, and its lowest value.
    latency: Option<f64>,
    best: f64,
    /// The number of calls that must end before the limit is lowered again: those that began under the old one.
    patience: f64,
}

impl Concurrency {
    /// Returns a limit that starts at `most`, and never exceeds it.
    pub fn new(most: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a limit is small")]
        let most = most.max(1) as f64;
        Concurrency { most, now: most, latency: None, best: f64::INFINITY, patience: 0.0 }
    }

    /// Returns the number of calls that may be in progress.
    pub fn limit(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 1 and a small number"
        )]
        let limit = self.now as usize;
        limit.max(1)
    }

    /// Takes note of a call that ended after this time. `turned_away`: the server was busy (429, 503) at some attempt.
    pub fn ended(&mut self, took: Duration, turned_away: bool) {
        self.patience = (self.patience - 1.0).max(0.0);
        let took = took.as_secs_f64();
        let latency = self.latency.map_or(took, |before| before * 0.8 + took * 0.2);
        // A call that was turned away tells nothing about the duration of calls.
        if !turned_away {
            self.latency = Some(latency);
            // If the server stays slow, the lowest duration slowly rises to it.
            self.best = (self.best * 1.01).min(latency);
        }
        let slow = latency > self.best * SLOWER && latency > 0.05;
        if (turned_away || slow) && self.patience <= 0.0 {
            self.now = (self.now / if turned_away { 2.0 } else { 1.25 }).max(1.0);
            self.patience = self.now;
        } else if !turned_away && !slow {
            self.now = (self.now + 1.0 / self.now).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(10);

    #[test]
    fn calls_that_are_turned_away_halve_it_once_a_round() {
        let mut limit = Concurrency::new(16);
        limit.ended(FAST, true);
        assert_eq!(limit.limit(), 8);
        // The seven other calls in progress were turned away as well.
        (0..7).for_each(|_| limit.ended(FAST, true));
        assert_eq!(limit.limit(), 8);
        (0..200).for_each(|_| limit.ended(FAST, true));
        assert_eq!(limit.limit(), 1);
    }

    #[test]
    fn it_grows_again_and_not_too_far() {
        let mut limit = Concurrency::new(4);
        (0..50).for_each(|_| limit.ended(FAST, true));
        assert_eq!(limit.limit(), 1);
        (0..100).for_each(|_| limit.ended(FAST, false));
        assert_eq!(limit.limit(), 4);
    }

    #[test]
    fn a_server_that_gets_slow_is_asked_less() {
        let mut limit = Concurrency::new(8);
        (0..20).for_each(|_| limit.ended(FAST, false));
        (0..100).for_each(|_| limit.ended(Duration::from_millis(500), false));
        assert_eq!(limit.limit(), 1);
        // A fast server that gets three times as slow is still fast.
        let mut limit = Concurrency::new(8);
        (0..20).for_each(|_| limit.ended(Duration::from_millis(1), false));
        (0..100).for_each(|_| limit.ended(Duration::from_millis(30), false));
        assert_eq!(limit.limit(), 8);
    }
}
