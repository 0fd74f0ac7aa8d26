//! Compares two topologies and makes the steps of a plan. Pure: it makes no call.
//!
//! The steps come in three parts. The first part deletes what is in the way: bindings and links, and the objects that
//! depend on a replaced object. The second part creates and changes objects. The last part deletes what is no longer
//! wanted.
//!
//! A chain never accepts traffic that both its old and its new rules drop. New rules are created from the first to the
//! last, while all old rules exist: the first match is the first match of the old rules or of the new rules. Then the
//! old rules are deleted, from the last to the first, while all new rules exist. So the new form of a rule that is
//! replaced or moved is created under another id, before the old form is deleted.

mod make_way;
mod rules;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::plan::order::{creation_order, in_creation_order};
use crate::plan::{Action, Call, Encode, FORMAT, Ids, Plan, Step};
use crate::topology::generations::OF_A_RUN;
use crate::topology::key::{Key, Namespace};
use crate::topology::kinds::{Kind, Object, Reference, Update};
use crate::topology::observed::Observed;
use crate::topology::{Entry, Topology};

/// Returns the plan that leads from what was observed to what is desired, in an engine's calls.
pub fn plan(encoder: &dyn Encode, site_name: &str, desired: &Topology, observed: &Observed) -> Plan {
    let namespace = Namespace::of_site(site_name);
    let mut differ = Differ {
        desired,
        deleted_first: BTreeSet::new(),
        in_the_way: BTreeMap::new(),
        users: BTreeMap::new(),
        observed,
        encoder,
        ids: Ids::new(namespace, &observed.generations, &observed.ids),
        verdicts: BTreeMap::new(),
    };
    if !observed.topology.is_empty() {
        differ.compare();
    }
    let lasting = differ.ids_from_now_on(namespace);
    let restored = differ.ids_after_undo(namespace, &lasting);
    let generations = &observed.generations;
    let (after, undone) =
        (Ids::new(namespace, generations, &lasting), Ids::new(namespace, generations, &restored));
    let steps = differ.steps(after, undone);
    Plan {
        format: Cow::Borrowed(FORMAT),
        site: site_name.to_owned(),
        engine: encoder.engine(),
        base: observed.fingerprint(),
        steps,
    }
}

/// The decision about an object that was observed. Objects without a verdict are created.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Update(String),
    Replace(String),
    /// It is deleted before, and created again after, what makes that necessary.
    Remake(Remaking),
    Delete,
}

/// The reason why an object is deleted and created again in two steps.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Remaking {
    /// It depends on this object, which is replaced.
    DependsOn(Key),
    /// It differs, and this object gets what it occupies.
    MakesWay { to: Key, difference: String },
}

struct Differ<'a> {
    desired: &'a Topology,
    /// The objects that are deleted, and depend on a replaced object: they are deleted first.
    deleted_first: BTreeSet<Key>,
    /// By key, the observed objects that occupy what a desired object needs for itself. They are deleted first.
    in_the_way: BTreeMap<&'a Key, Vec<Key>>,
    /// By key, the observed objects that depend on it.
    users: BTreeMap<Key, Vec<&'a Key>>,
    observed: &'a Observed,
    encoder: &'a dyn Encode,
    /// The ids as they are before the plan is executed.
    ids: Ids<'a>,
    verdicts: BTreeMap<&'a Key, Verdict>,
}

impl<'a> Differ<'a> {
    /// Returns the ids that do not follow from the keys, after the plan is executed. An object that is created has an id that no
    /// object had before, or the server chooses its id.
    fn ids_from_now_on(&self, namespace: Namespace) -> BTreeMap<Key, Uuid> {
        let lasting = self.observed.ids.iter().filter(|(key, _)| !self.is_made_again(key));
        let mut ids: BTreeMap<Key, Uuid> = lasting.map(|(key, id)| (key.clone(), *id)).collect();
        let generations = &self.observed.generations;
        let deleting = self.deleting_owners();
        for entry in self.desired.entries().iter().filter(|entry| self.is_created(entry)) {
            let key = &entry.key;
            let mut next = generations.next(key, deleting.contains(key.owner()));
            // Without a store, the generation of what exists is not known.
            while self.is_made_again(key)
                && self.observed.id_of(namespace, key) == namespace.new_id(key, next)
            {
                next = next.saturating_add(OF_A_RUN);
            }
            let id = namespace.new_id(key, next);
            if id != namespace.id_of_generation(key, generations.current(key)) {
                ids.insert(key.clone(), id);
            }
        }
        self.give_way_to_renamed(namespace, &mut ids);
        ids
    }

