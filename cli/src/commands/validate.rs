//! `midoform validate`.

use midoform_compiler::diag::{Diagnostic, Severity, report};
use midoform_compiler::source::Source;
use serde::Serialize;

use crate::args::ValidateOptions;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::report::{count, diagnostics};
use crate::ui::Ui;

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    tenants: usize,
    objects: usize,
    findings: Vec<midoform_compiler::diag::DiagnosticReport<'a>>,
}

pub(crate) fn run(ui: &Ui, options: &ValidateOptions) -> Result<Exit, CommandError> {
    let project = Project::load(&options.spec)?;
    let (found, project, tenants, objects) = match project.compile(&options.spec) {
        Ok((compiled, project)) => {
            (compiled.warnings, project, compiled.tenants.len(), compiled.topology.len())
        }
        Err(CommandError::Spec(found, project)) => (found, *project, 0, 0),
        Err(other) => return Err(other),
    };
    let is_bad = |diagnostic: &Diagnostic| options.deny_warnings || diagnostic.severity == Severity::Error;
    let valid = !found.iter().any(is_bad);
    if options.json {
        let sources: Vec<&Source> = project.sources();
        ui.json(&Report { valid, tenants, objects, findings: report(&found, &sources) })?;
    } else {
        diagnostics(ui, &found, &project);
        match valid {
            true => ui.say(&format!("valid: {tenants} tenants, {objects} objects; {}", count(&found))),
            false => ui.always_say(&count(&found)),
        }
    }
    Ok(if valid { Exit::Done } else { Exit::BadSpec })
}
