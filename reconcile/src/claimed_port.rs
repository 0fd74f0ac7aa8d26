//! The short way through the reconcile loop, for a plan of one port that the store names already: by the claim of a pod,
//! or by the mark of a port that is being deleted.
//!
//! Whoever finds that record can delete all objects of the plan. So the network is not observed, and nothing is written
//! before the first call: a pod needs no more calls than its plan has. The plan passes the lint as every plan does, and the
//! id that the server chose is recorded before this returns, even if a later call failed.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::observed::Observed;
use uuid::Uuid;

use crate::connection::Connection;
use crate::execute::{Control, Outcome, StepError, Stop};
use crate::northbound::pods;
use crate::planned::{Unsound, check};

/// The number of times that a transaction without a reply is looked for.
const TRIES: u32 = 3;

/// The failure to create a port.
#[derive(Debug, thiserror::Error)]
pub enum PortError<E> {
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The execution stopped before the end of the plan.
    #[error("the port is not complete: {0}")]
    Stopped(Stop),
    /// The ids could not be recorded.
    #[error("the id of the port could not be recorded")]
    Record(#[source] E),
}

/// The objects of one port, with the plan that creates or deletes them.
pub struct ClaimedPort {
    plan: Plan,
    /// The ids of the objects that are known to exist.
    there: BTreeSet<Uuid>,
}

impl ClaimedPort {
    /// Takes the plan. `desired` are the objects after it, `observed` is the state that it starts from.
    ///
    /// # Errors
    /// Returns an error if the plan does not pass the lint.
    pub fn new(plan: Plan, desired: &Topology, observed: &Observed) -> Result<ClaimedPort, Unsound> {
        check(&plan, desired, observed)?;
        Ok(ClaimedPort { plan, there: observed.all_ids() })
    }

    /// Creates the objects, at most `parallel` at a time. `record` gets the ids that the server chose.
    ///
    /// # Errors
    /// Returns an error if a step fails. If none does, returns the error of `record`.
    pub async fn create<E>(
        &self,
        connection: &Connection,
        parallel: usize,
        record: impl AsyncFnOnce(&BTreeMap<Key, Uuid>) -> Result<(), E>,
    ) -> Result<(), PortError<E>> {
        let (outcome, stopped) = self.execute(connection, parallel).await;
        let recorded = record(&outcome.ids).await;
        is_complete(outcome, stopped)?;
        recorded.map_err(PortError::Record)
    }

    /// Deletes the objects. The record of the port stays until that is done, so there is nothing to add to it.
    ///
    /// # Errors
    /// Returns an error if a step fails.
    pub async fn delete(&self, connection: &Connection) -> Result<(), PortError<Infallible>> {
        let (outcome, stopped) = self.execute(connection, 1).await;
        is_complete(outcome, stopped)
    }

    /// Executes the plan. On OVN the plan is one transaction: if its reply is lost, the rows tell what happened, and a transaction that
    /// was not executed is sent again.
    async fn execute(&self, connection: &Connection, parallel: usize) -> (Outcome, Option<Stop>) {
        let control = Control::default();
        let send = async || connection.execute(&self.plan, &self.there, parallel, &control, &|_| {}).await;
        let mut outcome = send().await;
        if let Connection::Ovn(northbound) = connection {
            for _ in 0..TRIES {
                let is_uncertain =
                    outcome.failure.as_ref().is_some_and(|failure| failure.source.is_uncertain());
                if !is_uncertain {
                    break;
                }
                match pods::is_executed(northbound, &self.plan).await {
                    Ok(true) => {
                        outcome = Outcome { ids: pods::inserted(&self.plan), ..Outcome::default() };
                    }
                    Ok(false) => outcome = send().await,
                    // The first error says more.
                    Err(_) => break,
                }
            }
        }
        (outcome, control.reason())
    }
}

fn is_complete<E>(outcome: Outcome, stopped: Option<Stop>) -> Result<(), PortError<E>> {
    match (outcome.failure, stopped) {
        (Some(failure), _) => Err(failure.into()),
        (None, Some(stop)) => Err(PortError::Stopped(stop)),
        (None, None) => Ok(()),
    }
}
