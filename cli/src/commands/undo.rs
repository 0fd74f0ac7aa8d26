//! `midoform undo`: takes back what a saved plan did.

use std::collections::BTreeSet;

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{Plan, diff};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::saved::{Pods, SavedPlan};

use crate::allocation_state::Guard;
use crate::applied_state::mark_applied;
use crate::args::{Consent, UndoOptions};
use crate::error::{CommandError, Exit};
use crate::execution::{Finished, Job};
use crate::publication;
use crate::saved_plan::{Opened, parse_lock};
use crate::session::Session;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &UndoOptions) -> Result<Exit, CommandError> {
    // Whoever undoes a plan means all of it.
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
    /// Makes the network what it was before the plan, and writes that down.
    async fn run(&self, guard: &Guard) -> Result<Exit, CommandError> {
        let Undone { ui, options, consent, opened } = *self;
        let (saved, current) = (&opened.saved, opened.current().await?);
        let done = Session::with(opened.target.clone(), saved.plan.dialect, &options.api, async |session| {
            self.carry_out(guard, &current, session).await
        });
        let Some((finished, plan)) = done.await? else { return Ok(Exit::Done) };
        if finished.is_whole() {
            let mut allocations = current;
            restore(&mut allocations, &parse_lock(&saved.lock_before)?, saved, &finished);
            opened.state.write(guard, &opened.site, &allocations).await?;
            if let Some(pods) = &saved.pods {
                publication::let_in(guard, &pods.before).await?;
            }
        }
        finished.exit(ui, consent, &plan)
    }

    async fn carry_out(
        &self,
        guard: &Guard,
        current: &Allocations,
        session: &Session,
    ) -> Result<Option<(Finished, Plan)>, CommandError> {
        let Undone { ui, options, consent, opened } = *self;
        let saved = &opened.saved;
        let (site, dialect) = (&saved.plan.site, saved.plan.dialect);
        let view = opened.view(current);
        let observed = session.observe(ui, view.scope()).await?;
        let moved = diff::plan(site, dialect, &saved.desired, &observed).summary().changes();
        if moved > 0 && !options.force {
            let message = format!(
                "the network is not what this plan left: {moved} objects differ, which undoing it would overwrite; \
                 --force does so"
            );
            return Err(CommandError::Conflict(message));
        }
        let back = |observed: &Observed| diff::plan(site, dialect, &saved.before, observed);
        let plan = back(&observed);
        let job = Job {
            ui,
            session,
            consent,
            view,
            goal: &saved.before,
            observed: &observed,
            plan: &plan,
            expect: None,
            batches: None,
        };
        let Some(agreed) = job.agreed().await? else { return Ok(None) };
        guard.begin();
        if let Some(pods) = &saved.pods {
            guard.retire(&made_by(pods), options.force).await?;
        }
        let finished = job.carry_out(agreed, &back).await?;
        Ok(Some((finished, plan)))
    }
}

/// The tenants that weren't ready for pods before the plan, and go.
fn made_by(found: &Pods) -> BTreeSet<String> {
    let before = |tenant: &String| found.before.tenants.get(tenant).is_some_and(|one| one.ready.is_some());
    found.after.tenants.keys().filter(|tenant| !before(tenant)).cloned().collect()
}

/// The plan's tenants get back what they had; the others keep what they have now.
fn restore(now: &mut Allocations, before: &Allocations, saved: &SavedPlan, finished: &Finished) {
    for tenant in &saved.tenants {
        match before.tenants.get(tenant) {
            None => drop(now.tenants.remove(tenant)),
            Some(entry) => drop(now.tenants.insert(tenant.clone(), entry.clone())),
        }
    }
    mark_applied(now, &saved.plan.site, &saved.tenants, &saved.before, finished);
    for (tenant, entry) in &before.tenants {
        if let (true, Some(known)) = (saved.tenants.contains(tenant), now.tenants.get_mut(tenant)) {
            known.applied = entry.applied;
        }
    }
    now.peers.retain(|pair, _| {
        before.peers.contains_key(pair) || !pair.split('/').any(|name| saved.tenants.contains(name))
    });
    now.peers.extend(before.peers.iter().map(|(pair, link)| (pair.clone(), *link)));
}
