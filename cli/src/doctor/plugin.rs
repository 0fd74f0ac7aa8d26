//! The installation of `midonet-cni`, and its configuration for container runtimes.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::{Ended, Finding, run};

const PLUGIN: &str = "plugin";
const CONFIGURATION: &str = "CNI configuration";
/// The plugin's file name, and the type that a configuration names it by.
pub(crate) const NAME: &str = "midonet-cni";

/// Judges the plugin and its configuration. A machine without either is no container host.
pub(crate) async fn examine(plugins: &Path, configurations: &Path) -> Vec<Finding> {
    let file = plugins.join(NAME);
    let found = configurations_of(configurations);
    if !file.exists() && found.is_empty() {
        let reason = format!("no {NAME} in {}, and no configuration of it", plugins.display());
        return vec![Finding::skipped(PLUGIN, reason)];
    }
    let (installed, is_usable) = installation(&file).await;
    let mut findings = vec![installed];
    if found.is_empty() {
        findings.push(Finding::wrong(
            CONFIGURATION,
            format!("no file in {} names {NAME}", configurations.display()),
            "write one: docs/cni.md has an example",
        ));
    }
    for (place, (path, configuration)) in found.into_iter().enumerate() {
        findings.push(match configuration {
            Err(reason) => Finding::wrong(
                CONFIGURATION,
                format!("{} can't be read: {reason}", path.display()),
                "correct it: a runtime ignores it, or takes no other one",
            ),
            Ok(_) if !is_usable => {
                Finding::skipped(CONFIGURATION, format!("{}: there is no plugin", path.display()))
            }
            Ok(configuration) => status(&file, &path, &configuration, place == 0).await,
        });
    }
    findings
}

/// Judges the plugin's file, and tells whether it can be started.
async fn installation(file: &Path) -> (Finding, bool) {
    let shown = file.display();
    let install = format!("install it: `install -D midonet-cni {shown}`");
    if !file.exists() {
        return (Finding::wrong(PLUGIN, format!("there is no {shown}"), install), false);
    }
    if let Err(error) = access(file, Access::EXEC_OK) {
        return (
            Finding::wrong(
                PLUGIN,
                format!("{shown} can't be started: {error}"),
                format!("chmod 755 {shown}"),
            ),
            false,
        );
    }
    let mut command = Command::new(file);
    command.arg("--version");
    let version = match run(command, "").await {
        Ok(Ended { succeeded: true, output }) => output.trim().to_owned(),
        Ok(_) => return (Finding::wrong(PLUGIN, format!("{shown} is not {NAME}"), install), false),
        Err(reason) => {
            return (Finding::wrong(PLUGIN, format!("{shown} can't be started: {reason}"), install), false);
        }
    };
    let own = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let finding = match version == own {
        true => Finding::right(PLUGIN, format!("{shown} is {version}")),
        false => Finding::doubtful(
            PLUGIN,
            format!("{shown} is {version}, and midoform is {}", env!("CARGO_PKG_VERSION")),
            "install both from one release",
        ),
    };
    (finding, true)
}

/// A configuration file, and the configuration of the plugin in it.
type Found = (PathBuf, Result<Json, String>);

/// Returns the files that name the plugin, in the order of their names: a runtime takes the first.
fn configurations_of(folder: &Path) -> Vec<Found> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_configuration = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| ["conf", "conflist", "json"].iter().any(|known| extension == *known))
    };
    let mut files: Vec<PathBuf> = files.filter(is_configuration).collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Some((path, Err(error.to_string()))),
        };
        match serde_json::from_str::<Json>(&text) {
            Ok(whole) => of_plugin(&whole).map(|own| (path, Ok(own))),
            // A file of another plugin is no matter of ours.
            Err(error) => text.contains(NAME).then(|| (path, Err(error.to_string()))),
        }
    };
    files.into_iter().filter_map(read).collect()
}

/// Returns the plugin's own configuration, with the name of the network and a version that has STATUS.
fn of_plugin(whole: &Json) -> Option<Json> {
    let is_own = |one: &&Json| one.get("type").and_then(Json::as_str) == Some(NAME);
    let own = match whole.get("plugins").and_then(Json::as_array) {
        Some(plugins) => plugins.iter().find(is_own)?,
        None => Some(whole).filter(is_own)?,
    };
    let mut own = own.clone();
    let fields = own.as_object_mut()?;
    if let Some(name) = whole.get("name") {
        fields.insert("name".to_owned(), name.clone());
    }
    fields.insert("cniVersion".to_owned(), json!("1.1.0"));
    Some(own)
}

/// Asks the plugin itself (STATUS): it looks at its configuration, the store, the addresses, the API and the host's agent.
async fn status(file: &Path, path: &Path, configuration: &Json, is_first: bool) -> Finding {
    let shown = path.display();
    let mut command = Command::new(file);
    command.env("CNI_COMMAND", "STATUS").env("CNI_PATH", file.parent().unwrap_or_else(|| Path::new("/")));
    let ended = match run(command, &configuration.to_string()).await {
        Ok(ended) => ended,
        Err(reason) => {
            return Finding::wrong(
                CONFIGURATION,
                format!("{shown}: STATUS failed: {reason}"),
                "run it by hand (docs/cni.md)",
            );
        }
    };
    if ended.succeeded {
        return match is_first {
            true => Finding::right(CONFIGURATION, format!("{shown}: containers can be attached")),
            false => Finding::doubtful(
                CONFIGURATION,
                format!("{shown} is right, but another file comes first: runtimes take that one"),
                "remove one of them",
            ),
        };
    }
    let error: Json = serde_json::from_str(&ended.output).unwrap_or_default();
    let text = |field: &str| error.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
    let details = text("details");
    let found = format!("{shown}: {}", text("msg"));
    let advice = if details.is_empty() { "docs/cni.md explains the error codes".to_owned() } else { details };
    Finding::wrong(CONFIGURATION, found, advice)
}
