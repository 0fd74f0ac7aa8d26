//! `midoform destroy`.

use std::collections::BTreeSet;

use midoform_compiler::Compiled;
use midoform_compiler::midonet;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::observed::Observed;

use crate::args::{Consent, DestroyOptions};
use crate::commands::apply::{everything, give_back};
use crate::commands::carry_out::Job;
use crate::commands::plan::Work;
use crate::commands::pods;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::projects;
use crate::session::{Identity, Session, Target, block_on};
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, options: &DestroyOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec)?;
    // Whoever says destroy means it: the share of what goes is not asked about again.
    let consent = Consent { allow_mass_delete: true, ..options.consent.clone() };
    let is_target = |name: &str| options.target.iter().any(|target| target == name);
    let guard = project.acquire("midoform destroy", consent.patience(), is_target)?;
    let (compiled, project) = Project::load(&options.spec)?.compile(&options.spec)?;
    let mut work = Work::new(&compiled, &everything())?;
    if !options.target.is_empty() {
        // Those whose file is gone are known from when they were applied.
        work.tenants.extend(Work::abandoned(&compiled));
        if let Some(unknown) = options.target.iter().find(|target| !work.tenants.contains(*target)) {
            return Err(CommandError::Usage(format!("--target {unknown}: there is no such tenant")));
        }
        work.tenants = options.target.iter().cloned().collect();
    }
    refuse_protected(&compiled, &work.tenants)?;
    let tenants = work.tenants.clone();
    work.desired = compiled.topology.filtered(|entry| tenants.contains(entry.key.owner()));
    let target = Target::of(&compiled.site, &options.api, project.root());
    let goal = Topology::default();
    block_on(async {
        let session = Session::open(target, compiled.dialect(), &options.api).await?;
        let result = async {
            let observed = only_of(session.observe(ui, work.view(&work.desired).scope()).await?, &tenants);
            refuse_attached(&observed, options.force)?;
            let plan_of = |observed: &Observed| {
                let observed = only_of(observed.clone(), &tenants);
                midonet::plan(&compiled.site.name.value, compiled.dialect(), &goal, &observed)
            };
            let plan = plan_of(&observed);
            let job = Job {
                ui,
                session: &session,
                consent: &consent,
                view: work.view(&work.desired),
                goal: &goal,
                observed: &observed,
                plan: &plan,
                expect: None,
                batches: None,
            };
            let Some(agreed) = job.agreed()? else { return Ok(Exit::Done) };
            if project.state.is_store() {
                guard.retire(&tenants, options.force).await?;
            }
            let finished = job.carry_out(agreed, &plan_of).await?;
            // Addresses are given back last, when nothing uses them any more.
            if finished.is_whole() {
                delete_projects(ui, options, &compiled, &tenants).await?;
                let mut after = compiled.known.clone();
                give_back(&mut after, &tenants);
                project.state.write(&guard, &compiled.site, &after).await?;
                if project.state.is_store() {
                    pods::forget(&guard, &tenants).await?;
                }
            }
            finished.exit(ui, &consent, &plan)
        };
        let result = result.await;
        session.close().await;
        result
    })
}

/// Deletes the Keystone projects that midoform made for these tenants, where that is asked for: before the lock file
/// forgets them.
async fn delete_projects(
    ui: &Ui,
    options: &DestroyOptions,
    compiled: &Compiled,
    tenants: &BTreeSet<String>,
) -> Result<(), CommandError> {
    let made = projects::made_for(tenants, compiled);
    if made.is_empty() {
        return Ok(());
    }
    if !options.delete_project {
        let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
        ui.say(&format!("the Keystone projects of {} stay; --delete-project deletes them", names.join(", ")));
        return Ok(());
    }
    let logins = options.api.login.logins()?;
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

/// `protect = true` in the spec, or in the lock file, where it outlives the line that set it.
pub(crate) fn refuse_protected(compiled: &Compiled, tenants: &BTreeSet<String>) -> Result<(), CommandError> {
    let in_spec = |name: &str| compiled.tenants.iter().any(|tenant| *tenant.name == *name && tenant.protect);
    let in_lock = |name: &str| compiled.known.tenants.get(name).is_some_and(|tenant| tenant.protect);
    let protected: Vec<&String> = tenants.iter().filter(|name| in_spec(name) || in_lock(name)).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = protected.into_iter().map(String::as_str).collect();
    let message = format!(
        "protected and not destroyed: {}; take `protect = true` out, apply that, and destroy then",
        names.join(", ")
    );
    Err(CommandError::Conflict(message))
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

/// What is attached to the bridges of these tenants and is not the spec's, in words.
pub(crate) fn attached(observed: &Observed, of: impl Fn(&str) -> bool) -> Option<String> {
    let attached = observed.attached.iter().filter(|attached| of(attached.near.owner()));
    let words: Vec<String> =
        attached.map(|attached| format!("{} at {}", attached.what, attached.near)).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The observed objects of these tenants.
fn only_of(mut observed: Observed, tenants: &BTreeSet<String>) -> Observed {
    observed.topology = observed.topology.filtered(|entry| tenants.contains(entry.key.owner()));
    observed
}
