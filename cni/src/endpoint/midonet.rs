//! The part of an endpoint in MidoNet: a port on the tenant's bridge, and the port's binding to an interface of the host.
//!
//! The compiler plans both as it plans a tenant. The claim in the store names all of it, so the plan takes the short way
//! through the reconcile loop ([`ClaimedPort`]).

use std::collections::BTreeMap;

use async_trait::async_trait;
use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::pod;
use midoform_compiler::midonet::lower::pod::Pod;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::{Kind, Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::claimed_port::{ClaimedPort, PortError};
use midoform_reconcile::client::{Client, ClientError};
use midoform_store::ipam::Attachment;
use midoform_store::ipam::consistency::Finding;
use midoform_store::ipam::host_interface::{pod_keys, tag_of};
use midoform_store::ready::Ready;
use serde::Deserialize;
use uuid::Uuid;

use super::ports::{self, Claim, PortState, Sweep};
use super::{ANTI_SPOOF, REPEATED};
use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};

/// The ports of endpoints at one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports<'a> {
    site: &'a str,
    dialect: Dialect,
}

/// The ports with the client of the API.
pub(crate) struct MidonetPorts<'a> {
    pub(super) ports: Ports<'a>,
    pub(super) host: Uuid,
    pub(super) client: Client,
}

#[async_trait(?Send)]
impl ports::Ports for MidonetPorts<'_> {
    fn needs_checksums(&self) -> bool {
        false
    }

    async fn refuse_mac_of_router(&self, attachment: &Attachment) -> Result<()> {
        self.ports.refuse_mac_of_router(&self.client, attachment).await
    }

    async fn attach(&self, claim: Claim<'_>, ready: &Ready) -> Result<()> {
        let port = self.ports.attach(&self.client, claim, ready).await?;
        tracing::debug!(step = "port", %port, "port and binding are made");
        Ok(())
    }

    /// The port is bound already: the agent takes the interface when it appears.
    async fn plug(&self, _attachment: &Attachment) -> Result<()> {
        Ok(())
    }

    /// MidoNet does not say when packets pass.
    async fn settle(&self, _attachment: &Attachment) -> Result<()> {
        Ok(())
    }

    async fn check(&self, attachment: &Attachment, _ready: &Ready) -> Result<PortState> {
        let problems = self.ports.problems(&self.client, attachment).await?;
        Ok(PortState { is_bound: problems.is_empty(), problems })
    }

    async fn detach(&self, attachment: &Attachment) -> Result<()> {
        self.ports.detach(&self.client, attachment).await
    }

    async fn detach_unrecorded(&self, endpoint: &Attachment) -> Result<bool> {
        self.ports.detach_unrecorded(&self.client, endpoint).await
    }

    async fn sweep(&self, sweep: &Sweep<'_>) -> Result<Vec<Finding>> {
        let connection = self.client.clone().into();
        ports::delete_orphans(&connection, self.ports.site, self.host, sweep).await
    }

    async fn status(&self) -> Result<()> {
        if self.ports.is_agent_running(&self.client, self.host).await? {
            return Ok(());
        }
        let message = format!("the MidoNet agent of host {} is not running", self.host);
        Err(CniError::new(Code::LimitedConnectivity, message).hint("start midolman on this host"))
    }
}

/// A port as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    id: Uuid,
    #[serde(default)]
    device_id: Option<Uuid>,
    #[serde(default)]
    host_id: Option<Uuid>,
    #[serde(default)]
    interface_name: Option<String>,
    #[serde(default)]
    vif_id: Option<Uuid>,
}

/// A port of a bridge, or the router's port that it is linked to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinkedPort {
    id: Uuid,
    #[serde(default)]
    peer_id: Option<Uuid>,
    #[serde(default)]
    port_mac: Option<String>,
}

/// A binding as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    port_id: Uuid,
    #[serde(default)]
    interface_name: Option<String>,
}

type CallResult<T> = std::result::Result<T, ClientError>;

