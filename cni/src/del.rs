//! DEL: takes an interface of a container away. It succeeds when things are gone already, goes on where something
//! fails, and writes down what can't be done now.

use std::time::Duration;

use midoform_applier::claims::pods::{Attachment, Owner};
use midoform_applier::store::record::Held;

use crate::add::alias_of;
use crate::backend::{Backend, within};
use crate::config::Config;
use crate::error::{CniError, Code, Result};
use crate::journal::{Journal, Pending, Turn};
use crate::netlink::{Namespace, NetworkThread, host_interface_name, unplug};
use crate::request::{Endpoint, Request};

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
    let turn = Turn::take(&config.state_folder, backend.host, &owner, config.timeouts.other).await;
    let _turn = match turn {
        // A folder that can't be written is no reason to leave a container where it is.
        Err(error) if error.code == Code::Io => {
            tracing::warn!(step = "turn", %error, "going on without");
            None
        }
        other => Some(other?),
    };
    let network = NetworkThread::start(namespace.as_ref())?;
    let mut errors = Vec::new();
    if let Err(error) = unplugged(&network, &request.endpoint).await {
        errors.push(error);
    }
    match released(&mut backend, &owner).await {
        Ok(()) => make_waiting(&mut backend, 16).await,
        Err(error) => errors.push(error),
    }
    backend.keep_token();
    match errors.into_iter().reduce(|first, next| {
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

/// Removes what is in the kernel.
async fn unplugged(network: &NetworkThread, endpoint: &Endpoint) -> Result<()> {
    let (name, interface) = (host_interface_name(endpoint), endpoint.interface.clone());
    let alias = alias_of(endpoint);
    network.run(Box::new(move |host, container| unplug(host, container, &name, &interface, &alias))).await
}

/// Gives port and address back, or writes down that they have to be. An error only where not even that was possible.
async fn released(backend: &mut Backend<'_>, owner: &Owner) -> Result<()> {
    let (time, site) = (backend.config.timeouts.other, backend.site().name.to_owned());
    let journal = Journal::in_folder(&backend.config.state_folder);
    let found = within(time, "reading the store", find(backend, owner)).await;
    let known = match &found {
        Ok(None) => {
            tracing::debug!(step = "release", "nothing is attached");
            journal.remove(backend.host, owner);
            return Ok(());
        }
        Ok(Some(held)) => Some(held.clone()),
        Err(_) => None,
    };
    let released = match (found, &known) {
        (Err(error), _) => Err(error),
        (_, Some(held)) => within(time, "giving port and address back", release(backend, held)).await,
        (_, None) => Ok(()),
    };
    match released {
        Ok(()) => {
            journal.remove(backend.host, owner);
            Ok(())
        }
        Err(error) => {
            let pending = Pending::new(&site, backend.host, owner, known.as_ref().map(|held| &held.record));
            journal.add(&pending).map_err(|second| {
                CniError::new(Code::TryAgainLater, error.message.clone())
                    .details(format!("{}; {second}", error.details))
            })?;
            tracing::warn!(step = "release", %error, "port and address can't be given back now: a later run does");
            Ok(())
        }
    }
}

async fn find(backend: &mut Backend<'_>, owner: &Owner) -> Result<Option<Held<Attachment>>> {
    let pods = backend.pods().await?;
    Ok(pods.find(backend.host, owner).await?)
}

/// Binding and port first, the address last: nobody gets one that still leads somewhere.
pub(crate) async fn release(backend: &mut Backend<'_>, held: &Held<Attachment>) -> Result<()> {
    let client = backend.client().await?;
    backend.site().disconnect(&client, &held.record).await?;
    tracing::debug!(step = "port", "port and binding are gone");
    let pods = backend.pods().await?;
    pods.release(held).await?;
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
    if let Err(error) = unplugged(network, endpoint).await {
        tracing::error!(step = "undo", %error, "the interface can't be taken back");
    }
    if let Err(error) = released(backend, &owner).await {
        tracing::error!(step = "undo", %error, "port and address can't be taken back");
    }
}

/// Makes releases that wait, a few at a time. A container that is attached anew meanwhile keeps what it has: the
/// attachment says which claim was meant.
pub(crate) async fn make_waiting(backend: &mut Backend<'_>, most: usize) {
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

async fn make_one(backend: &mut Backend<'_>, journal: &Journal, pending: &Pending) -> Result<()> {
    let Pending { host, owner, attachment, .. } = pending;
    if pending.site != backend.site().name || *host != backend.host {
        return Ok(());
    }
    let endpoint = Endpoint { container: owner.container.clone(), interface: owner.interface.clone() };
    let _turn = Turn::take(&backend.config.state_folder, *host, owner, Duration::from_millis(200)).await?;
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
