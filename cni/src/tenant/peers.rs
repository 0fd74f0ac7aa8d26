//! The specs that a tenant is compiled with: its own, and those of its peers that exist in MidoNet.
//!
//! A peering has a part at each of the two tenants. The first pod of each tenant makes the tenant alone. The pod that comes
//! second completes the peering, under the locks of both tenants. So a tenant with a thousand peers is made as quickly as
//! any other.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::diagnostic::{self, Diagnostic, Diagnostics};
use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::peering::PeersOf;
use midoform_compiler::network::provider_use::Neighbours;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Profile, parse};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::SITE;
use midoform_compiler::{Allocated, Compiled, Input, Policies, compile_beside};
use midoform_store::tenants::PushedFile;
use midoform_store::{SharedStore, tenants};

use crate::config::{Config, error_lines};
use crate::protocol::error::{CniError, Code, Result};

/// The name of the bridge of tenants without a spec, as in the Go plugin.
const FIRST_BRIDGE: &str = "bridge0";

/// The codes of diagnostics that mean that the site has no free network.
const POOL_FULL: [diagnostic::Code; 2] = [diagnostic::Code::LinkPoolFull, diagnostic::Code::BridgePoolFull];

/// A tenant's spec, and those of its peers.
pub(crate) struct TenantAndPeers {
    /// The tenant's name.
    pub(crate) tenant: TenantName,
    /// The tenant's own spec.
    pub(crate) own: PushedFile,
    /// True if the own spec was pushed. Otherwise it is the default layout.
    pub(crate) is_pushed: bool,
    /// The peers that exist, and their peers. They are compiled as well, since a router must distinguish all of its peers.
    /// They are not changed.
    existing: BTreeMap<TenantName, PushedFile>,
    /// The peers that do not exist yet: of each the tenants that it names.
    missing: PeersOf,
    /// The peers that name the tenant back, whether they exist or not.
    mutual: BTreeSet<TenantName>,
}

impl TenantAndPeers {
    /// Reads the specs in the store.
    pub(crate) async fn read(store: &SharedStore, config: &Config, tenant: &str) -> Result<TenantAndPeers> {
        let pushed = tenants::sources(store, tenant).await?.tenant;
        let is_pushed = pushed.is_some();
        let own =
            pushed.unwrap_or_else(|| PushedFile::new("the default layout", &default_spec(config, tenant)));
        let (mut existing, mut missing) = (BTreeMap::new(), PeersOf::new());
        let (mut peers_of_peers, mut mutual) = (BTreeSet::new(), BTreeSet::new());
        for (name, peer) in tenants::pushed(store, &peers_of(&own, tenant)).await? {
            let named = peers_of(&peer.spec, &name);
            if named.contains(tenant) {
                mutual.insert(name.clone());
            }
            if peer.is_made {
                peers_of_peers.extend(named);
                existing.insert(name, peer.spec);
            } else {
                missing.insert(name, named);
            }
        }
        peers_of_peers.retain(|name| *name != *tenant && !existing.contains_key(name));
        let pushed = tenants::pushed(store, &peers_of_peers).await?.into_iter();
        let made = pushed.filter(|(_, peer)| peer.is_made);
        existing.extend(made.map(|(name, peer)| (name, peer.spec)));
        Ok(TenantAndPeers { tenant: tenant.into(), own, is_pushed, existing, missing, mutual })
    }

    /// Returns the tenants whose locks a change needs: the tenant, and the peers that it is or will be linked with.
    pub(crate) fn to_lock(&self) -> BTreeSet<TenantName> {
        self.mutual.iter().cloned().chain([self.tenant.clone()]).collect()
    }

    /// Returns the tenant's own spec as the compiler reads it.
    pub(crate) fn source(&self) -> Source {
        Source::new(self.own.file.clone(), self.own.text.clone())
    }

    /// Compiles the tenant and its existing peers.
    pub(crate) fn compile(
        &self,
        config: &Config,
        known: &Allocations,
        neighbours: &Neighbours,
    ) -> Result<Compiled> {
        let tenant = &self.tenant;
        let sources: Vec<Source> = std::iter::once(self.source()).chain(self.sources_of_peers()).collect();
        let compiled = self.compile_these(config, known, &sources, &self.missing, neighbours)?;
        let named: BTreeSet<&str> = compiled.tenants.iter().map(|one| &*one.name).collect();
        let wanted: BTreeSet<&str> = self.existing.keys().chain([tenant]).map(TenantName::as_str).collect();
        if let Some(name) = wanted.difference(&named).next() {
            let message =
                format!("the spec that was pushed for tenant `{name}` is the spec of another tenant");
            return Err(CniError::new(Code::Tenant, message));
        }
        Ok(compiled)
    }

