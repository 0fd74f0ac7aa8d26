//! Whose pod it is, and the tenant's part of an ADD: its first pod makes it, a pod that finds no room makes it grow.
//!
//! Both are done under the tenant's lock, with the compiler and the applier, as `midoform apply` does it; but nothing is
//! ever taken away here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midoform_applier::claims::given::{self, Given, GivenError};
use midoform_applier::claims::keys;
use midoform_applier::claims::lock::{self, LEASE, Lock, LockError};
use midoform_applier::claims::pods::Ask;
use midoform_applier::claims::ready::Ready;
use midoform_applier::claims::tenants::{self, TenantError};
use midoform_applier::client::Client;
use midoform_applier::execute::{Control, execute};
use midoform_applier::observe::{Scope, observe};
use midoform_applier::store::SharedStore;
use midoform_applier::store::record::Held;
use midoform_compiler::allocation::Allocations;
use midoform_compiler::diag::Diagnostics;
use midoform_compiler::key::Key;
use midoform_compiler::lower::provider_router;
use midoform_compiler::observed::Observed;
use midoform_compiler::order::Kind;
use midoform_compiler::plan::Plan;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec;
use midoform_compiler::topology::dependencies;
use midoform_compiler::{Compiled, diff, lint, parse};
use uuid::Uuid;

use crate::backend::Backend;
use crate::config::{Config, PortMapping};
use crate::error::{CniError, Code, Result};
use crate::neighbourhood::{self, Neighbourhood, linked, part_of};
use crate::request::Request;

/// How often the network is looked at anew after a call of which nobody knows whether it happened, or which somebody else
/// made first.
const ROUNDS: u32 = 4;

/// How often a tenant is begun anew after its lock was lost.
const TRIES: u32 = 3;

/// How many calls are under way at a time.
const PARALLEL: usize = 4;

/// The tenant of a pod: its Kubernetes namespace, or what the run or the configuration says.
pub(crate) fn of_pod(config: &Config, request: &Request) -> Result<String> {
    let named = [&request.arguments.pod_namespace, &config.wishes.tenant, &config.tenant];
    let Some(name) = named.into_iter().flatten().next() else {
        return Err(CniError::configuration(
            "tenant",
            "is missing, and neither K8S_POD_NAMESPACE nor args.cni.tenant names one",
        ));
    };
    match parse::name_problem(name) {
        None => Ok(name.clone()),
        Some(problem) => {
            Err(CniError::new(Code::InvalidEnvironment, format!("the tenant `{name}` {problem}")))
        }
    }
}

/// Makes the tenant, unless somebody else does so first.
pub(crate) async fn make_ready(backend: &mut Backend<'_>, tenant: &str) -> Result<()> {
    once_more(tenant, async || make_ready_once(backend, tenant).await).await
}

/// Does it again where its lock was lost, as on a machine that is too busy: what was done is found by whoever comes next.
async fn once_more(tenant: &str, mut make: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    for _ in 1..TRIES {
        match make().await {
            Err(error) if error.code == Code::TryAgainLater => {
                tracing::warn!(step = "tenant", tenant, %error, "once more");
            }
            other => return other,
        }
    }
    make().await
}

async fn make_ready_once(backend: &mut Backend<'_>, tenant: &str) -> Result<()> {
    let store = backend.store().await?;
    let lock = acquire(backend, &store, tenant).await?;
    let result = async {
        if tenants::ready(&store, tenant).await?.is_some() {
            return Ok(());
        }
        tracing::info!(step = "tenant", tenant, "its first pod: making it");
        let neighbourhood = locked(backend, &store, &lock, tenant).await?;
        realise(backend, &store, &lock, &neighbourhood, BTreeMap::new()).await
    };
    let result = result.await;
    lock.release().await;
    result
}

/// Adds a bridge for one that is full, unless somebody else does so first.
pub(crate) async fn grow(
    backend: &mut Backend<'_>,
    tenant: &str,
    full: &Held<Ready>,
    bridge: &str,
) -> Result<()> {
    once_more(tenant, async || grow_once(backend, tenant, full, bridge).await).await
}

async fn grow_once(backend: &mut Backend<'_>, tenant: &str, full: &Held<Ready>, bridge: &str) -> Result<()> {
    let store = backend.store().await?;
    let lock = acquire(backend, &store, tenant).await?;
    let result = async {
        let now = tenants::ready(&store, tenant).await?;
        if now.is_none_or(|now| now.revision != full.revision) {
            return Ok(());
        }
        let neighbourhood = locked(backend, &store, &lock, tenant).await?;
        refuse_to_grow(&neighbourhood, &full.record)?;
        let mut grown = grown_of(&full.record);
        let taken = |name: &str| full.record.bridges.iter().any(|bridge| bridge.name == name);
        let name =
            (2..).map(|number| format!("{bridge}-{number}")).find(|name| !taken(name)).unwrap_or_default();
        tracing::info!(step = "bridge", tenant, bridge, name, "it is full: adding another");
        grown.insert(name, bridge.to_owned());
        realise(backend, &store, &lock, &neighbourhood, grown).await
    };
    let result = result.await;
    lock.release().await;
    result
}

