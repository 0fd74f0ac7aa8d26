//! GC: keeps what the runtime still has, and takes away whatever else is attached on this host through this network.

use std::collections::BTreeSet;
use std::time::Duration;

use midoform_reconcile::orphaned_ports;
use midoform_store::ipam::reclaim::Finding;
use midoform_store::ipam::{Attachment, reclaim};
use midoform_store::record::Held;

use super::add::{alias_of, unix_milliseconds};
use super::del;
use crate::backend::Backend;
use crate::config::Config;
use crate::endpoint::veth::{host_interface_name, remove};
use crate::netlink::NetworkThread;
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Endpoint;
use crate::state::endpoint_lock::EndpointLock;

/// Collects. Goes on where something fails, and tells of the first that did.
pub(crate) async fn gc(config: &Config) -> Result<()> {
    if config.gc_disabled {
        tracing::info!(step = "done", "GC is disabled for this network");
        return Ok(());
    }
    let Some(valid) = &config.valid else {
        let problem = "is missing: without the list of what is there, everything would go";
        return Err(CniError::configuration("cni.dev/valid-attachments", problem));
    };
    let valid: BTreeSet<(&str, &str)> =
        valid.iter().map(|one| (one.container.as_str(), one.interface.as_str())).collect();
    let started = unix_milliseconds();
    let mut backend = Backend::new(config)?;
    let pods = backend.pods().await?;
    let mut failed = Vec::new();
    let mut collected = 0;
    for held in pods.all(Some(backend.host)).await? {
        let owner = &held.record.owner;
        // An ADD that changes_begun since is not one that the runtime could know of when it made its list.
        let is_other = owner.network != config.name || held.record.since > started;
        if is_other || valid.contains(&(owner.container.as_str(), owner.interface.as_str())) {
            continue;
        }
        match collect(&mut backend, &held).await {
            Ok(()) => collected += 1,
            Err(error) => {
                tracing::error!(step = "collect", container = owner.container, %error, "it stays for the next GC");
                failed.push(error);
            }
        }
    }
    del::retry_pending(&mut backend, usize::MAX).await;
    put_right(&mut backend).await;
    backend.keep_token();
    tracing::info!(step = "done", collected, failed = failed.len(), "GC");
    let count = failed.len();
    match failed.into_iter().next() {
        None => Ok(()),
        Some(first) => {
            Err(CniError { message: format!("{count} attachments stay: {}", first.message), ..first })
        }
    }
}

/// An attachment that nobody has any more: interface, port, address.
async fn collect(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    let Attachment { host, owner, .. } = &held.record;
    // Who has its turn now is being attached or detached: that is no remains.
    let _lock =
        EndpointLock::acquire(&backend.config.state_folder, *host, owner, Duration::from_millis(500)).await?;
    let endpoint = Endpoint { container: owner.container.clone(), interface: owner.interface.clone() };
    let (name, alias, interface) =
        (host_interface_name(&endpoint), alias_of(&owner.network, &endpoint), endpoint.interface.clone());
    NetworkThread::start(None)?
        .run(Box::new(move |host, container| remove(host, container, &name, &interface, &alias)))
        .await?;
    // As it is now: an ADD may have had its turn since the list was read.
    let pods = backend.pods().await?;
    match pods.find(*host, owner).await? {
        Some(now) if now.record.since == held.record.since => del::release(backend, &now).await,
        _ => Ok(()),
    }
}

/// What crashes left: claims of nobody and free addresses that nobody would find, in the store; and the ports that pods of
/// this host left long ago, which no DEL could delete and nobody wrote down. That it can't be put right now is no reason
/// for GC to fail.
async fn put_right(backend: &mut Backend<'_>) {
    let mut findings = Vec::new();
    if let Err(error) = reclaimed(backend, &mut findings).await {
        tracing::warn!(step = "reclaim", %error, "not everything that may have been left could be looked for");
    }
    for Finding { code, key, repaired, what, .. } in &findings {
        tracing::warn!(step = "reclaim", code, key, repaired, "{what}");
    }
}

async fn reclaimed(backend: &mut Backend<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let store = backend.store().await?;
    let world = reclaim::read(&store).await?;
    findings.extend_from_slice(world.findings());
    reclaim::repair(&store, findings).await?;
    let bridges = world.bridges_left_by(backend.host);
    if bridges.is_empty() {
        return Ok(());
    }
    let client = backend.client().await?;
    let site = (backend.config.site.name.value.as_str(), backend.dialect());
    let left = orphaned_ports::look(&store, &client, site, &world, &bridges, true).await;
    findings.extend(left.map_err(|error| CniError::new(Code::TryAgainLater, error.to_string()))?);
    Ok(())
}
