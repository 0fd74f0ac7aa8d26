//! The claims held against the ports that are in MidoNet: ports that no attachment has any more, and attachments whose
//! port is gone.
//!
//! A port is taken for midoform's own where its id (its mark, on 1.x) follows from the container that held an address
//! last; only such a port is deleted, and only after its address has been free for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midoform_compiler::topology::key::{Key, Namespace};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::attachment::{Attachment, Holder, Owner, Progress};
use super::reclaim::{self, Finding, Repair, World};
use crate::record::{Held, Record, decode, encode};
use crate::{Commit, SharedStore, StoreError, Transaction, get, keys, now};

/// How long an address has to be free before a port that its last holder left is deleted.
pub const GRACE: Duration = Duration::from_secs(3600);

/// After so many milliseconds a deletion that did not say how it ended is no longer under way.
pub(super) const UNFINISHED: u64 = 600_000;

/// A port of a bridge, as MidoNet tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Its id.
    pub id: Uuid,
    /// The bridge.
    #[serde(default, rename = "deviceId")]
    pub bridge: Option<Uuid>,
    /// What it is marked with on 1.x: the id that it would have had.
    #[serde(default, rename = "vifId")]
    pub mark: Option<Uuid>,
    /// The host that it is bound on.
    #[serde(default, rename = "hostId")]
    pub host: Option<Uuid>,
    /// The interface that it is bound to.
    #[serde(default, rename = "interfaceName")]
    pub interface: Option<String>,
}

/// Stands where a container's claim would stand while a port that it left is being deleted: the container is not
/// attached anew meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaiming {
    /// The port.
    pub port: Uuid,
    /// Since when, in milliseconds of Unix time.
    pub since: u64,
}

impl Record for Reclaiming {
    const VERSION: u64 = 1;
}

/// A port that nobody has any more, and who had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The port.
    pub port: Port,
    /// The tenant of its last holder.
    pub tenant: String,
    /// The host of its last holder.
    pub host: Uuid,
    /// Its last holder.
    pub owner: Owner,
}

/// Who held an address last, and since when nobody does.
struct Last<'w> {
    tenant: String,
    host: Uuid,
    owner: &'w Owner,
    since: u64,
}

fn id_of(site: &str, tenant: &str, host: Uuid, owner: &Owner) -> Uuid {
    Namespace::of_site(site).id(&Key::tenant(tenant).pod(host, &owner.container, &owner.interface).port())
}

fn is_port_of(site: &str, port: &Port, attachment: &Attachment) -> bool {
    let id = id_of(site, &attachment.tenant, attachment.host, &attachment.owner);
    let is_bound =
        port.host == Some(attachment.host) && port.interface.as_ref() == Some(&attachment.host_interface);
    attachment.port == Some(port.id) || port.id == id || port.mark == Some(id) || is_bound
}

/// What the plugin calls the host's end of a pod's interface: `vif` and twelve hex digits.
fn is_named_as_a_pod_s(port: &Port) -> bool {
    let digits = port.interface.as_deref().and_then(|name| name.strip_prefix("vif"));
    digits.is_some_and(|digits| digits.len() == 12 && digits.bytes().all(|it| it.is_ascii_hexdigit()))
}

impl World {
    /// The bridges whose ports are to be looked at.
    pub fn bridges(&self) -> BTreeSet<Uuid> {
        let ready = self.ready.values().flat_map(|ready| &ready.bridges).map(|bridge| bridge.id);
        ready.chain(self.attachments.values().map(|held| held.record.bridge_id)).collect()
    }

    /// The bridges that a host's pods may have left ports on: those of the tenants in which it had a pod that is gone.
    pub fn bridges_left_by(&self, host: Uuid) -> BTreeSet<Uuid> {
        let left = self.addresses.iter().filter(|(_, held)| {
            let last = &held.record.last;
            held.record.holder.is_none()
                && matches!(last, Some(Holder::Container { host: of, .. }) if *of == host)
        });
        let tenants: BTreeSet<String> = left.filter_map(|(key, _)| reclaim::tenant_of(key)).collect();
        let ready = self.ready.values().filter(|ready| tenants.contains(&ready.tenant));
        ready.flat_map(|ready| &ready.bridges).map(|bridge| bridge.id).collect()
    }

    fn last_holders(&self, site: &str) -> BTreeMap<Uuid, Last<'_>> {
        let mut last = BTreeMap::new();
        for (key, held) in &self.addresses {
            let (Some(tenant), record) = (reclaim::tenant_of(key), &held.record) else { continue };
            if let (None, Some(Holder::Container { host, owner })) = (&record.holder, &record.last) {
                let id = id_of(site, &tenant, *host, owner);
                last.insert(id, Last { tenant, host: *host, owner, since: record.since });
            }
        }
        last
    }

    /// Compares what is claimed with the ports that were read between two looks at the store: what came or went
    /// meanwhile is nothing to be said of.
    pub fn compare(&self, after: &World, ports: &[Port], site: &str, grace: Duration) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (bridges, last) = (self.bridges(), after.last_holders(site));
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
                    let what = format!("{owner} is attached with {address}, and its port is gone");
                    findings.push(Finding::new("attachment-without-port", key, what, None));
                }
                Progress::Intent if is_past(record.since) => {
                    let what = format!("{owner} was to be attached with {address}, and has no port");
                    findings.push(Finding::new("attachment-unfinished", key, what, None));
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
            let known = last.get(&port.id).or_else(|| last.get(&port.mark?));
            if let Some(Last { tenant, host, owner, since }) = known {
                let what = format!(
                    "the port of {owner} of `{tenant}` on host {host}, which is not attached any more"
                );
                let (tenant, owner) = (tenant.clone(), (*owner).clone());
                let left = Left { port: port.clone(), tenant, host: *host, owner };
                let repair = is_past(*since).then(|| Repair::Port(Box::new(left)));
                findings.push(Finding::with("port-without-claim", &key, what, repair));
            } else if is_named_as_a_pod_s(port) {
                let interface = port.interface.as_deref().unwrap_or_default();
                let what =
                    format!("it is bound to {interface}, as a pod's, and nobody is known to have had it");
                findings.push(Finding::new("port-without-claim", &key, what, None));
            }
        }
        findings
    }
}

/// Why a port could not be deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepairError<E> {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// MidoNet, in the words of whoever called it.
    #[error("{0}")]
    Port(E),
}

/// Deletes the ports that are safe to delete. While one is deleted, its container can't be attached anew; one that is
/// attached by then keeps it.
///
/// # Errors
/// When the store fails, or the deletion does: what was not done is left to the next run.
pub async fn repair_ports<E>(
    store: &SharedStore,
    findings: &mut [Finding],
    remove: impl AsyncFn(&Left) -> Result<(), E>,
) -> Result<(), RepairError<E>> {
    for finding in findings {
        let Some(Repair::Port(left)) = finding.repair.clone() else { continue };
        let key = keys::reclaiming(left.host, &left.owner);
        let mut take = Transaction::default().when_absent(keys::attachment(left.host, &left.owner));
        take = match get(&**store, &key).await? {
            None => take.when_absent(&key),
            // Another repair is at it, or ended on the way.
            Some(entry) => {
                let before: Held<Reclaiming> = decode(&store.name(), &entry)?;
                if now().saturating_sub(before.record.since) < UNFINISHED {
                    continue;
                }
                take.when(&key, before.revision)
            }
        };
        let Commit::Done(revisions) =
            store.commit(&take.put(&key, encode(&Reclaiming { port: left.port.id, since: now() }))).await?
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
