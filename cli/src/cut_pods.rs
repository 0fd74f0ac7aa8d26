//! The pods that a plan cuts off from their network.

use std::collections::BTreeSet;

use midoform_compiler::error_chain;
use midoform_compiler::plan::Plan;
use midoform_compiler::plan::cut::cut_bridges;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::observed::Observed;
use midoform_store::ipam::{Attachment, Ipam};
use uuid::Uuid;

use crate::allocation_state::AllocationState;
use crate::error::CommandError;

/// The pods in the site's store. They are read only for a plan that takes a bridge away or changes its network.
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

    /// Returns the pods that a plan cuts off, each in words: those that are bound in the network, and those that the store
    /// has and that are not bound yet.
    pub(crate) async fn cut_off(self, plan: &Plan, desired: &Topology, observed: &Observed) -> Vec<String> {
        let bridges = cut_bridges(plan, desired, &observed.topology);
        if bridges.is_empty() {
            return Vec::new();
        }
        let (attachments, unreadable) = match self.read().await {
            Ok(attachments) => (attachments, None),
            Err(error) => (Vec::new(), Some(error_chain::in_one_line(&error))),
        };
        let bound: Vec<&Foreign> =
            observed.attached.iter().filter(|port| bridges.contains(&port.near)).collect();
        let bound_ids: BTreeSet<Uuid> = bound.iter().map(|port| port.id).collect();
        let of_bound = |port: &&Foreign| {
            let place = format!("{} at {}", port.what, port.near);
            match attachments.iter().find(|one| one.port == Some(port.id)) {
                Some(known) => format!("{} ({place})", name(known)),
                None => place,
            }
        };
        let namespace = Namespace::of_site(&plan.site);
        let id_of = |key: &Key| observed.id_of(namespace, key);
        let not_bound = attachments.iter().filter_map(|one| {
            let is_bound = one.port.is_some_and(|port| bound_ids.contains(&port));
            let bridge = bridges.iter().find(|key| id_of(key) == one.bridge_id).filter(|_| !is_bound)?;
            Some(format!("{} ({} at {bridge}, not bound yet)", name(one), one.address))
        });
        let unreadable = unreadable.iter().map(|error| format!("pods that can't be read: {error}"));
        bound.iter().map(of_bound).chain(not_bound).chain(unreadable).collect()
    }
}

/// Returns the name of the pod, or the container's.
fn name(attachment: &Attachment) -> &str {
    attachment.pod.as_deref().unwrap_or(&attachment.owner.container)
}
