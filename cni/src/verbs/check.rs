//! CHECK: compares an endpoint with what ADD made. The kernel is looked at first, the API last.

use std::path::Path;

use midoform_store::ipam::Attachment;
use midoform_store::tenants;

use crate::backend::{Backend, within};
use crate::config::Config;
use crate::endpoint::midonet::Ports;
use crate::endpoint::veth::Veth;
use crate::netlink::{Namespace, NetworkThread};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Request;
use crate::protocol::result::Address;

/// Looks at link, addresses, routes, claim, port and binding. The error names every difference.
pub(crate) async fn check(config: &Config, request: &Request) -> Result<()> {
    let namespace = Namespace::open(request.namespace.as_deref().unwrap_or_else(|| Path::new("")))?;
    let mut backend = Backend::new(config)?;
    let work = async {
        let owner = backend.owner(&request.endpoint);
        let pods = backend.pods().await?;
        let Some(held) = pods.find(backend.host, &owner).await? else {
            return Err(CniError::new(Code::CheckFailed, format!("{owner} has no address in the store")));
        };
        let attachment = &held.record;
        let ready = tenants::ready(&backend.store().await?, &attachment.tenant).await?;
        let Some(ready) = ready else {
            let message = format!("tenant `{}` does not exist any more", attachment.tenant);
            return Err(CniError::new(Code::CheckFailed, message));
        };
        let veth = Veth::of(config, &request.endpoint, attachment, &ready.record);
        let network = NetworkThread::start(Some(&namespace))?;
        let state = network.run_in_container(move |host, container| veth.inspect(host, container)).await?;
        let mut problems = state.problems;
        problems.extend(difference_from_result(config, request, attachment));
        let client = backend.client().await?;
        problems.extend(Ports::of(&backend).problems(&client, attachment).await?);
        match problems.first() {
            None => Ok(()),
            Some(first) => Err(CniError::new(Code::CheckFailed, first.clone()).hint(problems.join("; "))),
        }
    };
    let result = within(config.timeouts.other, "CHECK", work).await;
    backend.keep_token();
    result
}

/// Compares the attachment with the result of ADD, which the runtime sends as `prevResult`.
fn difference_from_result(config: &Config, request: &Request, attachment: &Attachment) -> Option<String> {
    let previous = config.previous.as_ref()?;
    let sandbox = request.namespace.as_deref().map(|path| path.display().to_string());
    let index = previous.interfaces.iter().position(|interface| {
        interface.name == request.endpoint.interface && Some(&interface.sandbox) == sandbox.as_ref()
    })?;
    let is_own = |ip: &Address| ip.interface == Some(index) && ip.address.addr() == attachment.address;
    (!previous.ips.iter().any(is_own))
        .then(|| format!("prevResult does not have the address {}", attachment.address))
}
