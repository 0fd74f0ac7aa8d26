//! `[[moved]]`: renamed objects. The objects stay, and have the keys of their new names from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::names::TenantName;
use crate::network::allocation::{Allocations, TenantAllocation};
use crate::spec;
use crate::spec::MovedKind;
use crate::topology::key::Key;
use crate::topology::key::view::{ChainKey, KeyView, NextHopKey, RuleKey, TenantKey};

/// The renamings of several tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moves {
    by_tenant: BTreeMap<TenantName, Vec<Move>>,
}

/// One renaming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Move {
    kind: MovedKind,
    from: String,
    to: String,
}

impl Moves {
    /// Makes the renamings that these specs name.
    pub fn of(specs: &[spec::Tenant]) -> Moves {
        let by_tenant = specs.iter().filter(|spec| !spec.moved.is_empty()).map(|spec| {
            let moves = spec.moved.iter().map(|moved| Move {
                kind: moved.kind,
                from: moved.from.value.clone(),
                to: moved.to.value.clone(),
            });
            (spec.name.value.clone(), moves.collect())
        });
        Moves { by_tenant: by_tenant.collect() }
    }

    /// Returns the key that an object had before, if it was renamed.
    pub fn old_key(&self, new: &Key) -> Option<Key> {
        self.renamed(new, |moved| (&moved.to, &moved.from))
    }

    /// Returns the key that an object has now, if it was renamed.
    pub fn new_key(&self, old: &Key) -> Option<Key> {
        self.renamed(old, |moved| (&moved.from, &moved.to))
    }

    fn renamed<'m>(
        &'m self,
        key: &'m Key,
        direction: impl Fn(&'m Move) -> (&'m String, &'m String),
    ) -> Option<Key> {
        let KeyView::Tenant(tenant, mut named) = key.view() else { return None };
        let mut changed = false;
        for moved in self.by_tenant.get(tenant)? {
            let (from, to) = direction(moved);
            changed |= rename(&mut named, moved.kind, from, to);
        }
        changed.then(|| KeyView::Tenant(tenant, named).into())
    }
}

/// Replaces one name by another, if the key has the name of an object of this kind.
fn rename<'k>(key: &mut TenantKey<'k>, kind: MovedKind, from: &str, to: &'k str) -> bool {
    let name = match (kind, key) {
        (MovedKind::Bridge, TenantKey::Bridge(name, _))
        | (MovedKind::Bridge, TenantKey::Chain(ChainKey::Bridge(name)))
        | (MovedKind::Bridge, TenantKey::Rule(ChainKey::Bridge(name), _))
        | (MovedKind::Bridge, TenantKey::Rule(ChainKey::In, RuleKey::UplinkSource(name)))
        | (MovedKind::Bridge, TenantKey::Route { next_hop: NextHopKey::Bridge(name), .. })
        | (MovedKind::Rule, TenantKey::Rule(_, RuleKey::Spec { rule: name, .. }))
        | (MovedKind::Rule, TenantKey::Rule(ChainKey::In, RuleKey::Open { rule: name, .. }))
        | (MovedKind::Rule, TenantKey::Rule(ChainKey::Bridge(_), RuleKey::Inside { rule: name, .. }))
        | (MovedKind::Port, TenantKey::Port(name, _))
        | (MovedKind::Port, TenantKey::Chain(ChainKey::Port(name)))
        | (MovedKind::Port, TenantKey::Rule(ChainKey::Port(name), _))
        | (MovedKind::Port, TenantKey::PortGroupPort { port: name, .. }) => name,
        _ => return false,
    };
    let is_meant = *name == from;
    if is_meant {
        *name = to;
    }
    is_meant
}

/// Returns the allocations under the new names of the specs' renamings.
pub(crate) fn carry_over<'k>(specs: &[spec::Tenant], known: &'k Allocations) -> Cow<'k, Allocations> {
    let mut carried = Cow::Borrowed(known);
    for spec in specs.iter().filter(|spec| !spec.moved.is_empty()) {
        if let Some(allocation) = carried.to_mut().tenants.get_mut(&spec.name.value) {
            rename_allocation(spec, allocation);
        }
    }
    carried
}

