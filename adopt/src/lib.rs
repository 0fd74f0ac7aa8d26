//! Taking over what midoform did not make: a survey of what is there around a router, a portrait of it as a spec,
//! and what the Go plugin wrote down about it.
//!
//! Nothing here changes anything: what is found is bound by its ids, and whoever called decides what to keep.

mod bindings;
mod links;
mod plugin;
mod policy;
mod portrait;

use std::collections::BTreeSet;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::topology::object::{Reference, RuleAction};
use midoform_compiler::topology::observed::Observed;
use uuid::Uuid;

use midoform_reconcile::client::{Client, ClientError};
use midoform_reconcile::event::Event;
use midoform_reconcile::observe::{Reader, Scope};
use midoform_reconcile::recognise;
use midoform_reconcile::recognise::Raw;

pub use plugin::{EtcdLogin, PluginState, PluginStateError, PluginTenant, Pod};
pub use portrait::{Attached, Leftover, Portrait, legal_name};

/// What the names of the Go plugin's routers, and of midoform's, end with.
pub const ROUTER_SUFFIX: &str = " default router";

/// What is there, whoever made it.
pub struct Survey {
    raw: Raw,
}

/// A router that was seen.
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
    /// Reads what the API lists whole.
    ///
    /// # Errors
    /// When a read fails.
    pub async fn read(
        client: &Client,
        dialect: Dialect,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Survey, ClientError> {
        Ok(Survey { raw: Reader::new(client, dialect, events).bulk().await? })
    }

    /// All routers.
    pub fn routers(&self) -> Vec<SeenRouter> {
        let seen = self.raw.routers.iter().map(|router| SeenRouter {
            id: router.value.id,
            name: router.value.name.clone().unwrap_or_default(),
            tenant_id: router.value.tenant_id.clone().unwrap_or_default(),
        });
        seen.collect()
    }

    /// How many ports of a router are linked: of two with one name, the one in use has some.
    pub fn links_of(&self, router: Uuid) -> usize {
        let ports = self.raw.ports.iter().map(|port| &port.value);
        ports.filter(|port| port.device_id == router && port.peer_id.is_some()).count()
    }

    /// Reads the rules and routes around a router: its own, its neighbours', and those of its bridges and their
    /// ports.
    ///
    /// # Errors
    /// When a read fails.
    pub async fn read_around(
        &mut self,
        client: &Client,
        dialect: Dialect,
        router: Uuid,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<(), ClientError> {
        let reader = Reader::new(client, dialect, events);
        let devices = self.neighbourhood(router);
        let mut chains: BTreeSet<Uuid> = self.filters_of(&devices).collect();
        let routers = self.raw.routers.iter().map(|router| router.value.id);
        let routers: BTreeSet<Uuid> = routers.filter(|id| devices.contains(id)).collect();
        let groups: BTreeSet<Uuid> = self.raw.groups.iter().map(|group| group.id).collect();
        // A chain that is jumped to may jump on.
        while !chains.is_empty() {
            let around = recognise::Devices::unnamed(chains, BTreeSet::new(), BTreeSet::new());
            let mut read = Raw::default();
            reader.by_parent(&mut read, &around).await?;
            self.raw.rules.append(&mut read.rules);
            chains = self.jumped_to().filter(|chain| !self.raw.rules.contains_key(chain)).collect();
        }
        let around = recognise::Devices::unnamed(BTreeSet::new(), routers, groups);
        let mut read = Raw::default();
        reader.by_parent(&mut read, &around).await?;
        self.raw.routes.append(&mut read.routes);
        self.raw.members.append(&mut read.members);
        Ok(())
    }

    /// The router and what it is linked to.
    fn neighbourhood(&self, router: Uuid) -> BTreeSet<Uuid> {
        let own = self.raw.ports.iter().filter(|port| port.value.device_id == router);
        let peers: BTreeSet<Uuid> = own.filter_map(|port| port.value.peer_id).collect();
        let there = self.raw.ports.iter().filter(|port| peers.contains(&port.value.id));
        there.map(|port| port.value.device_id).chain([router]).collect()
    }

    /// The chains that these devices and their ports filter by.
    fn filters_of<'a>(&'a self, devices: &'a BTreeSet<Uuid>) -> impl Iterator<Item = Uuid> + 'a {
        let own = self.raw.routers.iter().chain(&self.raw.bridges).map(|device| &device.value);
        let own = own.filter(|device| devices.contains(&device.id));
        let own = own.flat_map(|device| [device.inbound_filter_id, device.outbound_filter_id]);
        let ports = self.raw.ports.iter().map(|port| &port.value);
        let ports = ports.filter(|port| devices.contains(&port.device_id));
        let ports = ports.flat_map(|port| [port.inbound_filter_id, port.outbound_filter_id]);
        own.chain(ports).flatten()
    }

    fn jumped_to(&self) -> impl Iterator<Item = Uuid> {
        let rules = self.raw.rules.values().flatten();
        rules.filter_map(|rule| match rule.action(&Reference::External)? {
            RuleAction::Jump { chain: Reference::External(chain), .. } => Some(chain),
            _ => None,
        })
    }

    /// What was read, matched to keys.
    pub fn recognise(&self, scope: Scope<'_>) -> Observed {
        recognise::recognise(&self.raw, recognise::devices(&self.raw, scope), scope)
    }
}
