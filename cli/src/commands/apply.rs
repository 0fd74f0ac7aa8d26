//! `midoform apply`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use midoform_applier::execute::{Control, Outcome, execute};
use midoform_applier::saved::SavedPlan;
use midoform_applier::store::lockfile::LockFile;
use midoform_compiler::allocation::Allocations;
use midoform_compiler::diag::Diagnostics;
use midoform_compiler::dialect::Dialect;
use midoform_compiler::observed::Observed;
use midoform_compiler::plan::{Action, Plan, Summary};
use midoform_compiler::render::{self, Format, json};
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::topology::Topology;
use midoform_compiler::{diff, lock};
use serde::Serialize;

use crate::args::{ApplyOptions, Consent, Select};
use crate::commands::plan::{Work, check};
use crate::error::{CommandError, Exit};
use crate::progress::Progress;
use crate::project::Project;
use crate::report;
use crate::session::{Session, Target, View, block_on};
use crate::ui::Ui;

/// The result, for machines.
#[derive(Serialize)]
struct Report<'a> {
    site: &'a str,
    sha256: &'a str,
    planned: Summary,
    done: BTreeMap<Action, usize>,
    left: usize,
    converged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
        return saved(ui, options);
    }
    let project = Project::load(&options.spec)?;
    let guard = match options.consent.dry_run {
        true => None,
        false => Some(project.lock_file.acquire()?),
    };
    // Read again under the guard: another apply may have written since.
    let project = if guard.is_some() { Project::load(&options.spec)? } else { project };
    let (compiled, project) = project.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project);
    let target = Target::of(&compiled.site, &options.api, project.root());
    let work = Work::new(&compiled, &options.select)?;
    block_on(async {
        let session = Session::open(target, compiled.dialect(), options.api.timeout).await?;
        let result = async {
            let observed = session.observe(ui, work.view(&work.desired).scope()).await?;
            let plan = work.plan(&observed);
            let job = Job {
                ui,
                session: &session,
                consent: &options.consent,
                view: work.view(&work.desired),
                goal: &work.desired,
                observed: &observed,
                plan: &plan,
                expect: options.expect.as_deref(),
            };
            let Some(done) = job.agreed()? else { return Ok(Exit::Done) };
            let guard = guard.as_ref().ok_or_else(|| CommandError::Internal("no lock is held".to_owned()))?;
            project.lock_file.write(guard, &compiled.allocations)?;
            let finished = job.carry_out(done, &|observed| work.plan(observed)).await?;
            let mut after = compiled.allocations.clone();
            record(&mut after, &work, &finished);
            project.lock_file.write(guard, &after)?;
            finished.exit(ui, &options.consent, &plan)
        };
        let result = result.await;
        session.close().await;
        result
    })
}

/// A saved plan is JSON; a spec is a folder or TOML.
fn is_saved_plan(path: &Path) -> bool {
    let mut first = [0; 1];
    let mut read = || -> std::io::Result<bool> {
        let mut file = std::fs::File::open(path)?;
        Ok(file.metadata()?.is_file() && file.read(&mut first)? == 1 && first == *b"{")
    };
    read().unwrap_or(false)
}

