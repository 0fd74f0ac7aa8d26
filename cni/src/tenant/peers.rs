//! The specs that a tenant is compiled with: its own, and those of the peers that are made.
//!
//! A peering has a part on either side. The first pod of either tenant makes its own; whose pod comes second makes both
//! whole, under the locks of both. So a tenant with a thousand peers is made like any other, and none of them has to be.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::diagnostic::{self, Diagnostic, Diagnostics};
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::peering::PeersOf;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Profile, parse};
use midoform_compiler::topology::key::SITE;
use midoform_compiler::topology::{Topology, dependencies};
use midoform_compiler::{Allocated, Compiled, Input, compile_present};
use midoform_store::tenants::Pushed;
use midoform_store::{SharedStore, tenants};

use crate::config::{Config, in_words};
use crate::protocol::error::{CniError, Code, Result};

/// The bridge of tenants without a spec, as the Go plugin calls it.
const FIRST_BRIDGE: &str = "bridge0";

/// A tenant's spec, and its neighbours'.
pub(crate) struct TenantAndPeers {
    /// The tenant's name.
    pub(crate) tenant: String,
    /// The tenant's own spec.
    pub(crate) own: Pushed,
    /// Whether it was pushed; else it is the default layout.
    pub(crate) is_pushed: bool,
    /// The peers that are made, and theirs: those are compiled, since one router must tell all of its peers apart, and
    /// stay as they are.
    others: BTreeMap<String, Pushed>,
    /// Whom the peers name that are not made.
    absent: PeersOf,
    /// The peers that name the tenant back, made or not.
    answering: BTreeSet<String>,
}

impl TenantAndPeers {
    /// The specs as the store has them.
    pub(crate) async fn read(store: &SharedStore, config: &Config, tenant: &str) -> Result<TenantAndPeers> {
        let pushed = tenants::sources(store, tenant).await?.tenant;
        let is_pushed = pushed.is_some();
        let own = pushed.unwrap_or_else(|| Pushed::new("the default layout", &default_spec(config, tenant)));
        let (mut others, mut absent) = (BTreeMap::new(), PeersOf::new());
        let (mut theirs, mut answering) = (BTreeSet::new(), BTreeSet::new());
        for (name, peer) in tenants::pushed(store, &peers_of(&own, tenant)).await? {
            let named = peers_of(&peer.spec, &name);
            if named.contains(tenant) {
                answering.insert(name.clone());
            }
            if peer.is_made {
                theirs.extend(named);
                others.insert(name, peer.spec);
            } else {
                absent.insert(name, named);
            }
        }
        theirs.retain(|name| name != tenant && !others.contains_key(name));
        let made = tenants::pushed(store, &theirs).await?.into_iter().filter(|(_, peer)| peer.is_made);
        others.extend(made.map(|(name, peer)| (name, peer.spec)));
        Ok(TenantAndPeers { tenant: tenant.to_owned(), own, is_pushed, others, absent, answering })
    }

    /// The tenants that have to be locked where this one changes: itself, and whomever it is, or will be, linked with.
    pub(crate) fn to_lock(&self) -> BTreeSet<String> {
        self.answering.iter().cloned().chain([self.tenant.clone()]).collect()
    }

    /// The tenant's own spec, to be read by the compiler.
    pub(crate) fn source(&self) -> Source {
        Source::new(self.own.file.clone(), self.own.text.clone())
    }

    /// Compiles all of them.
    pub(crate) fn compile(&self, config: &Config, known: &Allocations) -> Result<Compiled> {
        let tenant = &self.tenant;
        let sources: Vec<Source> = std::iter::once(self.source()).chain(self.sources_of_others()).collect();
        let compiled = self.compile_these(config, known, &sources, &self.absent)?;
        let named: BTreeSet<&str> = compiled.tenants.iter().map(|one| &*one.name).collect();
        let wanted: BTreeSet<&str> = self.others.keys().chain([tenant]).map(String::as_str).collect();
        if let Some(name) = wanted.difference(&named).next() {
            let message = format!("the spec that was pushed for tenant `{name}` is another's");
            return Err(CniError::new(Code::Tenant, message));
        }
        Ok(compiled)
    }

    /// What there is of the others where the tenant is not.
    pub(crate) fn compile_others(&self, config: &Config, known: &Allocations) -> Result<Topology> {
        let sources: Vec<Source> = self.sources_of_others().collect();
        Ok(self.compile_these(config, known, &sources, &PeersOf::new())?.topology)
    }

