//! Detaches an endpoint: removes its veth pair, its binding and port, and releases its address, in this order.
//!
//! Detaching continues when a step fails. A release that can't be made now is written to the journal, and a later run
//! makes it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use midoform_compiler::names::TenantName;
use midoform_store::ipam::host_interface::host_interface_without_tag;
use midoform_store::ipam::{Attachment, Owner, Progress, mac_of};
use midoform_store::record::Held;

use super::ANTI_SPOOF;
use super::engine::{ports, ports_of};
use super::veth::VethOwner;
use crate::backend::{Backend, remaining, within};
use crate::netlink::NetworkThread;
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Endpoint;
use crate::state::endpoint_lock::EndpointLock;
use crate::state::journal::{Journal, PendingRelease};

/// The longest time that a run spends on the work of earlier runs.
const EARLIER_RUNS: Duration = Duration::from_secs(2);

/// The longest wait for the lock of an endpoint whose release is pending.
const PENDING_LOCK: Duration = Duration::from_millis(200);

/// The outcome of [`detach`].
pub(crate) struct Detached {
    /// The result in the kernel.
    pub(crate) interface: Result<()>,
    /// The result in the engine's network and in the store. A release in the journal is a success.
    pub(crate) release: Result<()>,
    /// True if the store has no attachment of the endpoint.
    pub(crate) is_unrecorded: bool,
}

