//! `midoform validate`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use midoform_compiler::diagnostic::{Diagnostic, DiagnosticReport, Severity, report};
use midoform_compiler::source::Source;
use midoform_render::code_hosts;
use serde::Serialize;

use crate::args::{FindingsFormat, ValidateOptions};
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

pub(crate) fn run(ui: &Ui, options: &ValidateOptions) -> Result<Exit, CommandError> {
    let project = Project::load_under(&options.spec, &options.policy, Reach::Files)?;
    let (mut found, project, tenants, objects) = match project.compile(&options.spec) {
        Ok((compiled, project)) => {
            (compiled.warnings, project, compiled.tenants.len(), compiled.topology.len())
        }
        Err(CommandError::Spec(found, project)) => (found, *project, 0, 0),
        Err(other) => return Err(other),
    };
    let is_bad = |diagnostic: &Diagnostic| options.deny_warnings || diagnostic.severity == Severity::Error;
    let valid = !found.iter().any(is_bad);
    let exit = if valid { Exit::Done } else { Exit::BadSpec };
    let sources: Vec<&Source> = project.sources();
    let format = options.format();
    if format == FindingsFormat::Text {
        diagnostics(ui, &found, &project);
        match valid {
            true => ui.say(&format!("valid: {tenants} tenants, {objects} objects; {}", count(&found))),
            false => ui.always_say(&count(&found)),
        }
        return Ok(exit);
    }
    if format == FindingsFormat::Json {
        ui.json(&Report { valid, tenants, objects, findings: report(&found, &sources) })?;
        return Ok(exit);
    }
    if options.deny_warnings {
        found.iter_mut().for_each(|diagnostic| diagnostic.severity = Severity::Error);
    }
    for_code_host(ui, format, report(&found, &sources), &project)?;
    ui.say(&count(&found));
    Ok(exit)
}

/// Writes findings as a code host reads them.
pub(crate) fn for_code_host(
    ui: &Ui,
    format: FindingsFormat,
    reports: Vec<DiagnosticReport<'_>>,
    project: &Project,
) -> Result<(), CommandError> {
    let sources = project.sources();
    let names: BTreeMap<&str, String> =
        sources.iter().map(|source| (&*source.name, host_name(&project.shown(source)))).collect();
    // The names live as long as this: so do the reports from here on.
    let mut reports: Vec<DiagnosticReport<'_>> = reports;
    for place in reports.iter_mut().flat_map(|report| &mut report.places) {
        place.file = names.get(place.file).map_or(place.file, String::as_str);
    }
    match format {
        FindingsFormat::Github => ui.data(|out| out.write_all(code_hosts::github(&reports).as_bytes())),
        FindingsFormat::Gitlab => ui.json(&code_hosts::gitlab(&reports)),
        _ => ui.json(&code_hosts::sarif(&reports)),
    }
}

/// A file's name as code hosts know it: relative to the folder that the command runs in, which in a pipeline is the
/// repository's, with `/` between its parts; as it is where it lies elsewhere.
fn host_name(shown: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let mut path = PathBuf::new();
    for component in here.join(shown).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    let relative: &Path = path.strip_prefix(&here).unwrap_or(&path);
    relative.to_string_lossy().replace('\\', "/")
}
