//! `midoform lock`.

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::clash::{self, Repair};
use midoform_compiler::network::lock_file;
use midoform_compiler::source::SourceId;
use serde::Serialize;

use crate::args::LockOptions;
use crate::commands::apply::everything;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::projects::{self, Missing};
use crate::report;
use crate::session::block_on;
use crate::ui::Ui;

#[derive(Serialize)]
struct Report<'a> {
    lock_file: String,
    moved: &'a [String],
    changed: Vec<String>,
}

pub(crate) fn run(ui: &Ui, options: &LockOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec)?;
    let guard = project.acquire("midoform lock", std::time::Duration::ZERO, |_| options.repair)?;
    let mut project = Project::load(&options.spec)?;
    let mut repair = Repair::default();
    if options.repair {
        repair = project.repair_lock(ui)?;
        if !repair.stuck.is_empty() {
            let stuck = repair.stuck.join("; ");
            let message = format!(
                "both sides are applied, so neither can move by itself: {stuck}; destroy one of them"
            );
            return Err(CommandError::Conflict(message));
        }
    }
    let missing = Missing::Make { yes: true, guard: &guard };
    let (project, _) = projects::look_up(ui, project, &options.login, &everything(), &missing)?;
    let (compiled, project) = project.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project);
    block_on(project.state.write(&guard, &compiled.site, &compiled.allocations))?;
    let changed = lock_file::changed_tenants(&compiled.known, &compiled.allocations);
    let lock_file = project.state.shown();
    if options.json {
        ui.json(&Report { lock_file, moved: &repair.moved, changed })?;
        return Ok(Exit::Done);
    }
    for moved in &repair.moved {
        ui.say(&format!("moved: {moved}"));
    }
    match changed.is_empty() {
        true => ui.say(&format!("{lock_file}: nothing to change")),
        false => ui.say(&format!("{lock_file}: written for {}", changed.join(", "))),
    }
    Ok(Exit::Done)
}

impl Project {
    /// Takes back what clashes in the lock file; the next compilation gives it out anew.
    fn repair_lock(&mut self, ui: &Ui) -> Result<Repair, CommandError> {
        let mut diagnostics = Diagnostics::default();
        let site = midoform_compiler::spec::parse::site(self.site_source(), SourceId(0), &mut diagnostics);
        let known = self.known.allocations(&mut diagnostics);
        let (Some(site), Some(mut allocations)) = (site, known) else {
            report::diagnostics(ui, &diagnostics.into_sorted(), self);
            return Err(CommandError::Conflict("the lock file can't be repaired as it stands".to_owned()));
        };
        let repair = clash::repair(&mut allocations, &site);
        self.known.replace(allocations);
        Ok(repair)
    }
}
