//! Compiles a declarative tenant spec into a deterministic plan of MidoNet API calls.
//!
//! Pure functions of their arguments: no clock, no randomness, no environment, no files, no network. [`compile`] runs
//! these passes, each of which makes one kind of decision and returns a new value:
//!
//! 1. [`parse`]: text to specs. Decides what is TOML and what is the grammar.
//! 2. [`lock_file`]: text to allocations; [`clash`]: their check against each other and against the site, and after
//!    the allocation against tenants that have no spec.
//! 3. [`grown`]: adds the bridges that the CNI plugin made because one of the spec was full.
//! 4. [`peering`]: finds the peers of each tenant.
//! 5. [`moved`]: checks renamings, and lets the allocations follow them.
//! 6. [`allocation`]: allocates what the specs leave open. Decides addresses.
//! 7. [`peering`] again, where not all tenants are there: removes the peers that don't name the tenant back.
//! 8. [`resolve`]: names to references. Decides what a name refers to.
//! 9. [`check`]: rules about addresses, tenants among themselves, and policy. Decides what is allowed.
//! 10. [`ovn::check`]: what OVN can't do, if the site has `[ovn]`.
//! 11. [`midonet::lower`] or [`ovn::lower`]: network to topology. Decides which objects there are.
//!
//! The plan is a second function, [`plan()`], since it needs what was observed:
//!
//! 12. [`plan::diff`]: two topologies to steps. Decides what has to happen, and in which order ([`plan::order`]).
//! 13. [`midonet::dialect`] or [`ovn::encode`]: objects to calls. Decides methods and ids; paths, media types and bodies of
//!     MidoNet are those of the [kinds](topology::kinds).
//! 14. [`midonet::lint`] or [`ovn::lint`]: checks a plan against what the engine would take. Tests run it on every plan.
//!
//! The assertions of a spec are proven on the topology by the crate `packets`.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "tests read recordings, start the programs that plans are for, and fail where they can't go on"
    )
)]

mod named_codes;

pub mod diagnostic;
pub mod error_chain;
pub mod midonet;
pub mod names;
pub mod network;
pub mod ovn;
pub mod plan;
pub mod printable;
pub mod source;
pub mod spec;
pub mod topology;
pub mod values;

use diagnostic::{Diagnostic, Diagnostics, Severity};
use midonet::dialect::Dialect;
use network::allocation::Allocations;
use network::lock_file::LockFile;
use network::peering::PeersOf;
use network::provider_use::Neighbours;
use network::{allocation, check, clash, grown, lock_file, moved, peering, resolve};
use plan::Plan;
use source::{Locations, Source, SourceId};
use spec::parse;
use topology::Topology;
use topology::kinds::Reference;
use topology::observed::Observed;
use values::Engine;

/// The input of a compilation.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The site file.
    pub site: &'a Source,
    /// The existing allocations.
    pub allocated: Allocated<'a>,
    /// The tenant files, in any order.
    pub tenants: &'a [Source],
}

/// The allocations that a compilation starts from.
#[derive(Clone, Copy, Debug)]
pub enum Allocated<'a> {
    /// Nothing is allocated yet.
    Nothing,
    /// A lock file. Diagnostics show its lines.
    LockFile(&'a Source),
    /// The allocations of a store.
    Store {
        /// The store's name, for diagnostics.
        name: &'a str,
        /// The allocations.
        allocations: &'a Allocations,
    },
}

impl<'a> Input<'a> {
    /// Returns all sources, in the order that [`SourceId`] counts: the site file, the lock file, the tenant files.
    /// Without a lock file, the site file is in its position.
    pub fn sources(&self) -> Vec<&'a Source> {
        let lock = match self.allocated {
            Allocated::LockFile(lock) => lock,
            Allocated::Nothing | Allocated::Store { .. } => self.site,
        };
        [self.site, lock].into_iter().chain(self.tenants).collect()
    }
}

/// The policies that the tenants are checked against. They also decide if the tenants' own assertions have to hold.
#[derive(Clone, Copy, Debug)]
pub enum Policies<'a> {
    /// The site's, and these. Their numbers follow those of [`Input::sources`].
    Enforced(&'a [Source]),
    /// None: for commands that show or destroy tenants.
    Ignored,
}

impl Policies<'_> {
    /// Reads the policies besides the site's. The first file has the id `first`.
    fn parse(self, first: SourceId, diagnostics: &mut Diagnostics) -> Vec<spec::Policy> {
        let Policies::Enforced(files) = self else { return Vec::new() };
        let numbered = files.iter().zip(first.0..);
        numbered.filter_map(|(file, id)| parse::policy(file, SourceId(id), diagnostics)).collect()
    }
}

