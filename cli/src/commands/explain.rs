//! `midoform explain KEY`: explains one object.

use midoform_compiler::plan::{Call, Step};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::observed::Observed;
use serde::Serialize;

use crate::args::ExplainOptions;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::ui::Ui;

#[derive(Serialize)]
struct Explained<'a> {
    key: &'a str,
    kind: &'a str,
    what: String,
    caused_by: Option<String>,
    stands_on: Vec<String>,
    carries: Vec<&'a str>,
    calls: &'a [Call],
    undo: &'a [Call],
}

pub(crate) async fn run(ui: &Ui, options: &ExplainOptions) -> Result<Exit, CommandError> {
    let (compiled, _project) = Project::load(&options.spec).await?.compile(&options.spec)?;
    let topology = &compiled.topology;
    let Some(entry) = topology.get(&options.key) else {
        let below: Vec<&str> = topology
            .entries()
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|key| key.contains(options.key.trim_end_matches('/')))
            .take(12)
            .collect();
        let known = match below.is_empty() {
            true => "`midoform plan` shows the keys".to_owned(),
            false => format!("there are: {}", below.join(", ")),
        };
        return Err(CommandError::Usage(format!("there is no object `{}`; {known}", options.key)));
    };
    let plan = compiled.plan(topology, &Observed::default());
    let step: Option<&Step> = plan.steps.iter().find(|step| step.key == entry.key);
    let carries = topology.entries().iter().filter(|other| other.object.dependencies().contains(&entry.key));
    let explained = Explained {
        key: entry.key.as_str(),
        kind: step.map(|step| step.kind.name()).unwrap_or_default(),
        what: entry.object.describe(),
        caused_by: entry.provenance.as_ref().map(ToString::to_string),
        stands_on: entry.object.dependencies().iter().map(ToString::to_string).collect(),
        carries: carries.map(|other| other.key.as_str()).collect(),
        calls: step.map(|step| step.calls.as_slice()).unwrap_or_default(),
        undo: step.map(|step| step.undo.as_slice()).unwrap_or_default(),
    };
    if options.json {
        ui.json(&explained)?;
    } else {
        ui.data(|out| text(out, &explained))?;
    }
    Ok(Exit::Done)
}

fn text(out: &mut dyn std::io::Write, explained: &Explained<'_>) -> std::io::Result<()> {
    writeln!(out, "{}", printable(&format!("{}: {} {}", explained.key, explained.kind, explained.what)))?;
    if let Some(place) = &explained.caused_by {
        writeln!(out, "caused by   {}", printable(place))?;
    }
    for key in &explained.stands_on {
        writeln!(out, "depends on  {key}")?;
    }
    for key in &explained.carries {
        writeln!(out, "needed by   {key}")?;
    }
    for (word, calls) in [("created by ", explained.calls), ("undone by  ", explained.undo)] {
        for call in calls {
            writeln!(out, "{word} {} {}", call.word(), printable(&call.place()))?;
            if let Some(kind) = call.http().and_then(|call| call.content_type.as_deref()) {
                writeln!(out, "            {kind}")?;
            }
            if let Some(body) = call.body() {
                writeln!(out, "            {}", printable(&body))?;
            }
        }
    }
    Ok(())
}
