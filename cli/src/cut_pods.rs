//! The pods and other bound ports that a plan cuts off from their network.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::error_chain;
use midoform_compiler::plan::Plan;
use midoform_compiler::plan::cut::{CutPort, cut_bridges, leaving_hosts, released_interfaces};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::observed::Observed;
use midoform_store::ipam::host_interface::POD_INTERFACE;
use midoform_store::ipam::{Attachment, Ipam};
use uuid::Uuid;

use crate::allocation_state::AllocationState;
use crate::error::CommandError;

/// The pods in the site's store. They are read only for a plan that takes a bridge away, changes its network, or takes a host out of the
/// tunnel zone.
#[derive(Clone, Copy)]
pub(crate) struct KnownPods<'a>(Option<&'a AllocationState>);

impl<'a> KnownPods<'a> {
    /// Returns the pods of this store. A site without a store has none.
    pub(crate) fn of(state: &'a AllocationState) -> KnownPods<'a> {
        KnownPods(state.is_store().then_some(state))
    }

    /// Returns no pods: those of the site have nothing to do with the plan.
    pub(crate) fn none() -> KnownPods<'a> {
        KnownPods(None)
    }

    async fn read(self) -> Result<Vec<Attachment>, CommandError> {
        let store = self.0.map_or(Ok(None), |state| state.open(false))?;
        let Some(store) = store else { return Ok(Vec::new()) };
        Ok(Ipam::new(store).all(None).await?.into_iter().map(|held| held.record).collect())
    }

    /// Returns the pods and other ports that a plan cuts off: those that are bound in the network, and pods that the store has
    /// and that are not bound yet.
    pub(crate) async fn cut_off(self, plan: &Plan, desired: &Topology, observed: &Observed) -> Vec<CutPort> {
        let bridges = cut_bridges(plan, desired, &observed.topology);
        let hosts = leaving_hosts(plan, desired, &observed.topology);
        if bridges.is_empty() && hosts.is_empty() {
            return Vec::new();
        }
        let (attachments, unreadable) = match self.read().await {
            Ok(attachments) => (attachments, None),
            Err(error) => (Vec::new(), Some(error_chain::in_one_line(&error))),
        };
        let namespace = Namespace::of_site(&plan.site);
        let keys = observed.topology.entries().iter();
        let keys = keys.map(|entry| (observed.id_of(namespace, &entry.key), &entry.key)).collect();
        let places = Places { keys, attached: &observed.attached, attachments: &attachments };
        let released = released_interfaces(plan, &observed.topology);
        let of_bridges = observed.attached.iter().filter(|port| bridges.contains(&port.near));
        let of_bridges: BTreeSet<Uuid> = of_bridges.map(|port| port.id).collect();
        let bound = observed.bound.iter().filter(|((host, interface), port)| {
            let leaves = hosts.contains(host) && !released.contains(&(*host, interface.as_str()));
            leaves || of_bridges.contains(*port)
        });
        let bound_ids: BTreeSet<Uuid> = bound.clone().map(|(_, port)| *port).collect();
        let bound = bound.map(|((host, interface), port)| places.port(*host, interface, *port));
        let not_bound = attachments.iter().filter_map(|one| {
            let is_bound = one.port.is_some_and(|port| bound_ids.contains(&port));
            let bridge = bridges.iter().find(|key| observed.id_of(namespace, key) == one.bridge_id);
            let place = match bridge {
                _ if is_bound => return None,
                Some(bridge) => format!("at {bridge}"),
                None if hosts.contains(&one.host) => format!("on host {}", one.host),
                None => return None,
            };
            Some(pod(format!("{} ({} {place}, not bound yet)", name(one), one.address)))
        });
        let unreadable = unreadable.iter().map(|error| pod(format!("pods that can't be read: {error}")));
        bound.chain(not_bound).chain(unreadable).collect()
    }
}

fn pod(what: String) -> CutPort {
    CutPort { what, is_pod: true }
}

/// The places of ports, and the pods that have them.
struct Places<'a> {
    /// The keys of midoform's own objects, by id.
    keys: BTreeMap<Uuid, &'a Key>,
    attached: &'a [Foreign],
    attachments: &'a [Attachment],
}

impl Places<'_> {
    /// Describes a bound port.
    fn port(&self, host: Uuid, interface: &str, port: Uuid) -> CutPort {
        let bridge = self.attached.iter().find(|attached| attached.id == port).map(|attached| &attached.near);
        let key = self.keys.get(&port).map(|key| key.to_string());
        let at = key.or_else(|| bridge.map(ToString::to_string)).unwrap_or_else(|| format!("port {port}"));
        let place = format!("{interface} of host {host} at {at}");
        match self.attachments.iter().find(|one| one.port == Some(port)) {
            Some(known) => pod(format!("{} ({place})", name(known))),
            None => CutPort { what: place, is_pod: interface.starts_with(POD_INTERFACE) },
        }
    }
}

/// Returns the name of the pod, or the container's.
fn name(attachment: &Attachment) -> &str {
    attachment.pod.as_deref().unwrap_or(&attachment.owner.container)
}
