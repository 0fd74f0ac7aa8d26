//! ADD: attaches an interface of a container to its tenant's network.
//!
//! This needs one read and one commit in the store, two calls of the API, and meanwhile the work in the kernel. The claim
//! is written first, and everything else follows from it. So whoever finds a claim can remove all that belongs to it.

mod claim;
mod result;

use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

use midoform_store::ipam::Owner;

use crate::backend::{Backend, unix_milliseconds, within};
use crate::config::Config;
use crate::endpoint::attach::Attach;
use crate::endpoint::detach;
use crate::endpoint::veth::{Veth, VethOwner};
use crate::netlink::{Namespace, NetworkThread};
use crate::protocol::error::Result;
use crate::protocol::request::Request;
use crate::protocol::result::CniResult;
use crate::state::endpoint_lock::EndpointLock;
use crate::state::journal::Journal;

/// The most pending releases that one ADD makes for earlier runs.
const PENDING: usize = 2;

/// Attaches the endpoint, and returns the result.
pub(crate) async fn add(config: &Config, request: &Request) -> Result<CniResult> {
    let (started, since) = (Instant::now(), unix_milliseconds());
    let has_changes = Cell::new(false);
    let namespace = Namespace::open(request.namespace.as_deref().unwrap_or_else(|| Path::new("")))?;
    let tenant = config.tenant_of(request)?;
    let mut backend = Backend::open(config).await?;
    let owner = backend.owner(&request.endpoint);
    tracing::debug!(step = "start", tenant, "ADD");
    let network = NetworkThread::start(Some(&namespace))?;
    let _lock =
        EndpointLock::acquire(&config.state_folder, backend.host, &owner, config.timeouts.add).await?;
    // The thread starts now, so that it opens its sockets while the store is opened.
    let names_are_free = check_names(config, request, &owner, &network);
    let work = async {
        backend.store().await?;
        let left = names_are_free.await?;
        let (pods, mut claimed) = claim::claim(&mut backend, request, &tenant).await?;
        let veth = Veth::of(config, &request.endpoint, &claimed.attachment.record, &claimed.ready);
        let requests_mac = config.runtime.mac(&request.arguments).is_some();
        let has_changes = &has_changes;
        let mut attach = Attach { network: &network, pods: &pods, veth, requests_mac, left, has_changes };
        let state = attach.run(&mut backend, &mut claimed).await?;
        Ok(result::of(config, request, &claimed.ready, &attach.veth, &state))
    };
    let result = within(config.timeouts.add, "ADD", work).await;
    backend.keep_token();
    match &result {
        Ok(_) => {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(step = "done", tenant, milliseconds, "attached");
            // A release of an earlier run is about what is attached again now.
            Journal::in_folder(&config.state_folder).remove(backend.host, &owner);
            detach::make_pending_releases(&mut backend, PENDING).await;
        }
        Err(error) => {
            tracing::error!(step = "failed", tenant, error = error.in_full(), "ADD failed");
            // Before the first change, an earlier claim is left alone: this run only looked at it.
            let claimed_since = if has_changes.get() { 0 } else { since };
            detach::roll_back(&mut backend, &network, &request.endpoint, claimed_since).await;
        }
    }
    result
}

/// Fails if the container has an interface of another owner. Then nothing is claimed or made. Returns the names of the
/// host's ends, if it has an interface of this owner.
fn check_names(
    config: &Config,
    request: &Request,
    owner: &Owner,
    network: &NetworkThread,
) -> impl Future<Output = Result<Vec<String>>> + use<> {
    let owner = VethOwner::new(owner);
    let may_rename = config.may_rename(&request.endpoint);
    network.run_in_container(move |host, container| owner.check_free(host, container, may_rename))
}
