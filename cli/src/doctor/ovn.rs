//! OVN's northbound database, and what follows it: northd, and the hosts.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use midoform_compiler::error_chain::in_one_line;
use midoform_ovsdb as ovsdb;
use midoform_ovsdb::{ConnectionError, Model};
use midoform_reconcile::client::{ClientError, listed};
use midoform_reconcile::execute::Control;
use midoform_reconcile::northbound::Northbound;
use midoform_reconcile::northbound::description::Description;
use midoform_reconcile::northbound::settle::{self, Part, Settled};

use super::{Finding, services};
use crate::error::{CommandError, OLD_SCHEMA};

const NORTHBOUND: &str = "northbound";
const NORTHD: &str = "northd";
const CHASSIS: &str = "chassis";
const CLOCK: &str = "clock";

/// The longest time that OVN may take to follow: an idle one takes milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Judges a northbound database to which there is no connection.
pub(crate) fn no_northbound(error: &CommandError) -> Finding {
    let advice = match error {
        CommandError::Client(ClientError::Northbound(error)) => no_connection(error, "northbound"),
        _ => WRONG_SETTINGS.to_owned(),
    };
    Finding::wrong(NORTHBOUND, in_one_line(error), advice)
}

const WRONG_SETTINGS: &str = "correct `[ovn] northbound` and the files for TLS in the site file";

/// Says what to do about a database that can't be used. `which` is the database's name for people.
pub(super) fn no_connection(error: &ovsdb::Error, which: &str) -> String {
    let ovsdb::Error::Unreachable { attempts, .. } = error else { return WRONG_SETTINGS.to_owned() };
    // The reasons of several servers differ: that of the last one that answered says most.
    let advice = attempts.iter().rev().map(|attempt| for_reason(&attempt.reason, which));
    advice.min_by_key(|(rank, _)| *rank).map_or_else(|| WRONG_SETTINGS.to_owned(), |(_, advice)| advice)
}

/// Returns what to do about a server that can't be used, and how much the reason tells: 0 tells most.
fn for_reason(reason: &ConnectionError, which: &str) -> (u8, String) {
    let text = match reason {
        ConnectionError::NoDatabase(database) => format!(
            "the server has other databases, not {database}: name the one that has it (usually port 6641, or ovnnb_db.sock)"
        ),
        ConnectionError::Certificate(_) => {
            "correct `ca`, `certificate` and `private_key` of `[ovn]`: both sides have to trust the other's"
                .to_owned()
        }
        ConnectionError::NotLeader => {
            "name all members of the cluster in `[ovn] northbound`: one of them is the leader".to_owned()
        }
        ConnectionError::Disconnected => format!(
            "the cluster has no majority: start its members (`ovs-appctl -t …/ovnnb_db.ctl cluster/status {}`)",
            midoform_reconcile::northbound::DATABASE
        ),
        ConnectionError::Io(error) => match error.kind() {
            ErrorKind::PermissionDenied => {
                "this user may not use the socket: run midoform as root, or as a member of the socket's group"
                    .to_owned()
            }
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                format!("start the ovsdb-server of the {which} database, or correct its address")
            }
            _ => format!("is the address of the {which} database right, and the network between?"),
        },
        ConnectionError::Silent(_) | ConnectionError::Stalled | ConnectionError::Late(_) => {
            "the server takes connections and does not answer: look into the log of ovsdb-server".to_owned()
        }
        _ => format!(
            "is there an ovsdb-server at this address, with TLS only for `ssl:`? It has to have the {which} database"
        ),
    };
    let rank = match reason {
        ConnectionError::Io(_) | ConnectionError::NotLeader => 1,
        _ => 0,
    };
    (rank, text)
}

/// Judges the database's server and its schema, northd, northd's clock, and the hosts.
pub(crate) async fn examine(northbound: &Northbound) -> Vec<Finding> {
    let described = match northbound.describe().await {
        Ok(described) => described,
        Err(error) => {
            return vec![no_northbound(&CommandError::Client(error))];
        }
    };
    let mut findings = vec![server(northbound.remotes(), &described)];
    // Without its columns nothing can be waited for.
    if !described.lacking.is_empty() {
        return findings;
    }
    let northd = settle::wait(northbound, Part::Southbound, PATIENCE, &Control::default()).await;
    let ours = SystemTime::now();
    let is_followed = matches!(northd, Ok(Settled::Done(_)));
    findings.push(followed(northd));
    if is_followed {
        findings.push(clock(northbound, ours).await);
        findings.push(hosts(northbound).await);
    }
    findings
}

fn server(remotes: &str, described: &Description) -> Finding {
    let Description { connected, schema_version, lacking } = described;
    let place = match connected.server.as_ref().map(|server| server.model) {
        Some(Model::Clustered) => ", the leader of its cluster",
        Some(Model::Relay) => ", through a relay",
        Some(Model::Standalone) => ", no cluster",
        _ => "",
    };
    let remote = match connected.remote.to_string() {
        remote if remote == remotes => remote,
        remote => format!("{remote} of {remotes}"),
    };
    let found = format!("{remote} has OVN_Northbound {schema_version}{place}");
    if lacking.is_empty() {
        return Finding::right(NORTHBOUND, found);
    }
    Finding::wrong(NORTHBOUND, format!("{found}; its schema lacks {}", listed(lacking)), OLD_SCHEMA)
}

fn followed(northd: Result<Settled, ClientError>) -> Finding {
    match northd {
        Ok(Settled::Done(took)) => {
            Finding::right(NORTHD, format!("follows the northbound database, in {} ms", took.as_millis()))
        }
        Ok(Settled::NotYet(_)) => Finding::wrong(
            NORTHD,
            format!("has not followed the northbound database for {} s", PATIENCE.as_secs()),
            "start ovn-northd, or look into its log",
        ),
        Err(error) => Finding::wrong(NORTHD, in_one_line(&error), "look into the log of ovsdb-server"),
    }
}

/// Compares the clock of northd's machine, which has written the time of the number that was just raised.
async fn clock(northbound: &Northbound, ours: SystemTime) -> Finding {
    match northbound.time_of_northd().await {
        Ok(Some(theirs)) => services::compared("northd", theirs, ours),
        Ok(None) => Finding::skipped(CLOCK, "this OVN does not tell northd's time"),
        Err(error) => Finding::skipped(CLOCK, in_one_line(&error)),
    }
}

/// Judges all hosts together: an apply that waits for them waits for the slowest.
async fn hosts(northbound: &Northbound) -> Finding {
    match settle::wait(northbound, Part::Chassis, PATIENCE, &Control::default()).await {
        Ok(Settled::Done(took)) => {
            Finding::right(CHASSIS, format!("all have their flows, in {} ms", took.as_millis()))
        }
        Ok(Settled::NotYet(_)) => Finding::doubtful(
            CHASSIS,
            format!("one at least has not made its flows for {} s", PATIENCE.as_secs()),
            "`ovn-sbctl --columns=name,nb_cfg list Chassis_Private` shows which: start its ovn-controller, or delete its chassis",
        ),
        Err(error) => Finding::skipped(CHASSIS, in_one_line(&error)),
    }
}
