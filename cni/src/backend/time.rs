//! Deadlines, and the store's clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::error::{CniError, Code, Result};

/// Waits for a future, but no longer than `time`. `what` names the work in the error.
pub(crate) async fn within<T>(
    time: Duration,
    what: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(time, future).await.unwrap_or_else(|_| {
        let message = format!("{what} did not end within {} s", time.as_secs());
        Err(CniError::new(Code::TryAgainLater, message)
            .hint("the API, the store or the kernel does not answer"))
    })
}

/// Returns the time that remains until a deadline. It is never zero, so that a timeout names the work that it waited
/// for.
pub(crate) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(200))
}

/// Returns the current time as the store counts it: milliseconds since 1970.
pub(crate) fn unix_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
