//! The review page: one self-contained HTML file for the person who approves a plan.
//!
//! The page is made of `assets/`: its script and styles stand in it under a content security policy that names their
//! hashes, so that nothing else in the file can run. The data is a JSON block in which no text can end the block; the
//! script puts every text into the page as text.

mod data;
mod risk;
mod shared;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use midoform_compiler::plan::Plan;
use midoform_compiler::plan::cut::CutPort;
use midoform_compiler::plan::reachability::Reachability;
use midoform_compiler::printable::is_escaped;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::kinds::Reference;

/// The input of the page.
#[derive(Clone, Copy, Debug)]
pub struct ReviewPage<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The topology after the plan.
    pub desired: &'a Topology,
    /// The topology before the plan.
    pub before: &'a Topology,
    /// The router that all tenants share.
    pub provider: &'a Reference,
    /// The change of reachability, if it was computed.
    pub reachability: Option<&'a Reachability>,
    /// The observed objects that midoform leaves alone.
    pub foreign: &'a [Foreign],
    /// Bound ports on the tenants' bridges that are not in the spec: pods.
    pub attached: &'a [Foreign],
    /// The pods and other bound ports that the plan cuts off.
    pub cut_pods: &'a [CutPort],
    /// The API's base URL, for calls that are copied.
    pub base_url: &'a str,
    /// The SHA-256 of the saved plan, which is shown instead of the plan's own; none: the plan is not saved.
    pub saved_sha256: Option<&'a str>,
}

const TEMPLATE: &str = include_str!("assets/page.html");

/// The styles, one after another.
const STYLES: [&str; 3] =
    [include_str!("assets/tokens.css"), include_str!("assets/page.css"), include_str!("assets/print.css")];

/// The script's parts: one scope, in this order.
const SCRIPTS: [&str; 10] = [
    include_str!("assets/data.js"),
    include_str!("assets/elements.js"),
    include_str!("assets/list.js"),
    include_str!("assets/layout.js"),
    include_str!("assets/drawing.js"),
    include_str!("assets/detail.js"),
    include_str!("assets/changes.js"),
    include_str!("assets/overview.js"),
    include_str!("assets/print.js"),
    include_str!("assets/main.js"),
];

/// Writes the page.
///
/// # Errors
/// Returns the writer's error.
pub fn write(page: &ReviewPage<'_>, mut out: impl Write) -> io::Result<()> {
    let styles = STYLES.concat();
    let script = format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPTS.concat());
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        source_hash(&script),
        source_hash(&styles)
    );
    let json = serde_json::to_string(&data::Data::of(page))?;
    for (at, part) in TEMPLATE.split("@@").enumerate() {
        match (at % 2, part) {
            (0, text) => out.write_all(text.as_bytes())?,
            (_, "policy") => out.write_all(policy.as_bytes())?,
            (_, "styles") => out.write_all(styles.as_bytes())?,
            (_, "script") => out.write_all(script.as_bytes())?,
            (_, _) => write_escaped(&json, &mut out)?,
        }
    }
    out.flush()
}

/// Returns a hash in the form of a content security policy.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Writes JSON inside HTML: no text can end the element or begin a comment, and nothing is unseen in the file. The escaped
/// characters occur only in strings, where an escape has the same meaning.
fn write_escaped(json: &str, out: &mut impl Write) -> io::Result<()> {
    let is_special = |character: char| matches!(character, '<' | '>' | '&') || is_escaped(character);
    let mut rest = json;
    while let Some(at) = rest.find(is_special) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.write_all(before.as_bytes())?;
        let mut characters = behind.chars();
        let special = characters.next().map_or(0, u32::from);
        write!(out, "\\u{special:04x}")?;
        rest = characters.as_str();
    }
    out.write_all(rest.as_bytes())
}