    fn sources_of_others(&self) -> impl Iterator<Item = Source> {
        self.others.values().map(|pushed| Source::new(pushed.file.clone(), pushed.text.clone()))
    }

    fn compile_these(
        &self,
        config: &Config,
        known: &Allocations,
        tenants: &[Source],
        absent: &PeersOf,
    ) -> Result<Compiled> {
        let allocated = Allocated::Store { name: "the store", allocations: known };
        let input = Input { site: &config.site_source, allocated, tenants };
        compile_present(input, absent).map_err(|found| self.in_words(&found, &input.sources()))
    }

    /// Why they can't be compiled. What is wrong may be a peer's spec: that one is named.
    fn in_words(&self, found: &[Diagnostic], sources: &[&Source]) -> CniError {
        let own = &self.tenant;
        let is_full = found.iter().all(|finding| {
            matches!(finding.code, diagnostic::Code::BridgePoolFull | diagnostic::Code::LinkPoolFull)
        });
        let file_of = |finding: &Diagnostic| {
            let at = usize::try_from(finding.span().source.0).ok();
            at.and_then(|at| sources.get(at)).map(|source| &*source.name)
        };
        let whose = |finding: &Diagnostic| {
            let file = file_of(finding);
            let other = self.others.iter().find(|(_, pushed)| Some(&*pushed.file) == file);
            other.map_or(own, |(name, _)| name)
        };
        let is_own = found.iter().any(|finding| whose(finding) == own);
        let tenant = found.first().filter(|_| !is_own).map_or(own, whose);
        let (code, message) = match (is_full, tenant == own) {
            (true, _) => (Code::NoAddress, format!("the site has no network left for tenant `{own}`")),
            (false, true) => (Code::Tenant, format!("the spec of tenant `{own}` is wrong")),
            (false, false) => {
                (Code::Tenant, format!("the spec of `{tenant}` is wrong, a neighbour of tenant `{own}`"))
            }
        };
        CniError::new(code, message).details(in_words(found, sources))
    }
}

/// [`TenantAndPeers::to_lock`], before anything is locked.
pub(crate) async fn to_lock(store: &SharedStore, tenant: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::from([tenant.to_owned()]);
    if let Some(own) = tenants::sources(store, tenant).await?.tenant {
        let peers = tenants::pushed(store, &peers_of(&own, tenant)).await?.into_iter();
        let answering = peers.filter(|(name, peer)| peers_of(&peer.spec, name).contains(tenant));
        names.extend(answering.map(|(name, _)| name));
    }
    Ok(names)
}

/// The tenant, and the peers that it is linked with.
pub(crate) fn linked(compiled: &Compiled, tenant: &str) -> BTreeSet<String> {
    let own = compiled.tenants.iter().filter(|one| *one.name == *tenant);
    let peers = own.flat_map(|own| &own.peers).map(|peer| peer.name.to_string());
    peers.chain([tenant.to_owned()]).collect()
}

/// What there is of these tenants: of what leads to others, nothing.
pub(crate) fn part_of(topology: &Topology, tenants: &BTreeSet<String>) -> Topology {
    let is_of_them = |tenant: &str| tenant == SITE || tenants.contains(tenant);
    topology.filtered(|entry| {
        is_of_them(entry.key.tenant())
            && dependencies(&entry.object).iter().all(|key| is_of_them(key.tenant()))
    })
}

/// The tenants that a spec names as peers. One that can't be read names none: the compiler says what is wrong with it.
fn peers_of(spec: &Pushed, tenant: &str) -> BTreeSet<String> {
    let source = Source::new(spec.file.clone(), spec.text.clone());
    let spec = parse::tenant(&source, SourceId(0), &mut Diagnostics::default());
    let named = spec.into_iter().flat_map(|spec| spec.peers).map(|peer| peer.tenant.value);
    named.filter(|name| name != tenant).collect()
}

/// The spec of a tenant that has none.
fn default_spec(config: &Config, tenant: &str) -> String {
    let profile = match config.profile {
        Some(Profile::Rainbond) => "profile = \"rainbond\"\n",
        Some(Profile::Strict) => "profile = \"strict\"\n",
        None => "",
    };
    let cidr = config.first_bridge.map(|cidr| format!("cidr = \"{cidr}\"\n")).unwrap_or_default();
    format!("name = \"{tenant}\"\n{profile}\n[[bridge]]\nname = \"{FIRST_BRIDGE}\"\n{cidr}")
}
