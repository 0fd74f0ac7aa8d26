//! Compares the attachments with the ports in MidoNet: finds ports without an attachment, and attachments without a port.
//!
//! A port is midoform's own if its id (on 1.x its mark) follows from the last holder of an address. Only such a port is
//! deleted, and only after its address has been free for some time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midoform_compiler::names::TenantName;
use midoform_compiler::topology::key::Namespace;
use uuid::Uuid;

use super::attachment::{Attachment, Holder, Progress};
use super::consistency::{KnownAddress, Snapshot};
use super::finding::{Code, Finding, Repair};
use super::host_interface::{is_named_like_a_pods, pod_keys, tag_of};
use super::orphaned_port::UNFINISHED;
pub use super::orphaned_port::{OrphanedPort, Port, PortDeletion};
use crate::owner::Owner;
use crate::record::{Held, decode, encode};
use crate::{Commit, SharedStore, StoreError, Transaction, get, keys, now};

/// The time for which an address has to be free before the port of its last holder is deleted.
pub const GRACE: Duration = Duration::from_secs(3600);

/// The last holder of a free address, one name of its host interface, and the time of the release.
#[derive(Clone, Copy)]
struct Last<'w> {
    tenant: &'w TenantName,
    host: Uuid,
    owner: &'w Owner,
    interface: &'w str,
    since: u64,
}

impl Last<'_> {
    fn port_id(&self, site: &str) -> Uuid {
        id_of(site, self.tenant, self.host, self.owner, self.interface)
    }
}

fn id_of(site: &str, tenant: &str, host: Uuid, owner: &Owner, interface: &str) -> Uuid {
    Namespace::of_site(site).id(&pod_keys(tenant, host, owner, interface).port())
}

fn is_port_of(site: &str, port: &Port, attachment: &Attachment) -> bool {
    let Attachment { tenant, host, owner, .. } = attachment;
    let is_bound = port.host == Some(*host) && port.interface.as_ref() == Some(&attachment.host_interface);
    attachment.port == Some(port.id)
        || is_bound
        || attachment.host_interfaces().any(|interface| {
            let id = id_of(site, tenant, *host, owner, interface);
            port.id == id || port.mark == Some(id)
        })
}

impl Snapshot {
    /// Returns the bridges whose ports have to be read.
    pub fn bridges(&self) -> BTreeSet<Uuid> {
        let ready = self.ready.values().flat_map(|ready| &ready.bridges).map(|bridge| bridge.id);
        ready.chain(self.attachments.values().map(|held| held.record.bridge_id)).collect()
    }

    /// Returns the bridges on which the pods of a host may have left ports: those of the tenants of its former pods.
    pub fn bridges_left_by(&self, host: Uuid) -> BTreeSet<Uuid> {
        let left = self.addresses.values().filter(|known| {
            let record = &known.held.record;
            let last = &record.last;
            record.holder.is_none() && matches!(last, Some(Holder::Container { host: of, .. }) if *of == host)
        });
        let tenants: BTreeSet<&TenantName> = left.map(|known| &known.tenant).collect();
        let ready = self.ready.values().filter(|ready| tenants.contains(&ready.tenant));
        ready.flat_map(|ready| &ready.bridges).map(|bridge| bridge.id).collect()
    }

