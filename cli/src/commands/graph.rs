//! `midoform graph`: draws the topology.

use std::collections::BTreeMap;

use midoform_compiler::topology::observed::Observed;
use midoform_render as render;
use midoform_render::Format;

use crate::args::GraphOptions;
use crate::error::{CommandError, Exit};
use crate::project::Project;
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &GraphOptions) -> Result<Exit, CommandError> {
    let (compiled, _project) = Project::load(&options.spec).await?.compile(&options.spec)?;
    let mut plan = compiled.plan(&compiled.topology, &Observed::default());
    // The drawing shows the network, not a change.
    plan.steps.clear();
    let templates = BTreeMap::new();
    let settings = render::Options::plain(&templates);
    let format: Format = options.format.parse().unwrap_or(Format::Dot);
    ui.data(|out| Ok(render::render(&plan, &compiled.topology, format, &settings, out)?))?;
    Ok(Exit::Done)
}
