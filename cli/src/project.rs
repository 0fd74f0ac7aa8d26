//! Finds and reads the files of a project: the site file, the lock file, the tenant files.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::lock_file;
use midoform_compiler::network::provider_use::Neighbours;
use midoform_compiler::source::{LARGEST_FILE, Source, SourceId, Unreadable};
use midoform_compiler::spec::{Site, parse};
use midoform_compiler::values::Engine;
use midoform_compiler::{Compiled, Policies, compile_beside, known_tenants};
use midoform_packets::verify::enforce_assertions;
use midoform_store::input_file;

use crate::allocation_state::{AllocationState, Guard};
use crate::args::{Policy, Spec};
use crate::error::CommandError;
use crate::known_allocations::Known;
use crate::report;
use crate::sources::{Sources, name_in};
use crate::ui::Ui;

/// A project: the texts of its files, and its allocations.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) sources: Sources,
    pub(crate) state: AllocationState,
}

/// The places that allocations are read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The site's location, which may be a server.
    Everything,
    /// Files only: the allocations on a server stay unknown.
    Files,
}

/// The use of a project.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Any,
    /// To delete its tenants.
    Deletion,
}

impl Project {
    /// Reads the project that the command line names, to be checked against the site's policy and these.
    pub(crate) async fn load_under(
        spec: &Spec,
        policy: &Policy,
        reach: Reach,
    ) -> Result<Project, CommandError> {
        let mut policies = Vec::new();
        for path in &policy.files {
            std::fs::metadata(path).map_err(|error| CommandError::file(path, error))?;
            policies.push(read(path, Path::new("")));
        }
        let mut project = Project::load_without(spec, &policy.files, reach).await?.refuse_empty(spec)?;
        project.sources.policies = Some(policies);
        project.refuse_wrong_site()
    }

    /// Reads the project that the command line names, without policies: to inspect it, or to delete it.
    pub(crate) async fn load(spec: &Spec) -> Result<Project, CommandError> {
        Project::load_any(spec).await?.refuse_empty(spec)
    }

    /// Reads the project that the command line names, which may have no tenant yet.
    pub(crate) async fn load_any(spec: &Spec) -> Result<Project, CommandError> {
        Project::load_without(spec, &[], Reach::Everything).await?.refuse_wrong_site()
    }

    /// Reads the project that the command line names, to delete its tenants. If its site file has an error, only what that says of
    /// the store and the API counts.
    pub(crate) async fn load_to_destroy(spec: &Spec) -> Result<Project, CommandError> {
        let project = Project::load_for(spec, &[], Reach::Everything, Purpose::Deletion).await?;
        project.refuse_wrong_site()?.refuse_empty(spec)
    }

    /// Returns everything that is wrong with the project if its site file has an error: no command uses a site's store or
    /// API then.
    fn refuse_wrong_site(self) -> Result<Project, CommandError> {
        if self.sources.right_site().is_ok() {
            return Ok(self);
        }
        let policies = self.sources.policies.as_deref().map_or(Policies::Ignored, Policies::Enforced);
        match compile_beside(self.sources.input(), policies, None, &Neighbours::default()) {
            Ok(_) => Ok(self),
            Err(diagnostics) => Err(CommandError::Spec(diagnostics, Box::new(self.sources))),
        }
    }

    /// Returns an error if there is no tenant.
    fn refuse_empty(self, spec: &Spec) -> Result<Project, CommandError> {
        if self.sources.tenants.is_empty() {
            let folder = folder_of(&spec.path)?;
            let folder = folder.display();
            return Err(CommandError::Usage(format!(
                "there is no tenant file (*.toml besides site.toml) in {folder}"
            )));
        }
        Ok(self)
    }

    /// Reads the project; these files are no tenants.
    async fn load_without(spec: &Spec, others: &[PathBuf], reach: Reach) -> Result<Project, CommandError> {
        Project::load_for(spec, others, reach, Purpose::Any).await
    }

