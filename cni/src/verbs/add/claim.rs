//! Claims an address in the store. A tenant that does not exist is made first, and a full one gets another bridge.

use midoform_store::ipam::host_interface::new_host_interface;
use midoform_store::ipam::{Claim, ClaimRequest, Ipam};

use crate::backend::Backend;
use crate::endpoint::attach::Claimed;
use crate::endpoint::ports::{extra_of, port_id};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Arguments, Request};
use crate::tenant;

/// The number of tries of the claim. Between two tries the tenant is made, or gets a bridge.
const TRIES: u32 = 8;

/// Claims an address for the request's endpoint.
pub(super) async fn claim(
    backend: &mut Backend<'_>,
    request: &Request,
    tenant: &str,
) -> Result<(Ipam, Claimed)> {
    let pods = backend.pods().await?;
    let mut ask = ask_of(backend, request, tenant)?;
    tenant::port_mappings::serve(backend, tenant, &mut ask).await?;
    for _ in 0..TRIES {
        match pods.claim(&ask).await? {
            Claim::Attached { attachment, ready, new } => {
                let claimed = Claimed { attachment: *attachment, ready: *ready, is_new: new };
                return Ok((pods, claimed));
            }
            Claim::NotReady => tenant::make_ready(backend, tenant).await?,
            Claim::Full { ready, bridge } => tenant::add_bridge(backend, tenant, &ready, &bridge).await?,
        }
    }
    let message = format!("tenant `{tenant}` changes too fast to attach a pod");
    Err(CniError::new(Code::TryAgainLater, message))
}

fn ask_of(backend: &Backend<'_>, request: &Request, tenant: &str) -> Result<ClaimRequest> {
    let (config, endpoint) = (backend.config, &request.endpoint);
    let owner = backend.owner(endpoint);
    // The agent does not cope with a name or a port that comes back, so both are new. They are in the claim before anything is made.
    let host_interface = new_host_interface(&owner);
    Ok(ClaimRequest {
        port: port_id(backend, tenant, backend.host, &owner, &host_interface),
        owner,
        host: backend.host,
        tenant: tenant.into(),
        bridge: config.runtime.bridge.clone().or_else(|| config.bridge.clone()),
        address: config.runtime.address(&request.arguments)?,
        mac: config.runtime.mac(&request.arguments),
        host_interface,
        pod: pod_name(&request.arguments),
        extra: extra_of(backend.engine()),
    })
}

/// Returns the pod's Kubernetes name, with its namespace if there is one.
fn pod_name(arguments: &Arguments) -> Option<String> {
    let name = arguments.pod_name.clone()?;
    Some(match &arguments.pod_namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    })
}
