//! Objects in the reach of a tenant that midoform did not create, and what they do to the tenant's traffic.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use super::key::Key;
use super::key::view::{BridgeKey, ChainKey, KeyView, RuleKey, TenantKey};
use super::kinds::row::schema::Table;
use super::kinds::{FilterDirection, Kind, Object, Reference, Route, Rule, RuleAction};
use super::observed_rule::ObservedRule;
use super::{Entry, Topology};

/// An object that midoform did not create. It is reported, and not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// The key of the object that it belongs to.
    pub near: Key,
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: Uuid,
    /// A description in a few words.
    pub what: String,
    /// Its effect on packets; none: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The object as it was observed; none for kinds that change nothing for packets.
    #[serde(skip)]
    pub object: Option<Object>,
}

/// The effect of a foreign object on packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A rule or a route that is matched before these of midoform's, which may match the same packets. Those that a person wrote in
    /// a spec come first.
    AheadOf(Vec<Key>),
    /// A rule behind this one, which matches every packet that comes to it.
    BehindCatchAll(Key),
    /// A port that leads to a device or a host that is not the spec's.
    Connects,
    /// A chain that filters packets where the spec wants no filter.
    Filters(FilterDirection),
}

impl Foreign {
    /// Makes a foreign object without effect.
    pub fn new(near: Key, kind: Kind, id: Uuid, what: String) -> Foreign {
        Foreign { near, kind, id, what, effect: None, object: None }
    }

    /// Returns true if the network does something else than the spec says, as long as the object is there.
    pub fn is_drift(&self) -> bool {
        self.effect.is_some()
    }

    /// Returns true for a rule of a chain, and for a row that does the same: an ACL, a policy, a route, a translation.
    pub fn is_rule(&self) -> bool {
        use Table::{Acl, LogicalRouterPolicy, LogicalRouterStaticRoute, Nat};
        matches!(
            self.kind,
            Kind::Rule | Kind::Row(Acl | LogicalRouterPolicy | LogicalRouterStaticRoute | Nat)
        )
    }

    /// Returns the key of the object, which ends with its id.
    pub fn key(&self) -> Key {
        self.near.foreign(self.id)
    }

    /// Says in a few words what its effect is: `gets ahead of acme/chain/policy/rule/ssh and 2 more`.
    pub fn effect_in_words(&self) -> Option<String> {
        const SHOWN: usize = 3;
        Some(match self.effect.as_ref()? {
            Effect::AheadOf(keys) if keys.is_empty() => match self.kind {
                Kind::Route => "gets ahead of no route of the spec".to_owned(),
                _ => "gets ahead of no rule of the spec".to_owned(),
            },
            Effect::AheadOf(keys) => {
                let mut words: Vec<String> = keys.iter().take(SHOWN).map(ToString::to_string).collect();
                let last = match keys.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                    Some(more) => Some(format!("{more} more")),
                    None if words.len() > 1 => words.pop(),
                    None => None,
                };
                let last = last.map(|last| format!(" and {last}")).unwrap_or_default();
                format!("gets ahead of {}{last}", words.join(", "))
            }
            Effect::BehindCatchAll(key) => format!("is never reached: {key} matches every packet before it"),
            Effect::Connects => "leads to something that is not in the spec".to_owned(),
            Effect::Filters(_) => "filters packets where the spec has no filter".to_owned(),
        })
    }

    /// Returns the end of a sentence about its effect: `; it gets ahead of acme/chain/policy/rule/ssh`; empty without an effect.
    pub fn effect_clause(&self) -> String {
        self.effect_in_words().map(|effect| format!("; it {effect}")).unwrap_or_default()
    }

    fn order(&self) -> (&Key, Kind, u32, Uuid) {
        let position = self.object.as_ref().and_then(Object::position).unwrap_or(0);
        (&self.near, self.kind, position, self.id)
    }
}

/// Sorts foreign objects by their places, and finds out their effects. `topology` has midoform's objects, `rules` the rules of each
/// chain in order.
pub fn assess(topology: &Topology, rules: &BTreeMap<Key, Vec<ObservedRule>>, foreign: &mut [Foreign]) {
    foreign.sort_by(|a, b| a.order().cmp(&b.order()));
    let objects = foreign.iter().filter_map(|one| Some((one.id, (one.key(), one.object.clone()?)))).collect();
    let network = Network { topology, rules, foreign: &objects };
    for one in foreign {
        match &one.object {
            Some(Object::Rule(rule)) => one.effect = Some(network.effect_of_rule(&one.near, one.id, rule)),
            Some(Object::Route(route)) => one.effect = Some(Effect::AheadOf(network.routes_behind(route))),
            _ => {}
        }
    }
}

/// A network with its foreign objects.
struct Network<'a> {
    topology: &'a Topology,
    rules: &'a BTreeMap<Key, Vec<ObservedRule>>,
    foreign: &'a BTreeMap<Uuid, (Key, Object)>,
}