impl<'a> Ports<'a> {
    /// Returns the ports of a backend's site.
    pub(crate) fn of(backend: &Backend<'a>) -> Ports<'a> {
        Ports { site: backend.site_name(), dialect: backend.dialect() }
    }

    /// Makes port and binding. The port's id is saved in the claim once the server has chosen it.
    ///
    /// If it is uncertain on 1.x what the first try did, whatever is there is removed, and the port is made once more. On 5.x
    /// the port would get the id of a deleted port, so this is an error, and the next ADD makes another port.
    pub(crate) async fn attach(&self, client: &Client, mut claim: Claim<'_>, ready: &Ready) -> Result<Uuid> {
        let record = &claim.attachment.record;
        let topology = self.topology(record, &ready.tenant_id, ready.untagged);
        let plan = midonet::plan(self.site, self.dialect, &topology, &Observed::default());
        let port = ClaimedPort::new(plan, &topology, &present(record, ready))?;
        match self.create(client, &port, &mut claim).await {
            Err(PortError::Step(failed)) if failed.source.is_uncertain() && !self.ids_follow_from_keys() => {
                let error = &failed.source;
                tracing::warn!(step = "port", %error, "a port may exist already: removing and making it again");
                self.detach(client, &claim.attachment.record).await?;
                claim.attachment.record.extra.insert(REPEATED.to_owned(), true.into());
                self.create(client, &port, &mut claim).await?;
            }
            Err(PortError::Step(failed)) if failed.source.status() == Some(404) => {
                let Attachment { bridge, tenant, .. } = &claim.attachment.record;
                let message = format!("bridge `{bridge}` of tenant `{tenant}` is not in MidoNet");
                return Err(CniError::new(Code::Tenant, message).caused_by(failed.source).hint(
                    "somebody deleted it there, or the store is another site's: each site needs its own store",
                ));
            }
            other => other?,
        }
        let record = &claim.attachment.record;
        let missing =
            || ClientError::Setup(format!("the API returned no id of the port {}", Self::key(record)));
        Ok(record.port.ok_or_else(missing)?)
    }

    /// Fails if a router's port on the bridge has the MAC address of an attachment. A pod with the gateway's MAC address takes the
    /// traffic of all other pods to other networks. The server chooses the MAC addresses of routers' ports.
    pub(crate) async fn refuse_mac_of_router(&self, client: &Client, attachment: &Attachment) -> Result<()> {
        let Attachment { bridge, bridge_id, mac, .. } = attachment;
        let accept = self.dialect.collection_media_type(Kind::BridgePort);
        let ports: Option<Vec<LinkedPort>> =
            get(client, &format!("/bridges/{bridge_id}/ports"), &accept).await?;
        for peer in ports.unwrap_or_default().into_iter().filter_map(|port| port.peer_id) {
            let accept = self.dialect.media_type(Kind::RouterPort);
            let port: Option<LinkedPort> = get(client, &format!("/ports/{peer}"), accept).await?;
            let has_mac = |port: &LinkedPort| {
                let theirs = port.port_mac.as_deref().map(|text| text.to_lowercase().parse());
                theirs.and_then(std::result::Result::ok) == Some(*mac)
            };
            if let Some(port) = port.filter(has_mac) {
                let message = format!(
                    "the MAC address {mac} in bridge `{bridge}` belongs to a router's port ({})",
                    port.id
                );
                return Err(CniError::new(Code::AddressRefused, message).hint("request another MAC address"));
            }
        }
        Ok(())
    }

    /// Returns true if a host's agent is running. Fails if the API does not know the host.
    async fn is_agent_running(&self, client: &Client, host: Uuid) -> Result<bool> {
        #[derive(Deserialize)]
        struct Host {
            #[serde(default)]
            alive: bool,
        }
        let accept = match self.dialect {
            Dialect::V1 => "application/vnd.org.midonet.Host-v2+json",
            Dialect::V5 => "application/vnd.org.midonet.Host-v3+json",
        };
        let Some(host): Option<Host> = get(client, &format!("/hosts/{host}"), accept).await? else {
            let message = format!("the MidoNet API does not know the host {host}");
            return Err(CniError::new(Code::NotAvailable, message)
                .hint("check `host_uuid`, and that the host's agent has run at least once"));
        };
        Ok(host.alive)
    }

    /// Removes binding and port. What does not exist is no error.
    pub(crate) async fn detach(&self, client: &Client, attachment: &Attachment) -> Result<()> {
        // Calls of an earlier ADD that did not end may have made these ports, perhaps with chains.
        for name in &attachment.earlier_interfaces {
            let mut earlier = Attachment { host_interface: name.clone(), ..attachment.clone() };
            earlier.extra.insert(ANTI_SPOOF.to_owned(), true.into());
            self.delete(client, &earlier, None).await?;
        }
        if self.ids_follow_from_keys() {
            return self.delete(client, attachment, None).await;
        }
        let ports = match attachment.port {
            Some(port) if !attachment.extra.contains_key(REPEATED) => vec![port],
            _ => self.find_all(client, attachment).await?.iter().map(|port| port.id).collect(),
        };
        if ports.is_empty() {
            return self.delete(client, attachment, None).await;
        }
        for port in ports {
            self.delete(client, attachment, Some(port)).await?;
        }
        Ok(())
    }

    /// Removes the ports of an endpoint that the store has no attachment of. Returns true if there was one.
    ///
    /// The name of the host's interface decides about a port's id (on 1.x its `vifId`). It is the name that midoform always
    /// gave before, or the name of a binding on this host.
    pub(crate) async fn detach_unrecorded(&self, client: &Client, endpoint: &Attachment) -> Result<bool> {
        let mut found = false;
        if self.ids_follow_from_keys() && self.find(client, endpoint).await?.is_some() {
            self.detach(client, endpoint).await?;
            found = true;
        }
        for binding in self.bindings(client, endpoint.host).await? {
            let Some(name) = binding.interface_name else { continue };
            if tag_of(&endpoint.owner, &name).is_none() {
                continue;
            }
            let attachment =
                Attachment { host_interface: name, port: Some(binding.port_id), ..endpoint.clone() };
            if self.is_port_of(client, binding.port_id, &attachment).await? {
                self.detach(client, &attachment).await?;
                found = true;
            }
        }
        Ok(found)
    }

    /// Reads the bindings on a host.
    async fn bindings(&self, client: &Client, host: Uuid) -> CallResult<Vec<Binding>> {
        let accept = self.dialect.collection_media_type(Kind::HostInterfacePort);
        Ok(get(client, &format!("/hosts/{host}/ports"), &accept).await?.unwrap_or_default())
    }

    /// Returns true if a port's id, on 1.x its `vifId`, follows from the attachment.
    async fn is_port_of(&self, client: &Client, port: Uuid, attachment: &Attachment) -> CallResult<bool> {
        let id = self.key_id(attachment);
        if self.ids_follow_from_keys() {
            return Ok(port == id);
        }
        let accept = self.dialect.media_type(Kind::BridgePort);
        let found: Option<Port> = get(client, &format!("/ports/{port}"), accept).await?;
        Ok(found.is_some_and(|port| port.vif_id == Some(id)))
    }

    /// Returns the differences from what `attach` makes.
    pub(crate) async fn problems(&self, client: &Client, attachment: &Attachment) -> CallResult<Vec<String>> {
        let Attachment { bridge, bridge_id, host, host_interface, .. } = attachment;
        let Some(port) = self.find(client, attachment).await? else {
            return Ok(vec![format!("bridge `{bridge}` has no port for it")]);
        };
        let mut problems = Vec::new();
        if port.device_id != Some(*bridge_id) {
            problems.push(format!("port {} is not on bridge `{bridge}`", port.id));
        }
        if port.host_id != Some(*host) || port.interface_name.as_ref() != Some(host_interface) {
            problems.push(format!("port {} is not bound to {host_interface} of this host", port.id));
        }
        Ok(problems)
    }

    fn ids_follow_from_keys(&self) -> bool {
        self.dialect.keeps_offered_id(Kind::BridgePort)
    }

    fn key(attachment: &Attachment) -> Key {
        attachment.keys().port()
    }

    /// Returns the UUID of the port's key. On 5.x it is the port's id, on 1.x its `vifId`.
    fn key_id(&self, attachment: &Attachment) -> Uuid {
        Namespace::of_site(self.site).id(&Self::key(attachment))
    }

    /// Returns the objects of an endpoint. `untagged` is the tenant's chain that drops frames with a VLAN tag.
    fn topology(&self, attachment: &Attachment, tenant_id: &str, untagged: Option<Uuid>) -> Topology {
        let has_anti_spoof = attachment.extra.contains_key(ANTI_SPOOF);
        pod::lower(&Pod {
            tenant: &attachment.tenant,
            tenant_id,
            bridge: Reference::External(attachment.bridge_id),
            container: &attachment.owner.container,
            interface: &attachment.owner.interface,
            tag: tag_of(&attachment.owner, &attachment.host_interface),
            host: attachment.host,
            host_interface: &attachment.host_interface,
            untagged: untagged.map(Reference::External),
            tied_to: has_anti_spoof.then_some((attachment.address, attachment.mac)),
        })
    }

    /// Creates the objects of an endpoint, and records the port's id. It is in the claim already if it follows from the
    /// endpoint.
    async fn create(
        &self,
        client: &Client,
        port: &ClaimedPort,
        claim: &mut Claim<'_>,
    ) -> std::result::Result<(), PortError<CniError>> {
        let key = Self::key(&claim.attachment.record);
        let by_key = self.ids_follow_from_keys().then(|| self.key_id(&claim.attachment.record));
        let record = async |ids: &BTreeMap<Key, Uuid>| match ids.get(&key).copied().or(by_key) {
            Some(id) if claim.attachment.record.port != Some(id) => {
                claim.attachment.record.port = Some(id);
                claim.save().await
            }
            _ => Ok(()),
        };
        port.create(&client.clone().into(), 2, record).await
    }

    /// Deletes an endpoint's objects. `port` is the port's id if the server chose it.
    async fn delete(&self, client: &Client, attachment: &Attachment, port: Option<Uuid>) -> Result<()> {
        let mut topology = self.topology(attachment, "", None);
        let mut observed = Observed::default();
        if let Some(port) = port {
            observed.ids.insert(Self::key(attachment), port);
        } else if !self.ids_follow_from_keys() {
            // No port was found, so only the chain can be there.
            topology = topology.filtered(|entry| matches!(entry.object, Object::Chain(_)));
        }
        // The API deletes the rules together with their chain.
        observed.topology = topology.filtered(|entry| !matches!(entry.object, Object::Rule(_)));
        let nothing = Topology::default();
        let plan = midonet::plan(self.site, self.dialect, &nothing, &observed);
        Ok(ClaimedPort::new(plan, &nothing, &observed)?.delete(&client.clone().into()).await?)
    }

    /// Finds the endpoint's port, by its id if that is known.
    async fn find(&self, client: &Client, attachment: &Attachment) -> CallResult<Option<Port>> {
        let id = match self.ids_follow_from_keys() {
            true => Some(self.key_id(attachment)),
            false => attachment.port,
        };
        if let Some(id) = id {
            let accept = self.dialect.media_type(Kind::BridgePort);
            return get(client, &format!("/ports/{id}"), accept).await;
        }
        Ok(self.find_all(client, attachment).await?.into_iter().next())
    }

    /// Finds the endpoint's ports on the bridge, by `vifId` and by binding. There are several if a reply was lost and the
    /// call repeated.
    async fn find_all(&self, client: &Client, attachment: &Attachment) -> CallResult<Vec<Port>> {
        let names: Vec<&String> = attachment.host_interfaces().collect();
        let key_id = |name: &&String| {
            let keys = pod_keys(&attachment.tenant, attachment.host, &attachment.owner, name);
            Namespace::of_site(self.site).id(&keys.port())
        };
        let vif_ids: Vec<Uuid> = names.iter().map(key_id).collect();
        let path = format!("/bridges/{}/ports", attachment.bridge_id);
        let accept = self.dialect.collection_media_type(Kind::BridgePort);
        let ports: Option<Vec<Port>> = get(client, &path, &accept).await?;
        let is_own = |port: &Port| {
            let is_bound = port.host_id == Some(attachment.host)
                && port.interface_name.as_ref().is_some_and(|name| names.contains(&name));
            is_bound || port.vif_id.is_some_and(|id| vif_ids.contains(&id))
        };
        Ok(ports.unwrap_or_default().into_iter().filter(is_own).collect())
    }
}

/// Returns the part of the network that a pod's plan refers to: its bridge, and the tenant's chain for its port.
fn present(attachment: &Attachment, ready: &Ready) -> Observed {
    let bridge = (attachment.bridge_id, Kind::Bridge);
    let present = ready.untagged.map(|chain| (chain, Kind::Chain)).into_iter().chain([bridge]).collect();
    Observed { present, ..Observed::default() }
}

/// Reads one resource. Returns `None` if it does not exist.
async fn get<T: for<'a> Deserialize<'a>>(client: &Client, path: &str, accept: &str) -> CallResult<Option<T>> {
    match client.get(path, accept).await {
        Err(ClientError::Status { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(answer) => answer.json().map(Some),
    }
}
