//! The errors that a runtime sees: the specification's JSON document, with its codes and a range of our own.

use std::error::Error;

use midoform_compiler::error_chain::causes;
use serde::Serialize;

/// A CNI error code: the specification has 1 to 99, midonet-cni adds its own from 100 on (`docs/cni.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The CNI version is unknown, or does not have the verb.
    IncompatibleVersion,
    /// The container is unknown: its network namespace does not exist.
    UnknownContainer,
    /// An environment variable is missing or wrong.
    InvalidEnvironment,
    /// A file can't be read or written.
    Io,
    /// Standard input can't be read or decoded.
    Decoding,
    /// The network configuration is wrong.
    InvalidConfiguration,
    /// The API or the store can't be reached now.
    TryAgainLater,
    /// STATUS: no container can be attached now.
    NotAvailable,
    /// STATUS: no container can be attached now, and attached containers may have no network.
    LimitedConnectivity,
    /// A defect of midonet-cni.
    Internal,
    /// The tenant's spec is wrong, or the network is not what the plan needs.
    Tenant,
    /// No address is left, or a limit of the tenant is reached.
    NoAddress,
    /// The requested address belongs to another endpoint, or to no bridge of the tenant.
    AddressRefused,
    /// The API refuses a call.
    ApiRefused,
    /// The kernel refuses a change of the network.
    Netlink,
    /// CHECK: the endpoint is not as ADD made it.
    CheckFailed,
    /// The store refuses access, or holds a value that this program can't read.
    Store,
}

impl Code {
    /// Returns the number in the JSON document.
    pub(crate) fn number(self) -> u32 {
        match self {
            Code::IncompatibleVersion => 1,
            Code::UnknownContainer => 3,
            Code::InvalidEnvironment => 4,
            Code::Io => 5,
            Code::Decoding => 6,
            Code::InvalidConfiguration => 7,
            Code::TryAgainLater => 11,
            Code::NotAvailable => 50,
            Code::LimitedConnectivity => 51,
            Code::Internal => 100,
            Code::Tenant => 101,
            Code::NoAddress => 102,
            Code::AddressRefused => 103,
            Code::ApiRefused => 104,
            Code::Netlink => 105,
            Code::CheckFailed => 106,
            Code::Store => 107,
        }
    }
}

/// The failure of a verb.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CniError {
    pub(crate) code: Code,
    /// One line: what failed.
    pub(crate) message: String,
    /// More about it, and the way out. May be empty.
    pub(crate) hint: String,
    /// The error below, if there is one.
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

impl CniError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        CniError { code, message: message.into(), hint: String::new(), source: None }
    }

    /// Adds more about the error, or the way out.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes the error for a wrong value in the network configuration. The message names the key.
    pub(crate) fn configuration(key: &str, problem: impl std::fmt::Display) -> Self {
        CniError::new(Code::InvalidConfiguration, format!("the network configuration's `{key}` {problem}"))
    }

    /// Makes the error for a file that can't be read or written.
    pub(crate) fn file(path: &std::path::Path, error: std::io::Error) -> Self {
        CniError::new(Code::Io, format!("{} can't be used", path.display())).caused_by(error)
    }

    /// Makes the error for a defect of midonet-cni.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        CniError::new(Code::Internal, message).hint("this is a defect of midonet-cni: please report it")
    }

    /// Returns the document's `details`: the causes, each once, then the hint.
    pub(crate) fn details(&self) -> String {
        let causes: Vec<String> = causes(self).map(ToString::to_string).collect();
        let parts = [causes.join(": "), self.hint.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// Returns message and details in one line, for the log.
    pub(crate) fn in_full(&self) -> String {
        match self.details() {
            details if details.is_empty() => self.message.clone(),
            details => format!("{}: {details}", self.message),
        }
    }

    /// Returns the JSON document for standard output.
    pub(crate) fn document(&self, version: &str) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(rename = "cniVersion")]
            version: &'a str,
            code: u32,
            msg: &'a str,
            #[serde(skip_serializing_if = "String::is_empty")]
            details: String,
        }
        let document =
            Document { version, code: self.code.number(), msg: &self.message, details: self.details() };
        serde_json::to_string(&document).unwrap_or_default()
    }
}

pub(crate) type Result<T> = std::result::Result<T, CniError>;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation says of each code.
    fn meaning(code: Code) -> &'static str {
        match code {
            Code::IncompatibleVersion => "the CNI version is not known, or does not have the verb",
            Code::UnknownContainer => "the network namespace does not exist",
            Code::InvalidEnvironment => {
                "an environment variable is wrong, or an interface of another owner uses the name"
            }
            Code::Io => "a file can't be read or written",
            Code::Decoding => "standard input is no JSON",
            Code::InvalidConfiguration => "the configuration is wrong",
            Code::TryAgainLater => "the API, the store, or another run does not reply in time: try again",
            Code::NotAvailable => "STATUS: no container can be attached now",
            Code::LimitedConnectivity => {
                "STATUS: no container can be attached now, and attached ones may have no network"
            }
            Code::Internal => "a defect of midonet-cni",
            Code::Tenant => {
                "the tenant's spec is wrong, its static ports clash with a pod, or its bridge is not in the engine's network"
            }
            Code::NoAddress => {
                "no address is left, a limit of the tenant is reached, or its bridges are full and its new spec was not applied"
            }
            Code::AddressRefused => {
                "the requested address or MAC address belongs to another endpoint, or the address belongs to no bridge of the tenant"
            }
            Code::ApiRefused => "the API, or a database of OVN, refuses a call",
            Code::Netlink => "the kernel refuses a change of the network",
            Code::CheckFailed => {
                "CHECK: the endpoint is not as ADD made it, or its bridge, the bridge's network or its gateway has changed since"
            }
            Code::Store => "the store is damaged, or of a newer version",
        }
    }

    const ALL: [Code; 17] = [
        Code::IncompatibleVersion,
        Code::UnknownContainer,
        Code::InvalidEnvironment,
        Code::Io,
        Code::Decoding,
        Code::InvalidConfiguration,
        Code::TryAgainLater,
        Code::NotAvailable,
        Code::LimitedConnectivity,
        Code::Internal,
        Code::Tenant,
        Code::NoAddress,
        Code::AddressRefused,
        Code::ApiRefused,
        Code::Netlink,
        Code::CheckFailed,
        Code::Store,
    ];

    #[test]
    fn the_documentation_of_the_codes_is_current() {
        let rows = ALL.map(|code| format!("| {} | {} |\n", code.number(), meaning(code)));
        let text = format!("| Code | Meaning |\n|-|-|\n{}", rows.concat());
        midoform_testutil::documentation::expect_generated("docs/cni.md", &[("error codes", text)]);
    }

    #[test]
    fn details_name_each_cause_once_and_then_the_way_out() {
        let cause = std::io::Error::other("the disk is full");
        let error =
            CniError::new(Code::Io, "the journal can't be written").caused_by(cause).hint("free some space");
        assert_eq!(
            error.document("1.0.0"),
            r#"{"cniVersion":"1.0.0","code":5,"msg":"the journal can't be written","details":"the disk is full; free some space"}"#
        );
        assert_eq!(error.in_full(), "the journal can't be written: the disk is full; free some space");
        assert_eq!(
            CniError::new(Code::Io, "no").document("1.0.0"),
            r#"{"cniVersion":"1.0.0","code":5,"msg":"no"}"#
        );
    }
}
