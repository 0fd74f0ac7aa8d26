//! The state of the server: all objects by kind and id, and the references between them.
//!
//! A request changes it through a [`Transaction`]: all of its changes are made, or none. The journal makes the list of
//! changes of a transaction durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::object::{Object, Value};
use crate::schema::Kind;

/// A change of one object: its new value, or none if it was deleted.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) sequence: u64,
    pub(crate) object: Option<Arc<Object>>,
}

/// An object as it was before a transaction, and as it is now; none: it did not exist, or does not exist.
type BeforeAndNow = (Option<Arc<Object>>, Option<Arc<Object>>);

/// A reference, by its target: the target's id, the field, then the rank, kind and id of the referring object.
type BackReference = (Uuid, &'static str, i64, Kind, Uuid);

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct State {
    tables: BTreeMap<Kind, BTreeMap<Uuid, Arc<Object>>>,
    back_references: BTreeSet<BackReference>,
    next_sequence: u64,
    next_tunnel_key: i64,
}

impl State {
    /// Returns a state with the objects that the journal read.
    pub(crate) fn from_objects(objects: impl IntoIterator<Item = Object>) -> State {
        let mut state = State::default();
        for object in objects {
            state.next_sequence = state.next_sequence.max(object.sequence + 1);
            if let Some(key) = object.number("tunnelKey") {
                state.next_tunnel_key = state.next_tunnel_key.max(key);
            }
            state.insert(Arc::new(object));
        }
        state
    }

    pub(crate) fn get(&self, kind: Kind, id: Uuid) -> Option<&Arc<Object>> {
        self.tables.get(&kind)?.get(&id)
    }

    pub(crate) fn has(&self, kind: Kind, id: Uuid) -> bool {
        self.get(kind, id).is_some()
    }

    /// Returns all objects of a kind in the order of their ids.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.tables.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.tables.get(&kind).map_or(0, BTreeMap::len)
    }

    /// Returns the objects of `kind` whose `field` refers to `id`, in the order of their ranks.
    pub(crate) fn referring(
        &self,
        id: Uuid,
        field: &'static str,
        kind: Kind,
    ) -> impl Iterator<Item = &Arc<Object>> {
        let least = (id, field, i64::MIN, Kind::Router, Uuid::nil());
        let most = (id, field, i64::MAX, Kind::HostInterfacePort, Uuid::max());
        self.back_references
            .range(least..=most)
            .filter(move |(.., of, _)| *of == kind)
            .filter_map(move |(.., referrer)| self.get(kind, *referrer))
    }

    /// Begins a transaction.
    pub(crate) fn begin(&mut self) -> Transaction<'_> {
        Transaction { state: self, undo: Vec::new(), done: false }
    }

    fn insert(&mut self, object: Arc<Object>) {
        let rank = object.rank();
        for (field, named) in object.references() {
            self.back_references.insert((named, field, rank, object.kind, object.id));
        }
        self.tables.entry(object.kind).or_default().insert(object.id, object);
    }

    fn remove(&mut self, kind: Kind, id: Uuid) -> Option<Arc<Object>> {
        let object = self.tables.get_mut(&kind)?.remove(&id)?;
        let rank = object.rank();
        for (field, named) in object.references() {
            self.back_references.remove(&(named, field, rank, kind, id));
        }
        Some(object)
    }
}

/// A transaction. Dropping it without [`Transaction::commit`] rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    state: &'a mut State,
    /// The previous objects for a rollback, oldest change first: the kind, the id, the object if there was one.
    undo: Vec<(Kind, Uuid, Option<Arc<Object>>)>,
    done: bool,
}

