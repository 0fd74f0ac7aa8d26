//! The second half of a reconciliation: execute, look again, record.
//!
//! Whatever fails after the first call, the run goes on to its end: it says in [`Finished`] how it ended, after it has
//! written down what it did. An error comes back only from before the first call.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use midoform_compiler::midonet;
use midoform_compiler::plan::{Action, Plan, Summary};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::observed::Observed;
use uuid::Uuid;

use crate::batches::{BatchOrder, Batches};
use crate::client::{Client, Counts};
use crate::event::Event;
use crate::execute::{Control, Outcome, StepError, Stop, execute};
use crate::goal::Goal;
use crate::planned::{LookError, Planned, Unsound};
use crate::recorder::{Conclusion, RecordError, Recorder};

/// The number of rounds in a row that may get no further.
const MOST_IDLE_ROUNDS: u32 = 3;

/// The options of an execution.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The number of calls that may be under way at a time.
    pub parallel: usize,
    /// Changes a few tenants at a time.
    pub batches: Option<Batches>,
    /// Takes back what the run did when it fails.
    pub takes_back: bool,
    /// Looks at the network again at the end.
    pub looks_again: bool,
    /// Looks again where a call ends with 409 (Conflict): somebody else may have made the same object first.
    pub conflicts_pass: bool,
    /// Is told what happens.
    pub events: &'a (dyn Fn(Event) + Sync),
}

/// The result of a run.
pub struct Finished<R> {
    /// The plan's SHA-256.
    pub hash: String,
    /// The steps that were planned.
    pub planned: Summary,
    /// The steps that were done, those that are left, and the failure, if there is one.
    pub outcome: Outcome,
    /// The differences that are left after every step was done.
    pub remaining: Option<Summary>,
    /// The ids that don't follow from the keys, as they are now.
    pub ids: BTreeMap<Key, Uuid>,
    /// The reason for which it ended before its plan did.
    pub stopped: Option<Stop>,
    /// The number of steps that were undone, or the failure to undo them; none if nothing was to be undone.
    pub taken_back: Option<Result<usize, TakeBackError<R>>>,
    /// The failure of a look after the first call.
    pub look_error: Option<LookError<R>>,
    /// The failure to write down what happened.
    pub record_error: Option<RecordError>,
    /// The calls that were made.
    pub counts: Counts,
    /// The time that it took.
    pub took: Duration,
}

/// The reason for which a run's changes could not be taken back.
#[derive(Debug)]
pub enum TakeBackError<R> {
    /// The network could not be looked at.
    Look(LookError<R>),
    /// The plan back did not pass the lint.
    Unsound(Unsound),
    /// A step failed.
    Step(StepError),
    /// It was stopped.
    Stopped(Stop),
}

impl<R> Finished<R> {
    /// Returns true if every step was done.
    pub fn is_whole(&self) -> bool {
        self.outcome.failure.is_none() && self.stopped.is_none() && !self.is_cut_short()
    }

    /// Returns true if the network is known to be what the goal says, and all of it is written down.
    pub fn is_converged(&self) -> bool {
        self.is_whole()
            && self.remaining.is_none()
            && self.look_error.is_none()
            && self.record_error.is_none()
    }

    fn is_cut_short(&self) -> bool {
        self.record_error.is_some() && self.outcome.left > 0
    }
}

impl<G: Goal> Planned<'_, G> {
    /// Executes the plan. Where nobody knows whether a call happened, and no read of one object can tell, it observes the
    /// network again and continues from there.
    ///
    /// # Errors
    /// Returns an error if what is needed before the first call can't be written down; then nothing was called.
    pub async fn execute(
        self,
        client: &Client,
        recorder: &mut Recorder<'_>,
        control: &Control,
        options: Options<'_>,
    ) -> Result<Finished<G::Refusal>, RecordError> {
        let started = Instant::now();
        recorder.intend(&self.plan, self.goal.desired()).await?;
        recorder.begin().await?;
        let planned = self.plan.summary();
        let finished = Finished {
            hash: self.hash(),
            planned,
            outcome: Outcome { left: planned.changes(), ..Outcome::default() },
            remaining: None,
            ids: self.observed.ids.clone(),
            stopped: None,
            taken_back: None,
            look_error: None,
            record_error: None,
            counts: Counts::default(),
            took: Duration::ZERO,
        };
        let goal = self.goal;
        let mut run = Run { goal, client, recorder, control, options, finished, gone: BTreeSet::new() };
        if planned.changes() > 0 {
            run.go(&self).await;
        }
        let Run { mut finished, gone, recorder, .. } = run;
        let end = Conclusion {
            is_whole: finished.is_whole(),
            ids: &finished.ids,
            gone: &gone,
            desired: goal.desired(),
        };
        if let Err(error) = recorder.conclude(&end).await {
            finished.record_error.get_or_insert(error);
        }
        finished.counts = client.statistics().counts();
        finished.took = started.elapsed();
        Ok(finished)
    }
}

/// A plan that is being executed.
struct Run<'r, 'a, G: Goal> {
    goal: &'r G,
    client: &'r Client,
    recorder: &'r mut Recorder<'a>,
    control: &'r Control,
    options: Options<'r>,
    finished: Finished<G::Refusal>,
    /// The objects that were deleted.
    gone: BTreeSet<Key>,
}

