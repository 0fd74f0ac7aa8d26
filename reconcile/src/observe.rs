//! Reads the network: first the lists of all devices and ports, then rules by chain and routes by router.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::printable::beginning;
use midoform_compiler::topology::kinds::{
    Bridge, Chain, Kind, PortGroup, PortGroupPort, PortJson, Resource, Route, Router, Rule, TunnelZone,
    TunnelZoneHost,
};
use midoform_compiler::topology::observed::Observed;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::client::{Client, ClientError};
use crate::event::Event;
use crate::inventory::Inventory;
use crate::lists::{self, Unusable};
use crate::recognise;

pub use crate::scope::{ForeignObjects, Parents, Scope};

/// The number of reads at a time: measured, eight are twice as fast as one.
const PARALLEL_READS: usize = 8;

/// The number of characters of a value in an error.
const LONGEST_VALUE: usize = 100;

/// Observes the network.
///
/// # Errors
/// Returns an error if a read fails.
pub async fn observe(
    client: &Client,
    scope: Scope<'_>,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Observed, ClientError> {
    let reader = Reader::new(client, scope.dialect(), events);
    let mut raw = reader.devices().await?;
    let devices = recognise::devices(&raw, scope);
    // The list of all ports is the longest: the lists of the devices are read at the same time.
    let (ports, ()) = tokio::try_join!(reader.ports(), reader.by_parent(&mut raw, &devices.parents))?;
    raw.ports = ports;
    recognise::match_all(&raw, devices, scope).map_err(|malformed| ClientError::Malformed {
        url: client.base_url().to_owned(),
        object: format!("{} ({})", malformed.key, malformed.id),
        field: malformed.found.field,
        value: beginning(&malformed.found.value, LONGEST_VALUE),
    })
}