/// Whether another bridge could be added for pods that find no room: an error that says why not.
pub(crate) async fn room_to_grow(backend: &mut Backend<'_>, tenant: &str, full: &Ready) -> Result<()> {
    let store = backend.store().await?;
    let neighbourhood = Neighbourhood::read(&store, backend.config, tenant).await?;
    refuse_to_grow(&neighbourhood, full)?;
    let mut grown = grown_of(full);
    if let Some(first) = full.bridges.first() {
        grown.insert("status-1".to_owned(), first.name.clone());
    }
    let mut given = given::load(&store).await?;
    note_grown(&mut given.allocations, tenant, &grown);
    neighbourhood.compile(backend.config, &given.allocations).map(drop)
}

/// The right to change the tenant, and those that it names as peers: of two that are made at once, the second one finds
/// the first, and links them.
async fn acquire(backend: &Backend<'_>, store: &SharedStore, tenant: &str) -> Result<Lock> {
    let patience: Duration = backend.config.timeouts.add;
    let tenants = neighbourhood::to_lock(store, tenant).await?;
    let names: Vec<String> = tenants.iter().map(|tenant| keys::tenant_lock(tenant)).collect();
    let lock = lock::acquire_all(store, &names, "midonet-cni ADD", patience, LEASE).await;
    lock.map_err(|error| match error {
        LockError::Store(error) => error.into(),
        busy @ LockError::Busy { .. } => {
            CniError::new(Code::TryAgainLater, format!("tenant `{tenant}` is being changed"))
                .details(busy.to_string())
        }
    })
}

/// The tenant's specs, now that nobody else makes it or its peers.
async fn locked(
    backend: &Backend<'_>,
    store: &SharedStore,
    lock: &Lock,
    tenant: &str,
) -> Result<Neighbourhood> {
    let neighbourhood = Neighbourhood::read(store, backend.config, tenant).await?;
    match neighbourhood.to_lock().iter().find(|name| lock.fence_of_tenant(name).is_none()) {
        None => Ok(neighbourhood),
        Some(name) => {
            let message = format!("tenant `{tenant}` was given another peer just now: `{name}`");
            Err(CniError::new(Code::TryAgainLater, message))
        }
    }
}

/// The bridges that were added to a tenant, and for which.
fn grown_of(ready: &Ready) -> BTreeMap<String, String> {
    let grown =
        ready.bridges.iter().filter_map(|bridge| Some((bridge.name.clone(), bridge.grown_from.clone()?)));
    grown.collect()
}

/// Writes down what shall have been added: the compiler takes it from there.
fn note_grown(allocations: &mut Allocations, tenant: &str, grown: &BTreeMap<String, String>) {
    let given = allocations.tenants.entry(tenant.to_owned()).or_default();
    given.grown.extend(grown.iter().map(|(name, from)| (name.clone(), from.clone())));
}

/// Compiles the tenant, gives it what its spec leaves open, makes what is not there yet, its peers' part among it, and
/// says that it is ready.
async fn realise(
    backend: &mut Backend<'_>,
    store: &SharedStore,
    lock: &Lock,
    neighbourhood: &Neighbourhood,
    grown: BTreeMap<String, String>,
) -> Result<()> {
    let tenant = neighbourhood.tenant.as_str();
    let mut given = given::load(store).await?;
    let (compiled, linked) = loop {
        let mut known = given.allocations.clone();
        note_grown(&mut known, tenant, &grown);
        let mut compiled = neighbourhood.compile(backend.config, &known)?;
        let linked = linked(&compiled, tenant);
        compiled.topology = part_of(&compiled.topology, &linked);
        note_what_is_made(&mut compiled, &linked);
        compiled.allocations = given::merged(&given.allocations, &compiled.allocations, lock);
        if given::write(store, lock, &mut given, &compiled.allocations).await? {
            break (compiled, linked);
        }
        if !lock.is_held().await? {
            return Err(TenantError::Lost { tenant: tenant.to_owned() }.into());
        }
        // Another tenant was given something since: this one picks again.
        given = given::load(store).await?;
    };
    let client = backend.client().await?;
    let observed = make(&client, &compiled, tenant, &linked).await?;
    note_applied(store, lock, &mut given, &compiled, &observed, &linked).await?;
    let ready = Ready::of(&compiled, tenant, &neighbourhood.own.sha256, &observed.ids)
        .ok_or_else(|| CniError::internal(format!("tenant `{tenant}` was compiled, and is not there")))?;
    tenants::publish(store, &lock.fence(), &ready).await?;
    tracing::info!(step = "tenant", tenant, bridges = ready.bridges.len(), "it is ready for pods");
    Ok(())
}

