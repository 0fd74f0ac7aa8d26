//! Writes a plan for a terminal, tenant by tenant, so a large plan is never held as one text.

use std::borrow::Cow;
use std::io::Write;

use serde::Serialize;

use super::templates::Templates;
use super::{Options, RenderError};
use midoform_compiler::plan::cut::heading;
use midoform_compiler::plan::{Action, Plan, Step, Summary};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::Foreign;

#[derive(Serialize)]
struct Group<'a> {
    tenant: Cow<'a, str>,
    steps: Vec<Line<'a>>,
    kept: usize,
    bold: &'static str,
    dim: &'static str,
    reset: &'static str,
}

#[derive(Serialize)]
struct Line<'a> {
    sign: String,
    key: String,
    kind: &'static str,
    what: String,
    /// The reason, unless the object is just created.
    reason: Cow<'a, str>,
    source: String,
    cuts_traffic: bool,
    colour: &'static str,
    dim: &'static str,
    reset: &'static str,
    calls: Vec<CallLine<'a>>,
}

#[derive(Serialize)]
struct CallLine<'a> {
    method: &'static str,
    path: Cow<'a, str>,
    content_type: Cow<'a, str>,
    body: Cow<'a, str>,
}

#[derive(Serialize)]
struct End<'a> {
    reachability: Vec<Reached>,
    more_reachability: usize,
    cut_pods: usize,
    cut_heading: &'static str,
    cut_pod_lines: Vec<String>,
    more_cut_pods: usize,
    summary: Summary,
    changes: usize,
    cuts_traffic: usize,
    foreign: Vec<String>,
    foreign_risks: Vec<String>,
    foreign_risk_count: usize,
    sha256: &'a str,
    bold: &'static str,
    reset: &'static str,
}

/// A line about reachability.
#[derive(Serialize)]
struct Reached {
    sign: &'static str,
    line: String,
    colour: &'static str,
    reset: &'static str,
}

/// The most lines about reachability that are shown.
const MOST_REACHED: usize = 40;

/// Returns the lines about reachability, and the number of lines that are left out.
fn reached(
    options: &Options<'_>,
    most: usize,
    code: impl Fn(&'static str) -> &'static str,
) -> (Vec<Reached>, usize) {
    let lines = super::reached(options.reachability);
    let more = lines.len().saturating_sub(most);
    let shown = lines.into_iter().take(most).map(|(opens, line)| Reached {
        sign: if opens { "+" } else { "-" },
        line: printable(&line).into_owned(),
        colour: code(if opens { "\u{1b}[32m" } else { "\u{1b}[31m" }),
        reset: code("\u{1b}[0m"),
    });
    (shown.collect(), more)
}

/// Writes the plan.
pub(super) fn write(
    plan: &Plan,
    desired: &Topology,
    options: &Options<'_>,
    templates: &Templates,
    out: &mut impl Write,
) -> Result<(), RenderError> {
    let code = |code: &'static str| if options.colour { code } else { "" };
    let mut rest = plan.steps.as_slice();
    while let Some(first) = rest.first() {
        let tenant = first.key.owner();
        let length = rest.iter().position(|step| step.key.owner() != tenant).unwrap_or(rest.len());
        let (steps, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = others;
        let shown = steps.iter().filter(|step| options.verbose || step.action != Action::Keep);
        let group = Group {
            tenant: printable(tenant),
            steps: shown.map(|step| line(step, desired, options)).collect(),
            kept: steps.iter().filter(|step| step.action == Action::Keep).count(),
            bold: code("\u{1b}[1m"),
            dim: code("\u{1b}[2m"),
            reset: code("\u{1b}[0m"),
        };
        if !group.steps.is_empty() {
            out.write_all(templates.fill("text.hbs", &group)?.as_bytes())?;
        }
    }
    let summary = plan.summary();
    let hash = options.sha256(plan);
    let most = if options.verbose { usize::MAX } else { MOST_REACHED };
    let (reachability, more_reachability) = reached(options, most, code);
    let foreign_risks = super::foreign_lines(options, Foreign::is_drift);
    let end = End {
        reachability,
        more_reachability,
        cut_pods: options.cut_pods.len(),
        cut_heading: heading(options.cut_pods),
        cut_pod_lines: options
            .cut_pods
            .iter()
            .take(most)
            .map(|port| printable(&port.what).into_owned())
            .collect(),
        more_cut_pods: options.cut_pods.len().saturating_sub(most),
        summary,
        changes: summary.changes(),
        cuts_traffic: plan.changes().filter(|step| step.cuts_traffic).count(),
        foreign: super::foreign_lines(options, |other| !other.is_drift()),
        foreign_risk_count: foreign_risks.len(),
        foreign_risks,
        sha256: &hash,
        bold: code("\u{1b}[1m"),
        reset: code("\u{1b}[0m"),
    };
    out.write_all(templates.fill("text-end.hbs", &end)?.as_bytes())?;
    Ok(())
}

fn line<'a>(step: &'a Step, desired: &Topology, options: &Options<'_>) -> Line<'a> {
    let colour = match step.action {
        Action::Create => "\u{1b}[32m",
        Action::Update => "\u{1b}[33m",
        Action::Replace | Action::Delete => "\u{1b}[31m",
        Action::Keep => "",
    };
    let code = |code: &'static str| if options.colour { code } else { "" };
    let path = printable(step.key.path());
    let call = |call: &'a midoform_compiler::plan::Call| CallLine {
        method: call.word(),
        path: owned(call.place()),
        content_type: printable(
            call.http().and_then(|call| call.content_type.as_deref()).unwrap_or_default(),
        ),
        body: owned(call.body().unwrap_or_default()),
    };
    Line {
        sign: format!("{:>3}", step.action.sign()),
        key: format!("{path:<38}"),
        kind: step.kind.name(),
        what: printable(&super::what(step, desired, options)).into_owned(),
        reason: match &*step.reason {
            "is not there yet" | "is as it should be" => Cow::Borrowed(""),
            reason => printable(reason),
        },
        source: step
            .source
            .as_ref()
            .map(|source| printable(&source.to_string()).into_owned())
            .unwrap_or_default(),
        cuts_traffic: step.cuts_traffic,
        colour: code(colour),
        dim: code("\u{1b}[2m"),
        reset: code("\u{1b}[0m"),
        calls: if options.verbose { step.calls.iter().map(call).collect() } else { Vec::new() },
    }
}

/// Returns a text with its unseen characters escaped.
fn owned(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => printable(text),
        Cow::Owned(text) => Cow::Owned(printable(&text).into_owned()),
    }
}