    async fn load_for(
        spec: &Spec,
        others: &[PathBuf],
        reach: Reach,
        purpose: Purpose,
    ) -> Result<Project, CommandError> {
        let folder = folder_of(&spec.path)?;
        let single_file = !spec.path.is_dir();
        let site_path = match &spec.site {
            Some(path) => path.clone(),
            None => find_site(&folder)?,
        };
        let root = site_path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut paths = Vec::new();
        match single_file {
            true => paths.push(spec.path.clone()),
            false => tenant_files(&folder, &site_path, &mut paths)?,
        }
        let others: Vec<PathBuf> = others.iter().filter_map(|path| path.canonicalize().ok()).collect();
        paths.retain(|path| !path.canonicalize().is_ok_and(|path| others.contains(&path)));
        let tenants = paths.iter().map(|path| read(path, &root)).collect();
        let site = read(&site_path, &root);
        let mut sources = Sources { root, site, known: Known::Nothing, tenants, policies: None };
        if purpose == Purpose::Deletion {
            sources.keep_services_of_a_wrong_site();
        }
        let state =
            AllocationState::of(sources.right_site().ok().as_ref(), &sources.root, spec.lock.as_ref())?;
        if !state.is_remote() || reach == Reach::Everything {
            sources.known = state.known().await?;
        }
        if let (Known::LockFile(source), Some(file)) = (&mut sources.known, state.lock_file()) {
            source.name = name_in(file.path(), &sources.root).into();
        }
        Ok(Project { sources, state })
    }

    /// Refuses to write an output over one of the project's own files: a site, tenants, policies, allocations.
    pub(crate) fn refuse_as_output(&self, option: &str, path: &Path) -> Result<(), CommandError> {
        let Ok(written) = path.canonicalize() else { return Ok(()) };
        let sources = self.sources.all();
        let read = sources.iter().map(|source| PathBuf::from(self.sources.shown(source)));
        let own = read.chain(self.state.file().map(Path::to_path_buf));
        match own.into_iter().any(|own| own.canonicalize().is_ok_and(|own| own == written)) {
            false => Ok(()),
            true => Err(CommandError::Conflict(format!(
                "{option} {}: this is one of the project's own files; name another file",
                path.display()
            ))),
        }
    }

    /// Runs work under the lock of the project's tenants, and of the tenants with allocations for which `also` returns
    /// true. Waits for others no longer than `patience`. The lock is released at the end.
    pub(crate) async fn with_lock<T>(
        &self,
        by: &str,
        patience: Duration,
        also: impl Fn(&str) -> bool,
        work: impl AsyncFnOnce(&Guard) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        // The compilation reports what is wrong in the files.
        let mut unreported = Diagnostics::default();
        let specs = self.sources.tenants.iter();
        let specs = specs.filter_map(|source| parse::tenant(source, SourceId(2), &mut unreported));
        let mut names: BTreeSet<TenantName> = specs.map(|spec| spec.name.value).collect();
        let known = self.sources.known.allocations(&mut Diagnostics::default());
        let known = known.into_iter().flat_map(|known| known.tenants.into_keys());
        names.extend(known.filter(|name| also(name)));
        self.state.with_lock(&names, by, patience, work).await
    }

    /// Returns the site with the engine of the command line or of the site file; none if something is wrong.
    pub(crate) fn site_for(&self, spec: &Spec) -> Option<Site> {
        let mut site = self.sources.right_site().ok()?;
        site.engine = engine_of(spec, &site).ok()?.unwrap_or(site.engine);
        Some(site)
    }

    /// Compiles it, in the dialect of the command line or of the site file.
    pub(crate) fn compile(self, spec: &Spec) -> Result<(Compiled, Project), CommandError> {
        self.compile_beside(spec, &Neighbours::default())
    }

    /// Compiles it, with links that keep out of the way of what others use on the provider router.
    pub(crate) fn compile_beside(
        self,
        spec: &Spec,
        neighbours: &Neighbours,
    ) -> Result<(Compiled, Project), CommandError> {
        let input = self.sources.input();
        let policies = self.sources.policies.as_deref().map_or(Policies::Ignored, Policies::Enforced);
        let compiled = compile_beside(input, policies, None, neighbours);
        let compiled = match policies {
            Policies::Enforced(_) => compiled.and_then(enforce_assertions),
            Policies::Ignored => compiled,
        };
        match compiled {
            Ok(compiled) => self.accept(compiled, spec),
            Err(diagnostics) => Err(CommandError::Spec(diagnostics, Box::new(self.sources))),
        }
    }