/// The spec's `quotas` hold for what is added as well. A spec that was pushed and not applied may speak no longer of what
/// pods are attached to: nothing is made from it here.
fn refuse_to_grow(neighbourhood: &Neighbourhood, full: &Ready) -> Result<()> {
    let tenant = &neighbourhood.tenant;
    if neighbourhood.is_pushed && neighbourhood.own.sha256 != full.spec {
        let message =
            format!("all bridges of tenant `{tenant}` are full, and a new spec of it was not applied yet");
        return Err(CniError::new(Code::NoAddress, message).details("apply it: `midoform apply`"));
    }
    let source = neighbourhood.source();
    let spec = parse::tenant(&source, SourceId(0), &mut Diagnostics::default());
    let most = spec.and_then(|spec| spec.quotas.bridges).map(|most| most.value);
    match most.filter(|most| full.bridges.len() as u64 >= u64::from(*most)) {
        None => Ok(()),
        Some(most) => {
            let message = format!(
                "all {} bridges of tenant `{tenant}` are full, and it may have {most}",
                full.bridges.len()
            );
            Err(CniError::new(Code::NoAddress, message)
                .details("raise `quotas.bridges` in its spec, and apply it"))
        }
    }
}

/// 1.x chooses the ids of some objects itself: what will be made is written down first, so that the next run knows it,
/// should this one end before it can say what became of it.
fn note_what_is_made(compiled: &mut Compiled, tenants: &BTreeSet<String>) {
    let dialect = compiled.dialect();
    if dialect.keeps_offered_id(Kind::RouterPort) {
        return;
    }
    let known: BTreeSet<Key> =
        compiled.allocations.tenants.values().flat_map(|given| given.ids.keys().cloned()).collect();
    for tenant in tenants {
        let Some(given) = compiled.allocations.tenants.get_mut(tenant) else { continue };
        for entry in compiled.topology.entries().iter().filter(|entry| entry.key.tenant() == tenant) {
            let is_known = match Kind::of(&entry.object) {
                // They have no id, and hang on ports that have one.
                Kind::PortLink | Kind::HostInterfacePort => {
                    dependencies(&entry.object).iter().all(|port| known.contains(port))
                }
                kind => dialect.keeps_offered_id(kind) || known.contains(&entry.key),
            };
            let making = (entry.key.clone(), entry.object.clone());
            if !is_known && !given.making.contains(&making) {
                given.making.push(making);
            }
        }
    }
}

/// Makes what is not there yet; answers what is there then.
async fn make(
    client: &Client,
    compiled: &Compiled,
    tenant: &str,
    linked: &BTreeSet<String>,
) -> Result<Observed> {
    let (site, dialect) = (compiled.site.name.value.as_str(), compiled.dialect());
    let provider = provider_router(&compiled.site);
    let mut known = compiled.allocations.clone();
    let mut failure = None;
    for _ in 0..ROUNDS {
        let scope = Scope {
            site,
            dialect,
            desired: &compiled.topology,
            known: &known,
            tenants: linked,
            provider: &provider,
            moves: &compiled.moves,
            adopting: false,
        };
        let mut observed = observe(client, scope, &|_| {}).await?;
        // What the spec does not speak of stays: a pod takes nothing away.
        observed.topology =
            observed.topology.filtered(|entry| compiled.topology.get(entry.key.as_str()).is_some());
        let plan = diff::plan(site, dialect, &compiled.topology, &observed);
        check(&plan, &observed)?;
        if plan.summary().changes() == 0 {
            return Ok(observed);
        }
        let outcome = execute(client, &plan, PARALLEL, &Control::default(), &|_| {}).await;
        add_ids(&mut known, linked, &outcome.ids);
        let Some(failed) = outcome.failure else {
            observed.ids.extend(outcome.ids);
            return Ok(observed);
        };
        let look_again = failed.source.is_uncertain() || failed.source.status() == Some(409);
        tracing::warn!(step = "tenant", tenant, key = %failed.key, error = %failed.source, look_again, "a call failed");
        let error = CniError::from(failed.source);
        if !look_again {
            return Err(error);
        }
        failure = Some(error);
    }
    Err(failure
        .unwrap_or_else(|| CniError::internal(format!("tenant `{tenant}` did not become what it should be"))))
}