/// Reads all devices, chains, groups and ports, without rules, routes and members.
///
/// # Errors
/// Returns an error if a read fails.
pub async fn read_inventory(
    client: &Client,
    dialect: Dialect,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Inventory, ClientError> {
    let reader = Reader::new(client, dialect, events);
    let (inventory, ports) = tokio::try_join!(reader.devices(), reader.ports())?;
    Ok(Inventory { ports, ..inventory })
}

/// Reads the rules, routes and members of these parents; the rest of the inventory is empty.
///
/// # Errors
/// Returns an error if a read fails.
pub async fn read_children(
    client: &Client,
    dialect: Dialect,
    parents: &Parents,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Inventory, ClientError> {
    let mut inventory = Inventory::default();
    Reader::new(client, dialect, events).by_parent(&mut inventory, parents).await?;
    Ok(inventory)
}

/// Reads all ports of routers and bridges.
pub(crate) async fn read_ports(client: &Client, dialect: Dialect) -> Result<Vec<PortJson>, ClientError> {
    read_list(client, "/ports", &dialect.collection_media_type(Kind::RouterPort)).await
}

/// Reads lists, several at a time.
struct Reader<'a> {
    client: &'a Client,
    dialect: Dialect,
    events: &'a (dyn Fn(Event) + Sync),
    gate: Arc<Semaphore>,
}

impl<'a> Reader<'a> {
    fn new(client: &'a Client, dialect: Dialect, events: &'a (dyn Fn(Event) + Sync)) -> Self {
        Reader { client, dialect, events, gate: Arc::new(Semaphore::new(PARALLEL_READS)) }
    }

    /// Reads all devices, chains and groups.
    async fn devices(&self) -> Result<Inventory, ClientError> {
        let (routers, bridges, chains, groups, zones) = tokio::try_join!(
            self.read::<Router>(),
            self.read::<Bridge>(),
            self.read::<Chain>(),
            self.read::<PortGroup>(),
            self.read::<TunnelZone>(),
        )?;
        (self.events)(Event::Read { done: 5, of: 6 });
        Ok(Inventory { routers, bridges, chains, groups, zones, ..Inventory::default() })
    }

    async fn ports(&self) -> Result<Vec<PortJson>, ClientError> {
        let _permit = self.gate.acquire().await.ok();
        read_ports(self.client, self.dialect).await
    }

    /// Reads the rules, routes and members of these parents.
    async fn by_parent(&self, raw: &mut Inventory, parents: &Parents) -> Result<(), ClientError> {
        let of =
            6 + parents.chains.len() + parents.routers.len() + parents.groups.len() + parents.zones.len();
        let done = AtomicUsize::new(6);
        (raw.rules, raw.routes, raw.members, raw.zone_hosts) = tokio::try_join!(
            self.each::<Rule>((Kind::Chain, &parents.chains), &done, of),
            self.each::<Route>((Kind::Router, &parents.routers), &done, of),
            self.each::<PortGroupPort>((Kind::PortGroup, &parents.groups), &done, of),
            self.each::<TunnelZoneHost>((Kind::TunnelZone, &parents.zones), &done, of),
        )?;
        Ok(())
    }

    /// Reads the objects of a kind that are part of each of these parents.
    async fn each<R: Resource>(
        &self,
        (kind, parents): (Kind, &BTreeSet<Uuid>),
        done: &AtomicUsize,
        of: usize,
    ) -> Result<BTreeMap<Uuid, Vec<R::Json>>, ClientError>
    where
        R::Json: Send + 'static,
    {
        let mut tasks = tokio::task::JoinSet::new();
        for id in parents.iter().copied() {
            let path = R::collection_path(&id.to_string());
            let (client, gate, accept) =
                (self.client.clone(), self.gate.clone(), self.dialect.collection_media_type(R::KIND));
            let of_parent = self.dialect.media_type(kind);
            tasks.spawn(async move {
                // The semaphore is never closed. A read without a permit would be correct as well.
                let _permit = gate.acquire().await.ok();
                let items = read_children_of(&client, (&path, &accept), of_parent).await?;
                Ok::<_, ClientError>((id, items))
            });
        }
        let mut found = BTreeMap::new();
        while let Some(result) = tasks.join_next().await {
            let result = result.map_err(|error| ClientError::Defect(error.to_string()))?;
            let (id, items) = result?;
            found.insert(id, items);
            (self.events)(Event::Read { done: done.fetch_add(1, Ordering::Relaxed) + 1, of });
        }
        Ok(found)
    }

    /// Reads all objects of a kind that is part of no other.
    async fn read<R: Resource>(&self) -> Result<Vec<R::Json>, ClientError> {
        let _permit = self.gate.acquire().await.ok();
        let accept = self.dialect.collection_media_type(R::KIND);
        read_list(self.client, &R::collection_path(""), &accept).await
    }
}

/// Reads the objects that are part of another one. If that was deleted between two reads, it has none. `of_parent` is the
/// other one's media type.
async fn read_children_of<T: DeserializeOwned>(
    client: &Client,
    (path, accept): (&str, &str),
    of_parent: &str,
) -> Result<Vec<T>, ClientError> {
    let not_found = match read_list(client, path, accept).await {
        Err(error @ ClientError::Status { status: 404, .. }) => error,
        other => return other,
    };
    let parent = path.rsplit_once('/').map_or(path, |(parent, _)| parent);
    match client.get(parent, of_parent).await {
        Err(ClientError::Status { status: 404, .. }) => Ok(Vec::new()),
        // A list that is not there is no empty list.
        Ok(_) => Err(not_found),
        Err(error) => Err(error),
    }
}

async fn read_list<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    accept: &str,
) -> Result<Vec<T>, ClientError> {
    let answer = client.get(path, accept).await?;
    let parent = path.rsplit('/').nth(1).and_then(|parent| Uuid::try_parse(parent).ok());
    lists::read_objects(&answer.body, parent).map_err(|unusable| match unusable {
        Unusable::Json(error) => answer.unreadable(&error),
        Unusable::Objects(words) => answer.unexpected(&words),
    })
}