    /// Compiles it to delete its tenants. If the specs are wrong, the tenants are as the allocations know them.
    pub(crate) fn compile_to_destroy(
        self,
        ui: &Ui,
        spec: &Spec,
    ) -> Result<(Compiled, Project), CommandError> {
        let input = self.sources.input();
        let found = match compile_beside(input, Policies::Ignored, None, &Neighbours::default()) {
            Ok(compiled) => return self.accept(compiled, spec),
            Err(found) => found,
        };
        match known_tenants(input) {
            Ok(compiled) => {
                ui.notice(&format!(
                    "warning: the specs are wrong ({}; `midoform validate` shows them): the tenants are deleted as {} and the \
                     network know them",
                    report::count(&found),
                    self.state.shown()
                ));
                self.accept(compiled, spec)
            }
            Err(unreadable) => Err(CommandError::Spec(unreadable, Box::new(self.sources))),
        }
    }

    /// Takes a compilation, for the engine of the command line.
    fn accept(self, mut compiled: Compiled, spec: &Spec) -> Result<(Compiled, Project), CommandError> {
        let input = self.sources.input();
        if let Some(engine) = engine_of(spec, &compiled.site)? {
            compiled.use_engine(engine, &input);
        }
        if spec.locked && compiled.allocations != compiled.known {
            let tenants = lock_file::changed_tenants(&compiled.known, &compiled.allocations);
            let message = format!(
                "--locked: {} need addresses that are not in {}",
                tenants.join(", "),
                self.state.shown()
            );
            return Err(CommandError::Conflict(message));
        }
        Ok((compiled, self))
    }
}

fn folder_of(path: &Path) -> Result<PathBuf, CommandError> {
    let metadata = std::fs::metadata(path).map_err(|error| CommandError::file(path, error))?;
    if metadata.is_dir() {
        return Ok(path.to_path_buf());
    }
    Ok(path.parent().map(Path::to_path_buf).unwrap_or_default())
}

fn find_site(folder: &Path) -> Result<PathBuf, CommandError> {
    let above = match folder.as_os_str().is_empty() {
        true => PathBuf::from(".."),
        false => folder.join(".."),
    };
    let parent = match folder.parent() {
        Some(parent) if folder.file_name().is_some() => parent.to_path_buf(),
        _ => above,
    };
    let places = [folder.join("site.toml"), parent.join("site.toml")];
    let found = places.iter().find(|path| path.is_file()).cloned();
    let folder = if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() };
    found.ok_or_else(|| {
        CommandError::Usage(format!("there is no site.toml in {folder} or above it: name it with --site"))
    })
}

/// Finds all tenant files of a folder and its subfolders, in the order of their names. A folder with its own site file
/// belongs to another site.
fn tenant_files(folder: &Path, site: &Path, found: &mut Vec<PathBuf>) -> Result<(), CommandError> {
    let failed = |error| CommandError::file(folder, error);
    let mut entries =
        std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type().map_err(failed)?;
        let is_folder = kind.is_dir() || (kind.is_symlink() && path.is_dir());
        if hidden || path == site || name == "site.toml" {
            continue;
        }
        if is_folder && !path.join("site.toml").is_file() {
            tenant_files(&path, site, found)?;
        } else if !is_folder && path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads a file, up to the size limit of a spec file.
fn read(path: &Path, root: &Path) -> Source {
    let name = name_in(path, root);
    let content = || {
        let file = input_file::open(path)?;
        let size = file.metadata()?.len();
        if size > LARGEST_FILE {
            return Ok(Err(Unreadable::TooLarge(size)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > LARGEST_FILE {
            true => Ok(Err(Unreadable::TooLarge(bytes.len() as u64))),
            false => Ok(Ok(bytes)),
        }
    };
    let content =
        content().unwrap_or_else(|error: std::io::Error| Err(Unreadable::Failed(error.to_string())));
    Source { name: name.into(), content }
}

/// Returns the engine that the command line names, if it names one.
fn engine_of(spec: &Spec, site: &Site) -> Result<Option<Engine>, CommandError> {
    let missing =
        |table: &str, option: &str| CommandError::Usage(format!("{option}: the site file has no [{table}]"));
    Ok(match (spec.api_version.as_deref(), spec.engine.as_deref()) {
        (Some(_), _) if site.midonet.is_none() => return Err(missing("midonet", "--api-version")),
        (Some("1"), _) => Some(Engine::Midonet1),
        (Some(_), _) => Some(Engine::Midonet5),
        (None, Some("ovn")) if site.ovn.is_none() => return Err(missing("ovn", "--engine ovn")),
        (None, Some("ovn")) => Some(Engine::Ovn),
        (None, Some(_)) if site.midonet.is_none() => return Err(missing("midonet", "--engine midonet")),
        (None, Some(_) | None) => None,
    })
}
