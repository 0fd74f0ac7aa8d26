//! Waits until OVN has taken over what the northbound database says.
//!
//! `NB_Global:nb_cfg` is a number that midoform raises. northd copies it to `sb_cfg` when the southbound database has everything that
//! was there before it, and to `hv_cfg` when every chassis has made its flows (ovn-nb(5), as `ovn-nbctl --wait` uses it).

use std::time::{Duration, Instant};

use midoform_ovsdb::{Mutation, Mutator, Operation, Row, Transaction};

use super::Northbound;
use super::schema::COUNTERS;
use crate::client::ClientError;
use crate::execute::Control;

/// The part of OVN that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// northd: the southbound database.
    Southbound,
    /// Every chassis.
    Chassis,
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// OVN has taken over everything.
    Done(Duration),
    /// It had not when the time was over, or the wait was interrupted.
    NotYet(Duration),
}

/// The first pause between two looks; each is twice as long as the one before, up to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(200)];

/// Waits until a part of OVN has what is in the northbound database now.
///
/// # Errors
/// Returns an error if the database can't be changed or read.
pub async fn wait(
    northbound: &Northbound,
    part: Part,
    limit: Duration,
    control: &Control,
) -> Result<Settled, ClientError> {
    let started = Instant::now();
    let [mut pause, longest] = PAUSES;
    let raise = Operation::mutate(COUNTERS.0, [], vec![Mutation::new("nb_cfg", Mutator::Add, 1)]);
    let read = || Operation::select_columns(COUNTERS.0, [], &COUNTERS.1);
    // Only northd, or somebody's ovn-nbctl, makes the row. Before that, nothing can have followed.
    let raised = loop {
        let raised = northbound.transact(&Transaction::new().with(raise.clone()).with(read())).await?;
        if !raised.rows(1).is_empty() {
            break raised;
        }
        if started.elapsed() >= limit || control.reason().is_some() {
            return Ok(Settled::NotYet(started.elapsed()));
        }
        tokio::time::sleep(longest).await;
    };
    let number =
        |row: Option<&Row>, column: &str| row.and_then(|row| row.get(column)?.as_integer()).unwrap_or(0);
    let wanted = number(raised.rows(1).first(), "nb_cfg");
    let column = match part {
        Part::Southbound => "sb_cfg",
        Part::Chassis => "hv_cfg",
    };
    loop {
        let found = northbound.read(&Transaction::new().with(read())).await?;
        if number(found.rows(0).first(), column) >= wanted {
            return Ok(Settled::Done(started.elapsed()));
        }
        if started.elapsed() >= limit || control.reason().is_some() {
            return Ok(Settled::NotYet(started.elapsed()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
