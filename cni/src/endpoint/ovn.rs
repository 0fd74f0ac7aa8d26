//! The part of an endpoint in OVN: a switch port's row in the northbound database, and the host's end of the veth pair in the
//! integration bridge.
//!
//! The row's name is `external_ids:iface-id` of the interface in the host's own database. It has the attachment's tag, so it is new
//! with every attachment. The compiler plans the row as it plans a tenant's. The claim in the store names all of it, so the plan takes
//! the short way through the reconcile loop ([`ClaimedPort`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use midoform_compiler::ovn;
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Kind, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::claimed_port::{ClaimedPort, PortError};
use midoform_reconcile::connection::Connection;
use midoform_reconcile::northbound::Northbound;
use midoform_reconcile::northbound::pods::{self, FoundPort};
use midoform_reconcile::open_vswitch::{Host, Interface, OpenVswitch, Plug, ReadBy};
use midoform_reconcile::pod_rows;
use midoform_store::ipam::consistency::{self, Finding};
use midoform_store::ipam::host_interface::{pod_keys, tag_of};
use midoform_store::ipam::{Attachment, Ipam};
use midoform_store::ready::Ready;
use uuid::Uuid;

use super::ports::{Claim, PortState, Ports, Sweep, delete_orphans};
use crate::backend::Backend;
use crate::protocol::error::{CniError, Code, Result};

/// The longest time that CHECK waits for northd to say that a port is up: ovn-controller says so first.
const UP: Duration = Duration::from_secs(1);

/// The pause between two looks at a port that is not up.
const PAUSE: Duration = Duration::from_millis(20);

/// The time that STATUS gives ovs-vswitchd.
const FOLLOWS: Duration = Duration::from_secs(2);

/// The ports of endpoints at one site.
pub(crate) struct OvnPorts<'a> {
    site: &'a str,
    host_id: Uuid,
    northbound: Northbound,
    open_vswitch: OpenVswitch,
    /// The facts of the host; none: its database can't be read now.
    host: Option<Host>,
    /// The longest wait for a port's flows.
    patience: Duration,
}

