//! The part of an endpoint in MidoNet: a port on the tenant's bridge, and the port's binding to an interface of the host.
//!
//! The compiler plans both as it plans a tenant, and the plan is executed in the same way.

use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::pod;
use midoform_compiler::midonet::lower::pod::Pod;
use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::{Kind, Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::client::{Client, ClientError};
use midoform_reconcile::execute::{Control, execute};
use midoform_store::ipam::Attachment;
use serde::Deserialize;
use uuid::Uuid;

use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Endpoint;

/// The attachment's extra field that is set if its port has an anti-spoofing chain.
pub(crate) const ANTI_SPOOF: &str = "tied";

/// The attachment's extra field that is set if an ADD repeated one that did not end. A call of the first ADD may still be
/// on its way. On 1.x it then makes a second port.
pub(crate) const REPEATED: &str = "begun_anew";

/// The ports of endpoints at one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports<'a> {
    site: &'a str,
    dialect: Dialect,
}

/// A port that `attach` made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttachedPort {
    pub(crate) id: Uuid,
    /// True if an uncertain first try was removed, and the port made again ([`REPEATED`]).
    pub(crate) is_repeated: bool,
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

type CallResult<T> = std::result::Result<T, ClientError>;

impl<'a> Ports<'a> {
    /// Returns the ports of a backend's site.
    pub(crate) fn of(backend: &Backend<'a>) -> Ports<'a> {
        Ports { site: backend.site_name(), dialect: backend.dialect() }
    }

    /// Returns the port's id if it follows from the endpoint. On 1.x the server chooses it.
    pub(crate) fn id(&self, tenant: &str, host: Uuid, endpoint: &Endpoint) -> Option<Uuid> {
        let key = Key::tenant(tenant).pod(host, &endpoint.container, &endpoint.interface).port();
        self.ids_follow_from_keys().then(|| Namespace::of_site(self.site).id(&key))
    }

    /// Makes port and binding.
    ///
    /// If it is uncertain what the first try did, whatever is there is removed, and the port is made once more.
    pub(crate) async fn attach(
        &self,
        client: &Client,
        attachment: &Attachment,
        tenant_id: &str,
    ) -> Result<AttachedPort> {
        let plan = midonet::plan(
            self.site,
            self.dialect,
            &self.topology(attachment, tenant_id),
            &Observed::default(),
        );
        match self.execute(client, &plan, attachment).await {
            Ok(id) => Ok(AttachedPort { id, is_repeated: false }),
            // A port of this id belongs to this endpoint. Its claim is missing in the store.
            Err(error) if error.is_uncertain() || error.status() == Some(409) => {
                tracing::warn!(step = "port", %error, "a port may exist already: removing and making it again");
                self.detach(client, attachment).await?;
                let id = self.execute(client, &plan, attachment).await?;
                Ok(AttachedPort { id, is_repeated: true })
            }
            Err(error) if error.status() == Some(404) => {
                let (bridge, tenant) = (&attachment.bridge, &attachment.tenant);
                let message = format!("bridge `{bridge}` of tenant `{tenant}` is not in MidoNet");
                Err(CniError::new(Code::Tenant, message).caused_by(error).hint(
                    "somebody deleted it there, or the store is another site's: each site needs its own store",
                ))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes binding and port. What does not exist is no error.
    pub(crate) async fn detach(&self, client: &Client, attachment: &Attachment) -> CallResult<()> {
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

    /// Removes the port of an endpoint that the store has no attachment of. Returns true if there was one. On 1.x such a
    /// port can't be found, since its id does not follow from the endpoint.
    pub(crate) async fn detach_unrecorded(&self, client: &Client, endpoint: &Attachment) -> CallResult<bool> {
        if !self.ids_follow_from_keys() || self.find(client, endpoint).await?.is_none() {
            return Ok(false);
        }
        self.detach(client, endpoint).await?;
        Ok(true)
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
        let owner = &attachment.owner;
        Key::tenant(&attachment.tenant).pod(attachment.host, &owner.container, &owner.interface).port()
    }

    /// Returns the UUID of the port's key. On 5.x it is the port's id, on 1.x its `vifId`.
    fn key_id(&self, attachment: &Attachment) -> Uuid {
        Namespace::of_site(self.site).id(&Self::key(attachment))
    }

    /// Returns the objects of an endpoint.
    fn topology(&self, attachment: &Attachment, tenant_id: &str) -> Topology {
        let has_anti_spoof = attachment.extra.contains_key(ANTI_SPOOF);
        pod::lower(&Pod {
            tenant: &attachment.tenant,
            tenant_id,
            bridge: Reference::External(attachment.bridge_id),
            container: &attachment.owner.container,
            interface: &attachment.owner.interface,
            host: attachment.host,
            host_interface: &attachment.host_interface,
            tied_to: has_anti_spoof.then_some((attachment.address, attachment.mac)),
        })
    }

    /// Executes the plan of an endpoint, and returns the port's id.
    async fn execute(&self, client: &Client, plan: &Plan, attachment: &Attachment) -> CallResult<Uuid> {
        let outcome = execute(client, plan, 2, &Control::default(), &|_| {}).await;
        if let Some(failure) = outcome.failure {
            return Err(failure.source);
        }
        let key = Self::key(attachment);
        let by_key = || self.ids_follow_from_keys().then(|| self.key_id(attachment));
        let found = outcome.ids.get(&key).copied().or_else(by_key);
        found.ok_or_else(|| ClientError::Setup(format!("the API returned no id of the port {key}")))
    }

    /// Deletes an endpoint's objects. `port` is the port's id if the server chose it.
    async fn delete(&self, client: &Client, attachment: &Attachment, port: Option<Uuid>) -> CallResult<()> {
        let mut topology = self.topology(attachment, "");
        let mut observed = Observed::default();
        if let Some(port) = port {
            observed.ids.insert(Self::key(attachment), port);
        } else if !self.ids_follow_from_keys() {
            // No port was found, so only the chain can be there.
            topology = topology.filtered(|entry| matches!(entry.object, Object::Chain(_)));
        }
        // The API deletes the rules together with their chain.
        observed.topology = topology.filtered(|entry| !matches!(entry.object, Object::Rule(_)));
        let plan = midonet::plan(self.site, self.dialect, &Topology::default(), &observed);
        let outcome = execute(client, &plan, 1, &Control::default(), &|_| {}).await;
        outcome.failure.map_or(Ok(()), |failure| Err(failure.source))
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
        let vif_id = self.key_id(attachment);
        let path = format!("/bridges/{}/ports", attachment.bridge_id);
        let accept = self.dialect.collection_media_type(Kind::BridgePort);
        let ports: Option<Vec<Port>> = get(client, &path, &accept).await?;
        let is_own = |port: &Port| {
            let is_bound = port.host_id == Some(attachment.host)
                && port.interface_name.as_deref() == Some(&attachment.host_interface);
            port.vif_id == Some(vif_id) || is_bound
        };
        Ok(ports.unwrap_or_default().into_iter().filter(is_own).collect())
    }
}

/// Reads one resource. Returns `None` if it does not exist.
async fn get<T: for<'a> Deserialize<'a>>(client: &Client, path: &str, accept: &str) -> CallResult<Option<T>> {
    let answer = match client.get(path, accept).await {
        Err(ClientError::Status { status: 404, .. }) => return Ok(None),
        other => other?,
    };
    let url = format!("{}{path}", client.base_url());
    serde_json::from_str(&answer.body).map(Some).map_err(|error| ClientError::Nonsense {
        method: "GET",
        url,
        cause: error.to_string(),
    })
}
