//! The engine's part of a plan: the calls for one object. `diff` decides the steps, an engine decides their calls.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::plan::Call;
use crate::topology::generations::Generations;
use crate::topology::key::{Key, Namespace};
use crate::topology::kinds::{Kind, Object};
use crate::values::Engine;

/// The ids of a site's objects: the known ids, and for all other objects the ids that follow from the keys.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    namespace: Namespace,
    generations: &'a Generations,
    known: &'a BTreeMap<Key, Uuid>,
}

impl<'a> Ids<'a> {
    /// Makes the ids of a site from the known ids, which do not follow from the keys.
    pub fn new(namespace: Namespace, generations: &'a Generations, known: &'a BTreeMap<Key, Uuid>) -> Self {
        Ids { namespace, generations, known }
    }

    /// Returns the known id of an object, if it does not follow from the key.
    pub fn known(&self, key: &Key) -> Option<Uuid> {
        self.known.get(key).copied()
    }

    /// Returns the id that follows from the key.
    pub fn of_key(&self, key: &Key) -> Uuid {
        self.namespace.id_of_generation(key, self.generations.current(key))
    }
}

/// An engine's encoder: turns objects into calls.
pub trait Encode {
    /// Returns the engine that the calls are for.
    fn engine(&self) -> Engine;

    /// Returns true if the server keeps the id that a client offers for an object of this kind.
    fn keeps_offered_id(&self, kind: Kind) -> bool;

    /// Returns true if an object can be updated from its old form to the new one. Otherwise it is replaced.
    fn can_update(&self, old: &Object, new: &Object) -> bool;

    /// Returns the calls that create an object with this id, or with the id of its key. `position` is the position at which
    /// a rule is inserted in its chain: 1 is the first.
    fn create(&self, ids: Ids<'_>, entry: (&Key, &Object), position: u32, id: Option<Uuid>) -> Vec<Call>;

    /// Returns the calls that change an object in place from its old form; none if the engine has no such call.
    fn update(&self, ids: Ids<'_>, entry: (&Key, &Object), old: &Object) -> Vec<Call>;

    /// Returns the calls that delete an object.
    fn delete(&self, ids: Ids<'_>, entry: (&Key, &Object)) -> Vec<Call>;
}
