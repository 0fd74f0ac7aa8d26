//! A plan is agreed to, carried out, and told of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{Action, Plan, Step, Summary};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::client::Counts;
use midoform_reconcile::execute::{Control, Outcome, execute};
use midoform_render as render;
use midoform_render::Format;
use serde::Serialize;
use uuid::Uuid;

use crate::args::Consent;
use crate::commands::plan::check;
use crate::error::{CommandError, Exit};
use crate::progress::Progress;
use crate::session::{Session, View};
use crate::ui::Ui;

/// How often in a row a run may look anew without getting any further.
const MOST_IDLE_ROUNDS: u32 = 3;

/// The result, for machines.
#[derive(Serialize)]
struct Report<'a> {
    site: &'a str,
    sha256: &'a str,
    planned: Summary,
    done: BTreeMap<Action, usize>,
    left: usize,
    converged: bool,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rolled_back: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A plan that is about to be carried out.
pub(crate) struct Job<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) session: &'a Session,
    pub(crate) consent: &'a Consent,
    pub(crate) view: View<'a>,
    /// What the network shall be: shown.
    pub(crate) goal: &'a Topology,
    pub(crate) observed: &'a Observed,
    pub(crate) plan: &'a Plan,
    pub(crate) expect: Option<&'a str>,
    /// Whether tenants are changed a few at a time.
    pub(crate) batches: Option<Batches>,
}

/// How tenants are changed a few at a time.
#[derive(Clone, Copy)]
pub(crate) struct Batches {
    /// How many at a time.
    pub(crate) tenants: u32,
    /// Whether a look that finds something not as it should be ends the run.
    pub(crate) pause_on_drift: bool,
}

/// Agreement to a plan: its hash.
pub(crate) struct Agreed(String);

/// What was done, and whether the network is now what it should be.
pub(crate) struct Finished {
    hash: String,
    pub(crate) outcome: Outcome,
    /// What is still different, if anything.
    remaining: Option<Summary>,
    /// The ids of the server's choosing, as they are now.
    pub(crate) ids: BTreeMap<Key, Uuid>,
    /// Why it stopped before its end, if it did.
    stopped: Option<&'static str>,
    /// Whether that was a look between two batches.
    paused: bool,
    rolled_back: bool,
    counts: Counts,
    took: Duration,
}

