//! When a call is worth repeating: a pure function of what came back.

use std::time::Duration;

use midoform_compiler::plan::Method;

/// How a call ended, as far as repeating it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was sent: the connection could not be made.
    NotSent,
    /// It was sent, and no complete answer came back: nobody knows whether it happened.
    AnswerLost,
    /// This status came back.
    Status(u16),
}

/// How often a call is tried at most.
pub const MOST_TRIES: u32 = 4;

/// How long to wait before the next try, or nothing where trying again is wrong or useless. `tries` counts
/// those that were made. A POST that may have happened is never repeated: what it made has to be looked for.
pub fn wait_before_retry(method: Method, outcome: Outcome, tries: u32) -> Option<Duration> {
    if tries >= MOST_TRIES {
        return None;
    }
    let repeatable = match outcome {
        Outcome::NotSent | Outcome::Status(429) => true,
        Outcome::AnswerLost | Outcome::Status(500..=599) => matches!(method, Method::Get),
        Outcome::Status(_) => false,
    };
    repeatable.then(|| Duration::from_millis(100 << (2 * (tries.max(1) - 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_that_may_have_happened_is_not_repeated() {
        assert_eq!(wait_before_retry(Method::Post, Outcome::AnswerLost, 1), None);
        assert_eq!(wait_before_retry(Method::Post, Outcome::Status(503), 1), None);
        assert!(wait_before_retry(Method::Post, Outcome::NotSent, 1).is_some());
    }

    #[test]
    fn a_get_is_repeated_with_growing_waits_and_not_for_ever() {
        let waits: Vec<_> =
            (1..).map_while(|n| wait_before_retry(Method::Get, Outcome::Status(500), n)).collect();
        assert_eq!(waits.iter().map(Duration::as_millis).collect::<Vec<_>>(), [100, 400, 1600]);
        assert_eq!(wait_before_retry(Method::Get, Outcome::Status(404), 1), None);
    }
}
