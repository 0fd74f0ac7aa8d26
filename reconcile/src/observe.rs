//! Reads what is there: in bulk what the API lists whole, then rules by chain and routes by router.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::moved::Moves;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kind::Kind;
use midoform_compiler::topology::object::{Object, Reference};
use midoform_compiler::topology::observed::Observed;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::client::{Client, ClientError};
use crate::event::Event;
use crate::recognise::Raw;
use crate::wire::WithRaw;
use crate::{recognise, wire};

/// How many reads are under way at a time: measured, eight are twice as fast as one.
const PARALLEL_READS: usize = 8;

/// Whose objects are looked for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The dialect of the API.
    pub dialect: Dialect,
    /// What is desired: its keys are looked for.
    pub desired: &'a Topology,
    /// What was given out: keys that are no longer desired are looked for as well, and ids of the server's
    /// choosing are found here.
    pub known: &'a Allocations,
    /// The tenants that are looked at: only these tenants' objects can be missing from `desired`.
    pub tenants: &'a BTreeSet<String>,
    /// The provider router.
    pub provider: &'a Reference,
    /// What was renamed: an object may still have the id of its old key.
    pub moves: &'a Moves,
    /// Whether objects that somebody else made are recognised by what they are, whatever the dialect: to adopt them.
    pub adopting: bool,
}

impl<'a> Scope<'a> {
    /// What a run that has not ended well was making.
    pub fn making(self) -> impl Iterator<Item = &'a (Key, Object)> {
        let known = self.tenants.iter().filter_map(move |tenant| self.known.tenants.get(tenant));
        known.flat_map(|tenant| &tenant.making)
    }
}

/// Observes the network.
///
/// # Errors
/// When a read fails.
pub async fn observe(
    client: &Client,
    scope: Scope<'_>,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Observed, ClientError> {
    let reader = Reader::new(client, scope.dialect, events);
    let mut raw = reader.devices().await?;
    let devices = recognise::devices(&raw, scope);
    // The list of all ports is the longest: what hangs on the devices is read meanwhile.
    let (ports, ()) = tokio::try_join!(reader.ports(), reader.by_parent(&mut raw, &devices))?;
    raw.ports = ports;
    Ok(recognise::recognise(&raw, devices, scope))
}

/// Reads lists, several at a time.
pub struct Reader<'a> {
    client: &'a Client,
    dialect: Dialect,
    events: &'a (dyn Fn(Event) + Sync),
    gate: Arc<Semaphore>,
}

impl<'a> Reader<'a> {
    /// A reader of this API in this dialect.
    pub fn new(client: &'a Client, dialect: Dialect, events: &'a (dyn Fn(Event) + Sync)) -> Self {
        Reader { client, dialect, events, gate: Arc::new(Semaphore::new(PARALLEL_READS)) }
    }

    /// What the API lists whole.
    pub async fn bulk(&self) -> Result<Raw, ClientError> {
        let (raw, ports) = tokio::try_join!(self.devices(), self.ports())?;
        Ok(Raw { ports, ..raw })
    }

    /// All devices, chains and groups.
    async fn devices(&self) -> Result<Raw, ClientError> {
        let (routers, bridges, chains, groups, zones) = tokio::try_join!(
            self.read("/routers", Kind::Router, wire::list_with_raw),
            self.read("/bridges", Kind::Bridge, wire::list_with_raw),
            self.read("/chains", Kind::Chain, wire::list),
            self.read("/port_groups", Kind::PortGroup, wire::list),
            self.read("/tunnel_zones", Kind::TunnelZone, wire::list),
        )?;
        (self.events)(Event::Read { done: 5, of: 6 });
        Ok(Raw { routers, bridges, chains, groups, zones, ..Raw::default() })
    }

    async fn ports(&self) -> Result<Vec<WithRaw<wire::Port>>, ClientError> {
        self.read("/ports", Kind::RouterPort, wire::list_with_raw).await
    }

    /// Rules, routes and members of these devices.
    pub async fn by_parent(&self, raw: &mut Raw, devices: &recognise::Devices) -> Result<(), ClientError> {
        let of =
            6 + devices.chains.len() + devices.routers.len() + devices.groups.len() + devices.zones.len();
        let done = AtomicUsize::new(6);
        let rules = |id| (format!("/chains/{id}/rules"), Kind::Rule);
        let routes = |id| (format!("/routers/{id}/routes"), Kind::Route);
        let members = |id| (format!("/port_groups/{id}/ports"), Kind::PortGroupPort);
        let hosts = |id| (format!("/tunnel_zones/{id}/hosts"), Kind::TunnelZoneHost);
        (raw.rules, raw.routes, raw.members, raw.zone_hosts) = tokio::try_join!(
            self.each(&devices.chains, &done, of, rules),
            self.each(&devices.routers, &done, of, routes),
            self.each(&devices.groups, &done, of, members),
            self.each(&devices.zones, &done, of, hosts),
        )?;
        Ok(())
    }

    async fn each<T>(
        &self,
        ids: &BTreeSet<Uuid>,
        done: &AtomicUsize,
        of: usize,
        path: impl Fn(Uuid) -> (String, Kind),
    ) -> Result<BTreeMap<Uuid, Vec<T>>, ClientError>
    where
        T: for<'de> serde::Deserialize<'de> + Send + 'static,
    {
        let mut tasks = tokio::task::JoinSet::new();
        for id in ids.iter().copied() {
            let (path, kind) = path(id);
            let (client, gate, accept) =
                (self.client.clone(), self.gate.clone(), self.dialect.collection_media_type(kind));
            tasks.spawn(async move {
                // The semaphore is never closed; were it, reading without a permit would still be right.
                let _permit = gate.acquire().await.ok();
                let items = read_list(&client, &path, &accept, wire::list::<T>).await?;
                Ok::<_, ClientError>((id, items))
            });
        }
        let mut found = BTreeMap::new();
        while let Some(result) = tasks.join_next().await {
            let result =
                result.map_err(|error| ClientError::Setup(format!("a read was stopped: {error}")))?;
            let (id, items) = result?;
            found.insert(id, items);
            (self.events)(Event::Read { done: done.fetch_add(1, Ordering::Relaxed) + 1, of });
        }
        Ok(found)
    }

    async fn read<T>(
        &self,
        path: &str,
        kind: Kind,
        parse: fn(&str) -> Result<Vec<T>, serde_json::Error>,
    ) -> Result<Vec<T>, ClientError> {
        let _permit = self.gate.acquire().await.ok();
        read_list(self.client, path, &self.dialect.collection_media_type(kind), parse).await
    }
}

async fn read_list<T>(
    client: &Client,
    path: &str,
    accept: &str,
    parse: fn(&str) -> Result<Vec<T>, serde_json::Error>,
) -> Result<Vec<T>, ClientError> {
    let answer = match client.get(path, accept).await {
        // It went away between two reads: then it has nothing.
        Err(ClientError::Status { status: 404, .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let url = format!("{}{path}", client.base_url());
    parse(&answer.body).map_err(|error| ClientError::Nonsense {
        method: "GET",
        url,
        cause: error.to_string(),
    })
}
