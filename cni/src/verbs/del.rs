//! DEL: takes an interface of a container away. It succeeds when things are gone already, goes on where something
//! fails, and writes down what can't be done now.

use std::time::{Duration, Instant};

use midoform_store::ipam::{Attachment, Owner, Progress, mac_of};
use midoform_store::record::Held;

use super::add::alias_of;
use crate::backend::{Backend, within};
use crate::config::Config;
use crate::endpoint::midonet::ANTI_SPOOF;
use crate::endpoint::veth::{host_interface_name, remove};
use crate::netlink::{Namespace, NetworkThread};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Endpoint, Request};
use crate::state::endpoint_lock::EndpointLock;
use crate::state::journal::{Journal, PendingRelease};
use crate::tenant;

/// How long a run may work on releases that wait for others.
const FOR_OTHERS: Duration = Duration::from_secs(2);

/// Takes away.
pub(crate) async fn del(config: &Config, request: &Request) -> Result<()> {
    let namespace = match &request.namespace {
        Some(path) => Namespace::open(path)?,
        None => None,
    };
    let mut backend = Backend::new(config)?;
    let owner = backend.owner(&request.endpoint);
    let lock = EndpointLock::acquire(&config.state_folder, backend.host, &owner, config.timeouts.other).await;
    let _lock = match lock {
        // A folder that can't be written is no reason to leave a container where it is.
        Err(error) if error.code == Code::Io => {
            tracing::warn!(step = "turn", %error, "going on without");
            None
        }
        other => Some(other?),
    };
    let network = NetworkThread::start(namespace.as_ref())?;
    let (unplugged, released, known) = taken_away(&mut backend, &network, &request.endpoint).await;
    if released.is_ok() {
        if unplugged.is_ok() && !known {
            take_unknown(&mut backend, request).await;
        }
        retry_pending(&mut backend, 16).await;
    }
    backend.keep_token();
    let errors = [unplugged.err(), released.err()].into_iter().flatten();
    match errors.reduce(|first, next| {
        tracing::error!(step = "failed", error = %next, "DEL failed besides");
        first
    }) {
        None => {
            tracing::info!(step = "done", "detached");
            Ok(())
        }
        Some(error) => {
            tracing::error!(step = "failed", %error, "DEL failed");
            Err(error)
        }
    }
}

/// Removes the interface, and gives port and address back, or writes down that they have to be: then that is no error.
/// Says as well whether the store may know of it.
async fn taken_away(
    backend: &mut Backend<'_>,
    network: &NetworkThread,
    endpoint: &Endpoint,
) -> (Result<()>, Result<()>, bool) {
    let owner = backend.owner(endpoint);
    let end = Instant::now() + backend.config.timeouts.other;
    // The kernel takes its time to remove an interface: port and binding go meanwhile, and the address last.
    let unplugging = unplugged(network, &owner.network, endpoint);
    let (unplugged, (known, disconnected)) = tokio::join!(unplugging, disconnected(backend, &owner, end));
    let may_be_known = known.is_some() || disconnected.is_err();
    let released = match (disconnected, &known) {
        (Ok(()), Some(held)) => within(left(end), "giving the address back", give_back(backend, held)).await,
        (other, _) => other,
    };
    (unplugged, written_down(backend, &owner, known.as_ref(), released), may_be_known)
}

/// What is left until a time. Not nothing, so that a timeout says what it waited for.
fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(200))
}

/// The port of a container that the store knows nothing of: the machine lost its power before the claim was on the disk,
/// or the store is a new one. What fails is no failure of a DEL, for which there is nothing to do.
async fn take_unknown(backend: &mut Backend<'_>, request: &Request) {
    let endpoint = &request.endpoint;
    let Ok(tenant) = tenant::of_pod(backend.config, request) else { return };
    let nowhere = std::net::Ipv4Addr::UNSPECIFIED;
    let unknown = Attachment {
        owner: backend.owner(endpoint),
        host: backend.host,
        tenant,
        bridge: String::new(),
        bridge_id: uuid::Uuid::nil(),
        address: nowhere,
        cidr: nowhere.into(),
        gateway: nowhere,
        mac: mac_of(nowhere),
        host_interface: host_interface_name(endpoint),
        port: None,
        state: Progress::Intent,
        since: 0,
        pod: None,
        // Then there is a chain as well.
        extra: std::iter::once((ANTI_SPOOF.to_owned(), true.into())).collect(),
    };
    let work = async {
        let client = backend.client().await?;
        Ok(backend.site().disconnect_unknown(&client, &unknown).await?)
    };
    match within(FOR_OTHERS, "looking for a port", work).await {
        Ok(false) => {}
        Ok(true) => tracing::warn!(step = "port", "a port that the store knew nothing of is gone"),
        Err(error) => tracing::warn!(step = "port", %error, "whether a port is left can't be seen"),
    }
}

/// Removes what is in the kernel.
async fn unplugged(network: &NetworkThread, network_name: &str, endpoint: &Endpoint) -> Result<()> {
    let (name, interface) = (host_interface_name(endpoint), endpoint.interface.clone());
    let alias = alias_of(network_name, endpoint);
    network.run(Box::new(move |host, container| remove(host, container, &name, &interface, &alias))).await
}