/// The result of a compilation.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The site.
    pub site: spec::Site,
    /// The tenants' specs, sorted by name.
    pub specs: Vec<spec::Tenant>,
    /// The tenants, resolved.
    pub tenants: Vec<network::Tenant>,
    /// Every object.
    pub topology: Topology,
    /// The renamings.
    pub moves: moved::Moves,
    /// The allocations that the compilation started from.
    pub known: Allocations,
    /// The allocations now: `known`, and those that the specs needed in addition.
    pub allocations: Allocations,
    /// The warnings about legal but suspicious specs.
    pub warnings: Vec<Diagnostic>,
}

impl Compiled {
    /// Returns the engine that the objects are compiled for.
    pub fn engine(&self) -> Engine {
        self.site.engine
    }

    /// Returns the plan that leads from what was observed to what is desired, in the engine's calls.
    pub fn plan(&self, desired: &Topology, observed: &Observed) -> Plan {
        plan(&self.site.name.value, self.engine(), desired, observed)
    }

    /// Compiles the objects again for another engine than the site file's.
    pub fn use_engine(&mut self, engine: Engine, input: &Input<'_>) {
        if self.site.engine != engine {
            self.site.engine = engine;
            let matches_tags = self.site.matches_tags();
            self.tenants.iter_mut().for_each(|tenant| tenant.matches_tags = matches_tags);
            let locations = Locations::new(input.sources().into_iter());
            self.topology = lower(&self.site, &self.tenants, &locations);
        }
    }
}

/// Compiles the network to the objects of the site's engine.
fn lower(site: &spec::Site, tenants: &[network::Tenant], locations: &Locations<'_>) -> Topology {
    match site.engine {
        Engine::Midonet1 | Engine::Midonet5 => midonet::lower::lower(site, tenants, locations),
        Engine::Ovn => ovn::lower::lower(site, tenants, locations),
    }
}

/// Returns the plan that leads from what was observed to what is desired, in an engine's calls.
pub fn plan(site_name: &str, engine: Engine, desired: &Topology, observed: &Observed) -> Plan {
    match engine {
        Engine::Midonet1 => midonet::plan(site_name, Dialect::V1, desired, observed),
        Engine::Midonet5 => midonet::plan(site_name, Dialect::V5, desired, observed),
        Engine::Ovn => ovn::plan(site_name, desired, observed),
    }
}

/// Returns the router that leads outside: an existing one, or the one that midoform makes.
pub fn provider_router(site: &spec::Site) -> Reference {
    match (site.engine, &site.ovn) {
        (Engine::Ovn, Some(ovn)) => ovn::lower::provider_router(ovn),
        _ => midonet::lower::provider_router(site),
    }
}

/// Compiles a site and its tenants under the site's own policy, or returns everything that is wrong with them.
pub fn compile(input: Input<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    compile_under(input, Policies::Enforced(&[]))
}

/// Compiles a site and its tenants under these policies, or returns everything that is wrong with them.
pub fn compile_under(input: Input<'_>, policies: Policies<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    compile_beside(input, policies, None, &Neighbours::default())
}

