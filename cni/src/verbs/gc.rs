//! GC: keeps the endpoints that the runtime still has, and detaches all others of this network on this host.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use midoform_store::ipam::consistency::Finding;
use midoform_store::ipam::{Attachment, consistency};
use midoform_store::record::Held;

use crate::backend::{Backend, unix_milliseconds};
use crate::config::Config;
use crate::endpoint::detach;
use crate::endpoint::engine::ports;
use crate::endpoint::ports::Sweep;
use crate::netlink::NetworkThread;
use crate::protocol::error::{CniError, Result};
use crate::state::endpoint_lock::{self, EndpointLock};

/// The longest wait for the lock of an endpoint.
const LOCK: Duration = Duration::from_millis(500);

/// Collects. Continues when an endpoint fails, and returns the first error.
pub(crate) async fn gc(config: &Config) -> Result<()> {
    if config.gc_disabled {
        tracing::info!(step = "done", "GC is disabled for this network");
        return Ok(());
    }
    let Some(valid) = &config.valid_attachments else {
        let problem = "is missing or null: without this list, GC would remove all attachments";
        return Err(CniError::configuration("cni.dev/valid-attachments", problem)
            .hint("an empty list ([]) removes all attachments of this network on this host"));
    };
    let valid: BTreeSet<(&str, &str)> =
        valid.iter().map(|one| (one.container.as_str(), one.interface.as_str())).collect();
    let started = unix_milliseconds();
    let mut backend = Backend::open(config).await?;
    let pods = backend.pods().await?;
    let mut failed = Vec::new();
    let mut collected = 0;
    for held in pods.all(Some(backend.host)).await? {
        let owner = &held.record.owner;
        // The runtime could not know of an ADD that began after it made its list.
        let is_other = owner.network != config.name || held.record.since > started;
        if is_other || valid.contains(&(owner.container.as_str(), owner.interface.as_str())) {
            continue;
        }
        match collect(&mut backend, &held).await {
            Ok(()) => collected += 1,
            Err(error) => {
                let message = error.in_full();
                tracing::error!(
                    step = "collect",
                    container = owner.container,
                    error = message,
                    "the attachment stays until the next GC"
                );
                failed.push(error);
            }
        }
    }
    detach::make_pending_releases(&mut backend, usize::MAX).await;
    repair(&mut backend).await;
    endpoint_lock::remove_unused(&config.state_folder);
    backend.keep_token();
    tracing::info!(step = "done", collected, failed = failed.len(), "GC");
    let count = failed.len();
    match failed.into_iter().next() {
        None => Ok(()),
        Some(first) => {
            let message = format!("{count} attachments could not be removed: {}", first.message);
            Err(CniError { message, ..first })
        }
    }
}

/// Detaches an endpoint that the runtime no longer has.
async fn collect(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    let Attachment { host, owner, .. } = &held.record;
    // An endpoint whose lock another run holds is in use.
    let _lock = EndpointLock::acquire(&backend.config.state_folder, *host, owner, LOCK).await?;
    let deadline = Instant::now() + backend.config.timeouts.other;
    detach::remove_interface(&NetworkThread::start(None)?, owner, deadline).await?;
    // The attachment is read again: an ADD may have run since the list was read.
    let pods = backend.pods().await?;
    match pods.find(*host, owner).await? {
        Some(now) if now.record.since == held.record.since => detach::release(backend, &now).await,
        _ => Ok(()),
    }
}

/// Repairs what crashes left: claims without an owner and free addresses that no search finds, in the store; and
/// ports that pods of this host left long ago. A failure is only logged.
async fn repair(backend: &mut Backend<'_>) {
    let mut findings = Vec::new();
    if let Err(error) = find_and_repair(backend, &mut findings).await {
        tracing::warn!(step = "repair", error = error.in_full(), "the search for leftovers is incomplete");
    }
    for Finding { code, key, repaired, what, .. } in &findings {
        tracing::warn!(step = "repair", code = code.name(), key, repaired, "{what}");
    }
}

async fn find_and_repair(backend: &mut Backend<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let store = backend.store().await?;
    let world = consistency::read(&store).await?;
    findings.extend_from_slice(world.findings());
    consistency::repair(&store, findings).await?;
    let host = NetworkThread::start(None)?;
    let links = host.run(Box::new(|host, _| host.links())).await?;
    let interfaces: Vec<String> = links.into_iter().map(|link| link.name).collect();
    let sweep = Sweep { store: &store, before: &world, interfaces: &interfaces };
    findings.extend(ports(backend).await?.sweep(&sweep).await?);
    Ok(())
}