impl<'a> OvnPorts<'a> {
    /// Returns the ports of a backend's site.
    pub(crate) async fn open(backend: &mut Backend<'a>) -> Result<OvnPorts<'a>> {
        Ok(OvnPorts {
            site: backend.site_name(),
            host_id: backend.host,
            northbound: backend.northbound()?,
            open_vswitch: backend.open_vswitch()?,
            host: backend.open_vswitch_host().await.ok(),
            // A part of the time is left to undo everything if the port is not bound.
            patience: backend.config.timeouts.add.mul_f32(0.75),
        })
    }

    /// Returns the facts of the host, which ADD needs.
    fn host(&self) -> Result<&Host> {
        self.host.as_ref().ok_or_else(|| {
            let message =
                format!("the host's Open vSwitch can't be used now ({})", self.open_vswitch.remote());
            CniError::new(Code::TryAgainLater, message).hint("is ovsdb-server running on this host?")
        })
    }

    /// Returns the row of an endpoint.
    fn topology(&self, attachment: &Attachment, ready: &Ready) -> Result<Topology> {
        let Some(anti_spoof) = ready.anti_spoof else {
            let message = format!("tenant `{}` was applied by an earlier midoform", attachment.tenant);
            return Err(CniError::new(Code::Tenant, message).hint("apply it again with `midoform apply`"));
        };
        let bridge = ready.bridges.iter().find(|bridge| bridge.id == attachment.bridge_id);
        let routed = bridge.map_or(&[][..], |bridge| &bridge.routed);
        let security =
            PortSecurity::in_network(anti_spoof, Some(attachment.cidr), routed, attachment.address);
        Ok(pod::lower(&Pod {
            site: self.site,
            tenant: &attachment.tenant,
            switch: Reference::External(attachment.bridge_id),
            container: &attachment.owner.container,
            interface: &attachment.owner.interface,
            tag: tag_of(&attachment.owner, &attachment.host_interface),
            host: attachment.host,
            chassis: self.host()?.chassis.as_deref(),
            mac: attachment.mac,
            address: attachment.address,
            security,
        }))
    }

    /// Returns the ids of all ports that runs of this attachment may have made.
    fn ids(&self, attachment: &Attachment) -> BTreeSet<Uuid> {
        let namespace = Namespace::of_site(self.site);
        let keys = attachment
            .host_interfaces()
            .map(|name| pod_keys(&attachment.tenant, attachment.host, &attachment.owner, name).port());
        keys.map(|key| namespace.id(&key)).chain(attachment.port).collect()
    }

    /// Returns the interface of an attachment as it has to be plugged in.
    fn plug_of<'p>(&'p self, attachment: &'p Attachment, key: &'p Key, name: &'p str) -> Plug<'p> {
        Plug {
            interface: &attachment.host_interface,
            index: None,
            port_name: name,
            mac: attachment.mac,
            site: self.site,
            key,
        }
    }

    fn name(&self, key: &Key) -> String {
        ovn::names::name(self.site, key)
    }

    /// Compares the row with the one that `attach` makes.
    async fn row_problems(
        &self,
        attachment: &Attachment,
        ready: &Ready,
        problems: &mut Vec<String>,
    ) -> Result<Option<FoundPort>> {
        let key = attachment.keys().port();
        let id = Namespace::of_site(self.site).id(&key);
        let bridge = &attachment.bridge;
        let found = pods::with_ids(&self.northbound, self.site, &BTreeSet::from([id])).await?;
        let Some(found) = found.into_iter().next() else {
            problems.push(format!("bridge `{bridge}` has no port for it"));
            return Ok(None);
        };
        if found.switch != Some(attachment.bridge_id) {
            problems.push(format!(
                "port {} is not on bridge `{bridge}`",
                found.row.text_of("name").unwrap_or("")
            ));
        }
        let wanted = self.topology(attachment, ready)?;
        let wanted = wanted.entries().first().and_then(|entry| entry.object.row().cloned());
        for (column, value) in wanted.iter().flat_map(|row| row.columns.iter()) {
            let now = found.row.columns.get(column);
            if now != Some(value) {
                let now = now.map_or_else(|| "empty".to_owned(), ToString::to_string);
                problems.push(format!("`{column}` of its port is {now}, not {value}"));
            }
        }
        Ok(Some(found))
    }

    /// Waits a moment until northd says that a port is up.
    async fn is_up(&self, port: FoundPort) -> Result<bool> {
        let end = tokio::time::Instant::now() + UP;
        let (id, mut is_up) = (port.id, port.is_up);
        while !is_up && tokio::time::Instant::now() < end {
            tokio::time::sleep(PAUSE).await;
            let found = pods::with_ids(&self.northbound, self.site, &BTreeSet::from([id])).await?;
            is_up = found.iter().any(|port| port.is_up);
        }
        Ok(is_up)
    }

    /// Takes interfaces out of Open vSwitch that nobody has: pods of this host left them, and the kernel has no such interface.
    async fn unplug_orphans(&self, sweep: &Sweep<'_>) -> Result<Vec<Finding>> {
        let found = self.open_vswitch.interfaces(ReadBy::Site(self.site)).await?;
        // The store is read afterwards: an ADD claims before it plugs.
        let attached = Ipam::new(sweep.store.clone()).all(Some(self.host_id)).await?;
        let names: BTreeSet<&str> =
            attached.iter().flat_map(|held| held.record.host_interfaces()).map(String::as_str).collect();
        let is_left = |found: &&Interface| {
            found.key_in(self.site).is_some_and(|key| key.pod_of_port().is_some())
                && !names.contains(found.name.as_str())
                && !sweep.interfaces.contains(&found.name)
        };
        let left: Vec<String> = found.iter().filter(is_left).map(|found| found.name.clone()).collect();
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let gone = self.open_vswitch.unplug(self.site, &left).await?;
        let finding = |name: &String| {
            let what =
                format!("Open vSwitch had {name} of a pod that is gone, and the host has no such interface");
            Finding::repaired(consistency::Code::PortWithoutClaim, &format!("interface {name}"), what)
        };
        Ok(gone.iter().map(finding).collect())
    }
}

#[async_trait(?Send)]
impl Ports for OvnPorts<'_> {
    fn needs_checksums(&self) -> bool {
        self.host.as_ref().is_some_and(Host::needs_checksums)
    }

    async fn refuse_mac_of_router(&self, attachment: &Attachment) -> Result<()> {
        let Attachment { bridge, bridge_id, mac, .. } = attachment;
        let found = pods::router_port_with_mac(&self.northbound, *bridge_id, *mac).await?;
        let Some(port) = found else { return Ok(()) };
        let message =
            format!("the MAC address {mac} in bridge `{bridge}` belongs to a router's port ({port})");
        Err(CniError::new(Code::AddressRefused, message).hint("request another MAC address"))
    }

    async fn attach(&self, claim: Claim<'_>, ready: &Ready) -> Result<()> {
        let attachment = &claim.attachment.record;
        let topology = self.topology(attachment, ready)?;
        let plan = ovn::plan(self.site, &topology, &Observed::default());
        let switch = (attachment.bridge_id, Kind::Row(Table::LogicalSwitch));
        let observed = Observed { present: BTreeMap::from([switch]), ..Observed::default() };
        let port = ClaimedPort::new(plan, &topology, &observed)?;
        let connection = Connection::Ovn(self.northbound.clone());
        // The claim has the id already: it follows from the key.
        match port.create(&connection, 1, async |_| Ok::<_, CniError>(())).await {
            Err(PortError::Step(failed)) if failed.source.is_moved() => {
                let Attachment { bridge, tenant, .. } = attachment;
                let message = format!("bridge `{bridge}` of tenant `{tenant}` is not in OVN");
                Err(CniError::new(Code::Tenant, message).caused_by(failed.source).hint(
                    "somebody deleted it there, `midoform apply` was run for MidoNet alone, or the store is another site's",
                ))
            }
            other => Ok(other?),
        }
    }

