//! The errors of etcd's client as errors of a store: decided by their codes, never by their texts.

use etcd_client::Error;

use super::tls;
use crate::StoreError;

/// The codes of gRPC that are handled here (`google.rpc.Code`).
mod code {
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const ABORTED: i32 = 10;
    pub(super) const INTERNAL: i32 = 13;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// The longest request that every member takes, in bytes (etcd's `--max-request-bytes`).
const LARGEST_REQUEST: usize = 1_572_864;

/// The kind of a call. The meaning of an error depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// It changes nothing that matters: it can be made again.
    Read,
    /// It may have been executed although the reply was lost. The length of its keys and values, in bytes.
    Commit(usize),
}

/// Returns the error of a call that got no reply.
pub(super) fn unanswered(name: &str, call: Call, cause: String) -> StoreError {
    let store = name.to_owned();
    match call {
        Call::Read => StoreError::Unreachable { store, cause },
        Call::Commit(_) => StoreError::Uncertain { store, cause },
    }
}

/// Returns the store's error for an error of the client.
pub(super) fn store_error(name: &str, call: Call, error: &Error) -> StoreError {
    let store = name.to_owned();
    let Error::GRpcStatus(status) = error else {
        return match error {
            Error::TransportError(cause) => unanswered(name, call, cause.to_string()),
            Error::IoError(cause) => unanswered(name, call, cause.to_string()),
            other => StoreError::Failed { store, cause: other.to_string() },
        };
    };
    let (cause, is_untrusted) = tls::words(status.message(), status);
    if is_untrusted {
        return StoreError::Refused { store, cause };
    }
    match i32::from(status.code()) {
        code::UNAUTHENTICATED | code::PERMISSION_DENIED => StoreError::Refused { store, cause },
        // A read is never wrong in itself: with this code etcd refuses a wrong login, or a call without a required
        // login.
        code::INVALID_ARGUMENT if call == Call::Read => StoreError::Refused { store, cause },
        // An error of the connection has a source. The error of an overloaded or full member has none.
        code::RESOURCE_EXHAUSTED if is_of_connection(error) => unanswered(name, call, cause),
        code::RESOURCE_EXHAUSTED if !is_too_long(call) => StoreError::Exhausted { store, cause },
        code::CANCELLED
        | code::UNKNOWN
        | code::DEADLINE_EXCEEDED
        | code::ABORTED
        | code::INTERNAL
        | code::UNAVAILABLE => unanswered(name, call, cause),
        _ => StoreError::Failed { store, cause },
    }
}

fn is_too_long(call: Call) -> bool {
    matches!(call, Call::Commit(length) if length > LARGEST_REQUEST)
}

/// Returns true if the error comes from the connection, not from a member.
pub(super) fn is_of_connection(error: &Error) -> bool {
    match error {
        Error::TransportError(_) | Error::IoError(_) => true,
        Error::GRpcStatus(status) => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

/// Returns true if a call failed because its lease has ended. Nothing else that these calls name can be missing.
pub(super) fn is_ended_lease(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if i32::from(status.code()) == code::NOT_FOUND)
}