impl<'r, G: Goal> Run<'r, '_, G> {
    async fn go(&mut self, planned: &Planned<'_, G>) {
        match self.options.batches {
            None => self.rounds(&planned.plan, &Plan::clone).await,
            Some(batches) => self.batch_by_batch(&planned.plan, batches).await,
        }
        self.finished.stopped = self.finished.stopped.or(self.control.reason());
        if self.finished.outcome.failure.is_some() && self.options.takes_back {
            let result = self.take_back(&planned.observed).await;
            self.finished.taken_back = Some(result);
        }
        if self.finished.is_whole() && self.options.looks_again {
            match self.look_again().await {
                Ok(now) => {
                    let left = now.plan.summary();
                    self.finished.remaining = (left.changes() > 0).then_some(left);
                    self.finished.ids = now.observed.ids;
                }
                Err(error) => self.finished.look_error = Some(error),
            }
        }
    }

    /// Changes a few tenants at a time, and looks after each batch whether everything that was done so far is as it
    /// should be.
    async fn batch_by_batch(&mut self, plan: &Plan, batches: Batches) {
        let order = BatchOrder::of(plan, batches.tenants);
        let mut plan = Cow::Borrowed(plan);
        for batch in 0..order.count {
            let own = |plan: &Plan| order.up_to(batch, plan);
            self.rounds(&own(&plan), &own).await;
            if self.finished.outcome.failure.is_some()
                || self.finished.record_error.is_some()
                || self.control.reason().is_some()
            {
                break;
            }
            let now = match self.look_again().await {
                Ok(now) => now,
                Err(error) => {
                    self.finished.look_error = Some(error);
                    break;
                }
            };
            self.finished.ids = now.observed.ids;
            plan = Cow::Owned(now.plan);
            let differing = own(&plan).summary().changes();
            (self.options.events)(Event::Batch { number: batch + 1, of: order.count, differing });
            if differing > 0 && batches.pause_on_drift {
                self.finished.stopped = Some(Stop::Drift);
                break;
            }
        }
        self.finished.outcome.left = plan.summary().changes();
    }

    /// Executes a plan, and what is left of it after each look, until nothing is uncertain. `part` takes from a plan what
    /// this run is to do.
    async fn rounds(&mut self, plan: &Plan, part: &(dyn Fn(&Plan) -> Plan + Sync)) {
        let mut plan = Cow::Borrowed(plan);
        let mut idle = 0;
        loop {
            let Options { parallel, events, .. } = self.options;
            events(Event::Executing { steps: plan.summary().changes() });
            let outcome = execute(self.client, &plan, parallel, self.control, events).await;
            events(Event::Executed);
            idle = if outcome.done.is_empty() { idle + 1 } else { 0 };
            self.take_in(outcome);
            if !self.is_worth_a_look() || self.control.reason().is_some() || idle >= MOST_IDLE_ROUNDS {
                return;
            }
            let now = match self.look_again().await {
                Ok(now) => now,
                // If the observation fails, too, the first failure says more.
                Err(LookError::Client(_)) => return,
                Err(error) => {
                    self.finished.look_error = Some(error);
                    return;
                }
            };
            self.finished.ids = now.observed.ids;
            let rest = part(&now.plan);
            let left = rest.summary().changes();
            if left > 0
                && let Err(error) = self.recorder.intend(&rest, self.goal.desired()).await
            {
                self.finished.record_error = Some(error);
                return;
            }
            self.finished.outcome.failure = None;
            self.finished.outcome.left = left;
            if left == 0 {
                return;
            }
            plan = Cow::Owned(rest);
        }
    }

    fn is_worth_a_look(&self) -> bool {
        self.finished.outcome.failure.as_ref().is_some_and(|failure| {
            let is_conflict = failure.source.status() == Some(409);
            failure.source.is_uncertain() || (self.options.conflicts_pass && is_conflict)
        })
    }

    /// Adds what a round did.
    fn take_in(&mut self, outcome: Outcome) {
        self.take_ids(&outcome);
        for (action, count) in outcome.done {
            *self.finished.outcome.done.entry(action).or_default() += count;
        }
        self.finished.outcome.left = outcome.left;
        self.finished.outcome.failure = outcome.failure;
    }

    /// A rule that takes another's place is created before that one goes: while both are there, the key stands for the one
    /// that was there first.
    fn take_ids(&mut self, outcome: &Outcome) {
        for (key, action) in &outcome.steps {
            if matches!(action, Action::Delete | Action::Replace) {
                self.finished.ids.remove(key);
                self.gone.insert(key.clone());
            }
        }
        for (key, id) in &outcome.ids {
            self.finished.ids.entry(key.clone()).or_insert(*id);
        }
    }

    /// Observes the network as it is now, with the ids that are known by now, and plans.
    async fn look_again(&mut self) -> Result<Planned<'r, G>, LookError<G::Refusal>> {
        self.recorder.learn(&self.finished.ids);
        Planned::look(self.client, self.goal, self.recorder.allocations(), self.options.events).await
    }

    /// Takes back what this run made: from what is there now to what was there before.
    async fn take_back(&mut self, before: &Observed) -> Result<usize, TakeBackError<G::Refusal>> {
        let now = self.look_again().await.map_err(TakeBackError::Look)?;
        let dialect = self.goal.scope(self.recorder.allocations()).dialect;
        let site = now.plan.site.clone();
        let plan = midonet::plan(&site, dialect, &before.topology, &now.observed);
        let back = Planned::exactly(self.goal, now.observed, plan).map_err(TakeBackError::Unsound)?;
        let control = Control::under(self.recorder.lock().tenure());
        let outcome = execute(self.client, &back.plan, self.options.parallel, &control, &|_| {}).await;
        self.finished.ids = back.observed.ids;
        let steps = outcome.done.values().sum();
        self.take_ids(&outcome);
        match (outcome.failure, control.reason()) {
            (Some(failure), _) => Err(TakeBackError::Step(failure)),
            (None, Some(stop)) => Err(TakeBackError::Stopped(stop)),
            (None, None) => Ok(steps),
        }
    }
}