impl Network<'_> {
    fn rule(&self, observed: &ObservedRule) -> Option<(Key, &Rule)> {
        let (key, object) = match &observed.key {
            Some(key) => (key.clone(), &self.topology.get(key.as_str())?.object),
            None => self.foreign.get(&observed.id).map(|(key, object)| (key.clone(), object))?,
        };
        match object {
            Object::Rule(rule) => Some((key, rule)),
            _ => None,
        }
    }

    fn effect_of_rule(&self, chain: &Key, id: Uuid, rule: &Rule) -> Effect {
        let order = self.rules.get(chain).map(Vec::as_slice).unwrap_or_default();
        let at = order.iter().position(|one| one.id == id).unwrap_or(order.len());
        let (before, behind) = order.split_at(at);
        let before = before.iter().filter_map(|one| self.rule(one));
        if let Some((key, _)) = before.into_iter().find(|(_, rule)| rule.ends_every_packet()) {
            return Effect::BehindCatchAll(key);
        }
        let mut found = Vec::new();
        let mut visited = BTreeSet::from([chain.clone()]);
        for one in behind.iter().filter(|one| one.key.is_some()) {
            self.collect(one, rule, &mut found, &mut visited);
        }
        if rule.action.discards() {
            for chain in self.chains_after(chain) {
                self.collect_chain(&chain, rule, &mut found, &mut visited);
            }
        }
        // Stable: in each part, in the order of the chains.
        found.sort_by_key(|key| !is_of_the_spec(key));
        Effect::AheadOf(found)
    }

    /// Collects a rule behind a foreign one that may match the same packets; for a jump, the rules that it leads to.
    fn collect(&self, one: &ObservedRule, of: &Rule, found: &mut Vec<Key>, visited: &mut BTreeSet<Key>) {
        let Some((key, rule)) = self.rule(one).filter(|(_, rule)| !rule.condition.excludes(&of.condition))
        else {
            return;
        };
        match &rule.action {
            RuleAction::Jump { chain: Reference::Key(chain), .. } => {
                self.collect_chain(chain, of, found, visited);
            }
            _ if one.key.is_some() => found.push(key),
            _ => {}
        }
    }

    fn collect_chain(&self, chain: &Key, of: &Rule, found: &mut Vec<Key>, visited: &mut BTreeSet<Key>) {
        if visited.insert(chain.clone()) {
            for one in self.rules.get(chain).into_iter().flatten() {
                self.collect(one, of, found, visited);
            }
        }
    }

    /// Returns the chains that a packet comes to after this one, as far as these are of the same tenant: from a port's chain to its
    /// bridge's, and from there to the router's.
    fn chains_after(&self, chain: &Key) -> Vec<Key> {
        let KeyView::Tenant(tenant, TenantKey::Chain(kind)) = chain.view() else { return Vec::new() };
        let keys = Key::tenant(tenant);
        let router = [ChainKey::In, ChainKey::Out].map(|chain| keys.chain(chain));
        match kind {
            ChainKey::In => vec![keys.chain(ChainKey::Out)],
            ChainKey::Bridge(_) => router.into(),
            ChainKey::Port(port) => {
                let port = self.topology.get(keys.port(port).device().as_str()).map(|entry| &entry.object);
                let bridge = match port {
                    Some(Object::BridgePort(port)) => port.bridge.key().and_then(chain_of_bridge),
                    _ => None,
                };
                bridge.into_iter().chain(router).collect()
            }
            ChainKey::Out
            | ChainKey::Policy
            | ChainKey::Stateless
            | ChainKey::Untagged
            | ChainKey::Pod(_) => Vec::new(),
        }
    }

    /// Returns midoform's routes of the same router that would take packets which a foreign route takes.
    fn routes_behind(&self, route: &Route) -> Vec<Key> {
        let is_behind = |own: &Route| {
            let longer = route.destination.prefix_len() > own.destination.prefix_len();
            let wins = longer
                || route.destination.prefix_len() == own.destination.prefix_len()
                    && route.weight <= own.weight;
            own.router == route.router
                && wins
                && own.destination.contains(&route.destination)
                && overlap(own, route)
        };
        let overlap_of = |entry: &Entry| match &entry.object {
            Object::Route(own) if is_behind(own) => Some(entry.key.clone()),
            _ => None,
        };
        self.topology.entries().iter().filter_map(overlap_of).collect()
    }
}

/// Returns true if both routes match packets of one source.
fn overlap(one: &Route, other: &Route) -> bool {
    one.source.contains(&other.source) || other.source.contains(&one.source)
}

fn chain_of_bridge(bridge: &Key) -> Option<Key> {
    match bridge.view() {
        KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::Device)) => {
            Some(Key::tenant(tenant).bridge(bridge).chain())
        }
        _ => None,
    }
}

/// Returns true for a rule that a person wrote in a spec: a rule, an exposed port.
fn is_of_the_spec(key: &Key) -> bool {
    match key.view() {
        KeyView::Tenant(_, TenantKey::Rule(_, rule)) => matches!(
            rule,
            RuleKey::Spec { .. } | RuleKey::Open { .. } | RuleKey::Inside { .. } | RuleKey::Expose(_)
        ),
        _ => false,
    }
}
