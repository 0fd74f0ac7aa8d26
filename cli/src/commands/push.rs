//! `midoform push`: checks the specs, and writes them into the store for the plugin.

use midoform_compiler::source::Source;
use midoform_store::record::encode;
use midoform_store::tenants::PushedFile;
use midoform_store::{Transaction, keys};

use crate::args::{Policy, PushOptions};
use crate::error::{CommandError, Exit};
use crate::project::{Project, Reach};
use crate::store_choice::open_store;
use crate::ui::Ui;

/// The number of files that are written at once.
const AT_ONCE: usize = 50;

pub(crate) async fn run(ui: &Ui, options: &PushOptions) -> Result<Exit, CommandError> {
    // The plugin makes tenants from pushed specs without a review, so they are checked here.
    let policy = Policy { files: Vec::new() };
    let project = Project::load_under(&options.spec, &policy, Reach::Everything).await?;
    let (compiled, project) = project.compile(&options.spec)?;
    let mut files: Vec<(String, &Source)> = vec![(keys::SITE.to_owned(), &project.sources.site)];
    let specs = project.sources.files_of(&compiled.specs);
    files.extend(specs.map(|(spec, source)| (keys::spec(&spec.name.value), source)));
    let store = open_store(&options.location, true)?;
    for some in files.chunks(AT_ONCE) {
        let put = |transaction: Transaction, (key, source): &(String, &Source)| {
            transaction.put(key, encode(&PushedFile::new(&source.name, source.text())))
        };
        let transaction = some.iter().fold(Transaction::default(), put);
        store.commit(&transaction).await?;
    }
    ui.status(&format!("{}: the site and {} tenants were pushed", store.name(), files.len() - 1));
    Ok(Exit::Done)
}
