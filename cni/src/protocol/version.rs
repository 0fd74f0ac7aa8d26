//! The versions of the CNI specification, and the result of VERSION.

use serde_json::json;

use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Verb;

/// A version of the CNI specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V0_1_0,
    V0_2_0,
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    pub(crate) const ALL: [Version; 7] = [
        Version::V0_1_0,
        Version::V0_2_0,
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];

    pub(crate) const NEWEST: Version = Version::V1_1_0;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Version::V0_1_0 => "0.1.0",
            Version::V0_2_0 => "0.2.0",
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    /// Returns the version of this name. An empty name is 0.1.0, as in the reference implementation.
    pub(crate) fn parse(text: &str) -> Result<Version> {
        if text.is_empty() {
            return Ok(Version::V0_1_0);
        }
        let found = Version::ALL.into_iter().find(|version| version.as_str() == text);
        found.ok_or_else(|| {
            let known = Version::ALL.map(Version::as_str).join(", ");
            CniError::new(Code::IncompatibleVersion, format!("CNI version `{text}` is not supported"))
                .hint(format!("midonet-cni supports {known}"))
        })
    }

    /// Fails if this version does not have the verb.
    pub(crate) fn check_verb(self, verb: Verb) -> Result<()> {
        let since = match verb {
            Verb::Add | Verb::Del | Verb::Version => Version::V0_1_0,
            Verb::Check => Version::V0_4_0,
            Verb::Gc | Verb::Status => Version::V1_1_0,
        };
        if self >= since {
            return Ok(());
        }
        let message = format!(
            "{} needs CNI version {}, and this network's configuration has {}",
            verb.name(),
            since.as_str(),
            self.as_str()
        );
        Err(CniError::new(Code::IncompatibleVersion, message))
    }
}

/// Returns the result of VERSION. A runtime often sends nothing, or an environment of dummy values.
pub(crate) fn document(standard_input: &str) -> String {
    let asked = serde_json::from_str::<serde_json::Value>(standard_input).ok();
    let asked = asked.as_ref().and_then(|asked| asked.get("cniVersion")).and_then(serde_json::Value::as_str);
    let version = asked.filter(|asked| !asked.is_empty()).unwrap_or(Version::NEWEST.as_str());
    json!({ "cniVersion": version, "supportedVersions": Version::ALL.map(Version::as_str) }).to_string()
}
