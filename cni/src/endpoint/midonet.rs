//! A pod in MidoNet: its port and its binding, planned by the compiler as a tenant is, and carried out the same way.

use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::pod;
use midoform_compiler::midonet::lower::pod::Pod;
use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kind::Kind;
use midoform_compiler::topology::object::{Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::client::{Client, ClientError};
use midoform_reconcile::execute::{Control, execute};
use midoform_store::ipam::Attachment;
use serde::Deserialize;
use uuid::Uuid;

use crate::protocol::error::{CniError, Code, Result};

/// What an attachment remembers when its port is tied to its address.
pub(crate) const ANTI_SPOOF: &str = "tied";

/// What an attachment remembers when an ADD found one that did not end: a call of that one may still be on its way, and on
/// 1.x make a second port.
pub(crate) const RETRIED: &str = "begun_anew";

/// The pods of one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) name: &'a str,
    pub(crate) dialect: Dialect,
}

/// What the API says of a port.
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

impl Site<'_> {
    /// The port's id, where it follows from who the pod is.
    pub(crate) fn port_id(&self, tenant: &str, host: Uuid, container: &str, interface: &str) -> Option<Uuid> {
        let key = pod::key(tenant, host, container, interface).join("port");
        self.dialect.keeps_offered_id(Kind::BridgePort).then(|| Namespace::of_site(self.name).id(&key))
    }

    fn key(attachment: &Attachment) -> Key {
        let owner = &attachment.owner;
        pod::key(&attachment.tenant, attachment.host, &owner.container, &owner.interface)
    }

    /// The objects of a pod.
    pub(crate) fn topology(&self, attachment: &Attachment, tenant_id: &str) -> Topology {
        let is_tied = attachment.extra.contains_key(ANTI_SPOOF);
        pod::lower(&Pod {
            tenant: &attachment.tenant,
            tenant_id,
            bridge: Reference::External(attachment.bridge_id),
            container: &attachment.owner.container,
            interface: &attachment.owner.interface,
            host: attachment.host,
            host_interface: &attachment.host_interface,
            tied_to: is_tied.then_some((attachment.address, attachment.mac)),
        })
    }

    /// The plan that makes a pod of which nothing is there.
    pub(crate) fn plan(&self, attachment: &Attachment, tenant_id: &str) -> Plan {
        midonet::plan(self.name, self.dialect, &self.topology(attachment, tenant_id), &Observed::default())
    }

    /// Makes port and binding; answers the port's id, and whether it was begun anew ([`RETRIED`]): what an uncertain end
    /// left is taken away, and made again once.
    pub(crate) async fn connect(
        &self,
        client: &Client,
        attachment: &Attachment,
        tenant_id: &str,
    ) -> Result<(Uuid, bool)> {
        let plan = self.plan(attachment, tenant_id);
        match self.execute(client, &plan, attachment).await {
            // A port of this id is this container's own, of a claim that the store does not know (any more).
            Err(error) if error.is_uncertain() || error.status() == Some(409) => {
                tracing::warn!(step = "port", %error, "making anew what may be there, or half there");
                self.disconnect(client, attachment).await.map_err(|error| refused(&error))?;
                let port = self.execute(client, &plan, attachment).await.map_err(|error| refused(&error))?;
                Ok((port, true))
            }
            Err(error) if error.status() == Some(404) => {
                let (bridge, tenant) = (&attachment.bridge, &attachment.tenant);
                let message = format!("bridge `{bridge}` of tenant `{tenant}` is not in MidoNet");
                let why =
                    "it was deleted there by hand, or the store is another site's: each site needs its own";
                Err(CniError::new(Code::Tenant, message).details(format!("{error}; {why}")))
            }
            other => other.map(|port| (port, false)).map_err(|error| refused(&error)),
        }
    }

    /// Takes away the port of a container that the store knows nothing of, which needs an id that follows from the names.
    pub(crate) async fn disconnect_unknown(
        &self,
        client: &Client,
        unknown: &Attachment,
    ) -> std::result::Result<bool, ClientError> {
        if !self.dialect.keeps_offered_id(Kind::BridgePort) || self.find(client, unknown).await?.is_none() {
            return Ok(false);
        }
        self.disconnect(client, unknown).await?;
        Ok(true)
    }

    async fn execute(
        &self,
        client: &Client,
        plan: &Plan,
        attachment: &Attachment,
    ) -> std::result::Result<Uuid, ClientError> {
        let outcome = execute(client, plan, 2, &Control::default(), &|_| {}).await;
        if let Some(failure) = outcome.failure {
            return Err(failure.source);
        }
        let key = Self::key(attachment).join("port");
        let by_key = || {
            self.dialect.keeps_offered_id(Kind::BridgePort).then(|| Namespace::of_site(self.name).id(&key))
        };
        let found = outcome.ids.get(&key).copied().or_else(by_key);
        found.ok_or_else(|| ClientError::Setup(format!("the port's id did not come back for {key}")))
    }

    /// Takes binding and port away, whatever of them is there.
    pub(crate) async fn disconnect(
        &self,
        client: &Client,
        attachment: &Attachment,
    ) -> std::result::Result<(), ClientError> {
        if self.dialect.keeps_offered_id(Kind::BridgePort) {
            return self.delete(client, attachment, None).await;
        }
        let ports = match attachment.port {
            Some(port) if !attachment.extra.contains_key(RETRIED) => vec![port],
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

    /// Deletes a pod's objects; the port by the id that the server chose, where it did.
    async fn delete(
        &self,
        client: &Client,
        attachment: &Attachment,
        port: Option<Uuid>,
    ) -> std::result::Result<(), ClientError> {
        let mut topology = self.topology(attachment, "");
        let mut observed = Observed::default();
        if let Some(port) = port {
            observed.ids.insert(Self::key(attachment).join("port"), port);
        } else if !self.dialect.keeps_offered_id(Kind::BridgePort) {
            // Nothing but the chain can be there.
            topology = topology.filtered(|entry| matches!(entry.object, Object::Chain(_)));
        }
        // Rules go with their chain.
        observed.topology = topology.filtered(|entry| !matches!(entry.object, Object::Rule(_)));
        let plan = midonet::plan(self.name, self.dialect, &Topology::default(), &observed);
        let outcome = execute(client, &plan, 1, &Control::default(), &|_| {}).await;
        outcome.failure.map_or(Ok(()), |failure| Err(failure.source))
    }

    /// The pod's port, wherever the server put it. On 1.x a port that nobody knows the id of is recognised by the mark
    /// that it was made with, or by what it is bound to.
    async fn find(
        &self,
        client: &Client,
        attachment: &Attachment,
    ) -> std::result::Result<Option<Port>, ClientError> {
        let mark = Namespace::of_site(self.name).id(&Self::key(attachment).join("port"));
        let id = match (self.dialect.keeps_offered_id(Kind::BridgePort), attachment.port) {
            (true, _) => Some(mark),
            (false, known) => known,
        };
        if let Some(id) = id {
            let accept = self.dialect.media_type(Kind::BridgePort);
            return read(client, &format!("/ports/{id}"), accept).await;
        }
        Ok(self.find_all(client, attachment).await?.into_iter().next())
    }

    /// The ports on the bridge that are the pod's: more than one where an answer was lost and the call made again.
    async fn find_all(
        &self,
        client: &Client,
        attachment: &Attachment,
    ) -> std::result::Result<Vec<Port>, ClientError> {
        let mark = Namespace::of_site(self.name).id(&Self::key(attachment).join("port"));
        let (path, accept) = (
            format!("/bridges/{}/ports", attachment.bridge_id),
            self.dialect.collection_media_type(Kind::BridgePort),
        );
        let ports: Option<Vec<Port>> = read(client, &path, &accept).await?;
        let is_own = |port: &Port| {
            let is_bound = port.host_id == Some(attachment.host)
                && port.interface_name.as_deref() == Some(&attachment.host_interface);
            port.vif_id == Some(mark) || is_bound
        };
        Ok(ports.unwrap_or_default().into_iter().filter(is_own).collect())
    }

    /// What is not in the API as `connect` made it: nothing when all is well.
    pub(crate) async fn problems(
        &self,
        client: &Client,
        attachment: &Attachment,
    ) -> std::result::Result<Vec<String>, ClientError> {
        let Some(port) = self.find(client, attachment).await? else {
            return Ok(vec![format!("bridge `{}` has no port for it", attachment.bridge)]);
        };
        let mut problems = Vec::new();
        if port.device_id != Some(attachment.bridge_id) {
            problems.push(format!("port {} is not on bridge `{}`", port.id, attachment.bridge));
        }
        if port.host_id != Some(attachment.host)
            || port.interface_name.as_deref() != Some(&attachment.host_interface)
        {
            problems
                .push(format!("port {} is not bound to {} of this host", port.id, attachment.host_interface));
        }
        Ok(problems)
    }
}

/// One read; nothing where there is nothing.
async fn read<T: for<'a> Deserialize<'a>>(
    client: &Client,
    path: &str,
    accept: &str,
) -> std::result::Result<Option<T>, ClientError> {
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

/// What the API's refusal means to a runtime: whether trying again may help.
pub(crate) fn refused(error: &ClientError) -> CniError {
    let code = match error {
        ClientError::Unreachable { .. } | ClientError::AnswerLost { .. } => Code::TryAgainLater,
        ClientError::Status { status, .. } if *status == 429 || *status >= 500 => Code::TryAgainLater,
        ClientError::Setup(_) => Code::InvalidConfiguration,
        _ => Code::ApiRefused,
    };
    let message = match code {
        Code::TryAgainLater => "the MidoNet API can't be used now",
        Code::InvalidConfiguration => "the MidoNet API can't be called",
        _ => "the MidoNet API refuses",
    };
    CniError::new(code, message).details(error.to_string())
}

impl From<ClientError> for CniError {
    fn from(error: ClientError) -> CniError {
        refused(&error)
    }
}
