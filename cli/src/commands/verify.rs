//! `midoform verify`: proves properties of all packets.

use std::io::Write;

use midoform_compiler::diagnostic::{Code, DiagnosticReport, PositionReport, Severity};
use midoform_compiler::names::TenantName;
use midoform_compiler::printable::printable;
use midoform_compiler::source::Provenance;
use midoform_packets::trace;
use midoform_packets::verify::{Check, Subject, Unproven, Verification, Violation, check_all};
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

/// The most violations of one check that the text shows; `--json` has all.
const MOST_SHOWN: usize = 5;

#[derive(Serialize)]
struct Report<'a> {
    site: &'a str,
    holds: bool,
    tenants: usize,
    #[serde(rename = "questions")]
    checks: Vec<CheckResult>,
    violations: &'a [Violation],
    /// The tenants about which nothing is proven.
    unproven: Vec<&'a TenantName>,
    /// The reasons for that.
    #[serde(rename = "unproven_because")]
    reasons: &'a [Unproven],
}

#[derive(Serialize)]
struct CheckResult {
    #[serde(rename = "question")]
    check: Check,
    words: &'static str,
    violations: usize,
}

pub(crate) async fn run(ui: &Ui, options: &VerifyOptions) -> Result<Exit, CommandError> {
    if is_saved_plan(&options.spec.path) {
        let message = format!(
            "{}: a saved plan can't be verified; verify the spec of the plan",
            options.spec.path.display()
        );
        return Err(CommandError::Usage(message));
    }
    let (compiled, project) = Project::load(&options.spec).await?.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    let verification = check_tenants(ui, subject);
    let count =
        |check: Check| verification.violations.iter().filter(|violation| violation.check == check).count();
    let checks: Vec<CheckResult> = Check::ALL
        .into_iter()
        .map(|check| CheckResult { check, words: check.words(), violations: count(check) })
        .collect();
    let report = Report {
        site: &compiled.site.name.value,
        holds: verification.violations.is_empty() && verification.unproven.is_empty(),
        tenants: compiled.tenants.len(),
        checks,
        violations: &verification.violations,
        unproven: verification.unproven.iter().map(|unproven| &unproven.tenant).collect(),
        reasons: &verification.unproven,
    };
    match options.format() {
        FindingsFormat::Text => ui.data(|out| text(out, &report))?,
        FindingsFormat::Json => ui.json(&report)?,
        format => findings(ui, format, &report, &project.sources)?,
    }
    Ok(if report.holds { Exit::Done } else { Exit::Violated })
}

/// Verifies all tenants, on as many threads as there are processors.
fn check_tenants(ui: &Ui, subject: Subject<'_>) -> Verification {
    let progress = Progress::verifying(ui, subject.tenants.len());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let verification = check_all(subject, threads, &|tenants| progress.more(tenants));
    progress.finish();
    verification
}

/// Writes the violations in a code host's form.
fn findings(
    ui: &Ui,
    format: FindingsFormat,
    report: &Report<'_>,
    sources: &Sources,
) -> Result<(), CommandError> {
    let unproven = report.reasons.iter().map(|Unproven { tenant, because }| {
        let message = format!("nothing is proven of {tenant}: {because}");
        (Code::VerifyUnproven, message, Vec::new(), None)
    });
    let violated = report.violations.iter().map(|violation| {
        let shown = violation.trace.as_ref().map(|trace| format!("{}: {}", trace.packet, trace.ending));
        let message = format!("{}: {}", violation.tenant, violation.message);
        (violation.check.code(), message, shown.into_iter().collect(), violation.source.as_ref())
    });
    let found: Vec<(Code, String, Vec<String>, Option<&Provenance>)> = violated.chain(unproven).collect();
    let reports = found.iter().map(|(code, message, help, source)| DiagnosticReport {
        severity: Severity::Error,
        code: *code,
        message,
        positions: source.iter().map(|source| whole_line(source)).collect(),
        help,
    });
    for_code_host(ui, format, reports.collect(), sources)
}

/// Returns the beginning of a line: an object knows no more about its source.
fn whole_line(source: &Provenance) -> PositionReport<'_> {
    let line = source.line;
    PositionReport { file: &source.file, line, column: 1, end_line: line, end_column: 1, text: "" }
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> std::io::Result<()> {
    writeln!(out, "site {}: {} tenants, all packets", printable(report.site), report.tenants)?;
    let is_proven = report.unproven.is_empty() || report.unproven.len() < report.tenants;
    for result in &report.checks {
        match result.violations {
            0 if !is_proven => writeln!(out, "  ? {}", result.words)?,
            0 => writeln!(out, "  ✓ {}", result.words)?,
            1 => writeln!(out, "  ✗ {}: 1 violation", result.words)?,
            many => writeln!(out, "  ✗ {}: {many} violations", result.words)?,
        }
        let here = report.violations.iter().filter(|violation| violation.check == result.check);
        for violation in here.take(MOST_SHOWN) {
            violation_text(out, violation)?;
        }
        if result.violations > MOST_SHOWN {
            writeln!(out, "\n    and {} more: `--json` has them all\n", result.violations - MOST_SHOWN)?;
        }
    }
    for Unproven { tenant, because } in report.reasons {
        writeln!(out, "  ? {}: {}; nothing is proven", printable(tenant), printable(because))?;
    }
    Ok(())
}

fn violation_text(out: &mut dyn Write, violation: &Violation) -> std::io::Result<()> {
    let source = violation.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
    writeln!(out, "\n    {}", printable(&format!("{}{source}", violation.message)))?;
    if let Some(report) = &violation.trace {
        let mut shown = Vec::new();
        trace::text(report, &mut shown)?;
        for line in String::from_utf8_lossy(&shown).lines() {
            writeln!(out, "{}", format!("      {line}").trim_end())?;
        }
    }
    writeln!(out)
}