/// Applies exactly the plan in a file.
#[allow(clippy::too_many_lines, reason = "one story: read, compare, apply, write down")]
fn saved(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    let saved = SavedPlan::read(&options.spec.path)?;
    let lock_path =
        options.spec.lock.clone().unwrap_or_else(|| options.spec.path.with_file_name("midoform.lock"));
    let lock_file = LockFile::at(lock_path);
    let guard = lock_file.acquire()?;
    let current = lock_file.source().map(|source| source.text().to_owned());
    let empty = lock::to_toml(&Allocations::default());
    if current.unwrap_or(empty) != saved.lock_before {
        let message =
            format!("{} is not what it was when the plan was made: plan again", lock_file.path().display());
        return Err(CommandError::Conflict(message));
    }
    let mut allocations = parse_lock(&saved.lock_after)?;
    let target = match (&options.api.api, &saved.url) {
        (Some(url), _) | (None, Some(url)) => Target::Url(url.clone()),
        (None, None) => {
            let beside = lock_file.path().with_file_name(".midoform");
            Target::Embedded { folder: options.api.state_dir.clone().unwrap_or(beside), hosts: Vec::new() }
        }
    };
    let view = View {
        site: &saved.plan.site,
        dialect: saved.plan.dialect,
        desired: &saved.desired,
        known: &allocations,
        tenants: &saved.tenants,
        provider: &saved.provider,
    };
    let (finished, exit) = block_on(async {
        let session = Session::open(target, saved.plan.dialect, options.api.timeout).await?;
        let result = async {
            let observed = session.observe(ui, view.scope()).await?;
            if observed.fingerprint() != saved.plan.base {
                let message = "the network has moved since the plan was made: plan again".to_owned();
                return Err(CommandError::Conflict(message));
            }
            let job = Job {
                ui,
                session: &session,
                consent: &options.consent,
                view,
                goal: &saved.desired,
                observed: &observed,
                plan: &saved.plan,
                expect: options.expect.as_deref(),
            };
            let Some(done) = job.agreed()? else { return Ok((None, Exit::Done)) };
            lock_file.write(&guard, &allocations)?;
            let again = |observed: &Observed| {
                diff::plan(&saved.plan.site, saved.plan.dialect, &saved.desired, observed)
            };
            let finished = job.carry_out(done, &again).await?;
            Ok((Some(finished), Exit::Done))
        };
        let result = result.await;
        session.close().await;
        result
    })?;
    let Some(finished) = finished else { return Ok(exit) };
    for tenant in &saved.tenants {
        mark_applied(&mut allocations, tenant, &saved.desired, &finished, saved.plan.dialect);
    }
    lock_file.write(&guard, &allocations)?;
    finished.exit(ui, &options.consent, &saved.plan)
}

fn parse_lock(text: &str) -> Result<Allocations, CommandError> {
    let mut diagnostics = Diagnostics::default();
    let source = Source::new("midoform.lock", text);
    let parsed = lock::parse(&source, SourceId(0), &mut diagnostics);
    parsed.ok_or_else(|| {
        CommandError::Conflict("the saved plan's lock file can't be read: plan again".to_owned())
    })
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
}

/// Agreement to a plan: its hash.
pub(crate) struct Agreed(String);

/// What was done, and whether the network is now what it should be.
pub(crate) struct Finished {
    hash: String,
    pub(crate) outcome: Outcome,
    /// What is still different, if anything.
    remaining: Option<Summary>,
    pub(crate) observed: Option<Observed>,
    interrupted: bool,
}

impl Job<'_> {
    /// Shows the plan, and asks where somebody has to agree. Nothing where there is nothing to do, or where it
    /// was only a question.
    pub(crate) fn agreed(&self) -> Result<Option<Agreed>, CommandError> {
        check(self.plan, self.observed)?;
        let hash = json::hash(self.plan);
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
                let converged = changes == 0;
                self.report(&hash, BTreeMap::new(), changes, converged, None)?;
            }
            // Nothing is to be done; but addresses that a merge of files brought still get written.
            return Ok((changes == 0 && !self.consent.dry_run).then_some(Agreed(hash)));
        }
        if !self.consent.yes && !self.ui.confirm(&format!("Apply these {changes} changes?"))? {
            return Err(CommandError::Interrupted("nothing was changed".to_owned()));
        }
        Ok(Some(Agreed(hash)))
    }

    fn report(
        &self,
        sha256: &str,
        done: BTreeMap<Action, usize>,
        left: usize,
        converged: bool,
        error: Option<String>,
    ) -> Result<(), CommandError> {
        let planned = self.plan.summary();
        self.ui.json(&Report { site: &self.plan.site, sha256, planned, done, left, converged, error })
    }

    fn show(&self) -> Result<(), CommandError> {
        let settings = render::Options {
            colour: self.ui.colour_out(),
            templates: &BTreeMap::new(),
            base_url: self.session.client.base_url(),
            plan_file: None,
            foreign: &self.observed.foreign,
            verbose: false,
        };
        self.ui.data(|out| {
            render::render(self.plan, self.goal, Format::Text, &settings, out).map_err(std::io::Error::other)
        })
    }

    /// Carries the plan out, reads the network again, and says whether it is what it should be.
    pub(crate) async fn carry_out(
        &self,
        agreed: Agreed,
        again: &dyn Fn(&Observed) -> Plan,
    ) -> Result<Finished, CommandError> {
        let steps = self.plan.summary().changes();
        if steps == 0 {
            let (outcome, observed) = (Outcome::default(), Some(self.observed.clone()));
            return Ok(Finished { hash: agreed.0, outcome, remaining: None, observed, interrupted: false });
        }
        let control = Control::default();
        let stopper = control.clone();
        let listener = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stopper.stop();
            }
        });
        let progress = Progress::applying(self.ui, steps);
        let client = &self.session.client;
        let parallel = usize::from(self.consent.parallel);
        let outcome = execute(client, self.plan, parallel, &control, &|event| progress.event(&event)).await;
        progress.finish();
        listener.abort();
        let (mut remaining, mut observed) = (None, None);
        if outcome.failure.is_none() && !control.is_stopped() {
            let now = self.session.observe(self.ui, self.view.scope()).await?;
            let left = again(&now).summary();
            remaining = (left.changes() > 0).then_some(left);
            observed = Some(now);
        }
        Ok(Finished { hash: agreed.0, outcome, remaining, observed, interrupted: control.is_stopped() })
    }
}

