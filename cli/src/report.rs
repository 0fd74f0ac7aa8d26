//! Diagnostics and errors as people read them.

use std::io::Write;

use codespan_reporting::diagnostic::{Diagnostic as Drawn, Label, LabelStyle, Severity as DrawnSeverity};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term;
use midoform_compiler::diagnostic::{Diagnostic, Severity};
use midoform_compiler::error_chain::causes;
use midoform_compiler::printable::{is_escaped, printable};
use midoform_compiler::source::SourceId;

use crate::error::CommandError;
use crate::long_lines;
use crate::secrets_in_lines;
use crate::sources::Sources;
use crate::ui::Ui;

/// Draws diagnostics on standard error.
pub(crate) fn diagnostics(ui: &Ui, diagnostics: &[Diagnostic], sources: &Sources) {
    let mut files = SimpleFiles::new();
    for (source, at) in sources.all().into_iter().zip(0..) {
        let text = secrets_in_lines::covered(source.text(), SourceId(at), diagnostics);
        files.add(printable(&sources.shown(source)).into_owned(), visible(&text));
    }
    let config = term::Config { tab_width: 4, ..term::Config::default() };
    let mut out = ui.diagnostics();
    for diagnostic in diagnostics {
        if ui.is_quiet() && diagnostic.severity == Severity::Warning {
            continue;
        }
        let drawn = drawn(diagnostic);
        let written = match long_lines::cut(&drawn, &files) {
            Some((drawn, files)) => term::emit_to_write_style(&mut out, &config, &files, &drawn),
            None => term::emit_to_write_style(&mut out, &config, &files, &drawn),
        };
        if written.is_err() {
            // A place outside of its file can't be drawn; its words can.
            let _ = writeln!(out, "{}: {}", diagnostic.code, printable(&diagnostic.message));
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
        Label::new(style, label.span.source.0 as usize, range).with_message(printable(&label.text))
    });
    Drawn::new(severity)
        .with_code(diagnostic.code.name())
        .with_message(printable(&diagnostic.message))
        .with_labels(labels.collect())
        .with_notes(diagnostic.help.iter().map(|help| format!("help: {}", printable(help))).collect())
}

/// Returns a file's text with signs in place of the control characters that a terminal would obey. Each character keeps
/// its length in bytes, so positions stay right.
fn visible(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let mut shown = String::with_capacity(text.len());
    while let Some(character) = rest.next() {
        // The line break of some systems is two characters. The first of them alone overwrites a line.
        let is_break = character == '\r' && rest.peek() == Some(&'\n');
        shown.push(match character.len_utf8() {
            _ if is_break || matches!(character, '\n' | '\t') || !is_escaped(character) => character,
            1 => '?',
            2 => '\u{a4}',
            _ => '\u{fffd}',
        });
    }
    shown
}

/// Returns the number of errors and of warnings, in words.
pub(crate) fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
}

/// Returns the text of a failure: the error, its causes, and advice, each on a line.
fn failure(error: &CommandError) -> String {
    let mut text = format!("error: {}\n", printable(&error.to_string()));
    for cause in causes(error) {
        text.push_str(&format!("caused by: {}\n", printable(&cause.to_string())));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("help: {hint}\n"));
    }
    text
}

/// Reports the failure of a command, with its causes and with advice.
pub(crate) fn command_error(ui: &Ui, error: &CommandError) {
    if let CommandError::Spec(found, sources) = error {
        diagnostics(ui, found, sources);
        ui.notice(&count(found));
        return;
    }
    if let CommandError::Missing(lines) = error {
        lines.iter().for_each(|line| ui.notice(&format!("error: {}", printable(line))));
        ui.notice("the network lacks what the plan needs; nothing was changed");
        return;
    }
    failure(error).lines().for_each(|line| ui.notice(line));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use std::io;
    use std::path::Path;

    use midoform_compiler::plan::Action;
    use midoform_compiler::topology::key::Key;
    use midoform_reconcile::client::ClientError;
    use midoform_reconcile::credentials::CredentialsError;
    use midoform_reconcile::execute::StepError;
    use midoform_reconcile::saved::SavedPlanError;
    use midoform_simulator::{ListenError, StartError};
    use midoform_store::StoreError;
    use midoform_store::allocation::AllocationError;
    use midoform_store::locks::LockError;
    use midoform_store::tenants::TenantError;

    use super::*;

    fn missing() -> io::Error {
        io::Error::from_raw_os_error(2)
    }

    fn taken() -> ListenError {
        let source = io::Error::from_raw_os_error(98);
        ListenError { address: "127.0.0.1:8181".parse().unwrap(), source }
    }

    fn unreachable() -> StoreError {
        StoreError::Unreachable { store: "etcd at http://e:2379".to_owned(), cause: "timeout".to_owned() }
    }

    /// Returns an error with its sources of each kind that commands end with.
    fn errors() -> Vec<CommandError> {
        let url = "http://api:8181/midonet-api/routers".to_owned();
        let refused = ClientError::Status { method: "POST", url, status: 400, message: "no name".to_owned() };
        let step = StepError { key: Key::tenant("acme").router(), action: Action::Create, source: refused };
        let path = "plan.json".to_owned();
        vec![
            CommandError::file(Path::new("site.toml"), missing()),
            SavedPlanError::File { path: path.clone(), source: missing() }.into(),
            SavedPlanError::Content { path: path.clone(), cause: "its format is 3".to_owned() }.into(),
            CredentialsError::File { path: "login.toml".to_owned(), source: missing() }.into(),
            step.into(),
            ClientError::Defect("task 7 panicked".to_owned()).into(),
            CommandError::Server(StartError::Listen(taken())),
            CommandError::Metrics { address: "127.0.0.1:8181".parse().unwrap(), source: taken() },
            unreachable().into(),
            LockError::Store(unreachable()).into(),
            AllocationError::Store(unreachable()).into(),
            TenantError::Store(unreachable()).into(),
        ]
    }

    #[test]
    fn each_cause_is_shown_once() {
        for error in errors() {
            let shown = failure(&error);
            for cause in causes(&error) {
                assert_eq!(shown.matches(&cause.to_string()).count(), 1, "{cause} in {shown}");
            }
        }
    }

    #[test]
    fn error_chains() {
        let shown: Vec<String> = errors().iter().map(failure).collect();
        midoform_testutil::snapshot_settings("commands")
            .bind(|| insta::assert_snapshot!("error_chains", shown.join("\n")));
    }

    #[test]
    fn only_a_line_break_has_a_carriage_return() {
        for (text, shown) in [
            ("a\r\nb\n", "a\r\nb\n"),
            ("x = 1 # \r fake", "x = 1 # ? fake"),
            ("\r\r\n", "?\r\n"),
            ("\r", "?"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
