//! The publication of applied tenants for the plugin, in the site's store.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::Compiled;
use midoform_compiler::names::TenantName;
use midoform_compiler::topology::key::Key;
use midoform_store::publication::{Publication, Published};
use midoform_store::ready::Ready;
use midoform_store::tenants::PushedFile;
use uuid::Uuid;

use crate::project::Project;

/// Returns the publication of these tenants; `ids` are those that don't follow from the keys.
pub(crate) fn publication(
    project: &Project,
    compiled: &Compiled,
    tenants: &BTreeSet<TenantName>,
    ids: &BTreeMap<Key, Uuid>,
) -> Publication {
    let site = &project.sources.site;
    let mut found =
        Publication { site: Some(PushedFile::new(&site.name, site.text())), ..Publication::default() };
    for (spec, source) in project.sources.files_of(&compiled.specs) {
        let name = &spec.name.value;
        if !tenants.contains(name) {
            continue;
        }
        let pushed = PushedFile::new(&source.name, source.text());
        let ready = Ready::of(compiled, name, &pushed.sha256, ids);
        found.tenants.insert(name.clone(), Published { ready, spec: Some(pushed) });
    }
    found
}