impl Job<'_> {
    /// Shows the plan, and asks where somebody has to agree. Nothing where there is nothing to do, or where it
    /// was only a question.
    pub(crate) fn agreed(&self) -> Result<Option<Agreed>, CommandError> {
        check(self.plan, self.observed)?;
        let hash = midoform_compiler::plan::hash(self.plan);
        if let Some(expected) = self.expect
            && !hash.eq_ignore_ascii_case(expected)
        {
            let message = format!("--expect {expected}: the plan's SHA-256 is {hash}; look at it again");
            return Err(CommandError::Conflict(message));
        }
        let changes = self.plan.summary().changes();
        if !self.consent.json {
            self.show()?;
        }
        if self.consent.dry_run || changes == 0 {
            if self.consent.json {
                self.report_nothing(&hash, changes)?;
            }
            // Nothing is to be done; but addresses that a merge of files brought still get written.
            return Ok((changes == 0 && !self.consent.dry_run).then_some(Agreed(hash)));
        }
        self.refuse_mass_delete()?;
        if !self.consent.yes && !self.ui.confirm(&format!("Apply these {changes} changes?"))? {
            return Err(CommandError::Interrupted("nothing was changed".to_owned()));
        }
        Ok(Some(Agreed(hash)))
    }

    /// A plan that takes away a large share of what is there is probably not what somebody meant.
    fn refuse_mass_delete(&self) -> Result<(), CommandError> {
        const FEW: usize = 10;
        let there = self.observed.topology.len();
        let again: std::collections::BTreeSet<&Key> = self
            .plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Create)
            .map(|step| &step.key)
            .collect();
        let deleted = self
            .plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Delete && !again.contains(&step.key))
            .count();
        let most = there * usize::from(self.consent.most_deleted) / 100;
        if self.consent.allow_mass_delete || deleted <= FEW.max(most) {
            return Ok(());
        }
        let message = format!(
            "{deleted} of {there} objects would be deleted, more than {} %: --allow-mass-delete if that is meant",
            self.consent.most_deleted
        );
        Err(CommandError::Conflict(message))
    }

    fn report_nothing(&self, sha256: &str, changes: usize) -> Result<(), CommandError> {
        self.ui.json(&Report {
            site: &self.plan.site,
            sha256,
            planned: self.plan.summary(),
            done: BTreeMap::new(),
            left: changes,
            converged: changes == 0,
            counts: self.session.client.statistics().counts(),
            seconds: 0.0,
            rolled_back: false,
            error: None,
        })
    }

    fn show(&self) -> Result<(), CommandError> {
        let settings = render::Options {
            colour: self.ui.colour_out(),
            templates: &BTreeMap::new(),
            base_url: self.session.client.base_url(),
            plan_file: None,
            foreign: &self.observed.foreign,
            verbose: false,
            reachability: None,
        };
        self.ui.data(|out| {
            render::render(self.plan, self.goal, Format::Text, &settings, out).map_err(std::io::Error::other)
        })
    }

    /// Carries the plan out. Where nobody knows whether a call happened, and no read of one object can tell, it
    /// looks at the network anew and goes on from there.
    pub(crate) async fn carry_out(
        &self,
        agreed: Agreed,
        again: &dyn Fn(&Observed) -> Plan,
    ) -> Result<Finished, CommandError> {
        let started = Instant::now();
        let steps = self.plan.summary().changes();
        let mut finished = Finished {
            hash: agreed.0,
            outcome: Outcome::default(),
            remaining: None,
            ids: self.observed.ids.clone(),
            stopped: None,
            paused: false,
            rolled_back: false,
            counts: Counts::default(),
            took: Duration::ZERO,
        };
        if steps > 0 {
            self.estimate(steps);
            let control = Control::default();
            let watching = self.watch(&control);
            match self.batches {
                None => self.rounds(self.plan, &mut finished, &control, again).await,
                Some(batches) => self.batch_by_batch(batches, &mut finished, &control, again).await?,
            }
            watching.abort();
            finished.stopped = finished.stopped.or(control.why());
            if finished.outcome.failure.is_some() && self.consent.rollback_on_error {
                self.roll_back(&mut finished).await?;
            }
            if finished.outcome.failure.is_none() && finished.stopped.is_none() && self.consent.verify {
                let now = self.look_again(&finished).await?;
                let left = again(&now).summary();
                finished.remaining = (left.changes() > 0).then_some(left);
                finished.ids = now.ids;
            }
        }
        finished.counts = self.session.client.statistics().counts();
        finished.took = started.elapsed();
        Ok(finished)
    }

    /// How long it will take at the rate that was measured of real servers (the recordings' notes, 13): what a read
    /// takes before the first write says little about writes.
    fn estimate(&self, steps: usize) {
        let calls: usize = self.plan.changes().map(|step| step.calls.len()).sum();
        let rate = match self.view.dialect {
            Dialect::V1 => 400,
            Dialect::V5 => 180,
        };
        let seconds = calls / rate;
        if seconds >= 5 {
            let time = if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
            self.ui.say(&format!(
                "{steps} changes in {calls} calls: a real MidoNet takes about {time} for them"
            ));
        }
    }

    /// Ctrl-C and the deadline.
    fn watch(&self, control: &Control) -> tokio::task::JoinHandle<()> {
        let control = control.clone();
        let deadline = self.consent.deadline.map(Duration::from_secs);
        tokio::spawn(async move {
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => if pressed.is_ok() { control.stop("interrupted") },
                () = late => control.stop("the deadline has passed"),
            }
        })
    }

    /// Changes a few tenants at a time, and looks after each batch whether everything that was done so far is as it
    /// should be.
    async fn batch_by_batch(
        &self,
        batches: Batches,
        finished: &mut Finished,
        control: &Control,
        again: &dyn Fn(&Observed) -> Plan,
    ) -> Result<(), CommandError> {
        let order = BatchOrder::of(self.plan, batches.tenants);
        let mut plan = std::borrow::Cow::Borrowed(self.plan);
        for batch in 0..order.count {
            let own = |plan: &Plan| order.up_to(batch, plan);
            self.rounds(&own(&plan), finished, control, &|now| own(&again(now))).await;
            if finished.outcome.failure.is_some() || control.why().is_some() {
                break;
            }
            let now = self.look_again(finished).await?;
            plan = std::borrow::Cow::Owned(again(&now));
            finished.ids = now.ids.clone();
            let astray = own(&plan).summary().changes();
            if astray > 0 {
                self.ui.always_say(&format!(
                    "after batch {} of {}: {astray} objects are not what they should be; somebody else may be changing them",
                    batch + 1,
                    order.count
                ));
                if batches.pause_on_drift {
                    finished.stopped = Some("paused, as something is not what it should be");
                    finished.paused = true;
                    break;
                }
            } else {
                self.ui.say(&format!("batch {} of {}: as it should be", batch + 1, order.count));
            }
        }
        finished.outcome.left = plan.summary().changes();
        Ok(())
    }

    async fn rounds(
        &self,
        plan: &Plan,
        finished: &mut Finished,
        control: &Control,
        again: &dyn Fn(&Observed) -> Plan,
    ) {
        let mut plan = std::borrow::Cow::Borrowed(plan);
        let mut idle = 0;
        loop {
            let steps = plan.summary().changes();
            let progress = Progress::applying(self.ui, steps);
            let parallel = usize::from(self.consent.parallel);
            let client = &self.session.client;
            let outcome = execute(client, &plan, parallel, control, &|event| progress.event(&event)).await;
            progress.finish();
            let moved = !outcome.done.is_empty();
            finished.take_in(&plan, outcome);
            let uncertain =
                finished.outcome.failure.as_ref().is_some_and(|failure| failure.source.is_uncertain());
            idle = if moved { 0 } else { idle + 1 };
            if !uncertain || control.why().is_some() || idle >= MOST_IDLE_ROUNDS {
                return;
            }
            // Where even looking fails, the failure that led here is what is told.
            let Ok(now) = self.look_again(finished).await else { return };
            plan = std::borrow::Cow::Owned(again(&now));
            finished.ids = now.ids.clone();
            if check(&plan, &now).is_err() {
                return;
            }
            finished.outcome.failure = None;
            finished.outcome.left = plan.summary().changes();
            if finished.outcome.left == 0 {
                return;
            }
        }
    }

    /// Looks at the network as it is now, with the ids that are known by now.
    async fn look_again(&self, finished: &Finished) -> Result<Observed, CommandError> {
        let mut known: Allocations = self.view.known.clone();
        for (key, id) in &finished.ids {
            if let Some(tenant) = known.tenants.get_mut(key.owner()) {
                tenant.ids.insert(key.clone(), *id);
            }
        }
        let scope = midoform_reconcile::observe::Scope { known: &known, ..self.view.scope() };
        self.session.observe(self.ui, scope).await
    }

    /// Takes back what this run made: from what is there now to what was there before.
    async fn roll_back(&self, finished: &mut Finished) -> Result<(), CommandError> {
        let now = self.look_again(finished).await?;
        let View { site, dialect, .. } = self.view;
        let plan = midonet::plan(site, dialect, &self.observed.topology, &now);
        check(&plan, &now)?;
        let control = Control::default();
        let client = &self.session.client;
        let outcome = execute(client, &plan, usize::from(self.consent.parallel), &control, &|_| {}).await;
        finished.ids = now.ids;
        finished.rolled_back = outcome.failure.is_none();
        let taken_back = outcome.done.values().sum::<usize>();
        finished.take_ids(&plan, &outcome);
        match outcome.failure {
            None => self
                .ui
                .always_say(&format!("taken back: {taken_back} changes; the network is as it was before")),
            Some(failure) => self.ui.always_say(&format!("taking back failed as well: {failure}")),
        }
        Ok(())
    }
}

