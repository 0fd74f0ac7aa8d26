//! The findings of a check of the store, and their repair.

use serde::Serialize;

use super::orphaned_port::OrphanedPort;
use crate::Transaction;

midoform_compiler::named_codes! {
    /// The kind of an inconsistency. Its name is stable.
    pub enum Code {
        /// An attachment was begun and has no port.
        AttachmentUnfinished => "attachment-unfinished",
        /// An attachment's address is claimed by nobody.
        AttachmentWithoutClaim => "attachment-without-claim",
        /// An attachment's port does not exist in MidoNet.
        AttachmentWithoutPort => "attachment-without-port",
        /// An attachment's tenant has no allocations.
        AttachmentWithoutTenant => "attachment-without-tenant",
        /// A claim's attachment does not exist.
        ClaimWithoutAttachment => "claim-without-attachment",
        /// A free address lacks its second key, by which free addresses are found.
        FreeKeyMissing => "free-key-missing",
        /// A claimed address still has the second key of a free one.
        FreeKeyTooMany => "free-key-too-many",
        /// Two pods of a bridge have one MAC address.
        MacHeldTwice => "mac-held-twice",
        /// A pod's own MAC address has no key.
        MacKeyMissing => "mac-key-missing",
        /// A MAC address is held by a pod that does not have it.
        MacWithoutAttachment => "mac-without-attachment",
        /// A port in MidoNet belongs to a pod that is not attached.
        PortWithoutClaim => "port-without-claim",
        /// The reclaim of an address was interrupted.
        ReclaimUnfinished => "reclaim-unfinished",
        /// A record can't be read.
        Unreadable => "unreadable",
    }
}

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind.
    pub code: Code,
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
    pub(super) fn new(code: Code, key: &str, what: String, repair: Option<Transaction>) -> Finding {
        Finding::with(code, key, what, repair.map(Repair::Commit))
    }

    /// Returns a finding that is repaired already.
    pub fn repaired(code: Code, key: &str, what: String) -> Finding {
        Finding { code, key: key.to_owned(), what, safe: true, repaired: true, repair: None }
    }

    pub(super) fn with(code: Code, key: &str, what: String, repair: Option<Repair>) -> Finding {
        Finding { code, key: key.to_owned(), what, safe: repair.is_some(), repaired: false, repair }
    }
}
