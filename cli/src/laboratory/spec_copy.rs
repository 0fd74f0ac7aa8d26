//! The laboratory's copy of a spec: a project of its own, on which every command of midoform works.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use ipnet::Ipv4Net;
use midoform_compiler::Compiled;
use midoform_compiler::network::lock_file;
use midoform_compiler::source::Source;
use midoform_lab::{Folder, northbound};
use midoform_store::atomic_file::replace_atomically;
use midoform_store::private_folder;
use toml::Table;

use super::site_copy::{self, Purpose, SiteCopy};
use crate::args::{LabUpOptions, Spec};
use crate::error::CommandError;
use crate::known_allocations::Known;
use crate::project::{Project, Reach};
use crate::report;
use crate::ui::Ui;

/// A spec that fits a laboratory.
pub(crate) struct SpecCopy {
    pub(crate) site: SiteCopy,
    /// It, compiled for OVN.
    pub(crate) compiled: Compiled,
    /// The files: paths in the copy, and texts.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Reads a spec, and compiles it for the laboratory. Errors are reported at the lines of the spec's own files.
pub(crate) async fn read(ui: &Ui, options: &LabUpOptions, folder: &Folder) -> Result<SpecCopy, CommandError> {
    let spec = Spec {
        path: options.path.clone(),
        site: options.site.clone(),
        lock: None,
        api_version: None,
        engine: None,
        locked: false,
    };
    let project = Project::load_under(&spec, &options.policy, Reach::Files).await?;
    let (own, mut project) = project.compile(&spec)?;
    let site = site_of(&own, &project, options.hosts, folder)?;
    project.sources.site = Source::new("site.toml, as the laboratory has it", site.text.as_str());
    // The laboratory's own allocations go on; those of the spec are where they begin.
    let allocated = folder.spec().join("midoform.lock");
    if allocated.exists() {
        let bytes = std::fs::read(&allocated).map_err(|error| CommandError::file(&allocated, error))?;
        project.sources.known =
            Known::LockFile(Source { name: allocated.display().to_string().into(), content: Ok(bytes) });
    }
    let (compiled, project) = project.compile(&Spec { engine: Some("ovn".to_owned()), ..spec })?;
    report::diagnostics(ui, &compiled.warnings, &project.sources);
    let mut files = files_of(&project, &site);
    if !allocated.exists() {
        let names: BTreeSet<_> = compiled.tenants.iter().map(|tenant| tenant.name.clone()).collect();
        let mut allocations = compiled.allocations.of_tenants(&names);
        // Nothing is on the laboratory's OVN yet.
        allocations.generations.clear();
        let text =
            lock_file::to_toml(&allocations).map_err(|error| CommandError::Internal(error.to_string()))?;
        files.push(("midoform.lock".into(), text.into_bytes()));
    }
    Ok(SpecCopy { site, compiled, files })
}

/// Makes the copy of the site file.
fn site_of(own: &Compiled, project: &Project, hosts: u8, folder: &Folder) -> Result<SiteCopy, CommandError> {
    let tenants: Vec<Table> =
        project.sources.tenants.iter().filter_map(|source| source.text().parse().ok()).collect();
    let of_tenants = own.tenants.iter().flat_map(|tenant| {
        let bridges = tenant.bridges.iter().map(|bridge| bridge.cidr);
        bridges.chain([tenant.link.network]).collect::<Vec<Ipv4Net>>()
    });
    let networks: Vec<Ipv4Net> = of_tenants.collect();
    let port_hosts =
        own.tenants.iter().flat_map(|tenant| tenant.ports.iter().map(|port| port.host)).collect();
    let purpose = Purpose {
        site: &own.site,
        northbound: &northbound(folder),
        hosts,
        port_hosts: &port_hosts,
        tenants: &tenants,
        networks: &networks,
    };
    site_copy::make(project.sources.site.text(), &purpose)
}

fn files_of(project: &Project, site: &SiteCopy) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = vec![(PathBuf::from("site.toml"), site.text.clone().into_bytes())];
    for (at, source) in project.sources.tenants.iter().enumerate() {
        let Ok(bytes) = &source.content else { continue };
        let path = Path::new(&*source.name);
        let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
        // A file that is not below the site file's folder gets a name that no other has.
        let path = match (is_below, path.file_name()) {
            (true, _) => path.to_path_buf(),
            (false, name) => Path::new("elsewhere")
                .join(at.to_string())
                .join(name.unwrap_or_else(|| "tenant.toml".as_ref())),
        };
        files.push((path, bytes.to_vec()));
    }
    files
}

impl SpecCopy {
    /// Writes the copy. Tenant files that the spec no longer has are deleted.
    pub(crate) fn write(&self, folder: &Folder) -> Result<(), CommandError> {
        let root = folder.spec();
        private_folder::create(&root).map_err(|error| CommandError::file(&root, error))?;
        let wanted: BTreeSet<PathBuf> = self.files.iter().map(|(path, _)| root.join(path)).collect();
        delete_other_tenants(&root, &wanted)?;
        for (path, bytes) in &self.files {
            use std::io::Write as _;
            let path = root.join(path);
            let parent = path.parent().unwrap_or(&root);
            private_folder::create(parent).map_err(|error| CommandError::file(parent, error))?;
            replace_atomically(&path, |writer| writer.write_all(bytes))
                .map_err(|error| CommandError::file(&path, error))?;
        }
        Ok(())
    }
}

fn delete_other_tenants(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<(), CommandError> {
    let failed = |error| CommandError::file(folder, error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            delete_other_tenants(&path, wanted)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") && !wanted.contains(&path) {
            std::fs::remove_file(&path).map_err(|error| CommandError::file(&path, error))?;
        }
    }
    Ok(())
}