fn check(plan: &Plan, observed: &Observed) -> Result<()> {
    match lint::check(plan, observed).first() {
        None => Ok(()),
        Some(found) => Err(CniError::internal(format!(
            "the plan is not sound: {} ({}): {}",
            found.step, found.code, found.message
        ))),
    }
}

/// Takes note of these tenants' objects' ids.
fn add_ids(allocations: &mut Allocations, tenants: &BTreeSet<String>, ids: &BTreeMap<Key, Uuid>) {
    for tenant in tenants {
        if let Some(entry) = allocations.tenants.get_mut(tenant) {
            let own = ids.iter().filter(|(key, _)| key.tenant() == tenant);
            entry.ids.extend(own.map(|(key, id)| (key.clone(), *id)));
        }
    }
}

/// Writes down that the tenants were applied, their static ports, and the ids of the server's choosing.
async fn note_applied(
    store: &SharedStore,
    lock: &Lock,
    given: &mut Given,
    compiled: &Compiled,
    observed: &Observed,
    tenants: &BTreeSet<String>,
) -> Result<()> {
    let mut now = compiled.allocations.clone();
    for network in compiled.tenants.iter().filter(|network| tenants.contains(&*network.name)) {
        let Some(entry) = now.tenants.get_mut(&*network.name) else { continue };
        entry.applied = true;
        entry.making.clear();
        entry.protect = network.protect;
        entry.ports = network.ports.iter().map(|port| port.name.to_string()).collect();
    }
    if !compiled.dialect().keeps_offered_id(Kind::Route) {
        add_ids(&mut now, tenants, &observed.ids);
    }
    Ok(given::write_beside_others(store, lock, &compiled.site, given, &now).await?)
}

/// Ports of the host that shall lead to the pod: the spec's `[[expose]]` does that, to the address that it names, so the
/// pod is given that address.
pub(crate) async fn serve_port_mappings(
    backend: &mut Backend<'_>,
    tenant: &str,
    ask: &mut Ask,
) -> Result<()> {
    let config = backend.config;
    let wanted: Vec<&PortMapping> =
        config.wishes.port_mappings.iter().filter(|mapping| mapping.host_port != 0).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let store = backend.store().await?;
    let pushed = tenants::sources(&store, tenant).await?.tenant;
    let source = pushed.map(|pushed| Source::new(pushed.file, pushed.text));
    let own = source.and_then(|source| parse::tenant(&source, SourceId(0), &mut Diagnostics::default()));
    let exposes = own.map(|own| own.exposes).unwrap_or_default();
    for mapping in wanted {
        let found = exposes.iter().find(|expose| serves(expose, mapping));
        let Some(expose) = found else {
            let PortMapping { host_port, container_port, protocol, .. } = mapping;
            let message = format!(
                "no [[expose]] of tenant `{tenant}` leads from port {host_port} to a pod's {protocol} port {container_port}"
            );
            return Err(CniError::new(Code::InvalidConfiguration, message)
                .details("add one to its spec and push it, or let the plugin `portmap` do it"));
        };
        let (address, bridge) = (
            expose.address.as_ref().map(|at| at.value),
            expose.bridge.as_ref().map(|name| name.value.clone()),
        );
        if ask.address.is_some() && ask.address != address {
            let message =
                format!("the pod's ports lead to different addresses: {:?} and {address:?}", ask.address);
            return Err(CniError::new(Code::AddressRefused, message));
        }
        (ask.address, ask.bridge) = (address, bridge.or_else(|| ask.bridge.take()));
    }
    Ok(())
}

fn serves(expose: &spec::Expose, mapping: &PortMapping) -> bool {
    let protocol = match mapping.protocol.to_ascii_lowercase().as_str() {
        "udp" => 17,
        "tcp" | "" => 6,
        _ => return false,
    };
    let any = matches!(mapping.host_address.as_str(), "" | "0.0.0.0");
    let at = any || mapping.host_address.parse() == Ok(expose.public.value);
    let (from, to) = (expose.public_port == mapping.host_port, expose.target_port == mapping.container_port);
    at && from && to && expose.protocol == protocol && expose.address.is_some()
}

impl From<GivenError> for CniError {
    fn from(error: GivenError) -> CniError {
        let text = error.to_string();
        match error {
            GivenError::Store(error) => error.into(),
            GivenError::Lost { .. } | GivenError::Clash { .. } => CniError::new(Code::TryAgainLater, text),
            GivenError::NotLocked { .. } => CniError::internal(text),
        }
    }
}

impl From<TenantError> for CniError {
    fn from(error: TenantError) -> CniError {
        let text = error.to_string();
        match error {
            TenantError::Store(error) => error.into(),
            TenantError::Lost { .. } => CniError::new(Code::TryAgainLater, text),
            TenantError::Taken { .. } | TenantError::Attached { .. } => CniError::new(Code::Tenant, text),
        }
    }
}
