//! `midoform templates FOLDER`: writes the templates of plans.

use std::io::Write;

use midoform_render::templates;

use crate::args::TemplatesOptions;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &TemplatesOptions) -> Result<Exit, CommandError> {
    let folder = &options.folder;
    std::fs::create_dir_all(folder).map_err(|error| CommandError::file(folder, error))?;
    for (name, text) in templates() {
        let path = folder.join(name);
        match std::fs::File::options().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(|error| CommandError::file(&path, error))?;
                ui.status(&format!("written: {}", path.display()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                ui.status(&format!("left as it is: {}", path.display()));
            }
            Err(error) => return Err(CommandError::file(&path, error)),
        }
    }
    Ok(Exit::Done)
}
