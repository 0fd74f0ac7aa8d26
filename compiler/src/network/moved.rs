//! `[[moved]]`: renamed objects. The objects stay, and have the keys of their new names from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::names::TenantName;
use crate::network::allocation::{Allocations, TenantAllocation};
use crate::spec;
use crate::spec::MovedKind;
use crate::topology::Topology;
use crate::topology::key::view::{ChainKey, KeyView, NextHopKey, RuleKey, TenantKey};
use crate::topology::key::{Key, Namespace};

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

impl std::fmt::Display for Move {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} to {}", self.kind.name(), self.from, self.to)
    }
}

impl Move {
    /// Returns the renamings of a spec.
    fn all_of(spec: &spec::Tenant) -> Vec<Move> {
        spec.moved.iter().map(Move::of).collect()
    }

    fn of(moved: &spec::Moved) -> Move {
        Move { kind: moved.kind, from: moved.from.value.clone(), to: moved.to.value.clone() }
    }

    /// Returns true if the allocations follow the renaming already.
    fn is_done(&self, known: &TenantAllocation) -> bool {
        known.moved.contains(&self.to_string())
    }

    /// Returns true if one of the names is the old name of one thing and the new name of another. Nothing but the
    /// allocations can tell then if the renaming was done.
    fn is_linked(&self, all: &[Move]) -> bool {
        all.iter().any(|other| {
            other.kind == self.kind && other != self && (other.to == self.from || other.from == self.to)
        })
    }
}

/// Returns true if the allocations of a tenant follow a renaming of its spec already.
pub(crate) fn is_done(known: &TenantAllocation, moved: &spec::Moved) -> bool {
    Move::of(moved).is_done(known)
}

impl Moves {
    /// Returns the renamings that these specs name, without the linked ones that the allocations know to be done.
    pub fn pending(specs: &[spec::Tenant], known: &Allocations) -> Moves {
        let by_tenant = specs.iter().filter(|spec| !spec.moved.is_empty()).map(|spec| {
            let known = known.tenants.get(&spec.name.value);
            let moves = Move::all_of(spec).into_iter();
            let moves = moves.filter(|moved| !known.is_some_and(|known| moved.is_done(known)));
            (spec.name.value.clone(), moves.collect())
        });
        Moves { by_tenant: by_tenant.collect() }
    }

    /// Returns the same without the renamings that are no part of a chain or a circle.
    fn linked(&self) -> Moves {
        let linked = |all: &Vec<Move>| all.iter().filter(|moved| moved.is_linked(all)).cloned().collect();
        Moves { by_tenant: self.by_tenant.iter().map(|(name, all)| (name.clone(), linked(all))).collect() }
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
        let moves = self.by_tenant.get(tenant)?;
        let mut changed = false;
        // Each name changes once: things that exchange their names do so at the same time.
        for kind in [MovedKind::Bridge, MovedKind::Rule, MovedKind::Port] {
            let Some(name) = name_in(&mut named, kind) else { continue };
            let directions = moves.iter().filter(|moved| moved.kind == kind).map(&direction);
            let found = directions.into_iter().find(|(from, _)| from.as_str() == *name);
            if let Some((_, to)) = found {
                *name = to;
                changed = true;
            }
        }
        changed.then(|| KeyView::Tenant(tenant, named).into())
    }
}

