//! Executes a plan on the northbound database: as one transaction, or as one for each batch of tenants.
//!
//! Each transaction is executed as a whole or not at all, so a run that ends at any moment leaves the rows of a batch as they were, or as
//! they are planned.

use std::collections::BTreeSet;

use midoform_compiler::plan::row_operation::At;
use midoform_compiler::plan::{Action, Plan, RowOperation, Step};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_ovsdb as ovsdb;
use midoform_ovsdb::{Operation, Transaction, Until};
use uuid::Uuid;

use super::Northbound;
use super::operations::{condition, joined};
use crate::client::ClientError;
use crate::event::Event;
use crate::execute::{Control, Outcome, StepError, Stop};

/// The number of operations from which on a transaction ends with its tenant. A server is silent while it executes one: 28,000
/// operations took 1.5 to 2.6 s.
const LARGEST: usize = 20_000;

/// Executes a plan. The first failure stops it.
pub(crate) async fn execute(
    northbound: &Northbound,
    plan: &Plan,
    control: &Control,
    events: &(dyn Fn(Event) + Sync),
) -> Outcome {
    let steps: Vec<&Step> = plan.changes().collect();
    let mut outcome = Outcome { left: steps.len(), ..Outcome::default() };
    for batch in batches(&steps) {
        if control.reason().is_some() {
            break;
        }
        for step in batch {
            events(Event::Started { key: step.key.clone(), action: step.action });
        }
        if let Err((at, source)) = send(northbound, batch).await {
            if matches!(source, ClientError::LockLost { .. }) {
                control.stop(Stop::LockLost);
                break;
            }
            return failed(outcome, batch.get(at).or(batch.first()), source, events);
        }
        for step in batch {
            outcome.left -= 1;
            *outcome.done.entry(step.action).or_default() += 1;
            outcome.steps.push((step.key.clone(), step.action));
            outcome.ids.extend(inserted(step).map(|id| (step.key.clone(), id)));
            events(Event::Done { key: step.key.clone(), action: step.action });
        }
    }
    outcome
}

fn failed(
    mut outcome: Outcome,
    step: Option<&&Step>,
    source: ClientError,
    events: &(dyn Fn(Event) + Sync),
) -> Outcome {
    if let Some(step) = step {
        let (key, action) = (step.key.clone(), step.action);
        events(Event::Failed { key: key.clone(), action, error: source.to_string() });
        outcome.failure = Some(StepError { key, action, source });
    }
    outcome
}

/// Cuts the steps into batches of whole tenants. Steps keep their order: what is needed comes in an earlier batch or in the same one.
fn batches<'s, 'p>(steps: &'s [&'p Step]) -> Vec<&'s [&'p Step]> {
    let mut batches = Vec::new();
    let (mut start, mut operations) = (0, 0);
    for (at, step) in steps.iter().enumerate() {
        let is_next_tenant =
            at > start && steps.get(at - 1).is_some_and(|before| before.key.owner() != step.key.owner());
        if operations >= LARGEST && is_next_tenant {
            batches.extend(steps.get(start..at));
            (start, operations) = (at, 0);
        }
        operations += step.calls.len();
    }
    batches.extend(steps.get(start..).filter(|rest| !rest.is_empty()));
    batches
}

/// Returns the `_uuid` of the row that a step inserts.
fn inserted(step: &Step) -> Option<Uuid> {
    if !matches!(step.action, Action::Create | Action::Replace) {
        return None;
    }
    step.row_operations().find_map(|operation| match operation {
        RowOperation::Insert { uuid, .. } => Some(*uuid),
        _ => None,
    })
}

/// Sends the operations of a batch as one transaction. An error has the step that it is about.
async fn send(northbound: &Northbound, batch: &[&Step]) -> Result<(), (usize, ClientError)> {
    let mut transaction = Transaction::new();
    let mut step_of: Vec<usize> = Vec::new();
    for (step, (table, at)) in holders(batch) {
        transaction.push(there(table, &at));
        step_of.push(step);
    }
    for (step, operation) in joined(batch) {
        let key = batch.get(step).map_or("", |step| step.key.as_str());
        transaction.push_labelled(key, operation);
        step_of.push(step);
    }
    northbound.check_lock().map_err(|error| (0, error))?;
    let Err(error) = northbound.transact(&transaction).await else { return Ok(()) };
    let at = match &error {
        ovsdb::Error::Operation { operation, .. } => step_of.get(operation.index).copied(),
        _ => None,
    };
    Err((at.unwrap_or(0), northbound.explained(error).await))
}

/// Returns the rows that a batch puts others into and that it does not insert itself, each with the first step that needs it. A row in
/// a column of a row that is not there would vanish without a word.
fn holders(batch: &[&Step]) -> Vec<(usize, (Table, At))> {
    let mut known: BTreeSet<(Table, String)> = BTreeSet::new();
    let mut needed = Vec::new();
    for (at, step) in batch.iter().enumerate() {
        for operation in step.row_operations() {
            let name = (operation.table(), operation.at().to_string());
            match operation {
                RowOperation::Mutate { table, at: row, .. } if known.insert(name.clone()) => {
                    needed.push((at, (*table, row.clone())));
                }
                RowOperation::Insert { .. } => drop(known.insert(name)),
                _ => {}
            }
        }
    }
    needed
}

/// Returns the operation that refuses the transaction if a row is not there.
fn there(table: Table, at: &At) -> Operation {
    let (column, row) = match at {
        At::Id(id) => ("_uuid", ovsdb::Row::default().with("_uuid", *id)),
        At::Name(name) => ("name", ovsdb::Row::default().with("name", name.as_str())),
    };
    Operation::Wait {
        timeout: Some(0),
        table: table.name().to_owned(),
        conditions: vec![condition(at)],
        columns: vec![column.to_owned()],
        until: Until::Equal,
        rows: vec![row],
    }
}
