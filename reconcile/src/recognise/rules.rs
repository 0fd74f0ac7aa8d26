//! Matches rules and routes to keys.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::{Kind, Object, Reference, Route, RouteJson, Rule, RuleJson};
use midoform_compiler::topology::observed::OtherRoute;
use uuid::Uuid;

use super::{Inventory, Matching, is_found, observed_rule};

/// Returns the chain of a rule and the ports that the rule names.
pub(super) fn ports_named_by(object: &Object) -> (Option<&Key>, Vec<&Reference>) {
    match object {
        Object::Rule(rule) => (rule.chain.key(), rule.ports().collect()),
        _ => (None, Vec::new()),
    }
}

impl Matching<'_> {
    /// Returns the ports without a key that rules of midoform's chains name, each with the chain.
    pub(super) fn ports_named_by_rules(&self, raw: &Inventory) -> Vec<(Key, Uuid)> {
        let mut found = Vec::new();
        for (chain, rules) in &raw.rules {
            let Some(chain) = self.keys.get(chain) else { continue };
            for rule in rules.iter().filter_map(|rule| self.read::<Rule>(rule, Some(chain.into()), 0)) {
                let ids = rule.ports().filter_map(|port| match port {
                    Reference::External(id) => Some(*id),
                    Reference::Key(_) | Reference::Named(_) => None,
                });
                found.extend(ids.map(|id| (chain.clone(), id)));
            }
        }
        found
    }

    pub(super) fn add_rules(&mut self, raw: &Inventory) {
        let mut desired_by_chain: BTreeMap<&Key, Vec<(&Key, &Rule)>> = BTreeMap::new();
        for entry in self.scope.desired.entries() {
            if let Object::Rule(rule) = &entry.object {
                let Some(chain) = rule.chain.key() else { continue };
                desired_by_chain.entry(chain).or_default().push((&entry.key, rule));
            }
        }
        for desired in desired_by_chain.values_mut() {
            desired.sort_by_key(|(_, rule)| rule.position);
        }
        for (chain_id, rules) in &raw.rules {
            let Some(chain) = self.keys.get(chain_id).cloned() else { continue };
            let desired = desired_by_chain.get(&chain).map(Vec::as_slice).unwrap_or_default();
            self.add_chain_rules(&chain, rules, desired);
        }
    }

    fn add_chain_rules(&mut self, chain: &Key, rules: &[RuleJson], desired: &[(&Key, &Rule)]) {
        let matched = self.match_rules(chain, rules, desired);
        let mut order = Vec::with_capacity(rules.len());
        for (position, (rule, key)) in (1..).zip(rules.iter().zip(matched)) {
            let object = self.read::<Rule>(rule, Some(chain.into()), position).map(Object::from);
            let removed = || self.key_of_removed(chain, rule.id, object.as_ref()?);
            let key = key.or_else(removed);
            if let Some(key) = &key {
                self.note_malformed(key, rule.id, rule.malformed());
            }
            order.push(observed_rule(rule.id, key.clone()));
            match (key, object) {
                (None, object) => self.foreign_rule(chain, rule.id, position, object),
                (Some(key), Some(object)) => {
                    self.bind(rule.id, key.clone());
                    self.add(key, object);
                }
                (Some(_), None) => {}
            }
        }
        self.observed.rules.insert(chain.clone(), order);
    }

    fn foreign_rule(&mut self, chain: &Key, id: Uuid, position: u32, object: Option<Object>) {
        let says = object.as_ref().map(|rule| format!(": {}", rule.describe())).unwrap_or_default();
        let what = format!("rule at position {position}{says}");
        self.observed.foreign.push(Foreign { object, ..Foreign::new(chain.clone(), Kind::Rule, id, what) });
    }

    /// Returns the keys of these ids, as far as one of these keys leads to them.
    fn keys_by_id<'k>(
        &self,
        there: &BTreeSet<Uuid>,
        keys: impl Iterator<Item = &'k Key>,
    ) -> BTreeMap<Uuid, &'k Key> {
        let ids = |key: &'k Key| self.ids_of(key).filter(|id| there.contains(id)).map(move |id| (id, key));
        keys.flat_map(ids).collect()
    }

    /// Returns the key of each rule of a chain that belongs to midoform. If a run ended after it created a rule and
    /// before it deleted the rule that it replaces, both rules have the same key. Then the rule that is as desired gets
    /// the key, and the other one a key from its id alone.
    fn match_rules(&self, chain: &Key, rules: &[RuleJson], desired: &[(&Key, &Rule)]) -> Vec<Option<Key>> {
        let there: BTreeSet<Uuid> = rules.iter().map(|rule| rule.id).collect();
        let parent = Reference::from(chain);
        let keys = desired.iter().map(|(key, _)| *key).chain(self.restored_of(&parent));
        let keys_by_id = self.keys_by_id(&there, keys);
        let claims: Vec<Option<&Key>> = rules
            .iter()
            .map(|rule| {
                let remembered = self.remembered.get(&rule.id).copied();
                let exact = remembered.filter(|key| !is_found(key));
                exact.or_else(|| keys_by_id.get(&rule.id).copied()).or(remembered)
            })
            .collect();
        let mut claimants: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        for (at, key) in claims.iter().enumerate() {
            claimants.entry(key.unwrap_or(chain)).or_default().push(at);
        }
        let contents: Vec<Option<Rule>> =
            rules.iter().map(|rule| self.read(rule, Some(chain.into()), 0)).collect();
        let mut nameless = match self.by_content(Kind::Rule) {
            false => Vec::new(),
            true => claimants.remove(chain).unwrap_or_default(),
        };
        let is_unknown = |at: &usize| {
            let rule = rules.get(*at).filter(|rule| !keys_by_id.contains_key(&rule.id));
            rule.is_some_and(|rule| self.is_of_unknown_key(chain, rule.id, Kind::Rule))
        };
        nameless.extend((0..rules.len()).filter(is_unknown));
        let mut matched: Vec<Option<Key>> = vec![None; rules.len()];
        for (key, wanted) in desired {
            let own = claimants.get(key).map(Vec::as_slice).unwrap_or_default();
            let is_equal = |at: &&usize| {
                let free = matched.get(**at).is_some_and(Option::is_none);
                let content = contents.get(**at).and_then(Option::as_ref);
                free && content.is_some_and(|observed| observed.says_the_same_as(wanted))
            };
            let found = own.iter().find(is_equal).or_else(|| nameless.iter().find(is_equal)).or(own.first());
            if let Some(place) = found.and_then(|at| matched.get_mut(*at)) {
                *place = Some((*key).clone());
            }
        }
        let known: BTreeSet<&Key> = claims.iter().copied().flatten().collect();
        self.match_what_was_being_made(chain, rules, &contents, &mut matched, &known);
        let mut taken: BTreeSet<&Key> = desired.iter().map(|(key, _)| *key).collect();
        for ((rule, key), place) in rules.iter().zip(claims).zip(&mut matched) {
            if place.is_some() {
                continue;
            }
            let by_id_alone = || chain.found_rule(rule.id);
            *place = match key {
                Some(key) if taken.insert(key) => Some(key.clone()),
                Some(_) => Some(by_id_alone()),
                None => self.is_own(rule.id, Kind::Rule).then(by_id_alone),
            };
        }
        matched
    }

    /// Matches rules that an unfinished run created and that are no longer desired (only 1.x). `known` are the keys of rules whose ids
    /// are known.
    fn match_what_was_being_made(
        &self,
        chain: &Key,
        rules: &[RuleJson],
        contents: &[Option<Rule>],
        matched: &mut [Option<Key>],
        known: &BTreeSet<&Key>,
    ) {
        for (key, object) in &self.making {
            let Object::Rule(made) = object else { continue };
            if made.chain.key() != Some(chain) {
                continue;
            }
            let is_it = |at: &usize| {
                let free = matched.get(*at).is_some_and(Option::is_none);
                let nameless = rules.get(*at).is_some_and(|rule| !self.remembered.contains_key(&rule.id));
                let content = contents.get(*at).and_then(Option::as_ref);
                free && nameless && content.is_some_and(|observed| observed.says_the_same_as(made))
            };
            let found = (0..rules.len()).find(is_it);
            // The rule that it replaces may still be there.
            let is_free =
                self.is_restored(key) && !known.contains(key) && !matched.contains(&Some(key.clone()));
            if let Some((place, rule)) = found.and_then(|at| Some((matched.get_mut(at)?, rules.get(at)?))) {
                *place = Some(if is_free { key.clone() } else { chain.found_rule(rule.id) });
            }
        }
    }

    pub(super) fn add_routes(&mut self, raw: &Inventory) {
        let mut desired_by_router: BTreeMap<&Reference, Vec<(&Key, &Route)>> = BTreeMap::new();
        for entry in self.scope.desired.entries() {
            if let Object::Route(route) = &entry.object {
                desired_by_router.entry(&route.router).or_default().push((&entry.key, route));
            }
        }
        let addresses: BTreeMap<Uuid, _> = raw.ports.iter().map(|port| (port.id, port.address())).collect();
        let linked = raw.ports.iter().filter(|port| port.peer_id.is_some());
        let linked: BTreeSet<Uuid> = linked.map(|port| port.id).collect();
        for (router_id, routes) in &raw.routes {
            let router = self.reference(*router_id);
            let desired = desired_by_router.get(&router).map(Vec::as_slice).unwrap_or_default();
            let there: BTreeSet<Uuid> = routes.iter().map(|route| route.id).collect();
            let keys = desired.iter().map(|(key, _)| *key).chain(self.restored_of(&router));
            let remembered =
                self.remembered.iter().filter(|(id, _)| there.contains(id)).map(|(id, key)| (*id, *key));
            let (found, exact): (Vec<_>, Vec<_>) = remembered.partition(|(_, key)| is_found(key));
            let by_key = self.keys_by_id(&there, keys);
            let keys_by_id = found.into_iter().chain(by_key).chain(exact);
            let keys_by_id: BTreeMap<Uuid, Key> = keys_by_id.map(|(id, key)| (id, key.clone())).collect();
            let claimed: BTreeSet<&Key> = keys_by_id.values().collect();
            for route in routes {
                let port_address =
                    route.next_hop_port.and_then(|port| addresses.get(&port)).copied().flatten();
                if route.is_automatic(port_address) {
                    continue;
                }
                let of_tenant = router.key().filter(|key| key.owner() != SITE);
                if let Some(key) = keys_by_id.get(&route.id).or(of_tenant) {
                    self.note_malformed(key, route.id, route.malformed());
                }
                let Some(object) = self.read::<Route>(route, Some(router.clone()), 0) else {
                    self.unread_route(of_tenant, route);
                    continue;
                };
                let near = object.router.key().or_else(|| object.port().and_then(Reference::key));
                let is_unknown = near.is_some_and(|near| self.is_of_unknown_key(near, route.id, Kind::Route));
                let by_id =
                    keys_by_id.get(&route.id).filter(|key| !is_unknown || self.is_restored(key)).cloned();
                let by_content = || match is_unknown || self.by_content(Kind::Route) {
                    true => self.match_route_by_content(&object, desired, &claimed),
                    false => None,
                };
                let key = by_id.or_else(by_content).or_else(|| keys_by_id.get(&route.id).cloned());
                let key = key.or_else(|| self.was_being_made(route.id, &object));
                let leads_inside = route.next_hop_port.is_some_and(|port| linked.contains(&port));
                self.add_route(route, object, key, leads_inside);
            }
        }
    }

    /// Notes a route of a tenant's router that has no meaning in IPv4.
    fn unread_route(&mut self, router: Option<&Key>, route: &RouteJson) {
        if let Some(router) = router {
            let what = format!("route to {}", route.describe());
            self.observed.foreign.push(Foreign::new(router.clone(), Kind::Route, route.id, what));
        }
    }

    fn add_route(&mut self, route: &RouteJson, object: Route, key: Option<Key>, leads_inside: bool) {
        let own_router = object.router.key().filter(|key| key.owner() != SITE).cloned();
        let hangs_on = object.port().and_then(Reference::key).cloned();
        let near = own_router.clone().or(hangs_on);
        let own = || {
            let near = near.as_ref()?;
            self.is_own(route.id, Kind::Route).then(|| near.found_route(route.id))
        };
        let object = Object::from(object);
        let removed = || self.key_of_removed(own_router.as_ref()?, route.id, &object);
        match (key.or_else(own).or_else(removed), own_router) {
            (Some(key), _) => {
                self.bind(route.id, key.clone());
                self.add(key, object);
            }
            (None, Some(router)) => {
                let what = format!("route to {}", object.describe());
                let foreign = Foreign::new(router, Kind::Route, route.id, what);
                self.observed.foreign.push(Foreign { object: Some(object), ..foreign });
            }
            // The provider router's other routes do not belong to midoform, but their destinations are taken.
            (None, None) if near.is_none() => {
                let (id, Some(destination)) = (route.id, route.destination()) else { return };
                self.observed.provider.routes.push(OtherRoute { id, destination, leads_inside });
            }
            (None, None) => {}
        }
    }

    /// Returns the key of a route that an unfinished run created and that is no longer desired (only 1.x).
    fn was_being_made(&self, id: Uuid, route: &Route) -> Option<Key> {
        let (key, _) =
            self.making.iter().find(|(_, object)| matches!(object, Object::Route(made) if made == route))?;
        Some(key.found(id))
    }

    /// Returns the key of a route without a known id, by its content. `claimed` are the keys of other routes.
    fn match_route_by_content(
        &self,
        route: &Route,
        desired: &[(&Key, &Route)],
        claimed: &BTreeSet<&Key>,
    ) -> Option<Key> {
        let equal = |(key, wanted): &&(&Key, &Route)| {
            *wanted == route && !self.ids.contains_key(*key) && !claimed.contains(*key)
        };
        desired.iter().find(equal).map(|(key, _)| (*key).clone())
    }
}
