//! Deletes the ports that pods left behind in the engine's network ([`midoform_store::ipam::ports`] finds them).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::pod::{self, Pod};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::{Kind, Object, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::values::MacAddress;
use midoform_store::SharedStore;
use midoform_store::ipam::consistency::{self, Finding, Snapshot};
use midoform_store::ipam::host_interface::{host_interface_with_tag, pod_keys, tag_of};
use midoform_store::ipam::ports::{GRACE, OrphanedPort, Port, RepairError, repair_ports};
use uuid::Uuid;

use crate::claimed_port::ClaimedPort;
use crate::client::{Client, ClientError};
use crate::connection::Connection;
use crate::northbound::{Northbound, pods};
use crate::planned::Unsound;
use crate::pod_rows::{self, DeleteError};

/// Reads the ports of these bridges. A bridge that is gone has none.
///
/// # Errors
/// When the engine can't be asked, or its response makes no sense.
async fn ports_of(
    connection: &Connection,
    site: &str,
    bridges: &BTreeSet<Uuid>,
) -> Result<Vec<Port>, ClientError> {
    match connection {
        Connection::Midonet(client) => ports_in_midonet(client, client.dialect(), bridges).await,
        Connection::Ovn(northbound) => ports_in_ovn(northbound, site, bridges).await,
    }
}

/// Reads the rows of pods on these switches. The key of a row has the host and the container.
async fn ports_in_ovn(
    northbound: &Northbound,
    site: &str,
    switches: &BTreeSet<Uuid>,
) -> Result<Vec<Port>, ClientError> {
    let found = pods::all(northbound, site).await?;
    let port = |found: pods::FoundPort| {
        let pod = found.key.pod_of_port()?;
        let (bridge, host) =
            (found.switch.filter(|switch| switches.contains(switch))?, pod.host.parse().ok());
        let interface = pod.tag.map(|tag| host_interface_with_tag(pod.container, pod.interface, tag));
        Some(Port { id: found.id, bridge: Some(bridge), mark: None, host, interface })
    };
    Ok(found.into_iter().filter_map(port).collect())
}

async fn ports_in_midonet(
    client: &Client,
    dialect: Dialect,
    bridges: &BTreeSet<Uuid>,
) -> Result<Vec<Port>, ClientError> {
    let accept = dialect.collection_media_type(Kind::BridgePort);
    let mut all = Vec::new();
    for bridge in bridges {
        let path = format!("/bridges/{bridge}/ports");
        let answer = match client.get(&path, &accept).await {
            Err(ClientError::Status { status: 404, .. }) => continue,
            other => other?,
        };
        let found: Vec<Port> = answer.json()?;
        all.extend(found.into_iter().map(|port| Port { bridge: Some(*bridge), ..port }));
    }
    Ok(all)
}

/// Plans to delete the port with its binding and chain.
fn removal(left: &OrphanedPort, site: &str, dialect: Dialect) -> Result<ClaimedPort, Unsound> {
    let address = (Ipv4Addr::UNSPECIFIED, MacAddress([0; 6]));
    let topology = pod::lower(&Pod {
        tenant: &left.tenant,
        tenant_id: "",
        bridge: Reference::External(left.port.bridge.unwrap_or_default()),
        container: &left.owner.container,
        interface: &left.owner.interface,
        tag: tag_of(&left.owner, &left.host_interface),
        host: left.port.host.unwrap_or(left.host),
        host_interface: left.port.interface.as_deref().unwrap_or_default(),
        untagged: None,
        // The port may have a chain or none. Rules are deleted with their chain.
        tied_to: Some(address),
    });
    let is_bound = left.port.host.is_some();
    let mut observed = Observed {
        topology: topology.filtered(|entry| match entry.object {
            Object::Rule(_) => false,
            Object::HostInterfacePort(_) => is_bound,
            _ => true,
        }),
        ..Observed::default()
    };
    let keys = pod_keys(&left.tenant, left.host, &left.owner, &left.host_interface);
    if !dialect.keeps_offered_id(Kind::BridgePort) {
        observed.ids.insert(keys.port(), left.port.id);
    }
    let nothing = Topology::default();
    ClaimedPort::new(midonet::plan(site, dialect, &nothing, &observed), &nothing, &observed)
}

/// Deletes a port that was left.
async fn remove(connection: &Connection, site: &str, left: &OrphanedPort) -> Result<(), DeleteError> {
    match connection {
        Connection::Midonet(client) => Ok(removal(left, site, client.dialect())?.delete(connection).await?),
        Connection::Ovn(northbound) => {
            pod_rows::delete(northbound, site, &BTreeSet::from([left.port.id])).await?;
            Ok(())
        }
    }
}

/// Compares the claims, as they were read `before`, with the ports of these bridges. With `repair`, the ports that are
/// safe to delete are deleted.
///
/// # Errors
/// When the store or the engine fails.
pub async fn look(
    store: &SharedStore,
    connection: &Connection,
    site: &str,
    before: &Snapshot,
    bridges: &BTreeSet<Uuid>,
    repair: bool,
) -> Result<Vec<Finding>, RepairError<DeleteError>> {
    let ports = ports_of(connection, site, bridges).await;
    let ports = ports.map_err(|error| RepairError::Port(DeleteError::Client(error)))?;
    // The store is read again, because claims may have changed while the ports were read.
    let after = consistency::read(store).await?;
    let mut findings = before.compare(&after, &ports, site, GRACE);
    if repair {
        let remove =
            async |left: &OrphanedPort| -> Result<(), DeleteError> { remove(connection, site, left).await };
        repair_ports(store, &mut findings, remove).await?;
    }
    Ok(findings)
}