impl Transaction<'_> {
    /// Returns the state with the changes so far.
    pub(crate) fn state(&self) -> &State {
        self.state
    }

    /// Adds a new object.
    pub(crate) fn create(&mut self, mut object: Object) {
        object.sequence = self.state.next_sequence;
        self.state.next_sequence += 1;
        self.put(object);
    }

    /// Replaces the object with the same id.
    pub(crate) fn put(&mut self, object: Object) {
        let (kind, id) = (object.kind, object.id);
        let before = self.state.remove(kind, id);
        self.undo.push((kind, id, before));
        self.state.insert(Arc::new(object));
    }

    /// Sets one field of an object, if the object exists.
    pub(crate) fn set(&mut self, kind: Kind, id: Uuid, field: &'static str, value: Value) {
        if let Some(object) = self.state.get(kind, id) {
            let mut object = Object::clone(object);
            object.set(field, value);
            self.put(object);
        }
    }

    /// Deletes an object; returns true if it existed.
    pub(crate) fn delete(&mut self, kind: Kind, id: Uuid) -> bool {
        let before = self.state.remove(kind, id);
        let was_there = before.is_some();
        if was_there {
            self.undo.push((kind, id, before));
        }
        was_there
    }

    /// Returns the objects of `kind` whose `field` refers to `id`, in the order of their ranks.
    pub(crate) fn referring(&self, id: Uuid, field: &'static str, kind: Kind) -> Vec<Arc<Object>> {
        self.state.referring(id, field, kind).cloned().collect()
    }

    /// Returns the tunnel key for a new port.
    pub(crate) fn next_tunnel_key(&mut self) -> i64 {
        self.state.next_tunnel_key += 1;
        self.state.next_tunnel_key
    }

    /// Writes the changes of this transaction into an object as it was read earlier, so that other changes since then are
    /// lost.
    pub(crate) fn write_over(&mut self, read: &Object) {
        let (kind, id) = (read.kind, read.id);
        let first = self.undo.iter().find(|(of, changed, _)| (*of, *changed) == (kind, id));
        let (Some((.., Some(before))), Some(now)) = (first, self.state.get(kind, id)) else { return };
        let mut written = read.clone();
        for name in before.names().chain(now.names()) {
            if before.get(name) != now.get(name) {
                written.set(name, now.get(name).cloned().unwrap_or(Value::Null));
            }
        }
        if written != **now {
            self.put(written);
        }
    }

    /// Returns the objects that this transaction changed so far: each as it was before, and as it is now.
    pub(crate) fn changed(&self) -> Vec<BeforeAndNow> {
        let mut seen = BTreeSet::new();
        let first = self.undo.iter().filter(|(kind, id, _)| seen.insert((*kind, *id)));
        first.map(|(kind, id, before)| (before.clone(), self.state.get(*kind, *id).cloned())).collect()
    }

    /// Commits the transaction, and returns its changes.
    pub(crate) fn commit(mut self) -> Vec<Change> {
        self.done = true;
        let mut changes: Vec<Change> = Vec::with_capacity(self.undo.len());
        let mut seen = BTreeSet::new();
        for (kind, id, before) in self.undo.iter() {
            if !seen.insert((*kind, *id)) {
                continue;
            }
            let now = self.state.get(*kind, *id).cloned();
            let Some(sequence) = now.as_ref().or(before.as_ref()).map(|object| object.sequence) else {
                continue;
            };
            // An object that was deleted and created again in one transaction has two keys on disk.
            if let (Some(now), Some(before)) = (&now, before)
                && now.sequence != before.sequence
            {
                changes.push(Change { sequence: before.sequence, object: None });
            }
            changes.push(Change { sequence, object: now });
        }
        changes
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        for (kind, id, before) in std::mem::take(&mut self.undo).into_iter().rev() {
            self.state.remove(kind, id);
            if let Some(object) = before {
                self.state.insert(object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(id: u128, device: u128) -> Object {
        Object::new(Kind::Port, Uuid::from_u128(id), vec![("deviceId", Value::Uuid(Uuid::from_u128(device)))])
    }

    #[test]
    fn a_dropped_transaction_is_rolled_back() {
        let mut state = State::default();
        let mut change = state.begin();
        change.create(port(1, 9));
        assert_eq!(change.commit().len(), 1);

        let mut change = state.begin();
        change.delete(Kind::Port, Uuid::from_u128(1));
        change.create(port(2, 9));
        change.set(Kind::Port, Uuid::from_u128(2), "deviceId", Value::Null);
        drop(change);
        assert!(state.has(Kind::Port, Uuid::from_u128(1)));
        assert!(!state.has(Kind::Port, Uuid::from_u128(2)));
        let of_nine: Vec<_> =
            state.referring(Uuid::from_u128(9), "deviceId", Kind::Port).map(|object| object.id).collect();
        assert_eq!(of_nine, [Uuid::from_u128(1)]);
    }

    #[test]
    fn writing_over_loses_what_others_changed() {
        let (id, device, peer) = (Uuid::from_u128(1), Uuid::from_u128(9), Uuid::from_u128(8));
        let mut state = State::default();
        let mut change = state.begin();
        change.create(port(1, 9));
        change.commit();
        let read = state.get(Kind::Port, id).cloned().unwrap();
        let mut other = state.begin();
        other.set(Kind::Port, id, "peerId", Value::Uuid(peer));
        other.commit();
        let mut change = state.begin();
        change.set(Kind::Port, id, "hostId", Value::Uuid(peer));
        change.write_over(&read);
        assert_eq!(change.commit().len(), 1);
        let written = state.get(Kind::Port, id).unwrap();
        assert_eq!(
            (written.uuid("deviceId"), written.uuid("hostId"), written.uuid("peerId")),
            (Some(device), Some(peer), None)
        );
    }

    #[test]
    fn a_transaction_has_one_change_for_each_object() {
        let mut state = State::default();
        let mut change = state.begin();
        change.create(port(1, 9));
        change.set(Kind::Port, Uuid::from_u128(1), "deviceId", Value::Null);
        change.create(port(2, 9));
        change.delete(Kind::Port, Uuid::from_u128(2));
        let changes = change.commit();
        assert_eq!(changes.len(), 1);
        assert_eq!(state.all(Kind::Port).count(), 1);
    }
}
