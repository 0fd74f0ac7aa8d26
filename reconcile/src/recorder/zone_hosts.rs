//! Records which hosts midoform put into the site's tunnel zone. A membership has no id that could prove it, so the record is
//! written before the call.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::plan::{Action, Plan};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::observed::Observed;
use midoform_store::allocation::ZoneHostChanges;
use uuid::Uuid;

/// The changes that a run makes to the hosts of the tunnel zone.
#[derive(Default)]
pub(super) struct ZoneHosts {
    changes: ZoneHostChanges,
    /// The hosts that are taken out of the zone, by the keys of their memberships.
    leaving: BTreeMap<Key, Uuid>,
}

impl ZoneHosts {
    /// Returns the changes that are not written yet.
    pub(super) fn changes(&self) -> &ZoneHostChanges {
        &self.changes
    }

    /// Takes note of the hosts that a plan puts into the zone or takes out of it, before its calls. A membership that is as the spec
    /// wants it becomes midoform's. A recorded host that is no longer in the zone is forgotten.
    pub(super) fn intend(
        &mut self,
        known: &mut BTreeMap<Uuid, String>,
        plan: &Plan,
        desired: &Topology,
        observed: &Observed,
    ) {
        for step in &plan.steps {
            let (known_of, is_deleted) = match step.action {
                Action::Delete => (&observed.topology, true),
                _ => (desired, false),
            };
            let entry = known_of.get(step.key.as_str()).map(|entry| &entry.object);
            let Some(Object::TunnelZoneHost(member)) = entry else { continue };
            if is_deleted {
                self.leaving.insert(step.key.clone(), member.host);
                continue;
            }
            self.leaving.retain(|_, host| *host != member.host);
            let has_name = step.key.own_id().is_none();
            let name = if has_name { step.key.short_name().to_owned() } else { member.host.to_string() };
            self.put(known, member.host, name);
        }
        if observed.topology.get(Key::site().tunnel_zone().as_str()).is_none() {
            return;
        }
        let wanted = hosts_of(desired);
        let there = hosts_of(&observed.topology);
        let gone: Vec<Uuid> =
            known.keys().filter(|host| !wanted.contains(host) && !there.contains(host)).copied().collect();
        gone.into_iter().for_each(|host| self.take(known, host));
    }

    /// Forgets the hosts whose memberships were deleted.
    pub(super) fn conclude(&mut self, known: &mut BTreeMap<Uuid, String>, gone: &BTreeSet<Key>) {
        for (key, host) in std::mem::take(&mut self.leaving) {
            if gone.contains(&key) {
                self.take(known, host);
            }
        }
    }

    fn put(&mut self, known: &mut BTreeMap<Uuid, String>, host: Uuid, name: String) {
        if known.get(&host) != Some(&name) {
            known.insert(host, name.clone());
            self.changes.insert(host, Some(name));
        }
    }

    fn take(&mut self, known: &mut BTreeMap<Uuid, String>, host: Uuid) {
        known.remove(&host);
        self.changes.insert(host, None);
    }
}

/// Returns the hosts of the site's tunnel zone.
fn hosts_of(topology: &Topology) -> BTreeSet<Uuid> {
    topology.memberships().into_keys().collect()
}
