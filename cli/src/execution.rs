//! Shows a plan, asks for confirmation, executes it, and reports the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use midoform_compiler::error_chain;
use midoform_compiler::plan::cut::{CutPort, noun};
use midoform_compiler::plan::{Action, Engine, Plan, Summary};
use midoform_compiler::topology::key::Key;
use midoform_reconcile::batches::Batches;
use midoform_reconcile::client::Counts;
use midoform_reconcile::event::Event;
use midoform_reconcile::execute::{Control, Stop};
use midoform_reconcile::goal::Goal;
use midoform_reconcile::northbound::settle::{self, Part, Settled};
use midoform_reconcile::planned::{LookError, Planned};
use midoform_reconcile::reconciliation::{self, Options, TakeBackError};
use midoform_reconcile::recorder::Recorder;
use midoform_render as render;
use midoform_render::Format;
use serde::Serialize;

use crate::allocation_state::Guard;
use crate::args::{Consent, WaitFor};
use crate::cut_pods::KnownPods;
use crate::error::{CommandError, Exit};
use crate::preflight;
use crate::progress::Progress;
use crate::provider_conflicts;
use crate::session::Session;
use crate::ui::Ui;

/// The result of a command's run.
pub(crate) type Finished = reconciliation::Finished<CommandError>;

/// The report for machines.
#[derive(Serialize)]
struct Report<'a> {
    site: &'a str,
    sha256: &'a str,
    planned: Summary,
    done: &'a BTreeMap<Action, usize>,
    left: usize,
    converged: bool,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rolled_back: bool,
    /// The addresses that others use as well on the provider router, each in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    used_twice: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A run that changes the network, and the consent that it needs.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) session: &'a Session,
    pub(crate) consent: &'a Consent,
    /// The only plan that may be executed, by its SHA-256.
    pub(crate) expect: Option<&'a str>,
    /// The SHA-256 of the saved plan, which covers the whole file; none: the plan's own SHA-256 counts.
    pub(crate) saved_sha256: Option<&'a str>,
    /// The pods that the plan could cut off.
    pub(crate) pods: KnownPods<'a>,
    /// True if the plan may cut off pods.
    pub(crate) cuts_pods: bool,
    /// Changes a few tenants at a time.
    pub(crate) batches: Option<Batches>,
}

