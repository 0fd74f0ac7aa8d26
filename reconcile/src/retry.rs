//! The policy for retries: a pure function of a call's outcome.

use std::time::Duration;

use midoform_compiler::plan::Method;

/// The outcome of a call, as far as retries depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection could not be made. Nothing was sent.
    NotSent,
    /// The call was sent, and no complete response came back. It may have been executed.
    AnswerLost,
    /// The server returned this status.
    Status(u16),
    /// The lock on the tenants was lost. Nothing was sent.
    LockLost,
}

/// The decision after a call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Retry after this time.
    Again(Duration),
    /// After this time, check whether the call was executed, and retry if it was not.
    LookFirst(Duration),
    /// Return the error.
    GiveUp,
}

/// The limit for the number of attempts.
pub const MOST_TRIES: u32 = 6;
/// The longest time from a server's `Retry-After` that is waited.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Returns the decision. `tries` is the number of attempts so far. `jitter`, from 0 to 1, spreads clients that failed
/// at the same time. A POST that may have been executed is not simply repeated, since this could create a second
/// object: the client first checks whether the object exists. A PUT or a DELETE has the same effect when it is
/// repeated.
pub fn next(
    method: Method,
    outcome: Outcome,
    tries: u32,
    retry_after: Option<Duration>,
    jitter: f64,
) -> Decision {
    if tries >= MOST_TRIES {
        return Decision::GiveUp;
    }
    let wait = backoff(tries, jitter).max(retry_after.unwrap_or_default().min(LONGEST_WAIT));
    match outcome {
        // The server refused the call before it did anything.
        Outcome::NotSent | Outcome::Status(429) => Decision::Again(wait),
        // 1.x also returns 500 for a call that it executed before (the recordings' notes, 2). So a status from 500 on
        // does not show whether the call was executed.
        Outcome::AnswerLost | Outcome::Status(500..=599) => match method {
            Method::Post => Decision::LookFirst(wait),
            Method::Get | Method::Put | Method::Delete => Decision::Again(wait),
        },
        Outcome::Status(_) | Outcome::LockLost => Decision::GiveUp,
    }
}

/// Returns the pause: 100 ms, and three times as long after each attempt, of which `jitter` removes at most half.
fn backoff(tries: u32, jitter: f64) -> Duration {
    let whole = 100.0 * 3_f64.powi(i32::try_from(tries.saturating_sub(1)).unwrap_or(0));
    Duration::from_secs_f64(whole.min(5_000.0) * (0.5 + jitter.clamp(0.0, 1.0) / 2.0) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(method: Method, outcome: Outcome, tries: u32) -> Decision {
        next(method, outcome, tries, None, 1.0)
    }

    #[test]
    fn a_post_that_may_have_happened_is_looked_for_first() {
        for outcome in [Outcome::AnswerLost, Outcome::Status(500), Outcome::Status(503)] {
            assert!(matches!(decide(Method::Post, outcome, 1), Decision::LookFirst(_)));
            for method in [Method::Get, Method::Put, Method::Delete] {
                assert!(matches!(decide(method, outcome, 1), Decision::Again(_)));
            }
        }
        assert!(matches!(decide(Method::Post, Outcome::NotSent, 1), Decision::Again(_)));
        assert!(matches!(decide(Method::Post, Outcome::Status(429), 1), Decision::Again(_)));
    }

    #[test]
    fn a_refusal_is_final() {
        for status in [400, 401, 403, 404, 405, 406, 409, 415] {
            assert_eq!(decide(Method::Post, Outcome::Status(status), 1), Decision::GiveUp);
        }
        assert_eq!(decide(Method::Get, Outcome::LockLost, 1), Decision::GiveUp);
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<u128> = (1..)
            .map_while(|tries| match decide(Method::Get, Outcome::Status(500), tries) {
                Decision::Again(wait) => Some(wait.as_millis()),
                _ => None,
            })
            .collect();
        assert_eq!(waits, [100, 300, 900, 2700, 5000]);
        let half = next(Method::Get, Outcome::NotSent, 1, None, 0.0);
        assert_eq!(half, Decision::Again(Duration::from_millis(50)));
    }

    #[test]
    fn the_server_s_wish_counts_within_reason() {
        let wish =
            |seconds| next(Method::Put, Outcome::Status(503), 1, Some(Duration::from_secs(seconds)), 0.0);
        assert_eq!(wish(2), Decision::Again(Duration::from_secs(2)));
        assert_eq!(wish(86_400), Decision::Again(Duration::from_secs(60)));
    }
}
