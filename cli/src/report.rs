//! Diagnostics and errors as people read them.

use std::io::Write;

use codespan_reporting::diagnostic::{Diagnostic as Drawn, Label, LabelStyle, Severity as DrawnSeverity};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term;
use midoform_compiler::diagnostic::{Diagnostic, Severity};

use crate::error::CommandError;
use crate::sources::Sources;
use crate::ui::Ui;

/// Draws diagnostics on standard error.
pub(crate) fn diagnostics(ui: &Ui, diagnostics: &[Diagnostic], sources: &Sources) {
    let mut files = SimpleFiles::new();
    for source in sources.all() {
        files.add(sources.shown(source), source.text());
    }
    let config = term::Config { tab_width: 4, ..term::Config::default() };
    let mut out = ui.diagnostics();
    for diagnostic in diagnostics {
        if ui.is_quiet() && diagnostic.severity == Severity::Warning {
            continue;
        }
        let drawn = drawn(diagnostic);
        if term::emit_to_write_style(&mut out, &config, &files, &drawn).is_err() {
            // A place outside of its file can't be drawn; its words can.
            let _ = writeln!(out, "{}: {}", diagnostic.code, diagnostic.message);
        }
    }
}

fn drawn(diagnostic: &Diagnostic) -> Drawn<usize> {
    let severity = match diagnostic.severity {
        Severity::Error => DrawnSeverity::Error,
        Severity::Warning => DrawnSeverity::Warning,
    };
    let labels = diagnostic.labels.iter().enumerate().map(|(at, label)| {
        let style = if at == 0 { LabelStyle::Primary } else { LabelStyle::Secondary };
        let range = label.span.start as usize..label.span.end as usize;
        Label::new(style, label.span.source.0 as usize, range).with_message(&label.text)
    });
    Drawn::new(severity)
        .with_code(diagnostic.code.name())
        .with_message(&diagnostic.message)
        .with_labels(labels.collect())
        .with_notes(diagnostic.help.iter().map(|help| format!("help: {help}")).collect())
}

/// How many errors and warnings there are, in words.
pub(crate) fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
}

/// Says why a command failed.
pub(crate) fn command_error(ui: &Ui, error: &CommandError) {
    if let CommandError::Spec(found, sources) = error {
        diagnostics(ui, found, sources);
        ui.always_say(&count(found));
        return;
    }
    ui.always_say(&format!("error: {error}"));
    if let Some(hint) = error.hint() {
        ui.always_say(&format!("help: {hint}"));
    }
}