impl Run<'_> {
    /// Looks for what the plan needs from the network, shows the plan, and asks for confirmation if it is needed. Returns false if
    /// nothing is to be executed.
    pub(crate) async fn agreed<G: Goal>(&self, planned: &Planned<'_, G>) -> Result<bool, CommandError> {
        let desired = planned.goal().desired();
        preflight::check(self.session, (planned.plan(), desired), planned.observed()).await?;
        let hash = self.saved_sha256.map_or_else(|| planned.hash(), str::to_owned);
        if let Some(expected) = self.expect
            && !hash.eq_ignore_ascii_case(expected)
        {
            let message = format!("--expect {expected}: the plan's SHA-256 is {hash}; review it again");
            return Err(CommandError::Conflict(message));
        }
        let changes = planned.plan().summary().changes();
        let cut_pods = self.pods.cut_off(planned.plan(), desired, planned.observed()).await;
        if !self.consent.json {
            self.show(planned, &cut_pods)?;
        }
        if self.consent.dry_run || changes == 0 {
            if self.consent.json {
                self.report_nothing(planned.plan(), &hash, changes)?;
            }
            // There is nothing to execute; but allocations that a merge of files brought are still recorded.
            return Ok(changes == 0 && !self.consent.dry_run);
        }
        self.refuse_mass_delete(planned)?;
        self.refuse_cut_pods(&cut_pods)?;
        if !self.consent.yes && !self.ui.confirm(&format!("Apply these {changes} changes?")).await? {
            return Err(CommandError::Interrupted("nothing was changed".to_owned()));
        }
        Ok(true)
    }

    /// Refuses a plan that deletes a large share of the existing objects: it is probably a mistake.
    fn refuse_mass_delete<G: Goal>(&self, planned: &Planned<'_, G>) -> Result<(), CommandError> {
        const FEW: usize = 10;
        let there = planned.observed().topology.len();
        let of = |action| planned.plan().steps.iter().filter(move |step| step.action == action);
        let again: BTreeSet<&Key> = of(Action::Create).map(|step| &step.key).collect();
        let deleted = of(Action::Delete).filter(|step| !again.contains(&step.key)).count();
        let most = there * usize::from(self.consent.most_deleted) / 100;
        if self.consent.allow_mass_delete || deleted <= FEW.max(most) {
            return Ok(());
        }
        let message = format!(
            "{deleted} of {there} objects would be deleted, more than {} %; --allow-mass-delete allows it",
            self.consent.most_deleted
        );
        Err(CommandError::Conflict(message))
    }

    /// Refuses a plan that takes the network away from pods or other bound ports.
    fn refuse_cut_pods(&self, cut: &[CutPort]) -> Result<(), CommandError> {
        if self.cuts_pods || cut.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = cut.iter().map(|port| port.what.as_str()).collect();
        let message = format!(
            "{} {} would be cut off, since the plan takes away their bridge, changes its network, or takes their host out of the \
             tunnel zone: {}; --cut-pods does so",
            cut.len(),
            noun(cut),
            names.join(", ")
        );
        Err(CommandError::Conflict(message))
    }

    fn report_nothing(&self, plan: &Plan, sha256: &str, changes: usize) -> Result<(), CommandError> {
        self.ui.json(&Report {
            site: &plan.site,
            sha256,
            planned: plan.summary(),
            done: &BTreeMap::new(),
            left: changes,
            converged: changes == 0,
            counts: self.session.connection.counts(),
            seconds: 0.0,
            rolled_back: false,
            used_twice: Vec::new(),
            error: None,
        })
    }

    fn show<G: Goal>(&self, planned: &Planned<'_, G>, cut_pods: &[CutPort]) -> Result<(), CommandError> {
        let settings = render::Options {
            colour: self.ui.colour_out(),
            before: Some(&planned.observed().topology),
            templates: &BTreeMap::new(),
            base_url: &self.session.connection.address(),
            plan_file: None,
            foreign: &planned.observed().foreign,
            verbose: false,
            reachability: None,
            saved_sha256: self.saved_sha256,
            cut_pods,
            used_twice: &[],
        };
        self.ui.data(|out| {
            let desired = planned.goal().desired();
            Ok(render::render(planned.plan(), desired, Format::Text, &settings, out)?)
        })
    }

    /// Executes the plan, and records what was done.
    pub(crate) async fn execute<G: Goal<Refusal = CommandError>>(
        &self,
        planned: Planned<'_, G>,
        guard: &Guard,
        recorder: &mut Recorder<'_>,
    ) -> Result<Finished, CommandError> {
        guard.begin();
        self.estimate(planned.plan());
        let progress: Mutex<Option<Progress<'_>>> = Mutex::new(None);
        let events = |event| show_event(self.ui, &progress, &event);
        let options = Options {
            parallel: usize::from(self.consent.parallel),
            batches: self.batches,
            takes_back: self.consent.rollback_on_error,
            looks_again: self.consent.verify || recorder.releases(),
            conflicts_pass: false,
            events: &events,
        };
        let control = Control::default();
        let deadline = self.consent.deadline.map(Duration::from_secs);
        let watching = watch(&control, deadline);
        let finished = planned.execute(&self.session.connection, recorder, &control, options).await;
        watching.abort();
        Ok(finished?)
    }

    /// Prints an estimate of the time, from the rates that were measured with real servers (the recordings' notes, 13): the
    /// time of a read says little about the time of writes.
    fn estimate(&self, plan: &Plan) {
        let calls: usize = plan.changes().map(|step| step.calls.len()).sum();
        let rate = match plan.engine {
            Engine::Midonet1 => 400,
            Engine::Midonet5 => 180,
            // A transaction of a thousand tenants takes a few seconds.
            Engine::Ovn => return,
        };
        let seconds = calls / rate;
        if seconds >= 5 {
            let time = if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
            let steps = plan.summary().changes();
            self.ui.status(&format!(
                "{steps} changes in {calls} calls: a real MidoNet takes about {time} for them"
            ));
        }
    }

    /// Reports the result, and waits until OVN has taken it over.
    pub(crate) async fn conclude(&self, site: &str, finished: Finished) -> Result<Exit, CommandError> {
        let has_changed = !finished.outcome.done.is_empty();
        let exit = self.report(site, finished)?;
        if has_changed {
            self.settle().await?;
        }
        Ok(exit)
    }

    /// Waits until the part of OVN that the options name has taken the rows over. Rows of which OVN makes nothing are a failure.
    async fn settle(&self) -> Result<(), CommandError> {
        let (part, words) = match self.consent.wait {
            WaitFor::None => return Ok(()),
            WaitFor::Sb => (Part::Southbound, "the southbound database"),
            WaitFor::Hv => (Part::Chassis, "every chassis"),
        };
        let Some(northbound) = self.session.connection.northbound() else { return Ok(()) };
        let control = Control::default();
        let watching = watch(&control, None);
        let limit = Duration::from_secs(self.consent.wait_timeout);
        let settled = settle::wait(northbound, part, limit, &control).await;
        watching.abort();
        match settled? {
            Settled::Done(took) => {
                self.ui.status(&format!("OVN: {words} has the change, after {:.1} s", took.as_secs_f64()));
                Ok(())
            }
            Settled::NotYet(waited) => Err(CommandError::NotTakenOver(format!(
                "the rows are written, but {words} does not have them after {:.0} s: is ovn-northd running, and are all chassis? \
                 --wait none waits for nothing",
                waited.as_secs_f64()
            ))),
        }
    }

    /// Reports the result.
    fn report(&self, site: &str, finished: Finished) -> Result<Exit, CommandError> {
        let changes = finished.planned.changes();
        let converged = finished.is_converged();
        let done: usize = finished.outcome.done.values().sum();
        // A later look may find more to do.
        let all = changes.max(done + finished.outcome.left);
        let words = format!(
            "{done} of {all} changes were made, in {:.1} s, {} calls, {} of them retried",
            finished.took.as_secs_f64(),
            finished.counts.calls,
            finished.counts.retries
        );
        if let Some(taken_back) = &finished.taken_back {
            self.ui.notice(&rollback_text(taken_back));
        }
        let hash = finished.hash.clone();
        let report = Report {
            site,
            sha256: self.saved_sha256.unwrap_or(&hash),
            planned: finished.planned,
            done: &finished.outcome.done.clone(),
            left: finished.outcome.left,
            converged,
            counts: finished.counts,
            seconds: finished.took.as_secs_f64(),
            rolled_back: matches!(finished.taken_back, Some(Ok(_))),
            used_twice: finished.used_twice.iter().map(|one| one.what.clone()).collect(),
            error: finished.outcome.failure.as_ref().map(|failure| error_chain::in_one_line(failure)),
        };
        if self.consent.json && changes > 0 {
            self.ui.json(&report)?;
        }
        if let Some(error) = self.error_of(finished, &words) {
            return Err(error);
        }
        if changes > 0 {
            let read_again =
                if self.consent.verify { "; the network was read again, and matches the spec" } else { "" };
            self.ui.status(&format!("Done: {words}{read_again}."));
        }
        Ok(Exit::Done)
    }

    /// Returns the failure of a run. Of several, it returns the first, and prints the others.
    fn error_of(&self, finished: Finished, words: &str) -> Option<CommandError> {
        let mut errors: Vec<CommandError> = Vec::new();
        if let Some(failure) = finished.outcome.failure {
            self.ui.notice(words);
            errors.push(failure.into());
        }
        if let Some(stop) = finished.stopped {
            errors.push(stopped(stop, &format!("{words}; run it again to continue")));
        }
        errors.extend(finished.look_error.map(CommandError::from));
        errors.extend(finished.record_error.map(CommandError::from));
        if let (Some(left), true) = (finished.remaining, errors.is_empty()) {
            let message = format!(
                "every call succeeded, but the network still differs from the spec: {} changes are left; \
                 somebody else may be changing it",
                left.changes()
            );
            errors.push(CommandError::Conflict(message));
        }
        errors.extend(provider_conflicts::used_twice(&finished.used_twice));
        let mut errors = errors.into_iter();
        let first = errors.next();
        errors.for_each(|other| {
            self.ui.notice(&format!("another failure: {}", error_chain::in_one_line(&other)))
        });
        first
    }
}

