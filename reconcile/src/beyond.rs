//! Reads what foreign rules and filters lead to: chains, port groups and address groups that are not midoform's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::printable::printable;
use midoform_compiler::topology::Entry;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::{Kind, Object, OtherField, Reference};
use midoform_compiler::topology::observed::Observed;
use serde::Deserialize;
use uuid::Uuid;

use crate::client::{Client, ClientError};
use crate::lists;
use crate::observe::{Parents, read_children};

/// What was read. The objects have keys that end with their ids.
#[derive(Debug, Default)]
pub struct Beyond {
    /// The chains with their rules, and the port groups with their ports.
    pub entries: Vec<Entry>,
    /// The addresses of address groups.
    pub address_groups: BTreeMap<Uuid, BTreeSet<Ipv4Addr>>,
}

/// Reads what the rules and filters of an observed network lead to, from chain to chain.
///
/// # Errors
/// Returns an error if a read fails.
pub async fn read(
    client: &Client,
    dialect: Dialect,
    site: &str,
    observed: &Observed,
) -> Result<Beyond, ClientError> {
    let namespace = Namespace::of_site(site);
    let entries = observed.topology.entries().iter();
    let keys = entries.map(|entry| (observed.id_of(namespace, &entry.key), entry.key.clone())).collect();
    let mut reader = Reader { keys, wanted: Wanted::default(), beyond: Beyond::default() };
    observed.with_foreign().entries().iter().for_each(|entry| reader.want(entry));
    loop {
        let wanted = std::mem::take(&mut reader.wanted);
        if wanted.parents.chains.is_empty() && wanted.parents.groups.is_empty() && wanted.addresses.is_empty()
        {
            return Ok(reader.beyond);
        }
        let found = read_children(client, dialect, &wanted.parents, &|_| ()).await?;
        for id in found.rules.keys() {
            reader.add_parent(*id, |key, resolve| found.chain_beyond(*id, key, resolve));
        }
        for id in found.members.keys() {
            reader.add_parent(*id, |key, resolve| found.group_beyond(*id, key, resolve));
        }
        for group in wanted.addresses {
            let addresses = addresses_of(client, group).await?;
            reader.beyond.address_groups.insert(group, addresses);
        }
    }
}

/// The objects that are to be read.
#[derive(Default)]
struct Wanted {
    parents: Parents,
    addresses: BTreeSet<Uuid>,
}

struct Reader {
    /// The keys of known objects, by id.
    keys: BTreeMap<Uuid, Key>,
    wanted: Wanted,
    beyond: Beyond,
}

impl Reader {
    /// Notes what an object leads to that was not read yet.
    fn want(&mut self, entry: &Entry) {
        let mut chains = Vec::new();
        entry.object.references(&mut |found| {
            if let (Reference::External(id), [Kind::Chain]) = (found.reference, found.kinds) {
                chains.push(*id);
            }
        });
        for chain in chains {
            if self.is_new(chain, &entry.key) {
                self.wanted.parents.chains.insert(chain);
            }
        }
        for (name, field) in entry.object.other_fields().into_iter().flatten() {
            let OtherField::Reference(Reference::External(id)) = field else { continue };
            match name.as_str() {
                "portGroup" | "inPortGroup" | "outPortGroup" if self.is_new(*id, &entry.key) => {
                    self.wanted.parents.groups.insert(*id);
                }
                "ipAddrGroupSrc" | "ipAddrGroupDst" if !self.beyond.address_groups.contains_key(id) => {
                    self.wanted.addresses.insert(*id);
                }
                _ => {}
            }
        }
    }

    /// Gives an object that was not seen before a key below the one that leads to it.
    fn is_new(&mut self, id: Uuid, from: &Key) -> bool {
        let is_new = !self.keys.contains_key(&id);
        self.keys.entry(id).or_insert_with(|| from.foreign(id));
        is_new
    }

    fn add(&mut self, key: Key, object: Object) {
        let entry = Entry { key, object, provenance: None };
        self.want(&entry);
        self.beyond.entries.push(entry);
    }

    /// Adds a chain or a port group, and what is in it.
    fn add_parent(
        &mut self,
        id: Uuid,
        read: impl FnOnce(&Key, &dyn Fn(Uuid) -> Reference) -> (Object, Vec<(Uuid, Object)>),
    ) {
        let Some(parent) = self.keys.get(&id).cloned() else { return };
        let (object, children) =
            read(&parent, &|id| self.keys.get(&id).map_or(Reference::External(id), Reference::from));
        self.add(parent.clone(), object);
        for (id, child) in children {
            self.add(parent.foreign(id), child);
        }
    }
}

/// An address of an address group.
#[derive(Deserialize)]
struct GroupAddress {
    addr: String,
}

/// Reads the IPv4 addresses of an address group.
async fn addresses_of(client: &Client, group: Uuid) -> Result<BTreeSet<Ipv4Addr>, ClientError> {
    let path = format!("/ip_addr_groups/{group}/ip_addrs");
    let accept = "application/vnd.org.midonet.collection.IpAddrGroupAddr-v1+json";
    let answer = match client.get(&path, accept).await {
        Err(ClientError::Status { status: 404, .. }) => return Ok(BTreeSet::new()),
        other => other?,
    };
    let addresses: Vec<GroupAddress> =
        lists::read(&answer.body).map_err(|error| answer.unreadable(&error))?;
    let mut ipv4 = BTreeSet::new();
    for GroupAddress { addr } in &addresses {
        match addr.parse() {
            Ok(IpAddr::V4(address)) => drop(ipv4.insert(address)),
            Ok(IpAddr::V6(_)) => {}
            Err(_) => {
                let expected =
                    format!("addresses, and `addr` of one in the group {group} is `{}`", printable(addr));
                return Err(answer.unexpected(&expected));
            }
        }
    }
    Ok(ipv4)
}
