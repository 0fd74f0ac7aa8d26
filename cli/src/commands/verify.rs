//! `midoform verify`.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use midoform_compiler::trace;
use midoform_compiler::verify::{Answers, Question, Subject, Violation, ask, ask_provider, groups};
use serde::Serialize;

use crate::args::VerifyOptions;
use crate::error::{CommandError, Exit};
use crate::progress::Progress;
use crate::project::Project;
use crate::report;
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

pub(crate) fn run(ui: &Ui, options: &VerifyOptions) -> Result<Exit, CommandError> {
    let (compiled, project) = Project::load(&options.spec)?.compile(&options.spec)?;
    report::diagnostics(ui, &compiled.warnings, &project);
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    let answers = ask_all(ui, subject)?;
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
    match options.json {
        true => ui.json(&report)?,
        false => ui.data(|out| text(out, &report))?,
    }
    Ok(if report.holds { Exit::Done } else { Exit::Violated })
}

/// Asks about every group of tenants, on as many threads as there are processors; the answers come in the order of
/// the tenants.
fn ask_all(ui: &Ui, subject: Subject<'_>) -> Result<Answers, CommandError> {
    let groups: Vec<BTreeSet<&str>> = groups(subject.topology);
    let progress = Progress::verifying(ui, groups.len());
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Answers)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(at) else { return };
            let answers = ask(subject, group);
            if let Ok(mut found) = found.lock() {
                found.push((at, answers));
            }
            progress.one_more();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.min(groups.len()) {
            scope.spawn(work);
        }
    });
    progress.finish();
    let mut found = found.into_inner().map_err(|_| CommandError::Internal("a proof broke off".to_owned()))?;
    if found.len() != groups.len() {
        return Err(CommandError::Internal("a proof is missing".to_owned()));
    }
    found.sort_by_key(|(at, _)| *at);
    let mut all = Answers { violations: ask_provider(subject.topology), unproven: Vec::new() };
    for (_, answers) in found {
        all.violations.extend(answers.violations);
        all.unproven.extend(answers.unproven);
    }
    all.violations.sort_by_key(|violation| violation.question);
    Ok(all)
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
