//! The second half of a reconciliation: execute, observe again, record.
//!
//! If something fails after the first call, the run still records what it did. [`Finished`] then has the failure. Only
//! a failure before the first call is returned as an error.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::provider_use::{ProviderConflict, overlaps, standing};
use midoform_compiler::plan::{Action, Plan, Summary};
use midoform_compiler::topology::generations::Generations;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::observed::Observed;
use uuid::Uuid;

use crate::batches::{BatchOrder, Batches};
use crate::client::{ClientError, Counts};
use crate::connection::Connection;
use crate::event::Event;
use crate::execute::{Control, Outcome, StepError, Stop};
use crate::goal::Goal;
use crate::planned::{LookError, Planned, Unsound, check};
use crate::provider_router;
use crate::recorder::{Conclusion, RecordError, Recorder};

/// The greatest number of rounds in a row without progress.
const MOST_IDLE_ROUNDS: u32 = 3;

/// The greatest number of rounds in which the same step fails.
const MOST_FAILURES: u32 = 3;

/// The options of an execution.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The greatest number of calls in progress at a time.
    pub parallel: usize,
    /// The settings to change a few tenants at a time; none: all at once.
    pub batches: Option<Batches>,
    /// True to undo the changes of the run when it fails.
    pub takes_back: bool,
    /// True to observe the network again at the end.
    pub looks_again: bool,
    /// True to observe again and continue when a call returns 409 (Conflict): somebody else may have created the same
    /// object first.
    pub conflicts_pass: bool,
    /// Receives the events of the run.
    pub events: &'a (dyn Fn(Event) + Sync),
}

/// The result of a run.
pub struct Finished<R> {
    /// The plan's SHA-256.
    pub hash: String,
    /// The planned steps.
    pub planned: Summary,
    /// The steps that succeeded, the number of remaining steps, and the failure, if there is one.
    pub outcome: Outcome,
    /// The remaining differences after all steps succeeded.
    pub remaining: Option<Summary>,
    /// What others use as well on the provider router, after all steps succeeded.
    pub used_twice: Vec<ProviderConflict>,
    /// The ids that don't follow from the keys, as they are now.
    pub ids: BTreeMap<Key, Uuid>,
    /// The reason why the run stopped before the end of its plan.
    pub stopped: Option<Stop>,
    /// The number of steps that were undone, or the failure to undo them; none if nothing was to be undone.
    pub taken_back: Option<Result<usize, TakeBackError<R>>>,
    /// The failure of an observation after the first call.
    pub look_error: Option<LookError<R>>,
    /// The failure to record the actions of the run.
    pub record_error: Option<RecordError>,
    /// The number of calls.
    pub counts: Counts,
    /// The duration of the run.
    pub took: Duration,
}

/// The failure to undo the changes of a run.
#[derive(Debug)]
pub enum TakeBackError<R> {
    /// The network could not be observed.
    Look(LookError<R>),
    /// The plan of the undo did not pass the lint.
    Unsound(Unsound),
    /// The objects that the undo creates could not be recorded. Nothing was undone.
    Record(RecordError),
    /// A step failed.
    Step(StepError),
    /// The undo was stopped.
    Stopped(Stop),
}

impl<R> Finished<R> {
    /// Returns true if all steps succeeded.
    pub fn is_whole(&self) -> bool {
        self.outcome.failure.is_none() && self.stopped.is_none() && !self.is_cut_short()
    }

    /// Returns true if the network is known to match the goal, and everything is recorded.
    pub fn is_converged(&self) -> bool {
        self.is_whole()
            && self.remaining.is_none()
            && self.look_error.is_none()
            && self.record_error.is_none()
    }

    /// Returns true if a call may still be executed.
    fn is_uncertain(&self) -> bool {
        let taken_back = self.taken_back.as_ref().and_then(|taken_back| taken_back.as_ref().err());
        let failures = [
            self.outcome.failure.as_ref(),
            taken_back.and_then(|error| match error {
                TakeBackError::Step(failure) => Some(failure),
                _ => None,
            }),
        ];
        failures.into_iter().flatten().any(|failure| failure.source.is_uncertain())
    }

