//! `midoform apply`: changes the network to match the spec, or applies a saved plan.

use std::collections::BTreeSet;

use midoform_compiler::network::provider_use::Neighbours;
use midoform_reconcile::recorder::{Bookkeeping, Publish};

use crate::allocation_state::Guard;
use crate::args::ApplyOptions;
use crate::attached::refuse_protected;
use crate::cut_pods::KnownPods;
use crate::error::{CommandError, Exit};
use crate::execution::Run;
use crate::keystone_projects::{self, Missing};
use crate::preflight;
use crate::project::{Project, Reach};
use crate::provider_conflicts;
use crate::publication;
use crate::report;
use crate::saved_plan::{self, is_saved_plan};
use crate::selection::Selection;
use crate::session::{Session, Target, read_early};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &ApplyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
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
    let (mut project, mut neighbours) = (project, Neighbours::default());
    let mut early = read_early(&project, &options.spec, &options.api);
    loop {
        let (compiled, compiled_project) = project.compile_beside(&options.spec, &neighbours)?;
        project = compiled_project;
        let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
        let mut selection = Selection::new(&compiled, &options.select)?;
        selection.removes_foreign = options.remove_foreign;
        if options.prune {
            let abandoned = Selection::abandoned(&compiled);
            refuse_protected(&compiled, &abandoned)?;
            selection.prune(abandoned);
        }
        let applied =
            Applied { ui, options, selection: &selection, project: &project, guard, neighbours: &neighbours };
        let work = async |session: &Session| applied.reconcile(session).await;
        match Session::with_early(target, compiled.engine(), &options.api, early.take(), work).await? {
            Reconciled::Ended(exit) => return Ok(exit),
            Reconciled::Beside(found) => neighbours = found,
        }
    }
}

/// The result of an attempt to apply.
enum Reconciled {
    Ended(Exit),
    /// Nothing was changed: links have to get other addresses, since others use these on the provider router.
    Beside(Neighbours),
}

/// An apply whose spec was read.
struct Applied<'a> {
    ui: &'a Ui,
    options: &'a ApplyOptions,
    selection: &'a Selection<'a>,
    project: &'a Project,
    guard: Option<&'a Guard>,
    /// What the project was compiled beside.
    neighbours: &'a Neighbours,
}

impl Applied<'_> {
    async fn reconcile(&self, session: &Session) -> Result<Reconciled, CommandError> {
        let Applied { ui, options, selection, .. } = *self;
        let compiled = selection.compiled;
        let run = Run {
            ui,
            session,
            consent: &options.consent,
            expect: options.expect.as_deref(),
            saved_sha256: None,
            pods: KnownPods::of(&self.project.state),
            cuts_pods: options.cut_pods,
            batches: options.batches(),
        };
        let planned = run.session.look(ui, selection, &compiled.allocations).await;
        let planned = planned.map_err(|error| preflight::at_line(error, compiled, self.project))?;
        if let Some(found) =
            provider_conflicts::to_avoid(selection, planned.observed(), self.neighbours, options.move_links)?
        {
            return Ok(Reconciled::Beside(found));
        }
        report::diagnostics(ui, &compiled.warnings, &self.project.sources);
        if options.consent.dry_run {
            provider_conflicts::warn(ui, &provider_conflicts::standing(selection, planned.observed()));
        }
        if !run.agreed(&planned).await? {
            return Ok(Reconciled::Ended(Exit::Done));
        }
        let guard = self.guard.ok_or_else(|| CommandError::Internal("no lock is held".to_owned()))?;
        let allocations = compiled.allocations.clone();
        let mut recorder = guard.recorder(&compiled.site, allocations, self.books()).await?;
        let finished = run.execute(planned, guard, &mut recorder).await?;
        run.conclude(&compiled.site.name.value, finished).await.map(Reconciled::Ended)
    }

    fn books(&self) -> Bookkeeping<'_> {
        let selection = self.selection;
        // The plugin attaches pods to MidoNet: the ids of rows are not for it.
        let is_store = self.project.state.is_store() && !selection.compiled.site.is_moving();
        let publish: Option<Box<Publish<'_>>> = match is_store {
            true => Some(Box::new(|ids| {
                publication::publication(self.project, selection.compiled, &selection.whole_tenants(), ids)
            })),
            false => None,
        };
        Bookkeeping {
            applied: selection.applied(),
            retired: if is_store { selection.pruned.clone() } else { BTreeSet::new() },
            removed: selection.pruned.clone(),
            publish,
            ..Bookkeeping::of(selection.tenants.clone(), selection.extent())
        }
    }
}
