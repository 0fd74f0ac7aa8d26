//! `midoform destroy`.

use std::collections::BTreeSet;

use midoform_compiler::Compiled;
use midoform_compiler::plan::diff;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::observed::Observed;

use crate::allocation_state::Guard;
use crate::applied_state::give_back;
use crate::args::{Consent, DestroyOptions};
use crate::attached::{attached, refuse_protected};
use crate::error::{CommandError, Exit};
use crate::execution::Job;
use crate::keystone_projects;
use crate::project::Project;
use crate::publication;
use crate::selection::{Selection, everything};
use crate::session::{Identity, Session, Target, logins};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &DestroyOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec).await?;
    // Whoever says destroy means it: the share of what goes is not asked about again.
    let consent = Consent { allow_mass_delete: true, ..options.consent.clone() };
    let is_target = |name: &str| options.target.iter().any(|target| target == name);
    let locked = async |guard: &Guard| destroy(ui, options, &consent, guard).await;
    project.with_lock("midoform destroy", consent.patience(), is_target, locked).await
}

async fn destroy(
    ui: &Ui,
    options: &DestroyOptions,
    consent: &Consent,
    guard: &Guard,
) -> Result<Exit, CommandError> {
    let (compiled, project) = Project::load(&options.spec).await?.compile(&options.spec)?;
    let mut selection = Selection::new(&compiled, &everything())?;
    if !options.target.is_empty() {
        // Those whose file is gone are known from when they were applied.
        selection.tenants.extend(Selection::abandoned(&compiled));
        if let Some(unknown) = options.target.iter().find(|target| !selection.tenants.contains(*target)) {
            return Err(CommandError::Usage(format!("--target {unknown}: there is no such tenant")));
        }
        selection.tenants = options.target.iter().cloned().collect();
    }
    refuse_protected(&compiled, &selection.tenants)?;
    selection.desired = compiled.topology.filtered(|entry| selection.tenants.contains(entry.key.tenant()));
    let target = Target::of(&compiled.site, &options.api, &project.sources.root);
    let destroyed = Destroyed { ui, options, consent, selection: &selection, project: &project, guard };
    Session::with(target, compiled.dialect(), &options.api, async |session| {
        destroyed.carry_out(session).await
    })
    .await
}

/// A destroy whose spec was read.
struct Destroyed<'a> {
    ui: &'a Ui,
    options: &'a DestroyOptions,
    consent: &'a Consent,
    selection: &'a Selection<'a>,
    project: &'a Project,
    guard: &'a Guard,
}

impl Destroyed<'_> {
    async fn carry_out(&self, session: &Session) -> Result<Exit, CommandError> {
        let Destroyed { ui, options, consent, selection, project, guard } = *self;
        let (compiled, tenants, goal) = (selection.compiled, &selection.tenants, Topology::default());
        let observed =
            only_of(session.observe(ui, selection.view(&selection.desired).scope()).await?, tenants);
        refuse_attached(&observed, options.force)?;
        let plan_of = |observed: &Observed| {
            let observed = only_of(observed.clone(), tenants);
            diff::plan(&compiled.site.name.value, compiled.dialect(), &goal, &observed)
        };
        let plan = plan_of(&observed);
        let job = Job {
            ui,
            session,
            consent,
            view: selection.view(&selection.desired),
            goal: &goal,
            observed: &observed,
            plan: &plan,
            expect: None,
            batches: None,
        };
        let Some(agreed) = job.agreed().await? else { return Ok(Exit::Done) };
        guard.begin();
        if project.state.is_store() {
            guard.retire(tenants, options.force).await?;
        }
        let finished = job.carry_out(agreed, &plan_of).await?;
        // Addresses are given back last, when nothing uses them any more.
        if finished.is_whole() {
            delete_projects(ui, options, compiled, tenants).await?;
            let mut after = compiled.known.clone();
            give_back(&mut after, tenants);
            project.state.write(guard, &compiled.site, &after).await?;
            if project.state.is_store() {
                publication::forget(guard, tenants).await?;
            }
        }
        finished.exit(ui, consent, &plan)
    }
}

/// Deletes the Keystone projects that midoform made for these tenants, where that is asked for: before the lock file
/// forgets them.
async fn delete_projects(
    ui: &Ui,
    options: &DestroyOptions,
    compiled: &Compiled,
    tenants: &BTreeSet<String>,
) -> Result<(), CommandError> {
    let made = keystone_projects::made_for(tenants, compiled);
    if made.is_empty() {
        return Ok(());
    }
    if !options.delete_project {
        let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
        ui.say(&format!("the Keystone projects of {} stay; --delete-project deletes them", names.join(", ")));
        return Ok(());
    }
    let logins = logins(&options.api.login)?;
    let keystone = Identity::of(&compiled.site).keystone(logins, options.api.timeout)?;
    let keystone = keystone.ok_or_else(|| {
        CommandError::Usage(
            "--delete-project: there is no login for Keystone; nothing of it was deleted".to_owned(),
        )
    })?;
    for (name, id) in made {
        keystone.delete(&id).await?;
        ui.say(&format!("deleted the Keystone project `{name}` ({id})"));
    }
    Ok(())
}

/// What is attached to a tenant's bridges and is not the spec's would be cut off.
fn refuse_attached(observed: &Observed, force: bool) -> Result<(), CommandError> {
    match attached(observed, |_| true) {
        Some(attached) if !force => {
            Err(CommandError::Conflict(format!("still attached: {attached}; --force detaches them")))
        }
        _ => Ok(()),
    }
}

/// The observed objects of these tenants.
fn only_of(mut observed: Observed, tenants: &BTreeSet<String>) -> Observed {
    observed.topology = observed.topology.filtered(|entry| tenants.contains(entry.key.tenant()));
    observed
}
