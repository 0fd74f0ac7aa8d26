//! `midoform apply`.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use midoform_applier::saved::SavedPlan;
use midoform_applier::store::lockfile::LockFile;
use midoform_compiler::allocation::Allocations;
use midoform_compiler::diag::Diagnostics;
use midoform_compiler::dialect::Dialect;
use midoform_compiler::observed::Observed;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::topology::Topology;
use midoform_compiler::{diff, lock};

use crate::args::{ApplyOptions, Select};
use crate::commands::carry_out::{Finished, Job};
use crate::commands::plan::Work;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::report;
use crate::session::{Session, Target, View, block_on};
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
        return saved(ui, options);
    }
    let project = Project::load(&options.spec)?;
    let guard = match options.consent.dry_run {
        true => None,
        false => Some(project.lock_file.acquire(lock_timeout(options))?),
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

fn lock_timeout(options: &ApplyOptions) -> Duration {
    Duration::from_secs(options.consent.lock_timeout)
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
    let guard = lock_file.acquire(lock_timeout(options))?;
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
    let seen = finished.ids.iter().filter(|(key, _)| of_tenant(key));
    entry.ids = seen.map(|(key, id)| (key.clone(), *id)).collect();
}

/// No choice: everything.
pub(crate) fn everything() -> Select {
    Select { target: Vec::new(), exclude: Vec::new() }
}