/// Compiles the tenants of a site, with links that avoid what others use on the provider router (`neighbours`).
///
/// `absent` is none if all tenants of the site are in the input. If only some are, it has the peers of the others: a peer
/// that is not in the input, or does not name the tenant back, is left out, with the rules and assertions that are about it.
/// Everything else has to be right. Networks that one router has to distinguish are allocated so that they don't overlap.
pub fn compile_beside(
    input: Input<'_>,
    policies: Policies<'_>,
    absent: Option<&PeersOf>,
    neighbours: &Neighbours,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut diagnostics = Diagnostics::default();
    let site = parse::site(input.site, SourceId(0), &mut diagnostics);
    let specs = parse_tenants(input.tenants, &mut diagnostics);
    let behind = SourceId(u32::try_from(input.tenants.len()).unwrap_or(u32::MAX - 2) + 2);
    let named = policies.parse(behind, &mut diagnostics);
    let lock_file = match input.allocated {
        Allocated::LockFile(source) => lock_file::parse(source, SourceId(1), &mut diagnostics),
        Allocated::Nothing | Allocated::Store { .. } => Some(LockFile::default()),
    };
    let (Some(site), Some(lock_file)) = (site, lock_file) else { return Err(diagnostics.into_sorted()) };
    // Nothing can be allocated from a wrong pool: what would be said of each tenant follows from that.
    if !site.pools.are_sound {
        return Err(diagnostics.into_sorted());
    }
    match input.allocated {
        Allocated::Store { name, allocations } => {
            clash::check_store(name, allocations, &site, &mut diagnostics);
        }
        Allocated::Nothing | Allocated::LockFile(_) => {
            clash::check_lock_file(&lock_file, &site, &mut diagnostics);
        }
    }
    let known = match input.allocated {
        Allocated::Store { allocations, .. } => allocations.clone(),
        Allocated::Nothing | Allocated::LockFile(_) => lock_file.allocations,
    };
    let specs = grown::extend(specs, &known);
    let mut peers = peering::peers_of(&specs);
    peers.extend(absent.cloned().unwrap_or_default());
    moved::check(&specs, &known, &mut diagnostics);
    let moves = moved::Moves::pending(&specs, &known);
    let carried = moved::carry_over(&specs, &known);
    let mut allocations = allocation::allocate(&site, &specs, &peers, &carried, neighbours, &mut diagnostics);
    let enforced = matches!(policies, Policies::Enforced(_));
    if absent.is_none() {
        // Who looks at tenants, or takes them down, may do so whatever they are called.
        let severity = if enforced { Severity::Error } else { Severity::Warning };
        let renamed = clash::absent_tenants(&specs, &known, &allocations, &site);
        // Several projects may share a store: there, tenants without a file are others'.
        let is_alone = matches!(input.allocated, Allocated::LockFile(_)) && renamed.is_empty();
        let warning = is_alone.then(|| clash::tenant_without_file(&specs, &known)).flatten();
        renamed.into_iter().for_each(|found| diagnostics.push(Diagnostic { severity, ..found }));
        warning.into_iter().for_each(|found| diagnostics.push(found));
    }
    let specs = if absent.is_some() { peering::keep_answered_peers(specs) } else { specs };
    let tenants = resolve::resolve(&site, &specs, &allocations, &mut diagnostics);
    let policies: Vec<&spec::Policy> = site.policy.iter().filter(|_| enforced).chain(&named).collect();
    check::check(&site, &policies, &specs, &tenants, &mut diagnostics);
    if enforced {
        // A tenant that is on MidoNet can be seen and destroyed, even if it can't move to OVN as it is.
        ovn::check::check(&site, &tenants, &mut diagnostics);
    }
    if diagnostics.has_errors() {
        return Err(diagnostics.into_sorted());
    }
    let locations = Locations::new(input.sources().into_iter());
    let topology = lower(&site, &tenants, &locations);
    moved::keep_ids(&site.name.value, &moves, &topology, &known, &mut allocations);
    let warnings = diagnostics.into_sorted();
    Ok(Compiled { site, specs, tenants, topology, moves, known, allocations, warnings })
}

/// Returns the tenants as their allocations know them, without their objects and without the checks of their specs: enough to delete
/// them. The site has to be right, and each tenant's name readable.
pub fn known_tenants(input: Input<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    let mut diagnostics = Diagnostics::default();
    let site = parse::site(input.site, SourceId(0), &mut diagnostics);
    let known = match input.allocated {
        Allocated::Nothing => Some(Allocations::default()),
        Allocated::LockFile(source) => {
            lock_file::parse(source, SourceId(1), &mut diagnostics).map(|file| file.allocations)
        }
        Allocated::Store { allocations, .. } => Some(allocations.clone()),
    };
    let mut of_specs = Diagnostics::default();
    let specs = parse_tenants(input.tenants, &mut of_specs);
    let (Some(site), Some(known), false) = (site, known, diagnostics.has_errors()) else {
        return Err(diagnostics.into_sorted());
    };
    if specs.len() < input.tenants.len() {
        return Err(of_specs.into_sorted());
    }
    let topology = lower(&site, &[], &Locations::new(input.sources().into_iter()));
    Ok(Compiled {
        site,
        specs,
        tenants: Vec::new(),
        topology,
        moves: moved::Moves::default(),
        allocations: known.clone(),
        known,
        warnings: Vec::new(),
    })
}

/// Parses the tenants, sorted by name.
fn parse_tenants(sources: &[Source], diagnostics: &mut Diagnostics) -> Vec<spec::Tenant> {
    let numbered = sources.iter().zip(2..);
    let parsed = numbered.filter_map(|(source, id)| parse::tenant(source, SourceId(id), diagnostics));
    let mut specs: Vec<spec::Tenant> = parsed.collect();
    specs.sort_by(|a, b| (&a.name.value, a.name.span).cmp(&(&b.name.value, b.name.span)));
    specs
}
