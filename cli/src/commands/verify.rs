//! `midoform verify`.

use std::io::Write;

use midoform_compiler::diagnostic::{Code, DiagnosticReport, PlaceReport, Severity};
use midoform_compiler::source::Provenance;
use midoform_packets::trace;
use midoform_packets::verify::{Answers, Question, Subject, Violation, ask_all};
use serde::Serialize;

use crate::args::{FindingsFormat, VerifyOptions};
use crate::code_host_report::for_code_host;
use crate::error::{CommandError, Exit};
use crate::progress::Progress;
use crate::project::Project;
use crate::report;
use crate::saved_plan::is_saved_plan;
use crate::sources::Sources;
use crate::ui::Ui;

/// So many violations of a question are shown to people; `--json` has all.
const MOST_SHOWN: usize = 5;

#[derive(Serialize)]
struct Report<'a> {
    site: &'a str,
    holds: bool,
    tenants: usize,
    questions: Vec<Asked>,
    violations: &'a [Violation],
    /// Tenants of which nothing is proven.
    unproven: &'a [String],
}

#[derive(Serialize)]
struct Asked {
    question: Question,
    words: &'static str,
    violations: usize,
}

pub(crate) async fn run(ui: &Ui, options: &VerifyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
        let message = format!(
            "{}: a saved plan does not say what its rules mean; verify the spec that it was made of",
            options.spec.path.display()
        );
        return Err(CommandError::Usage(message));
    }
    let (compiled, project) = Project::load(&options.spec).await?.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    let answers = ask_about(ui, subject);
    let count = |question: Question| {
        answers.violations.iter().filter(|violation| violation.question == question).count()
    };
    let questions: Vec<Asked> = Question::ALL
        .into_iter()
        .map(|question| Asked { question, words: question.words(), violations: count(question) })
        .collect();
    let report = Report {
        site: &compiled.site.name.value,
        holds: answers.violations.is_empty() && answers.unproven.is_empty(),
        tenants: compiled.tenants.len(),
        questions,
        violations: &answers.violations,
        unproven: &answers.unproven,
    };
    match options.format() {
        FindingsFormat::Text => ui.data(|out| text(out, &report))?,
        FindingsFormat::Json => ui.json(&report)?,
        format => findings(ui, format, &report, &project.sources)?,
    }
    Ok(if report.holds { Exit::Done } else { Exit::Violated })
}

/// Asks about all tenants, on as many threads as there are processors.
fn ask_about(ui: &Ui, subject: Subject<'_>) -> Answers {
    let progress = Progress::verifying(ui, subject.tenants.len());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let answers = ask_all(subject, threads, &|tenants| progress.more(tenants));
    progress.finish();
    answers
}

/// What does not hold, as findings.
fn findings(
    ui: &Ui,
    format: FindingsFormat,
    report: &Report<'_>,
    sources: &Sources,
) -> Result<(), CommandError> {
    let unproven = report.unproven.iter().map(|tenant| {
        let message = format!("nothing is proven of {tenant}: its rules are too many to be followed");
        (Code::VerifyUnproven, message, Vec::new(), None)
    });
    let violated = report.violations.iter().map(|violation| {
        let shown = violation.trace.as_ref().map(|trace| format!("{}: {}", trace.packet, trace.ending));
        let message = format!("{}: {}", violation.tenant, violation.message);
        (violation.question.code(), message, shown.into_iter().collect(), violation.source.as_ref())
    });
    let found: Vec<(Code, String, Vec<String>, Option<&Provenance>)> = violated.chain(unproven).collect();
    let reports = found.iter().map(|(code, message, help, source)| DiagnosticReport {
        severity: Severity::Error,
        code: *code,
        message,
        places: source.iter().map(|source| whole_line(source)).collect(),
        help,
    });
    for_code_host(ui, format, reports.collect(), sources)
}

/// A line's beginning: objects know no more of where they come from.
fn whole_line(source: &Provenance) -> PlaceReport<'_> {
    let line = source.line;
    PlaceReport { file: &source.file, line, column: 1, end_line: line, end_column: 1, text: "" }
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> std::io::Result<()> {
    writeln!(out, "site {}: {} tenants, all packets", report.site, report.tenants)?;
    for asked in &report.questions {
        match asked.violations {
            0 => writeln!(out, "  ✓ {}", asked.words)?,
            1 => writeln!(out, "  ✗ {}: 1 violation", asked.words)?,
            many => writeln!(out, "  ✗ {}: {many} violations", asked.words)?,
        }
        let here = report.violations.iter().filter(|violation| violation.question == asked.question);
        for violation in here.take(MOST_SHOWN) {
            violation_text(out, violation)?;
        }
        if asked.violations > MOST_SHOWN {
            writeln!(out, "\n    and {} more: `--json` has them all\n", asked.violations - MOST_SHOWN)?;
        }
    }
    for tenant in report.unproven {
        writeln!(out, "  ? {tenant}: its rules are too many to be followed; nothing is proven")?;
    }
    Ok(())
}

fn violation_text(out: &mut dyn Write, violation: &Violation) -> std::io::Result<()> {
    let source = violation.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
    writeln!(out, "\n    {}{source}", violation.message)?;
    if let Some(report) = &violation.trace {
        let mut shown = Vec::new();
        trace::text(report, &mut shown)?;
        for line in String::from_utf8_lossy(&shown).lines() {
            writeln!(out, "{}", format!("      {line}").trim_end())?;
        }
    }
    writeln!(out)
}