    /// Returns the last holders of the free addresses, each with every name that its host interface had. A record without
    /// names is of a version that had one name for all attachments.
    fn last_holders(&self) -> Vec<Last<'_>> {
        let mut last = Vec::new();
        for KnownAddress { tenant, held, .. } in self.addresses.values() {
            let record = &held.record;
            if let (None, Some(Holder::Container { host, owner })) = (&record.holder, &record.last) {
                let one = |interface| Last { tenant, host: *host, owner, interface, since: record.since };
                // No name with a tag: the ids of that version.
                last.push(one(""));
                last.extend(record.interfaces.iter().map(|interface| one(interface)));
            }
        }
        last
    }

    /// Returns the last holder of an address to whom a port belongs: the port's id (on 1.x its mark) follows from a name that
    /// the holder's interface had, or from the name that the port is bound to.
    fn left_by<'w>(
        site: &str,
        last: &[Last<'w>],
        by_id: &BTreeMap<Uuid, Last<'w>>,
        port: &'w Port,
    ) -> Option<Last<'w>> {
        let ids = [Some(port.id), port.mark];
        if let Some(known) = ids.iter().flatten().find_map(|id| by_id.get(id)) {
            return Some(*known);
        }
        let interface = port.interface.as_deref()?;
        let bound =
            last.iter().filter(|last| Some(last.host) == port.host).map(|last| Last { interface, ..*last });
        bound
            .filter(|last| tag_of(last.owner, interface).is_some())
            .find(|last| ids.contains(&Some(last.port_id(site))))
    }

    /// Compares the attachments with the ports that were read between two reads of the store. What changed meanwhile is not
    /// reported.
    pub fn compare(&self, after: &Snapshot, ports: &[Port], site: &str, grace: Duration) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (bridges, last) = (self.bridges(), after.last_holders());
        let by_id = last.iter().map(|last| (last.port_id(site), *last)).collect();
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let is_past = |since: u64| now().saturating_sub(since) >= grace;
        for (key, held) in &after.attachments {
            let as_before = self.attachments.get(key).is_some_and(|before| before.revision == held.revision);
            let record = &held.record;
            let has_port = ports.iter().any(|port| is_port_of(site, port, record));
            if has_port || !as_before || !bridges.contains(&record.bridge_id) {
                continue;
            }
            let (owner, address) = (&record.owner, record.address);
            match record.state {
                Progress::Done => {
                    let what = format!("{owner} is attached with {address}, and its port does not exist");
                    findings.push(Finding::new(Code::AttachmentWithoutPort, key, what, None));
                }
                Progress::Intent if is_past(record.since) => {
                    let what =
                        format!("the attachment of {owner} with {address} was interrupted, and has no port");
                    findings.push(Finding::new(Code::AttachmentUnfinished, key, what, None));
                }
                Progress::Intent => {}
            }
        }
        let attached: Vec<&Held<Attachment>> =
            self.attachments.values().chain(after.attachments.values()).collect();
        for port in ports {
            if attached.iter().any(|held| is_port_of(site, port, &held.record)) {
                continue;
            }
            let key = format!("port {}", port.id);
            let known = Snapshot::left_by(site, &last, &by_id, port);
            if let Some(Last { tenant, host, owner, interface, since }) = known {
                let what = format!(
                    "the port of {owner} of `{tenant}` on host {host}, which is not attached any more"
                );
                let (tenant, owner) = (tenant.clone(), owner.clone());
                let host_interface = interface.to_owned();
                let left = OrphanedPort { port: port.clone(), tenant, host, owner, host_interface };
                let repair = is_past(since).then(|| Repair::Port(Box::new(left)));
                findings.push(Finding::with(Code::PortWithoutClaim, &key, what, repair));
            } else if let Some(interface) =
                port.interface.as_deref().filter(|name| is_named_like_a_pods(name))
            {
                let what = format!(
                    "it is bound to {interface}, like the port of a pod, and its container is unknown"
                );
                findings.push(Finding::new(Code::PortWithoutClaim, &key, what, None));
            }
        }
        findings
    }
}

/// The failure to delete a port.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepairError<E: std::error::Error + 'static> {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The call to MidoNet failed.
    #[error(transparent)]
    Port(E),
}

/// Deletes the ports that are safe to delete. While a port is deleted, its container can't be attached again; a container
/// that is attached already keeps its port.
///
/// # Errors
/// When the store or a deletion fails. The next run continues.
pub async fn repair_ports<E: std::error::Error + 'static>(
    store: &SharedStore,
    findings: &mut [Finding],
    remove: impl AsyncFn(&OrphanedPort) -> Result<(), E>,
) -> Result<(), RepairError<E>> {
    for finding in findings {
        let Some(Repair::Port(left)) = finding.repair.clone() else { continue };
        let key = keys::reclaiming(left.host, &left.owner);
        let mut take = Transaction::default().when_absent(keys::attachment(left.host, &left.owner));
        take = match get(&**store, &key).await? {
            None => take.when_absent(&key),
            // Another repair deletes it, or was interrupted.
            Some(entry) => {
                let before: Held<PortDeletion> = decode(&store.name(), &entry)?;
                if now().saturating_sub(before.record.since) < UNFINISHED {
                    continue;
                }
                take.when(&key, before.revision)
            }
        };
        let Commit::Done(revisions) =
            store.commit(&take.put(&key, encode(&PortDeletion { port: left.port.id, since: now() }))).await?
        else {
            continue;
        };
        let removed = remove(&left).await;
        if let Some(revision) = revisions.first() {
            store.commit(&Transaction::default().when(&key, *revision).delete(&key)).await?;
        }
        removed.map_err(RepairError::Port)?;
        finding.repaired = true;
    }
    Ok(())
}
