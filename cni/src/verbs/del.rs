//! DEL: detaches an interface of a container. It succeeds if everything is gone already, and continues when a step fails.

use std::time::Instant;

use crate::backend::{Backend, remaining};
use crate::config::Config;
use crate::endpoint::detach;
use crate::endpoint::detach::Detached;
use crate::netlink::{Namespace, NetworkThread};
use crate::protocol::error::{Code, Result};
use crate::protocol::request::Request;
use crate::state::endpoint_lock::EndpointLock;

/// The most pending releases that one DEL makes for earlier runs.
const PENDING: usize = 16;

/// Detaches the endpoint.
pub(crate) async fn del(config: &Config, request: &Request) -> Result<()> {
    let endpoint = &request.endpoint;
    let deadline = Instant::now() + config.timeouts.other;
    let namespace = request.namespace.as_deref().and_then(Namespace::open_for_del);
    let mut backend = Backend::open(config).await?;
    let owner = backend.owner(endpoint);
    let lock = EndpointLock::acquire(&config.state_folder, backend.host, &owner, remaining(deadline)).await;
    let lock = match lock {
        // A state folder that can't be written must not keep the container.
        Err(error) if error.code == Code::Io => {
            tracing::warn!(step = "lock", error = error.in_full(), "continuing without the endpoint's lock");
            None
        }
        other => Some(other?),
    };
    let network = NetworkThread::start(namespace.as_ref())?;
    let Detached { interface, release, is_unrecorded } =
        detach::detach(&mut backend, &network, endpoint, deadline).await;
    if release.is_ok() && Instant::now() < deadline {
        if interface.is_ok()
            && is_unrecorded
            && let Ok(tenant) = config.tenant_of(request)
        {
            detach::remove_unrecorded_port(&mut backend, endpoint, tenant.into()).await;
        }
        // A pending release may be of this endpoint, and needs its lock.
        drop(lock);
        detach::make_pending_releases(&mut backend, PENDING).await;
    }
    backend.keep_token();
    for error in [&interface, &release].into_iter().filter_map(|result| result.as_ref().err()) {
        tracing::error!(step = "failed", error = error.in_full(), "DEL failed");
    }
    interface.and(release)?;
    tracing::info!(step = "done", "detached");
    Ok(())
}