/// Returns the name of a thing of this kind in a key.
fn name_in<'n, 'k>(key: &'n mut TenantKey<'k>, kind: MovedKind) -> Option<&'n mut &'k str> {
    match (kind, key) {
        (MovedKind::Bridge, TenantKey::Bridge(name, _))
        | (MovedKind::Bridge, TenantKey::Chain(ChainKey::Bridge(name)))
        | (MovedKind::Bridge, TenantKey::Rule(ChainKey::Bridge(name), _))
        | (MovedKind::Bridge, TenantKey::Rule(ChainKey::In, RuleKey::UplinkSource(name)))
        | (MovedKind::Bridge, TenantKey::Rule(ChainKey::Out, RuleKey::Hairpin(name)))
        | (MovedKind::Bridge, TenantKey::Route { next_hop: NextHopKey::Bridge(name), .. })
        | (MovedKind::Rule, TenantKey::Rule(_, RuleKey::Spec { rule: name, .. }))
        | (MovedKind::Rule, TenantKey::Rule(ChainKey::In, RuleKey::Open { rule: name, .. }))
        | (MovedKind::Rule, TenantKey::Rule(ChainKey::Bridge(_), RuleKey::Inside { rule: name, .. }))
        | (MovedKind::Port, TenantKey::Port(name, _))
        | (MovedKind::Port, TenantKey::Chain(ChainKey::Port(name)))
        | (MovedKind::Port, TenantKey::Rule(ChainKey::Port(name), _))
        | (MovedKind::Port, TenantKey::PortGroupPort { port: name, .. }) => Some(name),
        _ => None,
    }
}

/// Returns the allocations under the new names of the specs' renamings.
pub(crate) fn carry_over<'k>(specs: &[spec::Tenant], known: &'k Allocations) -> Cow<'k, Allocations> {
    let mut carried = Cow::Borrowed(known);
    for spec in specs {
        let was_done = known.tenants.get(&spec.name.value).is_some_and(|known| !known.moved.is_empty());
        if spec.moved.is_empty() && !was_done {
            continue;
        }
        let pending = Moves::pending(std::slice::from_ref(spec), known);
        let allocation = carried.to_mut().tenants.entry(spec.name.value.clone()).or_default();
        rename_allocation(&spec.name.value, &pending, allocation);
        let all = Move::all_of(spec);
        let linked = all.iter().filter(|moved| moved.is_linked(&all));
        allocation.moved = linked.map(ToString::to_string).collect();
    }
    carried
}

fn rename_allocation(tenant: &str, moves: &Moves, allocation: &mut TenantAllocation) {
    let all = moves.by_tenant.get(tenant).map(Vec::as_slice).unwrap_or_default();
    let of = |kind| all.iter().filter(move |moved| moved.kind == kind);
    let old = allocation.bridges.clone();
    for moved in of(MovedKind::Bridge) {
        let is_free =
            !old.contains_key(&moved.to) || of(MovedKind::Bridge).any(|other| other.from == moved.to);
        if let (Some(network), true) = (old.get(&moved.from), is_free) {
            allocation.bridges.insert(moved.to.clone(), *network);
        }
    }
    for port in &mut allocation.ports {
        if let Some(moved) = of(MovedKind::Port).find(|moved| moved.from == *port) {
            port.clone_from(&moved.to);
        }
    }
    let renamed = allocation.ids.iter().filter_map(|(key, id)| Some((moves.new_key(key)?, key.clone(), *id)));
    let renamed: Vec<_> = renamed.collect();
    for (_, old, _) in &renamed {
        allocation.ids.remove(old);
    }
    for (new, _, id) in renamed {
        allocation.ids.entry(new).or_insert(id);
    }
}

/// Records the ids of objects whose names were exchanged, as long as `known` does not say that this was done: the id of such an
/// object follows from a key that another object has from now on.
pub(crate) fn keep_ids(
    site: &str,
    moves: &Moves,
    topology: &Topology,
    known: &Allocations,
    allocations: &mut Allocations,
) {
    let (linked, namespace, generations) = (moves.linked(), Namespace::of_site(site), known.generations());
    for entry in topology.entries() {
        if !known.tenants.contains_key(entry.key.owner()) {
            continue;
        }
        let Some(old) = linked.old_key(&entry.key) else { continue };
        if let Some(tenant) = allocations.tenants.get_mut(entry.key.owner()) {
            tenant
                .ids
                .entry(entry.key.clone())
                .or_insert_with(|| namespace.id_of_generation(&old, generations.current(&old)));
        }
    }
}

