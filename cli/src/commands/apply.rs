//! `midoform apply`.

use std::collections::BTreeSet;

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::topology::observed::Observed;

use crate::allocation_state::Guard;
use crate::applied_state::{give_back, mark_applied};
use crate::args::ApplyOptions;
use crate::attached::{attached, refuse_protected};
use crate::error::{CommandError, Exit};
use crate::execution::{Batches, Finished, Job};
use crate::keystone_projects::{self, Missing};
use crate::project::{Project, Reach};
use crate::publication;
use crate::report;
use crate::saved_plan;
use crate::saved_plan::is_saved_plan;
use crate::selection::Selection;
use crate::session::{Session, Target};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
        if !options.policy.files.is_empty() {
            let message =
                "--policy: a saved plan was held against policies when it was made: name them there";
            return Err(CommandError::Usage(message.to_owned()));
        }
        return saved_plan::apply(ui, options).await;
    }
    let project = load(options).await?;
    if options.consent.dry_run {
        return apply(ui, options, project, None).await;
    }
    let (by, patience) = ("midoform apply", options.consent.patience());
    let locked = async |guard: &Guard| {
        // Read again under the lock: another apply may have written since.
        apply(ui, options, load(options).await?, Some(guard)).await
    };
    project.with_lock(by, patience, |_| options.prune, locked).await
}

async fn load(options: &ApplyOptions) -> Result<Project, CommandError> {
    Project::load_under(&options.spec, &options.policy, Reach::Everything).await
}

/// Applies a project, under the lock of its tenants if it is no dry run.
async fn apply(
    ui: &Ui,
    options: &ApplyOptions,
    project: Project,
    guard: Option<&Guard>,
) -> Result<Exit, CommandError> {
    let missing = Missing::under(guard, options.consent.yes);
    let (project, _) =
        keystone_projects::look_up(ui, project, &options.api.login, &options.select, &missing).await?;
    let (compiled, project) = project.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    let target = Target::of(&compiled.site, &options.api, &project.sources.root);
    let mut selection = Selection::new(&compiled, &options.select)?;
    let abandoned = if options.prune { Selection::abandoned(&compiled) } else { BTreeSet::new() };
    refuse_protected(&compiled, &abandoned)?;
    selection.tenants.extend(abandoned.iter().cloned());
    let applied =
        Applied { ui, options, selection: &selection, project: &project, guard, abandoned: &abandoned };
    Session::with(target, compiled.dialect(), &options.api, async |session| applied.carry_out(session).await)
        .await
}

/// An apply whose spec was read.
struct Applied<'a> {
    ui: &'a Ui,
    options: &'a ApplyOptions,
    selection: &'a Selection<'a>,
    project: &'a Project,
    guard: Option<&'a Guard>,
    /// The tenants that go because their file is gone.
    abandoned: &'a BTreeSet<String>,
}

impl Applied<'_> {
    /// Observes, plans, and does what somebody agreed to.
    async fn carry_out(&self, session: &Session) -> Result<Exit, CommandError> {
        let Applied { ui, options, selection, .. } = *self;
        let observed = session.observe(ui, selection.view(&selection.desired).scope()).await?;
        refuse_attached(&observed, self.abandoned)?;
        let plan = selection.plan(&observed);
        let job = Job {
            ui,
            session,
            consent: &options.consent,
            view: selection.view(&selection.desired),
            goal: &selection.desired,
            observed: &observed,
            plan: &plan,
            expect: options.expect.as_deref(),
            batches: options.batch.map(|tenants| Batches { tenants, pause_on_drift: options.pause_on_drift }),
        };
        let Some(agreed) = job.agreed().await? else { return Ok(Exit::Done) };
        let guard = self.guard.ok_or_else(|| CommandError::Internal("no lock is held".to_owned()))?;
        let (state, site) = (&self.project.state, &selection.compiled.site);
        let mut allocations = selection.compiled.allocations.clone();
        allocations.note_what_is_made(&plan, &selection.desired);
        state.write(guard, site, &allocations).await?;
        if state.is_store() {
            guard.retire(self.abandoned, false).await?;
        }
        let finished = job.carry_out(agreed, &|observed| selection.plan(observed)).await?;
        record(&mut allocations, selection, &finished);
        if finished.is_whole() {
            give_back(&mut allocations, self.abandoned);
        }
        state.write(guard, site, &allocations).await?;
        if state.is_store() && finished.is_whole() {
            publication::let_in(
                guard,
                &publication::publication(
                    self.project,
                    selection.compiled,
                    &selection.tenants,
                    &finished.ids,
                ),
            )
            .await?;
            publication::forget(guard, self.abandoned).await?;
        }
        finished.exit(ui, &options.consent, &plan)
    }
}

/// What is attached to a tenant that goes because its file is gone would be cut off.
fn refuse_attached(observed: &Observed, gone: &BTreeSet<String>) -> Result<(), CommandError> {
    let Some(attached) = attached(observed, |tenant| gone.contains(tenant)) else { return Ok(()) };
    let message = format!(
        "still attached: {attached}; `midoform destroy --target TENANT --force` takes down a tenant all the same"
    );
    Err(CommandError::Conflict(message))
}

/// Writes down what was applied: that it was, which static ports there are, and the ids of the server's
/// choosing.
fn record(allocations: &mut Allocations, selection: &Selection<'_>, finished: &Finished) {
    mark_applied(
        allocations,
        &selection.compiled.site.name.value,
        &selection.tenants,
        &selection.desired,
        finished,
    );
    for tenant in &selection.compiled.tenants {
        if let (true, Some(entry)) =
            (selection.tenants.contains(&*tenant.name), allocations.tenants.get_mut(&*tenant.name))
        {
            entry.protect = tenant.protect;
        }
    }
}
