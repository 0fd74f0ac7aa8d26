//! `midoform lock`: allocates without an apply, and repairs the lock file.

use midoform_compiler::diagnostic::{Code, Diagnostics};
use midoform_compiler::names::TenantName;
use midoform_compiler::network::clash::{self, Repair};
use midoform_compiler::network::lock_file;
use midoform_compiler::source::SourceId;
use serde::Serialize;

use crate::allocation_state::Guard;
use crate::args::LockOptions;
use crate::error::{CommandError, Exit};
use crate::keystone_projects::{self, Missing};
use crate::project::Project;
use crate::report;
use crate::selection::everything;
use crate::sources::Sources;
use crate::ui::Ui;

#[derive(Serialize)]
struct Report<'a> {
    lock_file: String,
    moved: &'a [String],
    changed: Vec<TenantName>,
}

pub(crate) async fn run(ui: &Ui, options: &LockOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec).await?;
    let locked = async |guard: &Guard| lock(ui, options, guard).await;
    project.with_lock("midoform lock", std::time::Duration::ZERO, |_| options.repair, locked).await
}

async fn lock(ui: &Ui, options: &LockOptions, guard: &Guard) -> Result<Exit, CommandError> {
    let mut project = Project::load(&options.spec).await?;
    let mut repair = Repair::default();
    if options.repair {
        repair = repair_lock(ui, &mut project.sources)?;
        if !repair.stuck.is_empty() {
            let stuck = repair.stuck.join("; ");
            let message = format!(
                "both owners may have objects in the network, so neither can be reallocated: {stuck}; destroy one of them"
            );
            return Err(CommandError::Conflict(message));
        }
    }
    let missing = Missing::Make { yes: true, guard };
    let (project, _) =
        keystone_projects::look_up(ui, project, &options.login, &everything(), &missing).await?;
    let (compiled, project) = project.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    if compiled.warnings.iter().any(|found| found.code == Code::TenantRenamed) {
        let message = "nothing was written: a tenant has the addresses of another one".to_owned();
        return Err(CommandError::Conflict(message));
    }
    project.state.write(guard, &compiled.site, &compiled.allocations).await?;
    let changed = lock_file::changed_tenants(&compiled.known, &compiled.allocations);
    let lock_file = project.state.shown();
    if options.json {
        ui.json(&Report { lock_file, moved: &repair.moved, changed })?;
        return Ok(Exit::Done);
    }
    for moved in &repair.moved {
        ui.status(&format!("moved: {moved}"));
    }
    match changed.is_empty() {
        true => ui.status(&format!("{lock_file}: nothing to change")),
        false => ui.status(&format!("{lock_file}: written for {}", changed.join(", "))),
    }
    Ok(Exit::Done)
}

/// Removes allocations that clash in the lock file. The next compilation allocates them again.
fn repair_lock(ui: &Ui, sources: &mut Sources) -> Result<Repair, CommandError> {
    let mut diagnostics = Diagnostics::default();
    let site = midoform_compiler::spec::parse::site(&sources.site, SourceId(0), &mut diagnostics);
    let known = sources.known.allocations(&mut diagnostics);
    let (Some(site), Some(mut allocations)) = (site, known) else {
        report::diagnostics(ui, &diagnostics.into_sorted(), sources);
        return Err(CommandError::Conflict("the lock file can't be repaired in this state".to_owned()));
    };
    let repair = clash::repair(&mut allocations, &site);
    sources.known.replace(allocations);
    Ok(repair)
}
