//! The store, and the API with its version and its clock.

use std::time::{Duration, SystemTime};

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::error_chain::in_one_line;
use midoform_reconcile::client::Client;

use super::Finding;
use crate::allocation_state::AllocationState;
use crate::error::CommandError;

const STORE: &str = "store";
const API: &str = "API";
const CLOCK: &str = "clock";

/// The greatest difference between two clocks that harms nothing: tokens and leases last longer.
const TOLERATED: Duration = Duration::from_secs(5);

/// Judges the store: whether its allocations can be read.
pub(crate) async fn store(state: &AllocationState) -> Finding {
    let shown = state.shown();
    let read = async {
        let known = state.known().await?.allocations(&mut Diagnostics::default());
        known.ok_or_else(|| CommandError::Conflict(format!("{shown} is damaged")))
    };
    match read.await {
        Ok(known) => {
            Finding::right(STORE, format!("{shown} has the allocations of {} tenants", known.tenants.len()))
        }
        Err(error) => Finding::wrong(
            STORE,
            in_one_line(&error),
            match state.is_remote() {
                true => "start etcd, or correct `[etcd]` in the site file and the login in the environment",
                false => "`midoform lock` says more; a file can be restored from version control or a backup",
            },
        ),
    }
}

/// Judges an API to which there is no connection.
pub(crate) fn no_api(error: &CommandError) -> Finding {
    let advice = "correct `[midonet] url` and `version` in the site file, or the login (docs/login.md)";
    Finding::wrong(API, in_one_line(error), advice)
}

/// Judges the API and its clock.
pub(crate) async fn api(client: &Client, url: &str) -> Vec<Finding> {
    let api = match client.version().await {
        Ok(version) => Finding::right(API, format!("{url} is MidoNet {version}")),
        Err(error) => Finding::wrong(API, in_one_line(&error), "start the API, or correct its URL"),
    };
    vec![api, clock(client).await]
}

async fn clock(client: &Client) -> Finding {
    let theirs = match client.time().await {
        Ok(Some(theirs)) => theirs,
        Ok(None) => return Finding::skipped(CLOCK, "the API does not tell its time"),
        Err(error) => return Finding::skipped(CLOCK, in_one_line(&error)),
    };
    compared("API", theirs, SystemTime::now())
}

/// Judges the difference of two clocks: that of a server, and this machine's.
pub(super) fn compared(whose: &str, theirs: SystemTime, ours: SystemTime) -> Finding {
    let difference = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or_default();
    let found = format!("the {whose}'s and this machine's differ by {} s", difference.as_secs());
    match difference <= TOLERATED {
        true => Finding::right(CLOCK, found),
        false => Finding::doubtful(
            CLOCK,
            found,
            "synchronise both (chrony, systemd-timesyncd): tokens, leases and certificates end by the time of day",
        ),
    }
}
