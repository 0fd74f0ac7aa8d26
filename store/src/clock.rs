//! The clocks of leases.
//!
//! A lease ends by the time since the machine's boot: this clock goes on while a process is stopped and while the machine
//! sleeps, and nobody sets it. It means nothing on another machine, and nothing after a reboot: there a lease ends by the
//! time of day.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The clock that counts since the boot, with the time that the machine sleeps.
#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// Returns the time since the machine's boot.
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(SINCE_BOOT);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Both clocks at one moment, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Unix time.
    pub(crate) unix: i64,
    /// The time since the machine's boot.
    pub(crate) since_boot: i64,
    /// The boot, and the namespace of its clock; none if it is not known.
    pub(crate) boot: Option<&'static str>,
}

impl Clocks {
    /// Reads both clocks.
    pub(crate) fn now() -> Clocks {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clocks { unix: milliseconds(unix), since_boot: milliseconds(since_boot()), boot: boot() }
    }
}

/// The duration of a lease, and its end by both clocks, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LeaseTime {
    /// The time from a renewal to the end.
    pub(crate) milliseconds: i64,
    /// The end in Unix time.
    pub(crate) ends: i64,
    /// The boot of the other end; empty in a lease of an earlier version.
    #[serde(default)]
    pub(crate) boot: String,
    /// The end in the time since that boot.
    #[serde(default)]
    pub(crate) ends_since_boot: i64,
}

impl LeaseTime {
    /// Returns the time of a lease that begins now.
    pub(crate) fn from_now(milliseconds: i64) -> LeaseTime {
        let now = Clocks::now();
        LeaseTime {
            milliseconds,
            ends: now.unix.saturating_add(milliseconds),
            boot: now.boot.unwrap_or_default().to_owned(),
            ends_since_boot: now.since_boot.saturating_add(milliseconds),
        }
    }

    /// Returns true if the lease has ended.
    pub(crate) fn has_ended(&self, now: Clocks) -> bool {
        match now.boot {
            Some(boot) if boot == self.boot => self.ends_since_boot <= now.since_boot,
            _ => self.ends <= now.unix,
        }
    }
}

/// Returns the boot of this machine, and the namespace of the clock that counts since then.
fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        // A kernel without time namespaces has one clock.
        let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
        Some(format!("{} {}", boot.trim(), namespace.display()))
    };
    BOOT.get_or_init(read).as_deref()
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_this_boot_ends_by_the_time_since_the_boot() {
        let (lease, now) = (LeaseTime::from_now(15_000), Clocks::now());
        let later = |unix: i64, since_boot: i64| Clocks {
            unix: now.unix + unix,
            since_boot: now.since_boot + since_boot,
            ..now
        };
        assert!(!lease.has_ended(later(60_000, 1_000)), "the time of day jumped ahead");
        assert!(lease.has_ended(later(-60_000, 16_000)), "the time of day jumped back");
        let elsewhere = Clocks { boot: Some("another boot"), ..later(16_000, 0) };
        assert!(lease.has_ended(elsewhere));
        let unknown = Clocks { boot: None, ..later(14_000, 99_000) };
        assert!(!lease.has_ended(unknown));
    }

    #[test]
    fn a_lease_of_an_earlier_version_ends_by_the_time_of_day() {
        let lease: LeaseTime = serde_json::from_str(r#"{"milliseconds": 15000, "ends": 20000}"#).unwrap();
        let at = |unix: i64| Clocks { unix, since_boot: 1, boot: Some("a boot") };
        assert!(!lease.has_ended(at(19_999)));
        assert!(lease.has_ended(at(20_000)));
    }
}