    /// Compiles the existing peers without the tenant.
    pub(crate) fn compile_peers(&self, config: &Config, known: &Allocations) -> Result<Topology> {
        let sources: Vec<Source> = self.sources_of_peers().collect();
        let neighbours = Neighbours::default();
        Ok(self.compile_these(config, known, &sources, &PeersOf::new(), &neighbours)?.topology)
    }

    fn sources_of_peers(&self) -> impl Iterator<Item = Source> {
        self.existing.values().map(|pushed| Source::new(pushed.file.clone(), pushed.text.clone()))
    }

    fn compile_these(
        &self,
        config: &Config,
        known: &Allocations,
        tenants: &[Source],
        absent: &PeersOf,
        neighbours: &Neighbours,
    ) -> Result<Compiled> {
        let allocated = Allocated::Store { name: "the store", allocations: known };
        let input = Input { site: &config.site_source, allocated, tenants };
        let mut compiled = compile_beside(input, Policies::Enforced(&[]), Some(absent), neighbours)
            .map_err(|found| self.error_of(&found, &input.sources()))?;
        compiled.use_engine(config.site.engine, &input);
        Ok(compiled)
    }

    /// Returns the reason why the specs can't be compiled. If a peer's spec is wrong, the error names the peer.
    fn error_of(&self, found: &[Diagnostic], sources: &[&Source]) -> CniError {
        let own = &self.tenant;
        let is_full = found.iter().all(|finding| POOL_FULL.contains(&finding.code));
        let file_of = |finding: &Diagnostic| {
            let at = usize::try_from(finding.span().source.0).ok();
            at.and_then(|at| sources.get(at)).map(|source| &*source.name)
        };
        let whose = |finding: &Diagnostic| {
            let file = file_of(finding);
            let peer = self.existing.iter().find(|(_, pushed)| Some(&*pushed.file) == file);
            peer.map_or(own, |(name, _)| name)
        };
        let is_own = found.iter().any(|finding| whose(finding) == own);
        let tenant = found.first().filter(|_| !is_own).map_or(own, whose);
        let (code, message) = match (is_full, tenant == own) {
            (true, _) => (Code::NoAddress, format!("the site has no network left for tenant `{own}`")),
            (false, true) => (Code::Tenant, format!("the spec of tenant `{own}` is wrong")),
            (false, false) => {
                (Code::Tenant, format!("the spec of `{tenant}`, a peer of tenant `{own}`, is wrong"))
            }
        };
        CniError::new(code, message).hint(error_lines(found, sources))
    }
}

/// Returns [`TenantAndPeers::to_lock`] before anything is locked.
pub(crate) async fn to_lock(store: &SharedStore, tenant: &str) -> Result<BTreeSet<TenantName>> {
    let mut names = BTreeSet::from([tenant.into()]);
    if let Some(own) = tenants::sources(store, tenant).await?.tenant {
        let peers = tenants::pushed(store, &peers_of(&own, tenant)).await?.into_iter();
        let mutual = peers.filter(|(name, peer)| peers_of(&peer.spec, name).contains(tenant));
        names.extend(mutual.map(|(name, _)| name));
    }
    Ok(names)
}

/// Returns the tenant and the peers that it is linked with.
pub(crate) fn linked(compiled: &Compiled, tenant: &str) -> BTreeSet<TenantName> {
    let own = compiled.tenants.iter().filter(|one| *one.name == *tenant);
    let peers = own.flat_map(|own| &own.peers).map(|peer| peer.name.clone());
    peers.chain([tenant.into()]).collect()
}

/// Returns the objects of these tenants, without those that lead to other tenants.
pub(crate) fn part_of(topology: &Topology, tenants: &BTreeSet<TenantName>) -> Topology {
    let is_of_them = |tenant: &str| tenant == SITE || tenants.contains(tenant);
    topology.filtered(|entry| {
        is_of_them(entry.key.owner()) && entry.object.dependencies().iter().all(|key| is_of_them(key.owner()))
    })
}

/// Returns the tenants that a spec names as peers. A spec that can't be read names none: the compiler reports its errors.
fn peers_of(spec: &PushedFile, tenant: &str) -> BTreeSet<TenantName> {
    let source = Source::new(spec.file.clone(), spec.text.clone());
    let spec = parse::tenant(&source, SourceId(0), &mut Diagnostics::default());
    let named = spec.into_iter().flat_map(|spec| spec.peers).map(|peer| peer.tenant.value);
    named.filter(|name| *name != *tenant).collect()
}

/// Returns the default layout, for a tenant without a spec.
fn default_spec(config: &Config, tenant: &str) -> String {
    let profile = match config.profile {
        Some(Profile::Rainbond) => "profile = \"rainbond\"\n",
        Some(Profile::Strict) => "profile = \"strict\"\n",
        None => "",
    };
    let cidr = config.first_bridge.map(|cidr| format!("cidr = \"{cidr}\"\n")).unwrap_or_default();
    format!("name = \"{tenant}\"\n{profile}\n[[bridge]]\nname = \"{FIRST_BRIDGE}\"\n{cidr}")
}