impl Finished {
    /// Says how it went.
    pub(crate) fn exit(self, ui: &Ui, consent: &Consent, plan: &Plan) -> Result<Exit, CommandError> {
        let done: usize = self.outcome.done.values().sum();
        let planned = plan.summary();
        if consent.json && planned.changes() > 0 {
            let error = self.outcome.failure.as_ref().map(ToString::to_string);
            let converged = error.is_none() && self.remaining.is_none() && !self.interrupted;
            let (sha256, left) = (&self.hash, self.outcome.left);
            ui.json(&Report {
                site: &plan.site,
                sha256,
                planned,
                done: self.outcome.done,
                left,
                converged,
                error,
            })?;
        }
        if let Some(failure) = self.outcome.failure {
            ui.always_say(&format!("{done} of {} changes were made", planned.changes()));
            return Err(failure.into());
        }
        if self.interrupted {
            let message =
                format!("{done} of {} changes were made; run apply again to go on", planned.changes());
            return Err(CommandError::Interrupted(message));
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
            ui.say(&format!("Done: {done} changes were made, and the network is what the spec says."));
        }
        Ok(Exit::Done)
    }
}

/// Writes down what was applied: that it was, which static ports there are, and the ids of the server's
/// choosing.
fn record(allocations: &mut Allocations, work: &Work<'_>, finished: &Finished) {
    for tenant in &work.tenants {
        mark_applied(allocations, tenant, &work.desired, finished, work.compiled.dialect());
        let protect = work.compiled.tenants.iter().any(|known| *known.name == **tenant && known.protect);
        if let Some(entry) = allocations.tenants.get_mut(tenant) {
            entry.protect = protect;
        }
    }
}

fn mark_applied(
    allocations: &mut Allocations,
    tenant: &str,
    desired: &Topology,
    finished: &Finished,
    dialect: Dialect,
) {
    let Some(entry) = allocations.tenants.get_mut(tenant) else { return };
    entry.applied = true;
    let of_tenant = |key: &midoform_compiler::key::Key| key.tenant() == tenant;
    let prefix = format!("{tenant}/port/");
    let port_name = |key: &midoform_compiler::key::Key| {
        let name = key.as_str().strip_prefix(&prefix)?;
        (!name.contains('/')).then(|| name.to_owned())
    };
    entry.ports = desired.entries().iter().filter_map(|entry| port_name(&entry.key)).collect();
    if dialect == Dialect::V5 {
        entry.ids.clear();
        return;
    }
    let ids = finished.outcome.ids.iter().filter(|(key, _)| of_tenant(key));
    entry.ids.extend(ids.map(|(key, id)| (key.clone(), *id)));
    if let Some(observed) = &finished.observed {
        let seen = observed.ids.iter().filter(|(key, _)| of_tenant(key));
        entry.ids = seen.map(|(key, id)| (key.clone(), *id)).collect();
    }
}

/// No choice: everything.
pub(crate) fn everything() -> Select {
    Select { target: Vec::new() }
}
