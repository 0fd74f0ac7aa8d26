//! `midoform validate`: checks specs, and reports every problem.

use midoform_compiler::diagnostic::{Diagnostic, DiagnosticReport, Severity, report};
use midoform_compiler::source::Source;
use serde::Serialize;

use crate::args::{FindingsFormat, ValidateOptions};
use crate::code_host_report::for_code_host;
use crate::error::{CommandError, Exit};
use crate::project::{Project, Reach};
use crate::report::{count, diagnostics};
use crate::ui::Ui;

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    tenants: usize,
    objects: usize,
    findings: Vec<DiagnosticReport<'a>>,
}

pub(crate) async fn run(ui: &Ui, options: &ValidateOptions) -> Result<Exit, CommandError> {
    let project = Project::load_under(&options.spec, &options.policy, Reach::Files).await;
    let compiled = project.and_then(|project| project.compile(&options.spec));
    let (mut found, sources, tenants, objects) = match compiled {
        Ok((compiled, project)) => {
            (compiled.warnings, project.sources, compiled.tenants.len(), compiled.topology.len())
        }
        Err(CommandError::Spec(found, sources)) => (found, *sources, 0, 0),
        Err(other) => return Err(other),
    };
    let is_bad = |diagnostic: &Diagnostic| options.deny_warnings || diagnostic.severity == Severity::Error;
    let valid = !found.iter().any(is_bad);
    let exit = if valid { Exit::Done } else { Exit::BadSpec };
    let texts: Vec<&Source> = sources.all();
    let format = options.format();
    if format == FindingsFormat::Text {
        diagnostics(ui, &found, &sources);
        match valid {
            true => ui.status(&format!("valid: {tenants} tenants, {objects} objects; {}", count(&found))),
            false => ui.notice(&count(&found)),
        }
        return Ok(exit);
    }
    if format == FindingsFormat::Json {
        ui.json(&Report { valid, tenants, objects, findings: report(&found, &texts) })?;
        return Ok(exit);
    }
    if options.deny_warnings {
        found.iter_mut().for_each(|diagnostic| diagnostic.severity = Severity::Error);
    }
    for_code_host(ui, format, report(&found, &texts), &sources)?;
    ui.status(&count(&found));
    Ok(exit)
}
