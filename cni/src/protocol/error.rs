//! The errors that a runtime sees: the specification's JSON, with its codes and a range of our own.

use serde::Serialize;

/// A CNI error code: those of the specification (1 to 99), and midonet-cni's own from 100 on (`docs/cni.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The version asked for is not known, or the verb does not exist in it.
    IncompatibleVersion,
    /// Nothing is known about the container: there is no such network namespace.
    UnknownContainer,
    /// An environment variable is missing or wrong.
    InvalidEnvironment,
    /// A file, or the kernel, refuses.
    Io,
    /// What came on standard input can't be read.
    Decoding,
    /// The network configuration is wrong.
    InvalidConfiguration,
    /// The API or the store can't be reached now.
    TryAgainLater,
    /// STATUS: nothing can be attached now.
    NotAvailable,
    /// STATUS: nothing can be attached now, and what is attached may have no network.
    LimitedConnectivity,
    /// A defect of midonet-cni.
    Internal,
    /// The tenant's spec is wrong, or the network is not what the plan needs.
    Tenant,
    /// No address is left, or the tenant's limit is reached.
    NoAddress,
    /// The address that was asked for belongs to another, or to no bridge of the tenant.
    AddressRefused,
    /// The API refuses a call.
    ApiRefused,
    /// The kernel refuses a change of the network.
    Netlink,
    /// CHECK: something is not as ADD made it.
    CheckFailed,
    /// The store refuses, or holds what can't be understood.
    Store,
}

impl Code {
    /// The number on the wire.
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

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}{details}", if details.is_empty() { "" } else { ": " })]
pub(crate) struct CniError {
    pub(crate) code: Code,
    /// One line.
    pub(crate) message: String,
    /// What stands behind it, and what to do.
    pub(crate) details: String,
}

impl CniError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        CniError { code, message: message.into(), details: String::new() }
    }

    #[must_use]
    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// A wrong configuration: names the key.
    pub(crate) fn configuration(key: &str, problem: impl std::fmt::Display) -> Self {
        CniError::new(Code::InvalidConfiguration, format!("the network configuration's `{key}` {problem}"))
    }

    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        CniError::new(Code::Io, format!("{}: {error}", path.display()))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        CniError::new(Code::Internal, message).details("this is a defect of midonet-cni: please report it")
    }

    /// The document that goes to standard output.
    pub(crate) fn document(&self, version: &str) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(rename = "cniVersion")]
            version: &'a str,
            code: u32,
            msg: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            details: &'a str,
        }
        let document =
            Document { version, code: self.code.number(), msg: &self.message, details: &self.details };
        serde_json::to_string(&document).unwrap_or_default()
    }
}

pub(crate) type Result<T> = std::result::Result<T, CniError>;
