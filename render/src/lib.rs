//! Shows a plan to people and to machines. Rendering makes no decisions.
//!
//! The templates (handlebars) are part of the binary; a caller may replace any of them by name.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "tests read recordings, and fail where they can't go on"
    )
)]

pub mod code_hosts;
pub mod html;
pub mod json;
mod markdown;
mod northbound_script;
mod picture;
mod shell;
mod templates;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::plan::cut::CutPort;
use midoform_compiler::plan::reachability::{Now, Reachability};
use midoform_compiler::plan::{Action, Plan, Step};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::Foreign;

pub use markdown::MOST_CHARACTERS;
pub use shell::single_quoted;
pub use templates::templates;

/// Describes the object after a step, or the one that the step deletes.
fn what(step: &Step, desired: &Topology, options: &Options<'_>) -> String {
    let topology = if step.action == Action::Delete { options.before } else { Some(desired) };
    let entry = topology.and_then(|topology| topology.get(step.key.as_str()));
    entry.map(|entry| entry.object.describe()).unwrap_or_default()
}

/// The forms of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For machines (`docs/plan-format.md`).
    Json,
    /// For a pull request: of bounded size.
    Markdown,
    /// A script of curl calls.
    Shell,
    /// A drawing for Graphviz.
    Dot,
    /// A drawing for Mermaid.
    Mermaid,
}

impl Format {
    /// All forms.
    pub const ALL: [Format; 6] =
        [Format::Text, Format::Json, Format::Markdown, Format::Shell, Format::Dot, Format::Mermaid];

    fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Markdown => "markdown",
            Format::Shell => "shell",
            Format::Dot => "dot",
            Format::Mermaid => "mermaid",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Format::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("there is no format `{text}`"))
    }
}

/// Returns a line for each of the foreign objects that `is_shown` selects.
fn foreign_lines(options: &Options<'_>, is_shown: impl Fn(&Foreign) -> bool) -> Vec<String> {
    let line = |other: &Foreign| {
        let line = format!("{} {} at {}{}", other.what, other.id, other.near, other.effect_clause());
        printable(&line).into_owned()
    };
    options.foreign.iter().filter(|other| is_shown(other)).map(line).collect()
}

/// The options of a rendering.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// True to use colours in text.
    pub colour: bool,
    /// The objects before the plan, to describe what it deletes; none if they are not known.
    pub before: Option<&'a Topology>,
    /// Templates that replace those that ship, by file name.
    pub templates: &'a BTreeMap<String, String>,
    /// The API's base URL, as a script's default.
    pub base_url: &'a str,
    /// The file that holds the full plan, for the form that may be cut short.
    pub plan_file: Option<&'a str>,
    /// The observed objects that midoform leaves alone.
    pub foreign: &'a [Foreign],
    /// Text: show calls and unchanged objects too.
    pub verbose: bool,
    /// The change of reachability, if it is known.
    pub reachability: Option<&'a Reachability>,
    /// The SHA-256 of the saved plan, which is shown instead of the plan's own; none: the plan is not saved.
    pub saved_sha256: Option<&'a str>,
    /// The pods and other bound ports that the plan cuts off.
    pub cut_pods: &'a [CutPort],
    /// The addresses that others use as well on the provider router, each in words.
    pub used_twice: &'a [String],
}

impl<'a> Options<'a> {
    /// Returns the options of a plain rendering: without colours, and of a plan of which nothing else is known.
    pub fn plain(templates: &'a BTreeMap<String, String>) -> Options<'a> {
        Options {
            colour: false,
            before: None,
            templates,
            base_url: "",
            plan_file: None,
            foreign: &[],
            verbose: false,
            reachability: None,
            saved_sha256: None,
            cut_pods: &[],
            used_twice: &[],
        }
    }

    /// Returns the SHA-256 by which people name the plan.
    fn sha256(&self, plan: &Plan) -> String {
        self.saved_sha256.map_or_else(|| midoform_compiler::plan::hash(plan), str::to_owned)
    }
}

/// A reason why a plan can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template has an error, or uses an unknown variable.
    #[error("the template {name} can't be used: {cause}")]
    Template {
        /// Its file name.
        name: String,
        /// The cause, with the line.
        cause: String,
    },
    /// Returns the writer's error.
    #[error(transparent)]
    Write(#[from] io::Error),
}

impl From<RenderError> for io::Error {
    fn from(error: RenderError) -> io::Error {
        match error {
            RenderError::Write(error) => error,
            RenderError::Template { .. } => io::Error::other(error),
        }
    }
}

/// Shows a plan. The desired topology has the objects that are described.
///
/// # Errors
/// Returns an error if a replaced template has an error, or the writer fails.
pub fn render(
    plan: &Plan,
    desired: &Topology,
    format: Format,
    options: &Options<'_>,
    mut out: impl Write,
) -> Result<(), RenderError> {
    let templates = templates::Templates::new(format, options.templates)?;
    match format {
        Format::Json => drop(json::write_with(plan, options, out)?),
        Format::Text => text::write(plan, desired, options, &templates, &mut out)?,
        Format::Markdown => markdown::write(plan, desired, options, &templates, &mut out)?,
        Format::Shell => match Dialect::of(plan.engine) {
            Some(dialect) => shell::write(plan, dialect, options, &templates, &mut out)?,
            None => northbound_script::write(plan, options, &templates, &mut out)?,
        },
        Format::Dot => {
            let picture = picture::Picture::of(plan, desired);
            out.write_all(templates.fill("dot.hbs", &picture)?.as_bytes())?;
        }
        Format::Mermaid => {
            let picture = picture::Picture::of(plan, desired);
            out.write_all(templates.fill("mermaid.hbs", &picture)?.as_bytes())?;
        }
    }
    Ok(())
}

/// Returns the lines about reachability; true for what is opened.
fn reached(reachability: Option<&Reachability>) -> Vec<(bool, String)> {
    let Some(reachability) = reachability else { return Vec::new() };
    let changes = reachability.changes.iter().map(|change| (change.now == Now::Allowed, change.to_string()));
    let unknown = reachability.not_compared.iter();
    let unknown =
        unknown.map(|tenant| (true, format!("{tenant}: its bridges or rules are too many to be compared")));
    changes.chain(unknown).collect()
}
