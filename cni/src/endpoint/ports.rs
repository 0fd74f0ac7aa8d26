//! The part of an endpoint in the engine's network: one interface for all engines.

use async_trait::async_trait;
use midoform_compiler::topology::key::Namespace;
use midoform_compiler::topology::kinds::Kind;
use midoform_compiler::values::Engine;
use midoform_reconcile::connection::Connection;
use midoform_reconcile::orphaned_ports;
use midoform_store::SharedStore;
use midoform_store::ipam::consistency::{Finding, Snapshot};
use midoform_store::ipam::host_interface::pod_keys;
use midoform_store::ipam::{Attachment, Ipam, Owner};
use midoform_store::ready::Ready;
use midoform_store::record::Held;
use uuid::Uuid;

use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};

/// The attachment's extra field that names the engine, if it is not MidoNet.
pub(super) const ENGINE: &str = "engine";

/// A claim in the store, which names everything that is made for it.
pub(crate) struct Claim<'c> {
    pub(crate) pods: &'c Ipam,
    pub(crate) attachment: &'c mut Held<Attachment>,
}

/// The state of an endpoint's port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortState {
    /// True if the port exists, and is bound to the host's interface of the attachment: it may carry traffic.
    pub(crate) is_bound: bool,
    /// The differences from what ADD made.
    pub(crate) problems: Vec<String>,
}

/// What a sweep needs to know.
pub(crate) struct Sweep<'s> {
    pub(crate) store: &'s SharedStore,
    /// The store, as it was read before.
    pub(crate) before: &'s Snapshot,
    /// The names of the host's interfaces in the kernel.
    pub(crate) interfaces: &'s [String],
}

/// The ports of endpoints in one engine.
#[async_trait(?Send)]
pub(crate) trait Ports {
    /// Returns true if the containers have to send complete checksums.
    fn needs_checksums(&self) -> bool;

    /// Fails if a router's port on the bridge has the MAC address of an attachment. A pod with the gateway's MAC address takes the
    /// traffic of all other pods to other networks.
    async fn refuse_mac_of_router(&self, attachment: &Attachment) -> Result<()>;

    /// Makes the port in the engine's network. The host's interface need not exist yet.
    async fn attach(&self, claim: Claim<'_>, ready: &Ready) -> Result<()>;

    /// Connects the host's interface with the port, if the engine leaves that to the plugin.
    async fn plug(&self, attachment: &Attachment) -> Result<()>;

    /// Waits until packets pass, if the engine says so.
    async fn settle(&self, attachment: &Attachment) -> Result<()>;

    /// Compares the port with what `attach` and `plug` make.
    async fn check(&self, attachment: &Attachment, ready: &Ready) -> Result<PortState>;

    /// Removes the port and the connection with the host's interface. What does not exist is no error.
    async fn detach(&self, attachment: &Attachment) -> Result<()>;

    /// Removes the ports of an endpoint that the store has no attachment of. Returns true if there was one.
    async fn detach_unrecorded(&self, endpoint: &Attachment) -> Result<bool>;

    /// Removes what pods of this host left behind long ago.
    async fn sweep(&self, sweep: &Sweep<'_>) -> Result<Vec<Finding>>;

    /// Fails with code 50 if no port could be made or bound now, with 51 if those that are bound may carry nothing.
    async fn status(&self) -> Result<()>;
}

impl Claim<'_> {
    /// Writes the claim's new values to the store.
    pub(crate) async fn save(&mut self) -> Result<()> {
        if self.pods.update(self.attachment).await? {
            return Ok(());
        }
        let message = "another run removed the attachment while this one made it";
        Err(CniError::new(Code::TryAgainLater, message))
    }
}

/// Returns the fields of an attachment that name its engine.
pub(crate) fn extra_of(engine: Engine) -> serde_json::Map<String, serde_json::Value> {
    let named = (engine == Engine::Ovn).then(|| (ENGINE.to_owned(), engine.name().into()));
    named.into_iter().collect()
}

/// Returns the port's id if it follows from the attachment: its owner, and the name of the host's interface. MidoNet 1.x chooses it.
pub(crate) fn port_id(
    backend: &Backend<'_>,
    tenant: &str,
    host: Uuid,
    owner: &Owner,
    interface: &str,
) -> Option<Uuid> {
    let follows = match backend.engine() {
        Engine::Ovn => true,
        Engine::Midonet1 | Engine::Midonet5 => backend.dialect().keeps_offered_id(Kind::BridgePort),
    };
    let key = pod_keys(tenant, host, owner, interface).port();
    follows.then(|| Namespace::of_site(backend.site_name()).id(&key))
}

/// Deletes ports in the engine's network that pods of this host left.
pub(super) async fn delete_orphans(
    connection: &Connection,
    site: &str,
    host: Uuid,
    sweep: &Sweep<'_>,
) -> Result<Vec<Finding>> {
    let bridges = sweep.before.bridges_left_by(host);
    if bridges.is_empty() {
        return Ok(Vec::new());
    }
    let left = orphaned_ports::look(sweep.store, connection, site, sweep.before, &bridges, true).await;
    left.map_err(|error| {
        CniError::new(Code::TryAgainLater, "the orphaned ports can't be read").caused_by(error)
    })
}
