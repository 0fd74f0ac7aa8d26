//! The keys of the rows of a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::kinds::row::schema::Table;
use uuid::Uuid;

use super::snapshot::{FoundRow, Snapshot};
use crate::scope::Scope;

/// The keys of the site's rows, by `_uuid`. A second row of one key has the key of a row that is no longer wanted.
fn keys_of(snapshot: &Snapshot, scope: Scope<'_>) -> BTreeMap<Uuid, Key> {
    let mut keys: BTreeMap<Uuid, Key> = BTreeMap::new();
    let mut taken: BTreeSet<Key> = BTreeSet::new();
    for row in snapshot.rows() {
        let Some(text) = row.key_in(scope.site) else { continue };
        let key = Key::new(text);
        let key = scope.moves.new_key(&key).unwrap_or(key);
        let key = if taken.insert(key.clone()) { key } else { key.found(row.id) };
        keys.insert(row.id, key);
    }
    keys
}

/// A snapshot with the keys of its rows.
pub(super) struct Matching<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) scope: Scope<'a>,
    pub(super) keys: BTreeMap<Uuid, Key>,
    pub(super) provider: Option<Uuid>,
}

impl<'a> Matching<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, scope: Scope<'a>) -> Matching<'a> {
        let provider = provider_id(snapshot, scope);
        Matching { snapshot, scope, keys: keys_of(snapshot, scope), provider }
    }

    /// Returns true for a row that midoform made for the scope.
    pub(super) fn is_own(&self, row: FoundRow<'_>) -> bool {
        self.keys.get(&row.id).is_some_and(|key| self.is_in_scope(key))
    }

    /// Returns what an id refers to. A given provider router is called as the site file calls it.
    pub(super) fn reference(&self, id: Uuid) -> Reference {
        match self.keys.get(&id) {
            Some(key) => Reference::Key(key.clone()),
            None if self.provider == Some(id) => self.scope.provider.clone(),
            None => Reference::External(id),
        }
    }

    pub(super) fn is_in_scope(&self, key: &Key) -> bool {
        key.pod_of_port().is_none() && (key.owner() == SITE || self.scope.tenants.contains(key.owner()))
    }
}

/// Returns the provider router's id; none if it does not exist, or if several have its name.
fn provider_id(snapshot: &Snapshot, scope: Scope<'_>) -> Option<Uuid> {
    let mut routers = snapshot.table(Table::LogicalRouter).filter(|router| match scope.provider {
        Reference::Key(key) => router.key_in(scope.site) == Some(key.as_str()),
        Reference::External(id) => router.id == *id,
        Reference::Named(name) => router.text("name") == Some(name),
    });
    let first = routers.next()?;
    routers.next().is_none().then_some(first.id)
}
