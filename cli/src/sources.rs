//! The texts of a project's files, in the order that diagnostics number them.

use std::path::{Path, PathBuf};

use midoform_compiler::Input;
use midoform_compiler::diagnostic::{Diagnostic, Diagnostics};
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::services::services_of;
use midoform_compiler::spec::{Site, Tenant, parse};

use crate::known_allocations::Known;

/// The texts of a project's files.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The folder that the names of sources are relative to: the site file's.
    pub(crate) root: PathBuf,
    pub(crate) site: Source,
    /// The allocations.
    pub(crate) known: Known,
    pub(crate) tenants: Vec<Source>,
    /// The policy files; none if the command enforces no policies.
    pub(crate) policies: Option<Vec<Source>>,
}

impl Sources {
    /// Returns a site file alone, with the name that it has on the command line.
    pub(crate) fn of_site(site: Source) -> Sources {
        Sources { root: PathBuf::new(), site, known: Known::Nothing, tenants: Vec::new(), policies: None }
    }

    /// Returns the site, or the errors of its file.
    pub(crate) fn right_site(&self) -> Result<Site, Vec<Diagnostic>> {
        parse_right_site(&self.site)
    }

    /// Keeps only what a wrong site file says of the store and the API, if that is right.
    pub(crate) fn keep_services_of_a_wrong_site(&mut self) {
        const OF_MIDONET: [&str; 6] = ["url", "ca", "version", "embedded", "managed", "provider_router"];
        if self.right_site().is_err()
            && let Some(services) = services_of(&self.site, &OF_MIDONET)
            && parse_right_site(&services).is_ok()
        {
            self.site = services;
        }
    }

    /// Returns the compiler's input.
    pub(crate) fn input(&self) -> Input<'_> {
        Input { site: &self.site, allocated: self.known.input(), tenants: &self.tenants }
    }

    /// Returns all sources, in the order that diagnostics number them.
    pub(crate) fn all(&self) -> Vec<&Source> {
        let policies = self.policies.iter().flatten();
        self.input().sources().into_iter().chain(policies).collect()
    }

    /// Returns the specs of a compilation of these sources, each with its file.
    pub(crate) fn files_of<'a>(
        &'a self,
        specs: &'a [Tenant],
    ) -> impl Iterator<Item = (&'a Tenant, &'a Source)> {
        let sources = self.all();
        specs.iter().filter_map(move |spec| Some((spec, *sources.get(spec.name.span.source.0 as usize)?)))
    }

    /// Returns a source's path as people type it.
    pub(crate) fn shown(&self, source: &Source) -> String {
        if self.policies.iter().flatten().any(|policy| std::ptr::eq(policy, source)) {
            return source.name.to_string();
        }
        let path = self.root.join(&*source.name);
        path.display().to_string()
    }

    /// Adds a tenant file that is not written yet.
    pub(crate) fn add_tenant(&mut self, path: &Path, text: &str) {
        self.tenants.push(Source::new(name_in(path, &self.root), text));
    }
}

/// Returns a site, or the errors of its file.
fn parse_right_site(source: &Source) -> Result<Site, Vec<Diagnostic>> {
    let mut diagnostics = Diagnostics::default();
    match parse::site(source, SourceId(0), &mut diagnostics) {
        Some(site) if !diagnostics.has_errors() => Ok(site),
        _ => Err(diagnostics.into_sorted()),
    }
}

/// Returns a file's name relative to the site file's folder: the same on every machine.
pub(crate) fn name_in(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