/// Removes the interface, and releases port and address. What is not done until the deadline is written to the journal.
pub(crate) async fn detach(
    backend: &mut Backend<'_>,
    network: &NetworkThread,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Detached {
    let owner = backend.owner(endpoint);
    // The kernel needs time to remove an interface. Port and binding are removed meanwhile, and the address last.
    let (interface, (attachment, port)) =
        tokio::join!(remove_interface(network, &owner, deadline), remove_port(backend, &owner, deadline));
    let is_unrecorded = attachment.is_none() && port.is_ok();
    let (interface, late) = match interface {
        Err(error) if error.code == Code::TryAgainLater => (Ok(()), Some(error)),
        other => (other, None),
    };
    let has_interface = late.is_some();
    let released = match (port, late, &attachment) {
        // The address stays claimed while an interface may have it.
        (Ok(()), Some(late), _) => Err(late),
        (Ok(()), None, Some(held)) => {
            within(remaining(deadline), "releasing the address", release_address(backend, held)).await
        }
        (port, ..) => port,
    };
    let release = keep_pending(backend, &owner, attachment.as_ref(), has_interface, released);
    Detached { interface, release, is_unrecorded }
}

/// Removes the veth pair. If the kernel does not do this until the deadline, the error's code is [`Code::TryAgainLater`].
pub(crate) async fn remove_interface(
    network: &NetworkThread,
    owner: &Owner,
    deadline: Instant,
) -> Result<()> {
    let owner = VethOwner::new(owner);
    let removed = network.run(Box::new(move |host, container| owner.remove(host, container)));
    within(remaining(deadline), "removing the interface", removed).await
}

/// Removes binding and port. Returns the attachment as well, if the store could be read and has one.
async fn remove_port(
    backend: &mut Backend<'_>,
    owner: &Owner,
    deadline: Instant,
) -> (Option<Held<Attachment>>, Result<()>) {
    match within(remaining(deadline), "reading the store", find(backend, owner)).await {
        Err(error) => (None, Err(error)),
        Ok(None) => {
            tracing::debug!(step = "release", "the store has no attachment");
            (None, Ok(()))
        }
        Ok(Some(held)) => {
            let result = within(remaining(deadline), "removing the port", release_port(backend, &held)).await;
            (Some(held), result)
        }
    }
}

/// Writes a release that failed to the journal. This is an error only if the journal can't be written.
fn keep_pending(
    backend: &Backend<'_>,
    owner: &Owner,
    attachment: Option<&Held<Attachment>>,
    has_interface: bool,
    released: Result<()>,
) -> Result<()> {
    let journal = Journal::in_folder(&backend.config.state_folder);
    let Err(error) = released else {
        journal.remove(backend.host, owner);
        return Ok(());
    };
    let attachment = attachment.map(|held| &held.record);
    let pending = PendingRelease::new(backend.site_name(), backend.host, owner, attachment, has_interface);
    journal.add(&pending).map_err(|second| {
        CniError::new(Code::TryAgainLater, error.message.clone()).hint(format!(
            "{}; {}",
            error.details(),
            second.in_full()
        ))
    })?;
    tracing::warn!(
        step = "release",
        error = error.in_full(),
        has_interface,
        "the rest can't be done now: a later run does it"
    );
    Ok(())
}

async fn find(backend: &mut Backend<'_>, owner: &Owner) -> Result<Option<Held<Attachment>>> {
    let pods = backend.pods().await?;
    Ok(pods.find(backend.host, owner).await?)
}

/// Releases binding and port, then the address: an address that is free leads nowhere.
pub(crate) async fn release(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    release_port(backend, held).await?;
    release_address(backend, held).await
}

async fn release_port(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    ports_of(backend, &held.record).await?.detach(&held.record).await?;
    tracing::debug!(step = "port", "port and binding are removed");
    Ok(())
}

async fn release_address(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    backend.pods().await?.release(held).await?;
    tracing::debug!(step = "address", address = %held.record.address, "the address is released");
    Ok(())
}

/// Removes the port of an endpoint that the store has no attachment of: the machine lost its power before the claim was on
/// the disk, or the store is a new one. DEL has nothing to do for such an endpoint, so a failure is only logged.
pub(crate) async fn remove_unrecorded_port(
    backend: &mut Backend<'_>,
    endpoint: &Endpoint,
    tenant: TenantName,
) {
    let unspecified = Ipv4Addr::UNSPECIFIED;
    let attachment = Attachment {
        owner: backend.owner(endpoint),
        host: backend.host,
        tenant,
        bridge: String::new(),
        bridge_id: uuid::Uuid::nil(),
        address: unspecified,
        cidr: unspecified.into(),
        gateway: unspecified,
        mac: mac_of(unspecified),
        host_interface: host_interface_without_tag(&backend.owner(endpoint)),
        earlier_interfaces: Vec::new(),
        port: None,
        state: Progress::Intent,
        since: 0,
        pod: None,
        // With this, an anti-spoofing chain is removed as well.
        extra: std::iter::once((ANTI_SPOOF.to_owned(), true.into())).collect(),
    };
    let work = async { ports(backend).await?.detach_unrecorded(&attachment).await };
    match within(EARLIER_RUNS, "looking for a port", work).await {
        Ok(false) => {}
        Ok(true) => tracing::warn!(step = "port", "a port that the store has no record of is removed"),
        Err(error) => {
            let error = error.in_full();
            tracing::warn!(step = "port", error, "a port that the store has no record of may be left");
        }
    }
}

/// Rolls back an ADD that failed. Only what was claimed since `since` is removed. Failures are only logged, since the
/// runtime has to see the first error.
pub(crate) async fn roll_back(
    backend: &mut Backend<'_>,
    network: &NetworkThread,
    endpoint: &Endpoint,
    since: u64,
) {
    let owner = backend.owner(endpoint);
    if since > 0 {
        let found = within(backend.config.timeouts.other, "reading the store", find(backend, &owner)).await;
        // If the store can't be read, the runtime's DEL or GC does this.
        if found.ok().flatten().is_none_or(|held| held.record.since < since) {
            return;
        }
    }
    let deadline = Instant::now() + backend.config.timeouts.other;
    let Detached { interface, release, .. } = detach(backend, network, endpoint, deadline).await;
    if let Err(error) = interface {
        tracing::error!(step = "rollback", error = error.in_full(), "the interface can't be removed");
    }
    if let Err(error) = release {
        let error = error.in_full();
        tracing::error!(step = "rollback", error, "port and address can't be released");
    }
}

/// Makes pending releases, at most `limit`.
pub(crate) async fn make_pending_releases(backend: &mut Backend<'_>, limit: usize) {
    let journal = Journal::in_folder(&backend.config.state_folder);
    let releases = journal.oldest(limit);
    if releases.is_empty() {
        return;
    }
    let work = async {
        for pending in releases {
            if let Err(error) = make_pending_release(backend, &journal, &pending).await {
                let container = &pending.owner.container;
                tracing::warn!(
                    step = "pending",
                    container,
                    error = error.in_full(),
                    "a release is postponed"
                );
                journal.postpone(&pending);
            }
        }
        Ok(())
    };
    if let Err(error) = within(EARLIER_RUNS, "making the pending releases", work).await {
        tracing::warn!(step = "pending", error = error.in_full(), "some releases are still pending");
    }
}

/// Makes one pending release, unless its container was attached again meanwhile. The attachment tells which claim the
/// release belongs to.
async fn make_pending_release(
    backend: &mut Backend<'_>,
    journal: &Journal,
    pending: &PendingRelease,
) -> Result<()> {
    let PendingRelease { host, owner, attachment, has_interface, .. } = pending;
    if pending.site != backend.site_name() || *host != backend.host {
        return Ok(());
    }
    let _lock = EndpointLock::acquire(&backend.config.state_folder, *host, owner, PENDING_LOCK).await?;
    let held = backend.pods().await?.find(*host, owner).await?;
    // If DEL could not read the attachment, the current one is meant, unless its interface exists.
    let is_meant =
        |held: &Held<Attachment>| attachment.as_ref().is_none_or(|known| known.since == held.record.since);
    if *has_interface && held.as_ref().is_none_or(is_meant) {
        let deadline = Instant::now() + EARLIER_RUNS;
        remove_interface(&NetworkThread::start(None)?, owner, deadline).await?;
    }
    if let Some(held) = held.filter(is_meant)
        && !host_end_exists(owner).await?
    {
        release(backend, &held).await?;
        tracing::info!(step = "pending", container = owner.container, "a pending release is made");
    }
    journal.remove(*host, owner);
    Ok(())
}

/// Returns true if the host's end exists: the container is attached.
async fn host_end_exists(owner: &Owner) -> Result<bool> {
    let owner = VethOwner::new(owner);
    NetworkThread::start(None)?.run(Box::new(move |host, _| Ok(!owner.own_links(host)?.is_empty()))).await
}

#[cfg(test)]
mod tests;
