//! The store, the API with its version and its clock, and OVN's northbound database.

use std::time::{Duration, SystemTime};

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::error_chain::in_one_line;
use midoform_reconcile::client::Client;
use midoform_reconcile::execute::Control;
use midoform_reconcile::northbound::settle::{self, Part, Settled};

use super::Finding;
use crate::allocation_state::AllocationState;
use crate::error::CommandError;
use crate::session::Session;

const STORE: &str = "store";
const API: &str = "API";
const CLOCK: &str = "clock";
const NORTHBOUND: &str = "northbound";
const NORTHD: &str = "northd";

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

/// Judges a northbound database to which there is no connection.
pub(crate) fn no_northbound(error: &CommandError) -> Finding {
    let advice = "correct `[ovn] northbound` and the files for TLS in the site file, or start ovsdb-server";
    Finding::wrong(NORTHBOUND, in_one_line(error), advice)
}

/// Judges the northbound database: OVN's northd has to follow it.
pub(crate) async fn northbound(session: &Session, servers: &str) -> Vec<Finding> {
    let Some(northbound) = session.connection.northbound() else { return Vec::new() };
    let connected = Finding::right(NORTHBOUND, format!("{servers} can be used"));
    let limit = Duration::from_secs(5);
    let followed = settle::wait(northbound, Part::Southbound, limit, &Control::default()).await;
    let northd = match followed {
        Ok(Settled::Done(took)) => {
            Finding::right(NORTHD, format!("follows the northbound database, in {} ms", took.as_millis()))
        }
        Ok(Settled::NotYet(_)) => Finding::wrong(
            NORTHD,
            "has not followed the northbound database for 5 s",
            "start ovn-northd, or look into its log",
        ),
        Err(error) => Finding::wrong(NORTHD, in_one_line(&error), "look into the log of ovsdb-server"),
    };
    vec![connected, northd]
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
    let ours = SystemTime::now();
    let difference = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or_default();
    let seconds = difference.as_secs();
    match difference <= TOLERATED {
        true => Finding::right(CLOCK, format!("the API's and this machine's differ by {seconds} s")),
        false => Finding::doubtful(
            CLOCK,
            format!("the API's and this machine's differ by {seconds} s"),
            "synchronise both (chrony, systemd-timesyncd): tokens and leases end by the time of day",
        ),
    }
}
