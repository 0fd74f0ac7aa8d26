//! `midoform schema`: prints the JSON Schema of a file.

use midoform_compiler::spec::schema;

use crate::args::SchemaOptions;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &SchemaOptions) -> Result<Exit, CommandError> {
    let schema = match options.of.as_str() {
        "site" => schema::site(),
        "policy" => schema::policy(),
        "plan" => midoform_compiler::plan::schema::schema(),
        _ => schema::tenant(),
    };
    ui.json(&schema)?;
    Ok(Exit::Done)
}
