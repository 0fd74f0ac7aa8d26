//! `midoform show`: the objects of the tenants in the network.

use std::collections::BTreeMap;

use midoform_compiler::plan::Action;
use midoform_compiler::printable::printable;
use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::Kind;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::northbound::pods;
use serde::Serialize;

use crate::args::ShowOptions;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::selection::{Selection, everything};
use crate::session::{Session, Target};
use crate::ui::Ui;

#[derive(Serialize)]
struct Shown<'a> {
    site: &'a str,
    api: String,
    objects: Vec<ShownObject>,
    foreign: &'a [Foreign],
    /// The number of changes of the next apply.
    pending: usize,
}

#[derive(Serialize)]
struct ShownObject {
    key: Key,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    what: String,
    state: &'static str,
    /// Whether a host has bound the static port, as OVN says; none for other objects, and where the engine does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<bool>,
}

pub(crate) async fn run(ui: &Ui, options: &ShowOptions) -> Result<Exit, CommandError> {
    let (compiled, project) = Project::load(&options.spec).await?.compile(&options.spec)?;
    let target = Target::of(&compiled.site, &options.api, &project.sources.root)?;
    let selection = Selection::new(&compiled, &everything())?;
    let site = &compiled.site.name.value;
    let (observed, bound, api) = match target.is_untouched() {
        true => (Observed::default(), BTreeMap::new(), "the embedded API, which has not run yet".to_owned()),
        false => {
            let scope = selection.scope(&selection.compiled.allocations);
            let look = async |session: &Session| {
                let api = session.connection.address().into_owned();
                Ok((session.observe(ui, scope).await?, bound_ports(session, site).await?, api))
            };
            Session::with(target, compiled.engine(), &options.api, look).await?
        }
    };
    let plan = selection.plan_from(&observed);
    let actions: BTreeMap<&str, Action> =
        plan.steps.iter().map(|step| (step.key.as_str(), step.action)).collect();
    let namespace = Namespace::of_site(&compiled.site.name.value);
    let objects = observed.topology.entries().iter().map(|entry| {
        let kind = Kind::of(&entry.object);
        let id = observed.id_of(namespace, &entry.key);
        ShownObject {
            key: entry.key.clone(),
            kind,
            id: kind.has_own_id().then(|| id.to_string()),
            what: entry.object.describe(),
            bound: bound.get(&entry.key).copied(),
            state: match actions.get(entry.key.as_str()) {
                Some(Action::Keep) => "as wanted",
                Some(Action::Delete) => "not wanted",
                _ => "differs",
            },
        }
    });
    let objects: Vec<ShownObject> = objects.collect();
    let pending = plan.summary().changes();
    if options.json {
        ui.json(&Shown { site, api, objects, foreign: &observed.foreign, pending })?;
        return Ok(Exit::Done);
    }
    ui.data(|out| text(out, site, &api, &objects, &observed.foreign, pending))?;
    Ok(Exit::Done)
}

/// Returns the site's static ports that the engine has, each with whether a host has bound it, where the engine says that.
async fn bound_ports(session: &Session, site: &str) -> Result<BTreeMap<Key, bool>, CommandError> {
    let Some(northbound) = session.connection.northbound() else { return Ok(BTreeMap::new()) };
    let found = pods::all(northbound, site).await?.into_iter();
    Ok(found.filter(|port| port.key.is_static_port()).map(|port| (port.key, port.is_up)).collect())
}

fn text(
    out: &mut dyn std::io::Write,
    site: &str,
    api: &str,
    objects: &[ShownObject],
    foreign: &[Foreign],
    pending: usize,
) -> std::io::Result<()> {
    writeln!(out, "site {} at {}: {} objects", printable(site), printable(api), objects.len())?;
    let mut tenant = "";
    for object in objects {
        let (first, rest) = (object.key.owner(), object.key.path());
        if first != tenant {
            writeln!(out, "\n{}", printable(first))?;
            tenant = first;
        }
        let bound = object.bound.map(|bound| if bound { "bound" } else { "not bound" });
        let state = Some(object.state).filter(|state| *state != "as wanted");
        let words: Vec<&str> = bound.into_iter().chain(state).collect();
        let state = if words.is_empty() { String::new() } else { format!("  ({})", words.join(", ")) };
        let id = object.id.as_deref().unwrap_or("");
        let line = format!("  {rest:<44} {:<19} {id:<36} {}{state}", object.kind.name(), object.what);
        writeln!(out, "{}", printable(line.trim_end()))?;
    }
    if !foreign.is_empty() {
        writeln!(out, "\nnot created by midoform, and left as they are")?;
        for other in foreign {
            let line = format!("  {} {} at {}{}", other.what, other.id, other.near, other.effect_clause());
            writeln!(out, "{}", printable(&line))?;
        }
    }
    match pending {
        0 if foreign.iter().any(Foreign::is_drift) => {
            writeln!(
                out,
                "\nEvery object is as the spec says, but foreign objects change what the network does."
            )
        }
        0 => writeln!(out, "\nThe network matches the spec."),
        count => writeln!(out, "\n{count} changes are pending: `midoform plan` shows them."),
    }
}
