//! The store that the command line names: a file, or the store of a site.

use std::path::Path;
use std::sync::Arc;

use midoform_compiler::source::Source;
use midoform_compiler::spec::Site;
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::Etcd;
use midoform_store::input_file;
use midoform_store::open::OpenOptions;
use midoform_store::{SharedStore, open};

use crate::allocation_state::AllocationState;
use crate::args::StoreLocation;
use crate::error::CommandError;
use crate::sources::Sources;

/// Reads a site file. A site with an error has no store that could be opened.
pub(crate) fn site_of(path: &Path) -> Result<Site, CommandError> {
    let text = input_file::read_to_string(path).map_err(|error| CommandError::file(path, error))?;
    let sources = Sources::of_site(Source::new(path.display().to_string(), text));
    sources.right_site().map_err(|diagnostics| CommandError::Spec(diagnostics, Box::new(sources)))
}

/// Opens the store. It is only created if `make` is true.
pub(crate) fn open_store(location: &StoreLocation, make: bool) -> Result<SharedStore, CommandError> {
    let Some(path) = &location.etcd_of else {
        if !make && !location.store.exists() {
            let path = location.store.display();
            return Err(CommandError::Usage(format!("there is no store {path}; --store names another")));
        }
        return Ok(Arc::new(Embedded::open(&location.store)?));
    };
    let site = site_of(path)?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let login = open::login(&|name| std::env::var(name).ok())?;
    let around = OpenOptions { folder, login, timeout: None };
    let open::Location::Etcd(settings, tls) = open::location_of(&site, &around) else {
        let message = format!("{} names no etcd (`[etcd] endpoints`)", path.display());
        return Err(CommandError::Usage(message));
    };
    Ok(Arc::new(Etcd::open_tls(settings, &tls)?))
}

/// Opens the store of a site; none if there is none yet.
pub(crate) fn store_of(path: &Path) -> Result<Option<SharedStore>, CommandError> {
    let site = site_of(path)?;
    let state = AllocationState::of(Some(&site), path.parent().unwrap_or_else(|| Path::new("")), None)?;
    match state.is_store() {
        true => state.open(false),
        false => Err(CommandError::Usage(format!("{} names no store; --store names a file", path.display()))),
    }
}