/// Reports renamings that can't be right.
pub(crate) fn check(specs: &[spec::Tenant], known: &Allocations, diagnostics: &mut Diagnostics) {
    for spec in specs {
        check_tenant(spec, diagnostics);
        if let Some(known) = known.tenants.get(&spec.name.value).filter(|known| known.may_exist()) {
            check_free_names(spec, known, diagnostics);
        }
    }
}

/// Reports a renaming to the name of another thing that exists and has no new name: the objects of both would have the same keys.
fn check_free_names(spec: &spec::Tenant, known: &TenantAllocation, diagnostics: &mut Diagnostics) {
    for moved in &spec.moved {
        let exists = |name: &str| match moved.kind {
            MovedKind::Bridge => known.bridges.contains_key(name),
            MovedKind::Port => known.ports.iter().any(|port| port == name),
            // The rules of a chain are compared by what they say.
            MovedKind::Rule => false,
        };
        let has_new_name =
            spec.moved.iter().any(|other| other.kind == moved.kind && other.from.value == moved.to.value);
        let is_taken = exists(&moved.from.value) && exists(&moved.to.value);
        if is_taken && !has_new_name && !Move::of(moved).is_done(known) {
            let what = moved.kind.name();
            let message =
                format!("`{}` can't be renamed to `{}`: another {what} has this name", moved.from, moved.to);
            let help =
                format!("apply once without the {what} `{}`, and then rename `{}`", moved.to, moved.from);
            diagnostics.push(Diagnostic::error(Code::MovedOnto, moved.to.span, message).help(help));
        }
    }
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
        let is_new_name = |other: &spec::Moved| {
            other.kind == moved.kind
                && other.to.value == moved.from.value
                && other.from.value != moved.from.value
        };
        if names.contains(&moved.from.value.as_str()) && !spec.moved.iter().any(is_new_name) {
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
    use ipnet::Ipv4Net;
    use uuid::Uuid;

    use super::*;

    fn moves(kind: MovedKind) -> Moves {
        let moved = Move { kind, from: "web".to_owned(), to: "front".to_owned() };
        Moves { by_tenant: BTreeMap::from([("acme".into(), vec![moved])]) }
    }

    #[test]
    fn things_exchange_their_names_at_the_same_time() {
        let moved =
            |from: &str, to: &str| Move { kind: MovedKind::Bridge, from: from.to_owned(), to: to.to_owned() };
        let all = vec![moved("a", "b"), moved("b", "c"), moved("c", "a"), moved("x", "y")];
        let moves = Moves { by_tenant: BTreeMap::from([("t".into(), all)]) };
        for (old, new) in [("a", "b"), ("b", "c"), ("c", "a"), ("x", "y")] {
            let key = |name: &str| Key::from(format!("t/bridge/{name}/gateway-port").as_str());
            assert_eq!(moves.new_key(&key(old)), Some(key(new)));
            assert_eq!(moves.old_key(&key(new)), Some(key(old)));
            assert_eq!(moves.linked().old_key(&key(new)).is_some(), old != "x");
        }
        let network = |third: u8| Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 0, third, 0), 24);
        let bridges = ["a", "b", "c", "x"].map(str::to_owned).into_iter().zip((0..).map(network));
        let mut allocation = TenantAllocation { bridges: bridges.collect(), ..TenantAllocation::default() };
        let key = |name: &str| Key::from(format!("t/bridge/{name}").as_str());
        allocation.ids =
            ["a", "b", "c"].map(|name| (key(name), Uuid::from_bytes([name.len() as u8; 16]))).into();
        allocation.ids.insert(key("a"), Uuid::nil());
        rename_allocation("t", &moves, &mut allocation);
        for (name, third) in [("b", 0), ("c", 1), ("a", 2), ("y", 3)] {
            assert_eq!(allocation.bridges[name], network(third), "{name}");
        }
        assert_eq!(allocation.ids[&key("b")], Uuid::nil());
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
