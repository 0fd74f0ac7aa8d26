//! The site: a file, or its content in JSON.

use std::path::Path;

use midoform_compiler::diagnostic::{Diagnostic, Diagnostics, Severity, report};
use midoform_compiler::source::{LARGEST_FILE, Source, SourceId, Unreadable};
use midoform_compiler::spec::services::services_of;
use midoform_compiler::spec::{self, Site};
use midoform_compiler::values::Engine;
use serde_json::Value;

use super::keys::{Keys, absolute, read_file};
use crate::protocol::error::{CniError, Result};

/// Reads the site that the key `site` names or holds.
pub(super) fn read(keys: &Keys<'_>) -> Result<Source> {
    match keys.map.get("site") {
        None => Err(CniError::configuration("site", "is missing")
            .hint("set it to the path of the site file, or to its content in JSON")),
        Some(Value::String(path)) => Ok(source_at(&absolute("site", path.clone())?)),
        Some(Value::Object(inline)) => {
            let text = toml::to_string(inline)
                .map_err(|error| CniError::configuration("site", "can't be read").caused_by(error))?;
            Ok(Source::new("site", text))
        }
        Some(_) => Err(CniError::configuration("site", "must be a path or an object")),
    }
}

fn source_at(path: &Path) -> Source {
    let name = path.display().to_string();
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    let content = match size {
        Ok(size) if size > LARGEST_FILE => Err(Unreadable::TooLarge(size)),
        _ => read_file(path).map_err(|error| Unreadable::Failed(error.to_string())),
    };
    Source { name: name.into(), content }
}

/// The keys of `[midonet]` that DEL and GC need.
const OF_MIDONET: [&str; 3] = ["url", "ca", "version"];

/// Parses a site. DEL and GC need only the store and the API of it: for them anything else that is wrong is a warning.
/// `engine` is the engine that the network configuration names.
pub(super) fn parse_for(keys: &Keys<'_>, source: Source, engine: Option<&str>) -> Result<(Source, Site)> {
    let parse = |source: &Source| on_engine(parse(source)?, engine);
    let failed = match parse(&source) {
        Ok(site) => return Ok((source, site)),
        Err(failed) => failed,
    };
    let services = services_of(&source, &OF_MIDONET).filter(|_| keys.only_detaches);
    match services.map(|services| (parse(&services), services)) {
        Some((Ok(site), services)) => {
            keys.unless_detaching(Err::<(), _>(failed))?;
            Ok((services, site))
        }
        _ => Err(failed),
    }
}

/// Parses a site. The error names everything that is wrong with it.
fn parse(source: &Source) -> Result<Site> {
    let mut diagnostics = Diagnostics::default();
    let site = spec::parse::site(source, SourceId(0), &mut diagnostics);
    let failed = diagnostics.has_errors();
    let found = diagnostics.into_sorted();
    let site = match site {
        Some(site) if !failed => site,
        _ => {
            let sources = [source];
            return Err(CniError::configuration("site", "is wrong").hint(error_lines(&found, &sources)));
        }
    };
    Ok(site)
}

/// Returns a site on this engine. Without a name it is the one that the site file has, and MidoNet if it has both.
fn on_engine(mut site: Site, engine: Option<&str>) -> Result<Site> {
    let missing = |table: &str| {
        Err(CniError::configuration("engine", format!("is `{table}`, and the site has no [{table}]")))
    };
    match (engine, &site.midonet, &site.ovn) {
        (None, ..) | (Some("midonet"), Some(_), _) => {}
        (Some("ovn"), _, Some(_)) => site.engine = Engine::Ovn,
        (Some(name @ ("midonet" | "ovn")), ..) => return missing(name),
        (Some(_), ..) => return Err(CniError::configuration("engine", "must be `midonet` or `ovn`")),
    }
    let url = site.midonet.as_ref().and_then(|midonet| midonet.url.as_ref());
    if site.engine != Engine::Ovn && url.is_none() {
        let problem = "has `embedded = true`, but a plugin can't run the API: it ends after each verb";
        return Err(CniError::configuration("site", problem)
            .hint("run `midoform serve`, and set `[midonet] url` to its address"));
    }
    Ok(site)
}

/// Returns the errors among diagnostics as text: file, line and message of each.
pub(crate) fn error_lines(found: &[Diagnostic], sources: &[&Source]) -> String {
    let errors = report(found, sources).into_iter().filter(|finding| finding.severity == Severity::Error);
    let lines: Vec<String> = errors
        .map(|finding| {
            let position =
                finding.positions.first().map(|position| format!("{}:{}: ", position.file, position.line));
            format!("{}{}", position.unwrap_or_default(), finding.message)
        })
        .collect();
    lines.join("; ")
}