    /// Returns the ids that do not follow from the keys, after the calls that undo the plan.
    fn ids_after_undo(&self, namespace: Namespace, after: &BTreeMap<Key, Uuid>) -> BTreeMap<Key, Uuid> {
        let mut ids = after.clone();
        let generations = &self.observed.generations;
        for (key, verdict) in &self.verdicts {
            let is_deleted = matches!(verdict, Verdict::Delete | Verdict::Replace(_) | Verdict::Remake(_));
            let object = self.observed.topology.get(key.as_str()).map(|entry| Kind::of(&entry.object));
            if is_deleted && object.is_some_and(|kind| self.has_our_id(kind)) {
                let undone = generations.next(key, true) + 1;
                ids.insert((*key).clone(), namespace.new_id(key, undone));
            }
        }
        ids
    }

    /// Returns the owners of the objects that are deleted.
    fn deleting_owners(&self) -> BTreeSet<&str> {
        let deletes =
            |verdict: &Verdict| matches!(verdict, Verdict::Delete | Verdict::Replace(_) | Verdict::Remake(_));
        let deleted = self.verdicts.iter().filter(|(_, verdict)| deletes(verdict));
        deleted.map(|(key, _)| key.owner()).collect()
    }

    fn is_made_again(&self, key: &Key) -> bool {
        matches!(self.verdicts.get(key), Some(Verdict::Replace(_) | Verdict::Remake(_)))
    }

    /// Returns true if a desired object is created with an id of ours.
    fn is_created(&self, entry: &Entry) -> bool {
        let is_kept = matches!(self.verdicts.get(&entry.key), Some(Verdict::Keep | Verdict::Update(_)));
        !is_kept && self.has_our_id(Kind::of(&entry.object))
    }

    /// Returns true if objects of this kind have an id, and the server keeps the one that it is offered.
    fn has_our_id(&self, kind: Kind) -> bool {
        kind.has_own_id() && self.encoder.keeps_offered_id(kind)
    }

    /// Gives created objects their key's other id if a renamed object has the id that follows from their key.
    fn give_way_to_renamed(&self, namespace: Namespace, ids: &mut BTreeMap<Key, Uuid>) {
        let owners: BTreeMap<Uuid, &Key> = self.observed.ids.iter().map(|(key, id)| (*id, key)).collect();
        if owners.is_empty() {
            return;
        }
        let generations = &self.observed.generations;
        for entry in self.desired.entries().iter().filter(|entry| self.is_created(entry)) {
            let id = namespace.id_of_generation(&entry.key, generations.current(&entry.key));
            if owners.get(&id).is_some_and(|owner| **owner != entry.key) {
                ids.entry(entry.key.clone()).or_insert_with(|| namespace.other_id(&entry.key));
            }
        }
    }

    /// Returns true if a rule is deleted only after its replacement is there.
    fn is_succeeded(&self, entry: &Entry) -> bool {
        matches!(entry.object, Object::Rule(_))
            && matches!(self.verdicts.get(&entry.key), Some(Verdict::Replace(_)))
    }