    async fn plug(&self, attachment: &Attachment) -> Result<()> {
        let host = self.host()?;
        let key = attachment.keys().port();
        let name = self.name(&key);
        Ok(self.open_vswitch.plug(&host.bridge, &self.plug_of(attachment, &key, &name)).await?)
    }

    async fn settle(&self, attachment: &Attachment) -> Result<()> {
        Ok(self.open_vswitch.wait_until_installed(&attachment.host_interface, self.patience).await?)
    }

    async fn check(&self, attachment: &Attachment, ready: &Ready) -> Result<PortState> {
        let bridge = &self.host()?.bridge;
        let (mut problems, key) = (Vec::new(), attachment.keys().port());
        let port = self.row_problems(attachment, ready, &mut problems).await?;
        let name = self.name(&key);
        let plug = self.plug_of(attachment, &key, &name);
        let names = [attachment.host_interface.clone()];
        let found = self.open_vswitch.interfaces(ReadBy::Name(&names)).await?;
        let interface = &attachment.host_interface;
        let is_plugged = match found.first() {
            None => {
                problems.push(format!("{interface} is not in Open vSwitch"));
                false
            }
            Some(found) if !plug.is_done(found, bridge) => {
                problems.push(format!("{interface} is not plugged into {bridge} for its port"));
                false
            }
            Some(found) => {
                if let Some(error) = &found.error {
                    problems.push(format!("Open vSwitch can't use {interface}: {error}"));
                } else if !found.is_installed {
                    problems.push(format!("ovn-controller has not installed the port of {interface}"));
                }
                true
            }
        };
        let is_bound =
            is_plugged && port.as_ref().is_some_and(|port| port.switch == Some(attachment.bridge_id));
        if let Some(port) = port.filter(|_| problems.is_empty())
            && !self.is_up(port).await?
        {
            problems.push(format!("OVN says that the port of {interface} is not up"));
        }
        Ok(PortState { is_bound, problems })
    }

    async fn detach(&self, attachment: &Attachment) -> Result<()> {
        let names: Vec<String> = attachment.host_interfaces().cloned().collect();
        let ids = self.ids(attachment);
        let (row, interface) = tokio::join!(
            pod_rows::delete(&self.northbound, self.site, &ids),
            self.open_vswitch.unplug(self.site, &names),
        );
        row?;
        interface?;
        Ok(())
    }

    async fn detach_unrecorded(&self, endpoint: &Attachment) -> Result<bool> {
        let owner = &endpoint.owner;
        let host = endpoint.host.to_string();
        let found = self.open_vswitch.interfaces(ReadBy::Site(self.site)).await?;
        let is_of_endpoint = |found: &&Interface| {
            let pod = found.key_in(self.site).and_then(Key::pod_of_port);
            pod.is_some_and(|pod| {
                (pod.host, pod.container, pod.interface) == (&*host, &*owner.container, &*owner.interface)
            })
        };
        let own: Vec<&Interface> = found.iter().filter(is_of_endpoint).collect();
        let namespace = Namespace::of_site(self.site);
        let keys = own.iter().filter_map(|found| found.key_in(self.site));
        let ids: BTreeSet<Uuid> = keys.map(|key| namespace.id(key)).chain(self.ids(endpoint)).collect();
        let names: Vec<String> = own.iter().map(|found| found.name.clone()).collect();
        let deleted = pod_rows::delete(&self.northbound, self.site, &ids).await?;
        let unplugged = self.open_vswitch.unplug(self.site, &names).await?;
        Ok(deleted > 0 || !unplugged.is_empty())
    }

    async fn sweep(&self, sweep: &Sweep<'_>) -> Result<Vec<Finding>> {
        let mut findings = self.unplug_orphans(sweep).await?;
        let connection = Connection::Ovn(self.northbound.clone());
        findings.extend(delete_orphans(&connection, self.site, self.host_id, sweep).await?);
        Ok(findings)
    }

    async fn status(&self) -> Result<()> {
        let host = self.host()?;
        let not_available =
            |message: String, hint: &'static str| Err(CniError::new(Code::NotAvailable, message).hint(hint));
        if host.chassis.is_none() || host.southbound.is_none() {
            let message = "the host is no OVN chassis: `external_ids` of its Open vSwitch have no `system-id` or no `ovn-remote`";
            return not_available(message.to_owned(), "see ovn-controller(8)");
        }
        if host.datapath.is_none() {
            let message = format!("the integration bridge {} does not exist", host.bridge);
            return not_available(message, "start ovn-controller on this host");
        }
        pods::with_ids(&self.northbound, self.site, &BTreeSet::from([Uuid::nil()])).await?;
        if !self.open_vswitch.is_followed(FOLLOWS).await? {
            let message = "ovs-vswitchd does not make what the host's Open vSwitch database says";
            return Err(CniError::new(Code::LimitedConnectivity, message).hint("is ovs-vswitchd running?"));
        }
        Ok(())
    }
}
