//! `midoform schema`.

use midoform_compiler::schema;

use crate::args::SchemaOptions;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, options: &SchemaOptions) -> Result<Exit, CommandError> {
    let schema = if options.of == "site" { schema::site() } else { schema::tenant() };
    ui.json(&schema)?;
    Ok(Exit::Done)
}