/// Which batch each tenant is in.
struct BatchOrder {
    by_tenant: BTreeMap<String, usize>,
    count: usize,
}

impl BatchOrder {
    /// The tenants that a plan changes, by name, so many in each batch; the site's own objects are in the first.
    fn of(plan: &Plan, tenants: u32) -> Self {
        let changed: BTreeSet<&str> = plan.changes().map(|step| step.key.owner()).collect();
        let changed: Vec<&str> = changed.into_iter().filter(|tenant| *tenant != SITE).collect();
        let size = usize::try_from(tenants).unwrap_or(usize::MAX).max(1);
        let numbered = (0..).zip(changed.chunks(size));
        let by_tenant = numbered
            .flat_map(|(batch, tenants)| tenants.iter().map(move |tenant| ((*tenant).to_owned(), batch)));
        BatchOrder { by_tenant: by_tenant.collect(), count: changed.len().div_ceil(size).max(1) }
    }

    /// The steps of the batches up to this one. A step that needs one of a later batch belongs to that.
    fn up_to(&self, batch: usize, plan: &Plan) -> Plan {
        let last = self.count - 1;
        let of_tenant = |key: &Key| match key.owner() {
            SITE => 0,
            tenant => self.by_tenant.get(tenant).copied().unwrap_or(last),
        };
        let mut batches: BTreeMap<&Key, usize> = BTreeMap::new();
        let mut steps = Vec::new();
        for step in &plan.steps {
            let needed = step.needs.iter().filter_map(|key| batches.get(key)).copied().max();
            let own = needed.unwrap_or(0).max(of_tenant(&step.key));
            let latest = batches.entry(&step.key).or_insert(own);
            *latest = own.max(*latest);
            if *latest <= batch {
                steps.push(step.clone());
            }
        }
        Plan { steps, ..plan.clone() }
    }
}