/// Takes binding and port away; answers what is attached as well, as far as the store could say.
async fn disconnected(
    backend: &mut Backend<'_>,
    owner: &Owner,
    end: Instant,
) -> (Option<Held<Attachment>>, Result<()>) {
    match within(left(end), "reading the store", find(backend, owner)).await {
        Err(error) => (None, Err(error)),
        Ok(None) => {
            tracing::debug!(step = "release", "nothing is attached");
            (None, Ok(()))
        }
        Ok(Some(held)) => {
            let result = within(left(end), "giving the port back", disconnect(backend, &held)).await;
            (Some(held), result)
        }
    }
}

/// A release that could not be made is written down; an error only where not even that was possible.
fn written_down(
    backend: &Backend<'_>,
    owner: &Owner,
    known: Option<&Held<Attachment>>,
    released: Result<()>,
) -> Result<()> {
    let journal = Journal::in_folder(&backend.config.state_folder);
    let Err(error) = released else {
        journal.remove(backend.host, owner);
        return Ok(());
    };
    let pending =
        PendingRelease::new(backend.site().name, backend.host, owner, known.map(|held| &held.record));
    journal.add(&pending).map_err(|second| {
        CniError::new(Code::TryAgainLater, error.message.clone()).details(format!("{error}; {second}"))
    })?;
    tracing::warn!(step = "release", %error, "port and address can't be given back now: a later run does");
    Ok(())
}

async fn find(backend: &mut Backend<'_>, owner: &Owner) -> Result<Option<Held<Attachment>>> {
    let pods = backend.pods().await?;
    Ok(pods.find(backend.host, owner).await?)
}

/// Binding and port first, the address last: nobody gets one that still leads somewhere.
pub(crate) async fn release(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    disconnect(backend, held).await?;
    give_back(backend, held).await
}

async fn disconnect(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    let client = backend.client().await?;
    backend.site().disconnect(&client, &held.record).await?;
    tracing::debug!(step = "port", "port and binding are gone");
    Ok(())
}

async fn give_back(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    backend.pods().await?.release(held).await?;
    tracing::debug!(step = "address", address = %held.record.address, "the address is free");
    Ok(())
}

/// After an ADD that failed: what was claimed since then is taken back, or written down. Whatever fails here is logged,
/// since the first error is the one that the runtime has to see.
pub(crate) async fn take_back(
    backend: &mut Backend<'_>,
    network: &NetworkThread,
    endpoint: &Endpoint,
    since: u64,
) {
    let owner = backend.owner(endpoint);
    if since > 0 {
        let found = within(backend.config.timeouts.other, "reading the store", find(backend, &owner)).await;
        // Where the store can't be read, DEL comes anyway, and then GC.
        if found.ok().flatten().is_none_or(|held| held.record.since < since) {
            return;
        }
    }
    let (unplugged, released, _) = taken_away(backend, network, endpoint).await;
    if let Err(error) = unplugged {
        tracing::error!(step = "undo", %error, "the interface can't be taken back");
    }
    if let Err(error) = released {
        tracing::error!(step = "undo", %error, "port and address can't be taken back");
    }
}

/// Makes releases that wait, a few at a time. A container that is attached anew meanwhile keeps what it has: the
/// attachment says which claim was meant.
pub(crate) async fn retry_pending(backend: &mut Backend<'_>, most: usize) {
    let journal = Journal::in_folder(&backend.config.state_folder);
    let waiting = journal.waiting(most);
    if waiting.is_empty() {
        return;
    }
    let work = async {
        for pending in waiting {
            make_one(backend, &journal, &pending).await?;
        }
        Ok(())
    };
    if let Err(error) = within(FOR_OTHERS, "the releases that wait", work).await {
        tracing::warn!(step = "waiting", %error, "releases still wait");
    }
}

async fn make_one(backend: &mut Backend<'_>, journal: &Journal, pending: &PendingRelease) -> Result<()> {
    let PendingRelease { host, owner, attachment, .. } = pending;
    if pending.site != backend.site().name || *host != backend.host {
        return Ok(());
    }
    let endpoint = Endpoint { container: owner.container.clone(), interface: owner.interface.clone() };
    let _lock =
        EndpointLock::acquire(&backend.config.state_folder, *host, owner, Duration::from_millis(200)).await?;
    let pods = backend.pods().await?;
    if let Some(held) = pods.find(*host, owner).await? {
        // Without a record of the claim it is the one that DEL could not read: only a later claim is somebody's.
        let is_meant = attachment.as_ref().is_none_or(|known| known.since == held.record.since);
        if is_meant && !is_plugged(&endpoint).await? {
            release(backend, &held).await?;
            tracing::info!(step = "waiting", container = owner.container, "a release that waited is made");
        }
    }
    journal.remove(*host, owner);
    Ok(())
}

/// Whether the host's end is there: then the container was attached anew.
async fn is_plugged(endpoint: &Endpoint) -> Result<bool> {
    let name = host_interface_name(endpoint);
    NetworkThread::start(None)?.run(Box::new(move |host, _| Ok(host.link(&name)?.is_some()))).await
}
