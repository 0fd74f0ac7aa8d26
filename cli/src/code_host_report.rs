//! Diagnostics in the formats of code hosts.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use midoform_compiler::diagnostic::DiagnosticReport;
use midoform_render::code_hosts;

use crate::args::FindingsFormat;
use crate::error::CommandError;
use crate::sources::Sources;
use crate::ui::Ui;

/// Writes findings in the format of a code host.
pub(crate) fn for_code_host(
    ui: &Ui,
    format: FindingsFormat,
    reports: Vec<DiagnosticReport<'_>>,
    sources: &Sources,
) -> Result<(), CommandError> {
    let all = sources.all();
    let names: BTreeMap<&str, String> =
        all.iter().map(|source| (&*source.name, host_name(&sources.shown(source)))).collect();
    // From here on, the reports borrow these names.
    let mut reports: Vec<DiagnosticReport<'_>> = reports;
    for position in reports.iter_mut().flat_map(|report| &mut report.positions) {
        position.file = names.get(position.file).map_or(position.file, String::as_str);
    }
    match format {
        FindingsFormat::Github => ui.data(|out| out.write_all(code_hosts::github(&reports).as_bytes())),
        FindingsFormat::Gitlab => ui.json(&code_hosts::gitlab(&reports)),
        _ => ui.json(&code_hosts::sarif(&reports)),
    }
}

/// Returns a file's name for code hosts: relative to the current folder, which is the repository's in a pipeline, with
/// `/` between its parts. A file outside of that folder keeps its full path.
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