    fn is_cut_short(&self) -> bool {
        (self.record_error.is_some() || self.look_error.is_some()) && self.outcome.left > 0
    }
}

impl<G: Goal> Planned<'_, G> {
    /// Executes the plan. If it is not known whether a call was executed, and no read of one object can show it, the
    /// run observes the network again and continues from there. Every call needs the recorder's lock.
    ///
    /// # Errors
    /// Returns an error if the records that are needed before the first call can't be written. Then no call was made.
    pub async fn execute(
        self,
        connection: &Connection,
        recorder: &mut Recorder<'_>,
        control: &Control,
        options: Options<'_>,
    ) -> Result<Finished<G::Refusal>, RecordError> {
        let started = Instant::now();
        let planned = self.plan.summary();
        if planned.changes() > 0 {
            recorder.check(&self.observed.ids).await?;
        }
        recorder.intend(&self.plan, self.goal.desired(), &self.observed).await?;
        recorder.begin().await?;
        let finished = Finished {
            hash: self.hash(),
            planned,
            outcome: Outcome { left: planned.changes(), ..Outcome::default() },
            remaining: None,
            used_twice: used_twice(self.goal, recorder.allocations(), &self.observed),
            ids: self.observed.ids.clone(),
            stopped: None,
            taken_back: None,
            look_error: None,
            record_error: None,
            counts: Counts::default(),
            took: Duration::ZERO,
        };
        let (goal, tenure) = (self.goal, recorder.lock().tenure());
        let (connection, control) = (connection.under(tenure.clone()), control.under(tenure));
        let (gone, counted) = (BTreeSet::new(), BTreeSet::new());
        let there = self.observed.all_ids();
        let generations = self.observed.generations.clone();
        let mut run = Run {
            goal,
            connection: &connection,
            recorder,
            control: &control,
            options,
            finished,
            gone,
            counted,
            there,
            generations,
        };
        match planned.changes() {
            0 => run.finished.stopped = control.reason(),
            _ => run.go(&self).await,
        }
        let Run { mut finished, gone, recorder, .. } = run;
        let end = Conclusion {
            is_whole: finished.is_whole(),
            is_uncertain: finished.is_uncertain(),
            is_taken_back: matches!(finished.taken_back, Some(Ok(_))),
            is_reached: finished.is_converged(),
            ids: &finished.ids,
            gone: &gone,
            desired: goal.desired(),
        };
        if let Err(error) = recorder.conclude(&end).await {
            finished.record_error.get_or_insert(error);
        }
        finished.counts = connection.counts();
        finished.took = started.elapsed();
        Ok(finished)
    }
}

/// Returns what exists of a goal and others use as well on the provider router.
fn used_twice<G: Goal>(goal: &G, known: &Allocations, observed: &Observed) -> Vec<ProviderConflict> {
    standing(goal.desired(), observed, goal.scope(known).provider)
}

