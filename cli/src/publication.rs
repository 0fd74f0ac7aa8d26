//! What pods find of tenants that were applied, where the site keeps that in a store.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::Compiled;
use midoform_compiler::topology::key::Key;
use midoform_store::publication::{Publication, Published};
use midoform_store::ready::Ready;
use midoform_store::tenants::Pushed;
use uuid::Uuid;

use crate::project::Project;

/// These tenants as their pods will find them; `ids` are those that don't follow from the keys.
pub(crate) fn publication(
    project: &Project,
    compiled: &Compiled,
    tenants: &BTreeSet<String>,
    ids: &BTreeMap<Key, Uuid>,
) -> Publication {
    let site = &project.sources.site;
    let mut found =
        Publication { site: Some(Pushed::new(&site.name, site.text())), ..Publication::default() };
    for (spec, source) in project.sources.files_of(&compiled.specs) {
        let name = &spec.name.value;
        if !tenants.contains(name) {
            continue;
        }
        let pushed = Pushed::new(&source.name, source.text());
        let ready = Ready::of(compiled, name, &pushed.sha256, ids);
        found.tenants.insert(name.clone(), Published { ready, spec: Some(pushed) });
    }
    found
}