fn rename_allocation(spec: &spec::Tenant, allocation: &mut TenantAllocation) {
    for moved in &spec.moved {
        let (from, to) = (&moved.from.value, &moved.to.value);
        match moved.kind {
            MovedKind::Bridge => {
                if let (Some(network), false) =
                    (allocation.bridges.get(from), allocation.bridges.contains_key(to))
                {
                    allocation.bridges.insert(to.clone(), *network);
                }
            }
            MovedKind::Port => {
                for port in allocation.ports.iter_mut().filter(|port| *port == from) {
                    port.clone_from(to);
                }
            }
            MovedKind::Rule => {}
        }
    }
    let moves = Moves::of(std::slice::from_ref(spec));
    let renamed = allocation.ids.iter().filter_map(|(key, id)| Some((moves.new_key(key)?, key.clone(), *id)));
    for (new, old, id) in renamed.collect::<Vec<_>>() {
        allocation.ids.remove(&old);
        allocation.ids.entry(new).or_insert(id);
    }
}

/// Reports renamings that can't be right.
pub(crate) fn check(specs: &[spec::Tenant], diagnostics: &mut Diagnostics) {
    specs.iter().for_each(|spec| check_tenant(spec, diagnostics));
}

fn check_tenant(spec: &spec::Tenant, diagnostics: &mut Diagnostics) {
    for (at, moved) in spec.moved.iter().enumerate() {
        let names: Vec<&str> = match moved.kind {
            MovedKind::Bridge => spec.bridges.iter().map(|bridge| bridge.name.value.as_str()).collect(),
            MovedKind::Rule => spec.rules.iter().map(|rule| rule.name.value.as_str()).collect(),
            MovedKind::Port => spec.ports.iter().map(|port| port.name.value.as_str()).collect(),
        };
        let what = moved.kind.name();
        if !names.contains(&moved.to.value.as_str()) {
            let message = format!("nothing can have been renamed to `{}`: there is no such {what}", moved.to);
            let help = format!("`to` is the new name, which a [[{what}]] of this file has");
            diagnostics.push(Diagnostic::error(Code::MovedNowhere, moved.to.span, message).help(help));
        }
        if names.contains(&moved.from.value.as_str()) {
            let message =
                format!("`{}` can't have been renamed: there still is a {what} of this name", moved.from);
            let help = format!("`{what}` is the old name; remove this [[moved]] if nothing was renamed");
            diagnostics.push(Diagnostic::error(Code::MovedAndThere, moved.from.span, message).help(help));
        }
        let twin = spec.moved.iter().take(at).find(|other| {
            other.kind == moved.kind
                && (other.from.value == moved.from.value || other.to.value == moved.to.value)
        });
        if let Some(twin) = twin {
            let message = format!("`{}` and `{}` are in another [[moved]] as well", moved.from, moved.to);
            let diagnostic = Diagnostic::error(Code::MovedTwice, moved.from.span, message);
            diagnostics.push(diagnostic.also(twin.from.span, "the other one").help("remove one of them"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(kind: MovedKind) -> Moves {
        let moved = Move { kind, from: "web".to_owned(), to: "front".to_owned() };
        Moves { by_tenant: BTreeMap::from([("acme".into(), vec![moved])]) }
    }

    #[test]
    fn a_name_is_renamed_where_it_stands_and_nowhere_else() {
        let cases = [
            (MovedKind::Bridge, "acme/bridge/web", Some("acme/bridge/front")),
            (
                MovedKind::Bridge,
                "acme/bridge/web/chain/rule/source",
                Some("acme/bridge/front/chain/rule/source"),
            ),
            (
                MovedKind::Bridge,
                "acme/chain/in/rule/uplink-source/web",
                Some("acme/chain/in/rule/uplink-source/front"),
            ),
            (
                MovedKind::Bridge,
                "acme/route/10.0.0.0-8/bridge-web",
                Some("acme/route/10.0.0.0-8/bridge-front"),
            ),
            (MovedKind::Bridge, "acme/port/web", None),
            (MovedKind::Bridge, "acme/bridge/webs", None),
            (MovedKind::Bridge, "other/bridge/web", None),
            (
                MovedKind::Rule,
                "acme/chain/policy/rule/web/tcp-80",
                Some("acme/chain/policy/rule/front/tcp-80"),
            ),
            (
                MovedKind::Rule,
                "acme/bridge/web/chain/rule/inside/web",
                Some("acme/bridge/web/chain/rule/inside/front"),
            ),
            (MovedKind::Port, "acme/port/web/binding", Some("acme/port/front/binding")),
            (MovedKind::Port, "acme/port-group/g/port/web", Some("acme/port-group/g/port/front")),
            (MovedKind::Port, "acme", None),
        ];
        for (kind, old, new) in cases {
            let moves = moves(kind);
            assert_eq!(moves.new_key(&Key::from(old)).as_ref().map(Key::as_str), new, "{old}");
            if let Some(new) = new {
                assert_eq!(moves.old_key(&Key::from(new)).as_ref().map(Key::as_str), Some(old));
            }
        }
    }
}