impl Finished {
    /// Adds what a round did.
    fn take_in(&mut self, plan: &Plan, outcome: Outcome) {
        self.take_ids(plan, &outcome);
        for (action, count) in outcome.done {
            *self.outcome.done.entry(action).or_default() += count;
        }
        self.outcome.left = outcome.left;
        self.outcome.failure = outcome.failure;
    }

    fn take_ids(&mut self, plan: &Plan, outcome: &Outcome) {
        let gone = |step: &&Step| matches!(step.action, Action::Delete | Action::Replace);
        for step in plan.steps.iter().filter(gone) {
            self.ids.remove(&step.key);
        }
        self.ids.extend(outcome.ids.iter().map(|(key, id)| (key.clone(), *id)));
    }

    /// Whether all of it was done.
    pub(crate) fn is_whole(&self) -> bool {
        self.outcome.failure.is_none() && self.stopped.is_none()
    }

    /// Says how it went.
    pub(crate) fn exit(self, ui: &Ui, consent: &Consent, plan: &Plan) -> Result<Exit, CommandError> {
        let done: usize = self.outcome.done.values().sum();
        let planned = plan.summary();
        let converged = self.is_whole() && self.remaining.is_none();
        if consent.json && planned.changes() > 0 {
            ui.json(&Report {
                site: &plan.site,
                sha256: &self.hash,
                planned,
                done: self.outcome.done,
                left: self.outcome.left,
                converged,
                counts: self.counts,
                seconds: self.took.as_secs_f64(),
                rolled_back: self.rolled_back,
                error: self.outcome.failure.as_ref().map(ToString::to_string),
            })?;
        }
        let counts = self.counts;
        let words = format!(
            "{done} of {} changes were made, in {:.1} s, {} calls, {} of them repeated",
            planned.changes(),
            self.took.as_secs_f64(),
            counts.calls,
            counts.retries
        );
        if let Some(failure) = self.outcome.failure {
            ui.always_say(&words);
            return Err(failure.into());
        }
        if let Some(why) = self.stopped {
            let message = format!("{why}: {words}; run apply again to go on");
            return Err(if self.paused {
                CommandError::Conflict(message)
            } else {
                CommandError::Interrupted(message)
            });
        }
        if let Some(left) = self.remaining {
            let message = format!(
                "every call succeeded, and the network is still not what it should be: {} changes are left; \
                 somebody else may be changing it",
                left.changes()
            );
            return Err(CommandError::Conflict(message));
        }
        if planned.changes() > 0 {
            let read_again =
                if consent.verify { "; read again, the network is what the spec says" } else { "" };
            ui.say(&format!("Done: {words}{read_again}."));
        }
        Ok(Exit::Done)
    }
}
