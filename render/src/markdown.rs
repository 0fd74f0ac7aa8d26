//! Writes a plan for a pull request, with at most [`MOST_CHARACTERS`] characters: first the
//! lines of each tenant are left out, then the tenants.

use std::io::Write;

use serde::Serialize;

use super::templates::Templates;
use super::{Options, RenderError};
use midoform_compiler::plan::cut::heading;
use midoform_compiler::plan::{Action, Plan, Step, Summary};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::Foreign;

/// The most characters that the text has.
pub const MOST_CHARACTERS: usize = 4000;

/// The sizes to try: lines of a tenant, and tenants. The first size that fits is taken.
const SIZES: [(usize, usize); 12] = [
    (usize::MAX, usize::MAX),
    (40, usize::MAX),
    (20, usize::MAX),
    (10, usize::MAX),
    (5, usize::MAX),
    (2, usize::MAX),
    (0, usize::MAX),
    (0, 40),
    (0, 20),
    (0, 10),
    (0, 3),
    (0, 0),
];

/// A line longer than this is cut.
const LONGEST_LINE: usize = 160;

#[derive(Serialize)]
struct Page {
    site: String,
    reachability: Vec<String>,
    more_reachability: usize,
    cut_pods: usize,
    cut_heading: &'static str,
    cut_pod_lines: Vec<String>,
    more_cut_pods: usize,
    summary: Summary,
    changes: usize,
    risks: Vec<String>,
    more_risks: usize,
    tenants: Vec<TenantPart>,
    more_tenants: usize,
    plan_file: String,
    cut: bool,
    foreign: usize,
    foreign_risks: Vec<String>,
    foreign_risk_count: usize,
    more_foreign_risks: usize,
    sha256: String,
}

#[derive(Serialize)]
struct TenantPart {
    name: String,
    counts: String,
    lines: Vec<String>,
    more: usize,
}

/// Writes the plan.
pub(super) fn write(
    plan: &Plan,
    desired: &Topology,
    options: &Options<'_>,
    templates: &Templates,
    out: &mut impl Write,
) -> Result<(), RenderError> {
    let sha256 = options.sha256(plan);
    let mut text = String::new();
    for (lines, tenants) in SIZES {
        // A rough bound avoids rendering sizes that can't fit.
        let least = plan.summaries_by_tenant().len().min(tenants) * 20;
        if least > MOST_CHARACTERS {
            continue;
        }
        let page = page(plan, desired, options, &sha256, lines, tenants);
        text = templates.fill("markdown.hbs", &page)?;
        if text.chars().count() <= MOST_CHARACTERS {
            break;
        }
    }
    // A replaced template can be of any length.
    let bounded: String = text.chars().take(MOST_CHARACTERS).collect();
    out.write_all(bounded.as_bytes())?;
    Ok(())
}

fn page(
    plan: &Plan,
    desired: &Topology,
    options: &Options<'_>,
    sha256: &str,
    most_lines: usize,
    most_tenants: usize,
) -> Page {
    let summary = plan.summary();
    let changed = |summary: &Summary| summary.changes() > 0;
    let summaries: Vec<(&str, Summary)> =
        plan.summaries_by_tenant().into_iter().filter(|(_, summary)| changed(summary)).collect();
    let tenants: Vec<TenantPart> = summaries
        .iter()
        .take(most_tenants)
        .map(|(name, summary)| tenant_part((name, summary), plan, desired, options, most_lines))
        .collect();
    let risky = |step: &&Step| step.cuts_traffic || matches!(step.action, Action::Delete | Action::Replace);
    let risks: Vec<&Step> = plan.changes().filter(risky).collect();
    let shown = most_lines.min(10);
    let risk_line = |step: &&Step| {
        let cuts = if step.cuts_traffic { ", cuts traffic" } else { "" };
        bounded(&format!(
            "`{}` `{}`: {}{cuts}",
            step.action.sign(),
            code(step.key.as_str()),
            escaped(&step.reason)
        ))
    };
    let reached = super::reached(options.reachability);
    let reached_shown = reached.len().min(most_lines.min(20));
    let foreign_risks = super::foreign_lines(options, Foreign::is_drift);
    let cut = tenants.iter().any(|part| part.more > 0)
        || tenants.len() < summaries.len()
        || risks.len() > shown
        || reached.len() > reached_shown
        || options.cut_pods.len() > shown
        || foreign_risks.len() > shown;
    Page {
        site: escaped(&plan.site),
        more_reachability: reached.len() - reached_shown,
        reachability: reached
            .iter()
            .take(reached_shown)
            .map(|(opens, line)| bounded(&format!("{} {line}", if *opens { "+" } else { "-" })))
            .collect(),
        cut_pods: options.cut_pods.len(),
        cut_heading: heading(options.cut_pods),
        cut_pod_lines: cut_ports(options, shown),
        more_cut_pods: options.cut_pods.len().saturating_sub(shown),
        summary,
        changes: summary.changes(),
        more_risks: risks.len().saturating_sub(shown),
        risks: risks.iter().take(shown).map(risk_line).collect(),
        more_tenants: summaries.len() - tenants.len(),
        tenants,
        plan_file: options
            .plan_file
            .map(|file| code(&file.chars().take(200).collect::<String>()))
            .unwrap_or_default(),
        cut,
        foreign: options.foreign.iter().filter(|other| !other.is_drift()).count(),
        foreign_risk_count: foreign_risks.len(),
        more_foreign_risks: foreign_risks.len().saturating_sub(shown),
        foreign_risks: foreign_risks.iter().take(shown).map(|line| bounded(&escaped(line))).collect(),
        sha256: sha256.to_owned(),
    }
}

fn tenant_part(
    (name, summary): (&str, &Summary),
    plan: &Plan,
    desired: &Topology,
    options: &Options<'_>,
    most_lines: usize,
) -> TenantPart {
    let counts =
        [(summary.create, "+"), (summary.update, "~"), (summary.replace, "-/+"), (summary.delete, "-")];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, sign)| format!("{sign}{count}")).collect();
    let lines: Vec<String> = match most_lines {
        0 => Vec::new(),
        most => plan
            .changes()
            .filter(|step| step.key.owner() == name)
            .take(most)
            .map(|step| line(step, desired, options))
            .collect(),
    };
    let more = if most_lines == 0 { 0 } else { summary.changes() - lines.len() };
    TenantPart { name: escaped(name), counts: counts.join(" "), lines, more }
}

fn line(step: &Step, desired: &Topology, options: &Options<'_>) -> String {
    let what = super::what(step, desired, options);
    let what = if what.is_empty() { step.reason.to_string() } else { what };
    bounded(&format!("{:>3} {} {} {what}", step.action.sign(), step.key, step.kind.name()))
}

/// Shortens a line, and removes what would end a code block.
fn bounded(line: &str) -> String {
    let one_line = printable(line).replace("```", "'''");
    match one_line.chars().count() > LONGEST_LINE {
        true => one_line.chars().take(LONGEST_LINE - 1).chain(['…']).collect(),
        false => one_line,
    }
}

/// Escapes the characters that Markdown or HTML would interpret.
fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '&' => result.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => result.extend(['\\', character]),
            other => result.push(other),
        }
    }
    result
}

/// Prepares text for backquotes.
fn code(text: &str) -> String {
    printable(text).replace('`', "'")
}

/// Returns the first of the ports that the plan cuts off, each in words.
fn cut_ports(options: &Options<'_>, most: usize) -> Vec<String> {
    options.cut_pods.iter().take(most).map(|port| bounded(&escaped(&port.what))).collect()
}
