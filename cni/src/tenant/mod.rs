//! Whose pod it is, and the tenant's part of an ADD: its first pod makes it, a pod that finds no room makes it grow.
//!
//! Both are done under the lock of the tenant and its peers, with the compiler and the applier, as `midoform apply` does it
//! (`realise`).

mod ensure;
mod peers;

use std::collections::BTreeMap;
use std::time::Duration;

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec;
use midoform_compiler::spec::parse;
use midoform_store::allocation::AllocationError;
use midoform_store::ipam::Ask;
use midoform_store::locks::{LEASE, Lock, LockError};
use midoform_store::ready::Ready;
use midoform_store::record::Held;
use midoform_store::tenants::TenantError;
use midoform_store::{SharedStore, allocation, keys, locks, tenants};

use crate::backend::Backend;
use crate::config::{Config, PortMapping};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Request;
use crate::tenant::ensure::ensure;
use peers::TenantAndPeers;

/// How often a tenant is begun anew after its lock was lost.
const TRIES: u32 = 3;

/// The tenant of a pod: its Kubernetes namespace, or what the run or the configuration says.
pub(crate) fn of_pod(config: &Config, request: &Request) -> Result<String> {
    let named = [&request.arguments.pod_namespace, &config.runtime.tenant, &config.tenant];
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
    under_lock(backend, tenant, async |backend, store, lock| {
        if tenants::ready(store, tenant).await?.is_some() {
            return Ok(());
        }
        tracing::info!(step = "tenant", tenant, "its first pod: making it");
        let specs = locked(backend, store, lock, tenant).await?;
        ensure(backend, store, lock, &specs, None).await
    })
    .await
}

/// Adds a bridge for one that is full, unless somebody else does so first.
pub(crate) async fn grow(
    backend: &mut Backend<'_>,
    tenant: &str,
    full: &Held<Ready>,
    bridge: &str,
) -> Result<()> {
    under_lock(backend, tenant, async |backend, store, lock| {
        let now = tenants::ready(store, tenant).await?;
        if now.is_none_or(|now| now.revision != full.revision) {
            return Ok(());
        }
        let specs = locked(backend, store, lock, tenant).await?;
        refuse_to_grow(&specs, &full.record)?;
        let mut grown = grown_of(&full.record);
        let taken = |name: &str| full.record.bridges.iter().any(|bridge| bridge.name == name);
        let name =
            (2..).map(|number| format!("{bridge}-{number}")).find(|name| !taken(name)).unwrap_or_default();
        tracing::info!(step = "bridge", tenant, bridge, name, "it is full: adding another");
        grown.insert(name, bridge.to_owned());
        ensure(backend, store, lock, &specs, Some(grown)).await
    })
    .await
}

/// Does something under the lock of the tenant and its peers; once more where the lock was lost, as on a machine that is
/// too busy: what was done is found by whoever comes next.
async fn under_lock<'b>(
    backend: &mut Backend<'b>,
    tenant: &str,
    mut work: impl AsyncFnMut(&mut Backend<'b>, &SharedStore, &Lock) -> Result<()>,
) -> Result<()> {
    let store = backend.store().await?;
    for left in (0..TRIES).rev() {
        let lock = acquire(backend, &store, tenant).await?;
        let result = work(backend, &store, &lock).await;
        lock.release().await;
        match result {
            Err(error) if error.code == Code::TryAgainLater && left > 0 => {
                tracing::warn!(step = "tenant", tenant, %error, "once more");
            }
            other => return other,
        }
    }
    Ok(())
}

/// Whether another bridge could be added for pods that find no room: an error that says why not.
pub(crate) async fn room_to_grow(backend: &mut Backend<'_>, tenant: &str, full: &Ready) -> Result<()> {
    let store = backend.store().await?;
    let specs = TenantAndPeers::read(&store, backend.config, tenant).await?;
    refuse_to_grow(&specs, full)?;
    let mut grown = grown_of(full);
    if let Some(first) = full.bridges.first() {
        grown.insert("status-1".to_owned(), first.name.clone());
    }
    let mut given = allocation::load(&store).await?;
    note_grown(&mut given.allocations, tenant, &grown);
    specs.compile(backend.config, &given.allocations).map(drop)
}

/// The right to change the tenant, and those that it names as peers: of two that are made at once, the second one finds
/// the first, and links them.
async fn acquire(backend: &Backend<'_>, store: &SharedStore, tenant: &str) -> Result<Lock> {
    // The rest is for the work, and for saying who holds the lock.
    let patience: Duration = backend.config.timeouts.add.mul_f32(0.75);
    let tenants = peers::to_lock(store, tenant).await?;
    let names: Vec<String> = tenants.iter().map(|tenant| keys::tenant_lock(tenant)).collect();
    let lock = locks::acquire_all(store, &names, "midonet-cni ADD", patience, LEASE).await;
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
) -> Result<TenantAndPeers> {
    let specs = TenantAndPeers::read(store, backend.config, tenant).await?;
    match specs.to_lock().iter().find(|name| lock.fence_of_tenant(name).is_none()) {
        None => Ok(specs),
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
pub(crate) fn note_grown(allocations: &mut Allocations, tenant: &str, grown: &BTreeMap<String, String>) {
    let given = allocations.tenants.entry(tenant.to_owned()).or_default();
    given.grown.extend(grown.iter().map(|(name, from)| (name.clone(), from.clone())));
}

/// The spec's `quotas` hold for what is added as well. A spec that was pushed and not applied may speak no longer of what
/// pods are attached to: nothing is made from it here.
fn refuse_to_grow(specs: &TenantAndPeers, full: &Ready) -> Result<()> {
    let tenant = &specs.tenant;
    if specs.is_pushed && specs.own.sha256 != full.spec {
        let message =
            format!("all bridges of tenant `{tenant}` are full, and a new spec of it was not applied yet");
        return Err(CniError::new(Code::NoAddress, message).details("apply it: `midoform apply`"));
    }
    let source = specs.source();
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

/// Ports of the host that shall lead to the pod: the spec's `[[expose]]` does that, to the address that it names, so the
/// pod is given that address.
pub(crate) async fn serve_port_mappings(
    backend: &mut Backend<'_>,
    tenant: &str,
    ask: &mut Ask,
) -> Result<()> {
    let config = backend.config;
    let wanted: Vec<&PortMapping> =
        config.runtime.port_mappings.iter().filter(|mapping| mapping.host_port != 0).collect();
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

impl From<AllocationError> for CniError {
    fn from(error: AllocationError) -> CniError {
        let text = error.to_string();
        match error {
            AllocationError::Store(error) => error.into(),
            AllocationError::Lost { .. } | AllocationError::Clash { .. } => {
                CniError::new(Code::TryAgainLater, text)
            }
            AllocationError::NotLocked { .. } => CniError::internal(text),
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
