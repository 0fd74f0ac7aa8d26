//! `midoform undo`: undoes the changes of a saved plan.

use std::collections::BTreeSet;

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::topology::key::Key;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::recorder::{Bookkeeping, Extent, Publish};
use midoform_reconcile::saved::Pods;

use crate::allocation_state::Guard;
use crate::args::{Consent, UndoOptions};
use crate::cut_pods::KnownPods;
use crate::error::{CommandError, Exit};
use crate::execution::Run;
use crate::goals::EndOfPlan;
use crate::provider_conflicts;
use crate::saved_plan::Opened;
use crate::session::Session;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &UndoOptions) -> Result<Exit, CommandError> {
    // An undo deletes on purpose: the share of deleted objects does not matter.
    let consent = Consent { allow_mass_delete: true, ..options.consent.clone() };
    let opened = Opened::read(&options.plan, options.site.as_deref(), options.lock.as_ref(), &options.api)?;
    let undone = Undone { ui, options, consent: &consent, opened: &opened };
    let locked = async |guard: &Guard| undone.run(guard).await;
    opened.state.with_lock(&opened.saved.tenants, "midoform undo", consent.patience(), locked).await
}

/// An undo whose plan was read.
struct Undone<'a> {
    ui: &'a Ui,
    options: &'a UndoOptions,
    consent: &'a Consent,
    opened: &'a Opened,
}

impl Undone<'_> {
    /// Changes the network to what it was before the plan, and records it.
    async fn run(&self, guard: &Guard) -> Result<Exit, CommandError> {
        let Undone { options, opened, .. } = *self;
        let current = opened.current().await?;
        Session::with(opened.target.clone(), opened.saved.plan.engine, &options.api, async |session| {
            self.reconcile(guard, current.clone(), session).await
        })
        .await
    }

    async fn reconcile(
        &self,
        guard: &Guard,
        current: Allocations,
        session: &Session,
    ) -> Result<Exit, CommandError> {
        let Undone { ui, options, consent, opened } = *self;
        let saved = &opened.saved;
        let (goal, after) = (EndOfPlan::before(saved), EndOfPlan::after(saved));
        let saved_sha256 = Some(saved.sha256.as_str());
        let run = Run {
            ui,
            session,
            consent,
            expect: None,
            saved_sha256,
            pods: KnownPods::of(&opened.state),
            cuts_pods: self.cuts_pods(),
            batches: None,
        };
        let planned = session.look(ui, &goal, &current).await?;
        // What is as it was before the plan was undone already, by an undo that was interrupted.
        let left: BTreeSet<&Key> = planned.plan().changes().map(|step| &step.key).collect();
        let since = after.plan(planned.observed())?;
        let moved = since.changes().filter(|step| left.contains(&step.key)).count();
        if moved > 0 && !options.force {
            let message = format!(
                "the network has changed since this plan was applied: {moved} objects differ, and an undo would \
                 overwrite them; --force does so"
            );
            return Err(CommandError::Conflict(message));
        }
        provider_conflicts::refuse(goal.desired(), planned.observed(), &saved.provider, &opened.site)?;
        if !run.agreed(&planned).await? {
            return Ok(Exit::Done);
        }
        let mut recorder = guard.recorder(&opened.site, current, self.books()).await?;
        let finished = run.execute(planned, guard, &mut recorder).await?;
        run.conclude(&saved.plan.site, finished).await
    }

    fn cuts_pods(&self) -> bool {
        self.options.force || self.options.cut_pods
    }

    fn books(&self) -> Bookkeeping<'_> {
        let saved = &self.opened.saved;
        let pods = saved.pods.as_ref();
        Bookkeeping {
            retired: pods.map(made_by).unwrap_or_default(),
            cuts_pods: self.cuts_pods(),
            // The allocations of before are those of whole tenants: other runs may have changed the rest since.
            restored: (saved.extent == Extent::Whole).then(|| saved.allocated_before.clone()),
            moved: saved.moves.clone(),
            publish: pods.map(|pods| -> Box<Publish<'_>> { Box::new(|_| pods.before.clone()) }),
            ..Bookkeeping::of(saved.tenants.clone(), saved.extent.clone())
        }
    }
}

/// Returns the tenants that were not published before the plan.
fn made_by(found: &Pods) -> BTreeSet<TenantName> {
    let before =
        |tenant: &TenantName| found.before.tenants.get(tenant).is_some_and(|one| one.ready.is_some());
    found.after.tenants.keys().filter(|tenant| !before(tenant)).cloned().collect()
}