/// Returns the error of a run that was stopped.
pub(crate) fn stopped(stop: Stop, words: &str) -> CommandError {
    let message = format!("{stop}: {words}");
    match stop {
        Stop::Drift | Stop::LockLost => CommandError::Conflict(message),
        Stop::Interrupted | Stop::Deadline => CommandError::Interrupted(message),
    }
}

/// Stops an execution at Ctrl-C, and after this time if there is a limit.
pub(crate) fn watch(control: &Control, limit: Option<Duration>) -> tokio::task::JoinHandle<()> {
    let control = control.clone();
    tokio::spawn(async move {
        let late = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let pressed = async {
            // Where signals can't be had, only the time limit stops it.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = pressed => control.stop(Stop::Interrupted),
            () = late => control.stop(Stop::Deadline),
        }
    })
}

/// Shows what happens during an execution.
fn show_event<'u>(ui: &'u Ui, progress: &Mutex<Option<Progress<'u>>>, event: &Event) {
    let mut shown = progress.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        Event::Executing { steps } => *shown = Some(Progress::applying(ui, *steps)),
        Event::Executed => {
            if let Some(shown) = shown.take() {
                shown.finish();
            }
        }
        Event::Batch { number, of, differing: 0 } => {
            ui.status(&format!("batch {number} of {of}: the network matches the spec"));
        }
        Event::Batch { number, of, differing } => ui.notice(&format!(
            "after batch {number} of {of}: {differing} objects differ from the spec; somebody else may be \
             changing them"
        )),
        other => {
            if let Some(shown) = &*shown {
                shown.event(other);
            }
        }
    }
}

fn rollback_text(taken_back: &Result<usize, TakeBackError<CommandError>>) -> String {
    let error = match taken_back {
        Ok(steps) => return format!("undone: {steps} changes; the network is as it was before"),
        Err(TakeBackError::Step(error)) => error_chain::in_one_line(error),
        Err(TakeBackError::Look(LookError::Client(error))) => error_chain::in_one_line(error),
        Err(TakeBackError::Look(LookError::Refused(error))) => error_chain::in_one_line(error),
        Err(TakeBackError::Look(LookError::Unsound(error)) | TakeBackError::Unsound(error)) => {
            error_chain::in_one_line(error)
        }
        Err(TakeBackError::Record(error)) => error_chain::in_one_line(error),
        Err(TakeBackError::Stopped(stop)) => stop.to_string(),
    };
    format!("undoing the changes failed, too: {error}")
}
