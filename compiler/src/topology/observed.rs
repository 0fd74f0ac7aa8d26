//! The observed state of a network, matched to keys: one side of a diff.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::topology::foreign::{Effect, Foreign};
use crate::topology::generations::Generations;
use crate::topology::key::{Key, Namespace};
use crate::topology::kinds::{FilterDirection, Kind, Object, Reference};
use crate::topology::{Entry, Topology};

pub use crate::topology::observed_rule::ObservedRule;

/// The observed topology, and further facts for the diff. The default is an empty network.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The objects that were recognised, normalised: server-filled fields and automatic routes left out.
    pub topology: Topology,
    /// Their ids, if these do not follow from the keys.
    pub ids: BTreeMap<Key, Uuid>,
    /// The rules of each chain, in order, foreign ones as well.
    pub rules: BTreeMap<Key, Vec<ObservedRule>>,
    /// Objects on a tenant's devices that are not midoform's.
    pub foreign: Vec<Foreign>,
    /// The use of the provider router by others.
    pub provider: ProviderUse,
    /// Bound ports of a tenant's bridges that are not the spec's: pods, or somebody else's.
    pub attached: Vec<Foreign>,
    /// The names of all tunnel zones, by id.
    pub zones: BTreeMap<Uuid, String>,
    /// The ports that are bound to interfaces of hosts, by host and interface, midoform's and others.
    pub bound: BTreeMap<(Uuid, String), Uuid>,
    /// The devices, chains, groups, tunnel zones and ports that the server has, midoform's and others, with their kinds.
    /// A plan may refer to them by id.
    pub present: BTreeMap<Uuid, Kind>,
    /// OVN: the routers with each name.
    pub routers: BTreeMap<String, Vec<Uuid>>,
    /// The generations of ids.
    pub generations: Generations,
}

/// The ports and routes of the provider router that are not those of the observed tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderUse {
    /// The ports with an address.
    pub ports: Vec<OtherPort>,
    /// The routes, without those that the server makes for each port.
    pub routes: Vec<OtherRoute>,
}

impl ProviderUse {
    /// Returns true if nobody else uses the provider router.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.routes.is_empty()
    }
}

/// A port of the provider router that somebody else uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherPort {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network.
    pub network: Ipv4Net,
    /// The address of the port that it is linked to.
    pub peer: Option<Ipv4Addr>,
}

/// A route of the provider router that somebody else uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRoute {
    /// Its id.
    pub id: Uuid,
    /// Its destination.
    pub destination: Ipv4Net,
    /// True if its port is linked to another router.
    pub leads_inside: bool,
}

impl Observed {
    /// Returns the observation of a network that has exactly this topology, created by midoform on a server that keeps ids.
    pub fn of_topology(topology: &Topology, namespace: Namespace) -> Observed {
        let mut observed = Observed { topology: topology.clone(), ..Observed::default() };
        let mut rules: BTreeMap<Key, Vec<(u32, ObservedRule)>> = BTreeMap::new();
        for entry in topology.entries() {
            if let (Object::Rule(rule), key) = (&entry.object, &entry.key)
                && let Some(chain) = rule.chain.key()
            {
                let observed = ObservedRule { id: namespace.id(key), key: Some(key.clone()) };
                rules.entry(chain.clone()).or_default().push((rule.position, observed));
            }
        }
        for (chain, mut order) in rules {
            order.sort_by_key(|(position, _)| *position);
            observed.rules.insert(chain, order.into_iter().map(|(_, rule)| rule).collect());
        }
        observed
    }

    /// Returns the network as it is, with its foreign objects. A foreign object has a key that ends with its id, so references by
    /// that id lead to it.
    pub fn with_foreign(&self) -> Topology {
        let foreign = self
            .foreign
            .iter()
            .filter_map(|one| Some(Entry { key: one.key(), object: one.object.clone()?, provenance: None }));
        let mut filters: BTreeMap<&Key, Vec<(FilterDirection, Uuid)>> = BTreeMap::new();
        for one in &self.foreign {
            if let Some(Effect::Filters(direction)) = one.effect {
                filters.entry(&one.near).or_default().push((direction, one.id));
            }
        }
        let own = self.topology.entries().iter().cloned().map(|mut entry| {
            for (direction, filter) in entry.object.filters_mut().into_iter().flatten() {
                let foreign = filters.get(&entry.key).into_iter().flatten();
                let found = foreign.copied().find(|(of, _)| *of == direction);
                *filter = found.map(|(_, id)| Reference::External(id)).or(filter.take());
            }
            entry
        });
        Topology::new(own.chain(foreign).collect())
    }

    /// Returns the ids of all objects that were observed, midoform's and others. An id that follows from a key alone may be absent.
    pub fn all_ids(&self) -> BTreeSet<Uuid> {
        let rules = self.rules.values().flatten().map(|rule| rule.id);
        let others = self.foreign.iter().chain(&self.attached).map(|one| one.id);
        let routes = self.provider.routes.iter().map(|route| route.id);
        let known = self.present.keys().chain(self.ids.values()).copied();
        known.chain(rules).chain(others).chain(routes).collect()
    }

    /// Returns the id of an observed object.
    pub fn id_of(&self, namespace: Namespace, key: &Key) -> Uuid {
        let by_key = || namespace.id_of_generation(key, self.generations.current(key));
        self.ids.get(key).copied().unwrap_or_else(by_key)
    }

    /// Returns the SHA-256 of everything that was recognised: with two equal fingerprints, a plan starts from the
    /// same network.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for entry in self.topology.entries() {
            hash.update(entry.key.as_str());
            hash.update(serde_json::to_vec(&entry.object).unwrap_or_default());
            if let Some(id) = self.ids.get(&entry.key) {
                hash.update(id.as_bytes());
            }
        }
        for (chain, rules) in &self.rules {
            hash.update(chain.as_str());
            rules.iter().for_each(|rule| hash.update(rule.id.as_bytes()));
        }
        hex::encode(hash.finalize())
    }
}
