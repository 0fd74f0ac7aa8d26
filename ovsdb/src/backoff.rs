//! The pauses between rounds of connection attempts.

use std::time::Duration;

/// The limit of all pauses.
const DAY: Duration = Duration::from_secs(86_400);

/// The pauses between rounds of connection attempts: the first is `first`, and each is twice as long as the one before, up
/// to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Returns 100 ms to 5 s.
    fn default() -> Self {
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// Returns the pause after this number of failed rounds. `jitter`, from 0 to 1, spreads clients that lost their server
    /// at the same time: it removes at most half.
    pub fn pause(&self, failures: u32, jitter: f64) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.longest).min(DAY);
        whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|failures| backoff.pause(failures, 1.0).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.pause(1, 0.0), Duration::from_millis(50));
        assert_eq!(backoff.pause(u32::MAX, 7.0), Duration::from_secs(5));
        let endless = Backoff { first: Duration::MAX, longest: Duration::MAX };
        assert_eq!(endless.pause(u32::MAX, 1.0), DAY);
    }
}