/// A plan that is being executed.
struct Run<'r, 'a, G: Goal> {
    goal: &'r G,
    connection: &'r Connection,
    recorder: &'r mut Recorder<'a>,
    control: &'r Control,
    options: Options<'r>,
    finished: Finished<G::Refusal>,
    /// The deleted objects.
    gone: BTreeSet<Key>,
    /// The steps that succeeded, each of them once.
    counted: BTreeSet<(Key, Action)>,
    /// The ids of the objects that existed at the last look.
    there: BTreeSet<Uuid>,
    /// The generations of ids at the last look.
    generations: Generations,
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
                    self.finished.used_twice =
                        used_twice(self.goal, self.recorder.allocations(), &now.observed);
                    self.finished.ids = now.observed.ids;
                    return;
                }
                Err(error) => return self.note_look_error(error),
            }
        }
        if self.finished.is_whole()
            && let Err(error) = self.look_at_the_provider_router(planned).await
        {
            self.note_look_error(LookError::Client(error));
        }
    }

    /// Looks at the provider router again, if the run created something there: another site may have created the same at the
    /// same time.
    async fn look_at_the_provider_router(&mut self, planned: &Planned<'_, G>) -> Result<(), ClientError> {
        let scope = self.goal.scope(self.recorder.allocations());
        let (desired, provider) = (self.goal.desired(), scope.provider);
        if !provider_router::is_changed(&planned.plan, desired, provider) {
            return Ok(());
        }
        let namespace = Namespace::of_site(scope.site);
        let id_of = |key: &Key| {
            let known = self.finished.ids.get(key).copied();
            known.unwrap_or_else(|| namespace.id_of_generation(key, self.generations.current(key)))
        };
        let others = self.connection.used_by_others(scope, desired, &id_of).await?;
        self.finished.used_twice = overlaps(desired, |_| true, &others, provider);
        Ok(())
    }

    /// Takes note of an observation that failed. The loss of the lock is a reason to stop, and no failure.
    fn note_look_error(&mut self, error: LookError<G::Refusal>) {
        match error {
            LookError::Client(ClientError::LockLost { .. }) => {
                self.control.stop(Stop::LockLost);
                self.finished.stopped = self.finished.stopped.or(self.control.reason());
            }
            error => self.finished.look_error = Some(error),
        }
    }

    /// Changes a few tenants at a time. Observes the network after each batch, and compares everything that was changed
    /// so far with the goal.
    async fn batch_by_batch(&mut self, plan: &Plan, batches: Batches) {
        let order = BatchOrder::of(plan, batches.tenants);
        let mut plan = Cow::Borrowed(plan);
        for batch in 0..order.count {
            let own = |plan: &Plan| order.up_to(batch, plan);
            let this = own(&plan);
            let later = plan.summary().changes() - this.summary().changes();
            self.rounds(&this, &own).await;
            self.finished.outcome.left += later;
            if self.finished.outcome.failure.is_some()
                || self.finished.record_error.is_some()
                || self.finished.look_error.is_some()
                || self.control.reason().is_some()
            {
                return;
            }
            let now = match self.look_again().await {
                Ok(now) => now,
                Err(error) => return self.note_look_error(error),
            };
            self.finished.ids = now.observed.ids;
            plan = Cow::Owned(now.plan);
            self.finished.outcome.left = plan.summary().changes();
            let differing = own(&plan).summary().changes();
            (self.options.events)(Event::Batch { number: batch + 1, of: order.count, differing });
            if differing > 0 && batches.pause_on_drift {
                self.finished.stopped = Some(Stop::Drift);
                return;
            }
        }
    }

    /// Executes a plan, and after each new observation the rest of it, until the result of every call is known. `part`
    /// selects the steps of a plan that are executed.
    async fn rounds(&mut self, plan: &Plan, part: &(dyn Fn(&Plan) -> Plan + Sync)) {
        let mut plan = Cow::Borrowed(plan);
        let mut idle = 0;
        let mut failures: BTreeMap<(Key, Action), u32> = BTreeMap::new();
        loop {
            let Options { parallel, events, .. } = self.options;
            events(Event::Executing { steps: plan.summary().changes() });
            let outcome = self.connection.execute(&plan, &self.there, parallel, self.control, events).await;
            events(Event::Executed);
            idle = if self.take_in(outcome) { 0 } else { idle + 1 };
            let failed = self.finished.outcome.failure.as_ref().map_or(0, |failure| {
                let count = failures.entry((failure.key.clone(), failure.action)).or_default();
                *count += 1;
                *count
            });
            let is_hopeless = idle >= MOST_IDLE_ROUNDS || failed >= MOST_FAILURES;
            if !self.is_worth_a_look() || self.control.reason().is_some() || is_hopeless {
                return;
            }
            self.leave_out_refused_id();
            let now = match self.look_again().await {
                Ok(now) => now,
                // If the observation fails as well, the first failure is reported.
                Err(LookError::Client(_)) => return,
                Err(error) => return self.note_look_error(error),
            };
            let rest = part(&now.plan);
            let left = rest.summary().changes();
            if left > 0
                && let Err(error) = self.recorder.intend(&rest, self.goal.desired(), &now.observed).await
            {
                self.finished.ids = now.observed.ids;
                self.finished.record_error = Some(error);
                return;
            }
            self.finished.ids = now.observed.ids;
            self.finished.outcome.failure = None;
            self.finished.outcome.left = left;
            if left == 0 {
                return;
            }
            plan = Cow::Owned(rest);
        }
    }

    /// Lets the next round create the object of a failed step with another id: 5.0.2 refuses the id of a deleted router or bridge
    /// with a 500 (17-id-again).
    fn leave_out_refused_id(&mut self) {
        let failure = self.finished.outcome.failure.as_ref();
        let refused = failure.filter(|failure| {
            matches!(failure.action, Action::Create | Action::Replace) && failure.source.status() == Some(500)
        });
        if let Some(step) = refused {
            self.recorder.skip_generation(&step.key);
        }
    }

    fn is_worth_a_look(&self) -> bool {
        let failure = self.finished.outcome.failure.as_ref();
        failure.is_some_and(|failure| can_continue(&failure.source, self.options.conflicts_pass))
    }

    /// Adds the result of a round. Returns true if a step succeeded that had not succeeded before.
    fn take_in(&mut self, outcome: Outcome) -> bool {
        let before = self.counted.len();
        self.take_ids(&outcome);
        // A later round may repeat a step.
        for (key, action) in outcome.steps {
            if self.counted.insert((key, action)) {
                *self.finished.outcome.done.entry(action).or_default() += 1;
            }
        }
        self.finished.outcome.left = outcome.left;
        self.finished.outcome.failure = outcome.failure;
        self.counted.len() > before
    }

    /// Takes over the ids of an outcome. A rule is created before the rule that it replaces is deleted. While both
    /// exist, the key stands for the older one.
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

    /// Observes the network again, with all ids that are known now, and plans.
    async fn look_again(&mut self) -> Result<Planned<'r, G>, LookError<G::Refusal>> {
        self.recorder.learn(&self.finished.ids);
        let known = self.recorder.allocations();
        let now = Planned::look(self.connection, self.goal, known, self.options.events).await?;
        self.there = now.observed.all_ids();
        self.generations = now.observed.generations.clone();
        Ok(now)
    }

    /// Undoes the changes of this run: restores the observed objects of before the first call.
    async fn take_back(&mut self, before: &Observed) -> Result<usize, TakeBackError<G::Refusal>> {
        let now = self.look_again().await.map_err(TakeBackError::Look)?;
        let engine = now.plan.engine;
        let site = now.plan.site.clone();
        let plan = midoform_compiler::plan(&site, engine, &before.topology, &now.observed);
        check(&plan, &before.topology, &now.observed).map_err(TakeBackError::Unsound)?;
        let back = Planned { goal: self.goal, observed: now.observed, plan };
        let intended = self.recorder.intend(&back.plan, &before.topology, &back.observed).await;
        intended.map_err(TakeBackError::Record)?;
        let there = back.observed.all_ids();
        // An operator who stopped the run did not stop its undo.
        let control = Control::default().under(self.recorder.lock().tenure());
        let outcome =
            self.connection.execute(&back.plan, &there, self.options.parallel, &control, &|_| {}).await;
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

/// Returns true if a run can observe again and continue after this failure: the call may have been executed, or (with
/// `conflicts_pass`) somebody else may have created the object first. A defect ends the run.
fn can_continue(failure: &ClientError, conflicts_pass: bool) -> bool {
    let is_defect = matches!(failure, ClientError::Defect(_));
    !is_defect && (failure.is_uncertain() || (conflicts_pass && failure.status() == Some(409)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_ends_the_run() {
        assert!(!can_continue(&ClientError::Defect("task 7 panicked".to_owned()), true));
        let lost = ClientError::AnswerLost { method: "POST", url: String::new(), cause: String::new() };
        assert!(can_continue(&lost, false));
        let status = |status| ClientError::Status {
            method: "POST",
            url: String::new(),
            status,
            message: String::new(),
        };
        assert!(can_continue(&status(409), true));
        assert!(!can_continue(&status(409), false));
        assert!(!can_continue(&status(400), true));
    }
}