    fn compare(&mut self) {
        let verdict = |entry: &'a Entry| {
            let verdict = match self.desired.get(entry.key.as_str()) {
                None => Verdict::Delete,
                Some(wanted) => compare(self.encoder, &entry.object, &wanted.object),
            };
            (&entry.key, verdict)
        };
        self.verdicts = self.observed.topology.entries().iter().map(verdict).collect();
        self.misplaced_rules();
        self.make_way();
        self.spread_replacements();
    }

    /// Moves rules that are right but have the wrong position, as few as possible.
    fn misplaced_rules(&mut self) {
        for (chain, order) in &self.observed.rules {
            let kept = order.iter().filter_map(|rule| rule.key.as_ref()).filter_map(|key| {
                let entry = self.observed.topology.get(key.as_str())?;
                (self.verdicts.get(&entry.key) == Some(&Verdict::Keep)).then_some(())?;
                let wanted = self.desired.get(key.as_str())?;
                match &wanted.object {
                    Object::Rule(rule) => Some((&entry.key, rule.position)),
                    _ => None,
                }
            });
            let kept: Vec<(&Key, u32)> = kept.collect();
            for key in rules::out_of_order(&kept) {
                let reason = format!("has the wrong position in {chain}");
                self.verdicts.insert(key, Verdict::Replace(reason));
            }
        }
    }

    /// Marks what depends on a replaced object: it is deleted with that object, and created again.
    fn spread_replacements(&mut self) {
        if self.verdicts.values().all(|verdict| *verdict == Verdict::Keep) {
            return;
        }
        for entry in self.observed.topology.entries() {
            for key in entry.object.dependencies() {
                self.users.entry(key).or_default().push(&entry.key);
            }
        }
        let gone = |verdict: &Verdict| matches!(verdict, Verdict::Replace(_) | Verdict::Remake(_));
        let mut queue: Vec<Key> = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| gone(verdict))
            .map(|(key, _)| (*key).clone())
            .collect();
        while let Some(replaced) = queue.pop() {
            for user in self.users.get(&replaced).into_iter().flatten() {
                if self.asks_about_port(user, &replaced) {
                    if let Some(verdict @ Verdict::Keep) = self.verdicts.get_mut(*user) {
                        *verdict = Verdict::Replace(format!("refers to {replaced}, which gets another id"));
                    }
                    continue;
                }
                let Some(verdict) = self.verdicts.get_mut(*user) else { continue };
                let user_entry = self.observed.topology.get(user.as_str());
                let is_device = user_entry.is_some_and(|entry| entry.object.device().is_some());
                match verdict {
                    // Deleting a chain clears the filters that named it (08-filters): they are set again.
                    Verdict::Keep if is_device => {
                        *verdict = Verdict::Update(format!("{replaced} is replaced"))
                    }
                    Verdict::Keep | Verdict::Update(_) | Verdict::Replace(_) if !is_device => {
                        *verdict = Verdict::Remake(Remaking::DependsOn(replaced.clone()));
                        queue.push((*user).clone());
                    }
                    Verdict::Delete if self.deleted_first.insert((*user).clone()) => {
                        queue.push((*user).clone());
                    }
                    _ => {}
                }
            }
        }
    }

    /// Returns true if an observed object is a rule that names this port.
    fn asks_about_port(&self, key: &Key, port: &Key) -> bool {
        let Some(Object::Rule(rule)) = self.observed.topology.get(key.as_str()).map(|entry| &entry.object)
        else {
            return false;
        };
        rule.ports().filter_map(Reference::key).any(|known| known == port)
    }

    /// Returns the steps. `after` are the ids after them, `undone` those after their undo.
    fn steps(&self, after: Ids<'_>, undone: Ids<'_>) -> Vec<Step> {
        let goes_first = |entry: &Entry| match self.verdicts.get(&entry.key) {
            Some(Verdict::Remake(_)) => true,
            Some(Verdict::Delete) => {
                Kind::of(&entry.object).is_exclusive() || self.deleted_first.contains(&entry.key)
            }
            _ => false,
        };
        let goes_last = |entry: &Entry| {
            let unwanted = self.verdicts.get(&entry.key) == Some(&Verdict::Delete) && !goes_first(entry);
            unwanted || self.is_succeeded(entry)
        };
        let made = in_creation_order(self.desired);
        let gone = |goes: &dyn Fn(&Entry) -> bool| {
            let mut gone: Vec<&Entry> =
                self.observed.topology.entries().iter().filter(|entry| goes(entry)).collect();
            gone.sort_by(|a, b| creation_order(b).cmp(&creation_order(a)));
            gone
        };
        let (first, last) = (gone(&goes_first), gone(&goes_last));

        let mut positions = rules::Positions::new(self.observed, &first);
        let mut steps = Vec::with_capacity(first.len() + made.len() + last.len());
        let memberships = self.desired.memberships();
        let mut users = self.users_of(&first);
        self.add_deletes(&first, &mut users, &mut steps, undone);
        let mut waiting = rules::Waiting::default();
        for (entry, step) in first.iter().zip(&mut steps) {
            waiting.deleted(entry, step);
        }
        for entry in made {
            let mut step = self.make(entry, &mut positions, (after, undone));
            if let Object::HostInterfacePort(binding) = &entry.object
                && step.action != Action::Keep
            {
                // Only a host of a tunnel zone can have bindings (13-host-binding).
                step.needs.extend(memberships.get(&binding.host).map(|key| (*key).clone()));
            }
            if step.action != Action::Keep {
                step.needs.extend(self.in_the_way.get(&entry.key).into_iter().flatten().cloned());
            }
            waiting.made(entry, &mut step);
            steps.push(step);
        }
        let done = steps.len();
        let mut users = self.users_of(&[first.as_slice(), &last].concat());
        self.add_deletes(&last, &mut users, &mut steps, undone);
        for (entry, step) in last.iter().zip(steps.iter_mut().skip(done)) {
            waiting.deleted(entry, step);
        }
        self.keep_only_needed(&mut steps);
        steps
    }

    /// Keeps in `needs` only the steps that change something: nobody has to wait for a kept object.
    fn keep_only_needed(&self, steps: &mut [Step]) {
        if self.verdicts.is_empty() {
            return;
        }
        let changed: BTreeSet<Key> =
            steps.iter().filter(|step| step.action != Action::Keep).map(|step| step.key.clone()).collect();
        for step in steps {
            step.needs.retain(|key| changed.contains(key) && *key != step.key);
        }
    }

    fn make(
        &self,
        entry: &Entry,
        positions: &mut rules::Positions,
        (after, undone): (Ids<'_>, Ids<'_>),
    ) -> Step {
        let verdict = self.verdicts.get(&entry.key);
        let kept = verdict == Some(&Verdict::Keep);
        let position = positions.take(entry, kept);
        let own = (&entry.key, &entry.object);
        let create = || self.encoder.create(after, own, position, after.known(&entry.key));
        let take_back = || self.encoder.delete(after, own);
        let old = || self.observed.topology.get(entry.key.as_str()).map(|old| &old.object);
        // What is deleted is what is there: the path of a binding has its host.
        let delete = |old: &Object| self.encoder.delete(self.ids, (&entry.key, old));
        let remake = |old: &Object| {
            let old_position = old.position().unwrap_or(0);
            self.encoder.create(undone, (&entry.key, old), old_position, undone.known(&entry.key))
        };
        let mut step = Step {
            action: Action::Create,
            key: entry.key.clone(),
            kind: Kind::of(&entry.object),
            reason: Cow::Borrowed("is not there yet"),
            source: entry.provenance.clone(),
            // A kept object waits for no other step.
            needs: if kept { Vec::new() } else { entry.object.dependencies() },
            cuts_traffic: false,
            calls: Vec::new(),
            undo: Vec::new(),
        };
        match verdict {
            None | Some(Verdict::Delete) => (step.calls, step.undo) = (create(), take_back()),
            Some(Verdict::Remake(why)) => {
                step.reason = Cow::Owned(match why {
                    Remaking::DependsOn(of) => format!("created again: {of} is replaced"),
                    Remaking::MakesWay { difference, .. } => difference.clone(),
                });
                (step.calls, step.undo) = (create(), take_back());
            }
            Some(Verdict::Keep) => {
                (step.action, step.reason) = (Action::Keep, Cow::Borrowed("is as it should be"));
            }
            Some(Verdict::Replace(reason)) if step.kind == Kind::Rule => {
                step.reason = Cow::Owned(format!("the existing rule {reason}"));
                (step.calls, step.undo) = (create(), take_back());
            }
            Some(Verdict::Replace(reason)) => {
                (step.action, step.reason) = (Action::Replace, Cow::Owned(reason.clone()));
                step.cuts_traffic = entry.object.carries_traffic();
                let users = self.users.get(&entry.key).into_iter().flatten();
                let remade = |user: &&&Key| {
                    let remade = matches!(self.verdicts.get(**user), Some(Verdict::Remake(_)));
                    remade || self.deleted_first.contains(**user)
                };
                step.needs.extend(users.filter(remade).map(|user| (*user).clone()));
                step.calls = old().map(delete).into_iter().flatten().chain(create()).collect();
                step.undo = take_back();
                step.undo.extend(old().map(remake).into_iter().flatten());
            }
            Some(Verdict::Update(reason)) => {
                (step.action, step.reason) = (Action::Update, Cow::Owned(reason.clone()));
                (step.calls, step.undo) = self.update(entry, old(), (after, undone));
            }
        }
        step
    }

    /// Returns the calls that update an object, and the calls that undo the update. A referenced object may have been
    /// created again before the undo, with another id.
    fn update(
        &self,
        entry: &Entry,
        old: Option<&Object>,
        (after, undone): (Ids<'_>, Ids<'_>),
    ) -> (Vec<Call>, Vec<Call>) {
        let Some(old) = old else { return (Vec::new(), Vec::new()) };
        let call = |ids, object: &Object, from: &Object| self.encoder.update(ids, (&entry.key, object), from);
        let (there, back) = (call(after, &entry.object, old), call(undone, old, &entry.object));
        (there, back)
    }

    /// Returns the devices that filter by a chain, and whose update removes this filter.
    fn users_to_update(&self, key: &Key) -> impl Iterator<Item = Key> {
        let users = self.users.get(key).into_iter().flatten();
        users
            .filter(|user| matches!(self.verdicts.get(**user), Some(Verdict::Update(_))))
            .map(|user| (*user).clone())
    }

    /// Returns the deleted objects by the object that they depend on, which is deleted after them.
    fn users_of(&self, deleted: &[&Entry]) -> BTreeMap<Key, Vec<Key>> {
        let memberships = self.observed.topology.memberships();
        let mut users: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
        for entry in deleted {
            let membership = match &entry.object {
                Object::HostInterfacePort(binding) => memberships.get(&binding.host).copied(),
                _ => None,
            };
            for key in entry.object.dependencies().into_iter().chain(membership.cloned()) {
                users.entry(key).or_default().push(entry.key.clone());
            }
        }
        users
    }

    fn add_deletes(
        &self,
        entries: &[&Entry],
        users: &mut BTreeMap<Key, Vec<Key>>,
        steps: &mut Vec<Step>,
        undone: Ids<'_>,
    ) {
        for entry in entries {
            let reason = match self.verdicts.get(&entry.key) {
                Some(Verdict::Remake(Remaking::DependsOn(of))) => {
                    Cow::Owned(format!("{of} is replaced, and this object depends on it"))
                }
                Some(Verdict::Remake(Remaking::MakesWay { to, .. })) => {
                    Cow::Owned(format!("{to} gets what it occupies"))
                }
                Some(Verdict::Replace(_)) => Cow::Borrowed("its replacement exists"),
                _ if entry.key.is_foreign() => Cow::Borrowed("is not midoform's"),
                _ => Cow::Borrowed("is no longer wanted"),
            };
            let position = entry.object.position().unwrap_or(0);
            steps.push(Step {
                action: Action::Delete,
                key: entry.key.clone(),
                kind: Kind::of(&entry.object),
                reason,
                source: entry.provenance.clone(),
                needs: self
                    .users_to_update(&entry.key)
                    .chain(users.remove(&entry.key).unwrap_or_default())
                    .collect(),
                cuts_traffic: entry.object.carries_traffic(),
                calls: self.encoder.delete(self.ids, (&entry.key, &entry.object)),
                undo: self.encoder.create(
                    undone,
                    (&entry.key, &entry.object),
                    position,
                    undone.known(&entry.key),
                ),
            });
        }
    }
}

/// Compares an observed object with the desired one.
fn compare(encoder: &dyn Encode, old: &Object, new: &Object) -> Verdict {
    let Some(difference) = old.difference(new) else { return Verdict::Keep };
    let in_place = matches!(Kind::of(new).update(), Update::InPlace { .. }) && encoder.can_update(old, new);
    // A port's device can't be changed by a PUT.
    let parent = |object: &Object| object.parent().map(|parent| parent.reference.clone());
    let same = Kind::of(old) == Kind::of(new) && parent(old) == parent(new);
    if in_place && same { Verdict::Update(difference) } else { Verdict::Replace(difference) }
}
