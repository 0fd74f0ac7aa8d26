//! Adopts objects that midoform did not create: a survey of a router's surroundings, a draft of its spec, and the Go
//! plugin's keys about it.
//!
//! Nothing here changes the network or a file. The caller decides what to write.

mod chain_uses;
mod ids;
mod plugin;
mod router_view;
mod rules;
mod spec_draft;
mod unsupported;

use std::collections::BTreeSet;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::topology::kinds::Kind;
use uuid::Uuid;

use midoform_reconcile::client::{Client, ClientError};
use midoform_reconcile::event::Event;
use midoform_reconcile::inventory::Inventory;
use midoform_reconcile::observe::{Parents, read_children, read_inventory};

pub use plugin::{EtcdLogin, PluginState, PluginStateError, PluginTenant, Pod};
pub use router_view::legal_name;
pub use spec_draft::{Attached, Leftover, SpecDraft};

/// The suffix of the names of the Go plugin's routers and of midoform's.
pub const ROUTER_SUFFIX: &str = " default router";

/// The objects of the network, whoever created them.
pub struct Survey {
    inventory: Inventory,
    /// Settings and parts of the chosen router and its bridges that no spec can express.
    unsupported: Vec<String>,
}

/// A router of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRouter {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
}

impl Survey {
    /// Reads the objects that the API lists as a whole.
    ///
    /// # Errors
    /// Returns an error if a read fails.
    pub async fn read(
        client: &Client,
        dialect: Dialect,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Survey, ClientError> {
        let inventory = read_inventory(client, dialect, events).await?;
        Ok(Survey { inventory, unsupported: Vec::new() })
    }

    /// Returns all routers.
    pub fn routers(&self) -> Vec<SeenRouter> {
        let seen = self.inventory.routers.iter().map(|router| SeenRouter {
            id: router.id,
            name: router.name.clone().unwrap_or_default(),
            tenant_id: router.tenant_id.clone().unwrap_or_default(),
        });
        seen.collect()
    }

    /// Returns the number of a router's linked ports: of two routers with one name, the one in use has some.
    pub fn links_of(&self, router: Uuid) -> usize {
        let ports = self.inventory.ports.iter();
        ports.filter(|port| port.device_id == router && port.peer_id.is_some()).count()
    }

    /// Reads the rules and routes around a router: its own, its linked routers', and those of its bridges and their
    /// ports; and what the router and its bridges have that no spec can express. `all_chains` reads the rules of every chain, to know
    /// who else jumps to these.
    ///
    /// # Errors
    /// Returns an error if a read fails.
    pub async fn read_around(
        &mut self,
        client: &Client,
        dialect: Dialect,
        (router, all_chains): (Uuid, bool),
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<(), ClientError> {
        let devices = self.linked_devices(router);
        let mut chains: BTreeSet<Uuid> = match all_chains {
            true => self.inventory.chains.iter().map(|chain| chain.id).collect(),
            false => chain_uses::filters(&self.inventory, |id| devices.contains(&id)).collect(),
        };
        let routers = self.inventory.routers.iter().map(|router| router.id);
        let routers: BTreeSet<Uuid> = routers.filter(|id| devices.contains(id)).collect();
        let groups: BTreeSet<Uuid> = self.inventory.groups.iter().map(|group| group.id).collect();
        // A chain that is jumped to may jump on.
        while !chains.is_empty() {
            let parents = Parents { chains, ..Parents::default() };
            let mut read = read_children(client, dialect, &parents, events).await?;
            self.inventory.rules.append(&mut read.rules);
            chains = chain_uses::jumps(&self.inventory)
                .filter(|chain| !self.inventory.rules.contains_key(chain))
                .collect();
        }
        let parents = Parents { routers, groups, ..Parents::default() };
        let mut read = read_children(client, dialect, &parents, events).await?;
        self.inventory.routes.append(&mut read.routes);
        self.inventory.members.append(&mut read.members);
        let own = self.inventory.routers.iter().filter(|device| device.id == router);
        let own = own.map(|device| (Kind::Router, device));
        let bridges = self.inventory.bridges.iter().filter(|device| devices.contains(&device.id));
        let bridges = bridges.map(|device| (Kind::Bridge, device));
        let named = own.chain(bridges).map(|(kind, device)| unsupported::Device {
            kind,
            id: device.id,
            name: device.name.as_deref().unwrap_or_default(),
        });
        self.unsupported = unsupported::read(client, dialect, &named.collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Returns the router and the devices that it is linked to.
    fn linked_devices(&self, router: Uuid) -> BTreeSet<Uuid> {
        let own = self.inventory.ports.iter().filter(|port| port.device_id == router);
        let peers: BTreeSet<Uuid> = own.filter_map(|port| port.peer_id).collect();
        let there = self.inventory.ports.iter().filter(|port| peers.contains(&port.id));
        there.map(|port| port.device_id).chain([router]).collect()
    }
}
