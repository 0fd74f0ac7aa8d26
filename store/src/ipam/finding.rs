//! The findings of a check of the store, and their repair.

use serde::Serialize;

use super::orphaned_port::OrphanedPort;
use crate::Transaction;

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind: `claim-without-attachment`, `attachment-without-claim`, `attachment-without-tenant`,
    /// `free-key-missing`, `free-key-too-many`, `mac-without-attachment`, `mac-held-twice`, `mac-key-missing`,
    /// `reclaim-unfinished`, `unreadable`; with MidoNet's ports ([`super::ports`])
    /// `attachment-without-port`, `attachment-unfinished`, `port-without-claim`.
    pub code: &'static str,
    /// The key.
    pub key: String,
    /// The description.
    pub what: String,
    /// True if a repair is possible; otherwise somebody has to look.
    pub safe: bool,
    /// True if it was repaired.
    pub repaired: bool,
    #[serde(skip)]
    pub(super) repair: Option<Repair>,
}

/// The repair of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// A commit to the store, if the keys are unchanged.
    Commit(Transaction),
    /// The deletion of a port in MidoNet.
    Port(Box<OrphanedPort>),
}

impl Finding {
    pub(super) fn new(code: &'static str, key: &str, what: String, repair: Option<Transaction>) -> Finding {
        Finding::with(code, key, what, repair.map(Repair::Commit))
    }

    pub(super) fn with(code: &'static str, key: &str, what: String, repair: Option<Repair>) -> Finding {
        Finding { code, key: key.to_owned(), what, safe: repair.is_some(), repaired: false, repair }
    }
}
