//! The scope of an observation.

use std::collections::BTreeSet;

use midoform_compiler::Compiled;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::moved::Moves;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{Object, Reference};
use midoform_compiler::values::Engine;
use uuid::Uuid;

/// The tenants whose objects are observed, and everything that is known about them.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The engine.
    pub engine: Engine,
    /// The desired topology: its keys are looked for.
    pub desired: &'a Topology,
    /// The allocations: they have the keys that are no longer desired, and the ids that the server chose.
    pub known: &'a Allocations,
    /// The tenants that are observed: only these tenants' objects can be missing from `desired`.
    pub tenants: &'a BTreeSet<TenantName>,
    /// The provider router.
    pub provider: &'a Reference,
    /// The renamed objects: an object may still have the id of its old key.
    pub moves: &'a Moves,
    /// The treatment of foreign rules and routes in midoform's chains and routers.
    pub foreign: ForeignObjects,
    /// The earlier observation that an undo restores: what an undo created again has its key there, and not the one of a desired object
    /// with the same content.
    pub restored: Option<&'a Topology>,
    /// True to recognise objects that midoform did not create by their content, in every dialect: to adopt them.
    pub adopting: bool,
}

/// The treatment of rules and routes in midoform's chains and routers that midoform did not create, and of filters by chains of others
/// where a spec wants no filter.
#[derive(Clone, Copy, Debug)]
pub enum ForeignObjects {
    /// They are reported, and stay.
    Leave,
    /// They are part of what was observed, so that a goal without them deletes them. Those of an earlier observation
    /// ([`Scope::restored`]) are recognised by their content, if an undo created them again.
    Remove,
}

impl<'a> Scope<'a> {
    /// Returns the scope of these tenants of a compiled project, with all objects of the project as the desired ones.
    pub fn of(
        compiled: &'a Compiled,
        known: &'a Allocations,
        tenants: &'a BTreeSet<TenantName>,
        provider: &'a Reference,
    ) -> Self {
        Scope {
            site: &compiled.site.name.value,
            engine: compiled.engine(),
            desired: &compiled.topology,
            known,
            tenants,
            provider,
            moves: &compiled.moves,
            foreign: ForeignObjects::Leave,
            restored: None,
            adopting: false,
        }
    }

    /// Returns the dialect of MidoNet's API.
    pub(crate) fn dialect(self) -> Dialect {
        Dialect::of(self.engine).unwrap_or(Dialect::V5)
    }

    /// Returns the objects that an unfinished run was about to create.
    pub fn making(self) -> impl Iterator<Item = &'a (Key, Object)> {
        let known = self.tenants.iter().filter_map(move |tenant| self.known.tenants.get(tenant));
        known.flat_map(|tenant| &tenant.making)
    }
}

/// The parents whose lists are read: rules of chains, routes of routers, ports of port groups, hosts of tunnel zones.
#[derive(Clone, Debug, Default)]
pub struct Parents {
    /// The ids of chains.
    pub chains: BTreeSet<Uuid>,
    /// The ids of routers.
    pub routers: BTreeSet<Uuid>,
    /// The ids of port groups.
    pub groups: BTreeSet<Uuid>,
    /// The ids of tunnel zones.
    pub zones: BTreeSet<Uuid>,
}
