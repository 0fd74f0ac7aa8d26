//! Fault injection: makes chosen requests fail.
//!
//! Clients set faults over `/_faults`, if the server was started with that path. A fault names the requests that it
//! matches (method, path pattern), which of those it strikes (from the nth on, a number of times, or pseudo-randomly by
//! a seed), and the effect. Only the first fault that strikes a request takes effect; every fault counts the requests
//! that it matches. Nothing depends on time or chance: the same faults, seeds and requests give the same failures.

use serde::{Deserialize, Serialize};

/// The effect of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The request is executed after a delay of `milliseconds`.
    Delay,
    /// 503, and the request is not executed.
    UnavailableBefore,
    /// 503, although the request is executed and its change is durable.
    UnavailableAfter,
    /// The connection is reset, and the request is not executed.
    ResetBefore,
    /// The connection is reset, although the request is executed and its change is durable.
    ResetAfter,
    /// The server sends half of the response's body, and nothing after it.
    StalledBody,
    /// The server sends half of the response's body, and closes the connection.
    TruncatedBody,
    /// 500 with the real server's message, and the request is not executed.
    InternalError,
    /// The request's token is invalid from this request on.
    TokenDies,
}

/// A fault: the requests that it matches, those of them that it strikes, and its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The effect of a fault.
    pub fault: FaultKind,
    /// The HTTP method, or `*` for all methods.
    #[serde(default = "any")]
    pub method: String,
    /// The path below `/midonet-api`: `*` stands for one segment, `**` at the end for any number of them.
    #[serde(default = "all")]
    pub path: String,
    /// The number of the first matching request that it may strike, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// The number of requests that it strikes; 0 for no limit.
    #[serde(default = "one")]
    pub times: u64,
    /// The probability of striking a matching request, in thousandths.
    #[serde(default = "always")]
    pub per_mille: u64,
    /// The seed of the pseudo-random choice when `per_mille` is below 1000.
    #[serde(default)]
    pub seed: u64,
    /// The delay in milliseconds.
    #[serde(default)]
    pub milliseconds: u64,
}

fn any() -> String {
    "*".to_owned()
}

fn all() -> String {
    "/**".to_owned()
}

const fn one() -> u64 {
    1
}

const fn always() -> u64 {
    1000
}

impl Fault {
    /// Returns what is wrong with the fault, if anything.
    fn problem(&self) -> Option<String> {
        if !self.path.starts_with('/') {
            Some(format!("the path {:?} must start with a slash", self.path))
        } else if self.nth == 0 {
            Some("nth must be at least 1".to_owned())
        } else if self.per_mille > 1000 {
            Some("per_mille must be at most 1000".to_owned())
        } else if self.milliseconds > 600_000 {
            Some("milliseconds must be at most 600000".to_owned())
        } else {
            None
        }
    }

    fn is_for(&self, method: &str, path: &str) -> bool {
        (self.method == "*" || self.method.eq_ignore_ascii_case(method)) && matches(&self.path, path)
    }
}

/// Tells whether a path matches a pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let mut pattern_segments = pattern.split('/').filter(|segment| !segment.is_empty());
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    loop {
        match (pattern_segments.next(), segments.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(expected), Some(segment)) if expected == segment => {}
            _ => return false,
        }
    }
}

/// A fault that is set, with its counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ActiveFault {
    id: u64,
    #[serde(flatten)]
    fault: Fault,
    /// The number of requests that it matched.
    matched: u64,
    /// The number of requests that it struck.
    struck: u64,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<ActiveFault>,
    last_id: u64,
}

impl Faults {
    /// Sets a fault after those that are set already, and returns its id.
    pub(crate) fn add(&mut self, fault: Fault) -> Result<u64, String> {
        if let Some(problem) = fault.problem() {
            return Err(problem);
        }
        self.last_id += 1;
        self.active.push(ActiveFault { id: self.last_id, fault, matched: 0, struck: 0 });
        Ok(self.last_id)
    }

    /// Removes one fault, or all of them; returns true if there was any.
    pub(crate) fn remove(&mut self, id: Option<u64>) -> bool {
        let before = self.active.len();
        self.active.retain(|set| id.is_some_and(|id| set.id != id));
        before != self.active.len()
    }

    pub(crate) fn all(&self) -> &[ActiveFault] {
        &self.active
    }

    /// Returns the fault that strikes a request, if one does.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Option<Fault> {
        let mut struck = None;
        for set in &mut self.active {
            if !set.fault.is_for(method, path) {
                continue;
            }
            set.matched += 1;
            let left = set.fault.times == 0 || set.struck < set.fault.times;
            let drawn = draw(set.fault.seed, set.matched) % 1000 < set.fault.per_mille;
            if struck.is_none() && left && drawn && set.matched >= set.fault.nth {
                set.struck += 1;
                struck = Some(set.fault.clone());
            }
        }
        struck
    }
}

/// Returns a pseudo-random number from a seed and a count (SplitMix64).
fn draw(seed: u64, count: u64) -> u64 {
    let mut z = seed.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn patterns_match_segments() {
        for (pattern, path, wanted) in [
            ("/**", "/", true),
            ("/**", "/routers/x", true),
            ("/routers", "/routers/", true),
            ("/routers", "/routers/x", false),
            ("/routers/*", "/routers/x", true),
            ("/routers/*/ports", "/routers/x/ports", true),
            ("/routers/*/ports", "/bridges/x/ports", false),
            ("/routers/**", "/routers/x/ports", true),
            ("/*/*/ports", "/bridges/x/ports", true),
            ("/*", "/", false),
        ] {
            assert_eq!(matches(pattern, path), wanted, "{pattern} {path}");
        }
    }

    #[test]
    fn a_fault_strikes_from_the_nth_match_on() {
        let mut faults = Faults::default();
        let id =
            faults.add(fault(r#"{"fault": "reset-after", "method": "post", "nth": 3, "times": 2}"#)).unwrap();
        let struck: Vec<bool> = (0..6).map(|_| faults.strike("POST", "/routers").is_some()).collect();
        assert_eq!(struck, [false, false, true, true, false, false]);
        assert_eq!(faults.strike("GET", "/routers"), None);
        assert!(faults.remove(Some(id)));
        assert!(!faults.remove(None));
    }

    #[test]
    fn the_same_seed_gives_the_same_failures() {
        let run = |seed: u64| -> Vec<bool> {
            let mut faults = Faults::default();
            let text = format!(r#"{{"fault": "delay", "times": 0, "per_mille": 300, "seed": {seed}}}"#);
            faults.add(fault(&text)).unwrap();
            (0..1000).map(|_| faults.strike("GET", "/").is_some()).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let share = run(7).iter().filter(|struck| **struck).count();
        assert!((200..400).contains(&share), "{share}");
    }

    #[test]
    fn invalid_faults_are_refused() {
        let mut faults = Faults::default();
        for bad in [
            r#"{"fault": "delay", "path": "routers"}"#,
            r#"{"fault": "delay", "nth": 0}"#,
            r#"{"fault": "delay", "per_mille": 1001}"#,
            r#"{"fault": "delay", "milliseconds": 600001}"#,
        ] {
            assert!(faults.add(fault(bad)).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Fault>(r#"{"fault": "explode"}"#).is_err());
        assert!(serde_json::from_str::<Fault>(r#"{"fault": "delay", "colour": 1}"#).is_err());
    }
}
