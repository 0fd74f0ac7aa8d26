//! CHECK: whether an interface is still as ADD made it. What is nearby is looked at first.

use super::add::veth_of;
use crate::backend::{Backend, within};
use crate::config::Config;
use crate::netlink::{Namespace, NetlinkError, NetworkThread};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Request;

/// Looks at link, addresses, routes, claim, port and binding, and tells of everything that is wrong.
pub(crate) async fn check(config: &Config, request: &Request) -> Result<()> {
    let path = request.namespace.as_deref().unwrap_or_else(|| std::path::Path::new(""));
    let namespace = Namespace::open(path)?.ok_or_else(|| {
        CniError::new(Code::UnknownContainer, format!("CNI_NETNS {} is no network namespace", path.display()))
    })?;
    let mut backend = Backend::new(config)?;
    let work = async {
        let owner = backend.owner(&request.endpoint);
        let pods = backend.pods().await?;
        let Some(held) = pods.find(backend.host, &owner).await? else {
            return Err(CniError::new(Code::CheckFailed, format!("no address is claimed for {owner}")));
        };
        let ready = midoform_store::tenants::ready(&backend.store().await?, &held.record.tenant).await?;
        let Some(ready) = ready else {
            let message = format!("tenant `{}` is no longer there", held.record.tenant);
            return Err(CniError::new(Code::CheckFailed, message));
        };
        let veth = veth_of(config, request, &held.record, &ready.record);
        let network = NetworkThread::start(Some(&namespace))?;
        let seen = network.run(Box::new(move |host, container| match container {
            Some(container) => veth.inspect(host, container),
            None => Err(NetlinkError::Conflict("there is no container".to_owned())),
        }));
        let mut problems = seen.await?.problems;
        problems.extend(other_than_before(config, request, &held.record));
        let client = backend.client().await?;
        problems.extend(backend.site().problems(&client, &held.record).await?);
        match problems.first() {
            None => Ok(()),
            Some(first) => Err(CniError::new(Code::CheckFailed, first.clone()).details(problems.join("; "))),
        }
    };
    let result = within(config.timeouts.other, "CHECK", work).await;
    backend.keep_token();
    result
}

/// What the result of ADD, which the runtime sends back, says otherwise.
fn other_than_before(
    config: &Config,
    request: &Request,
    attachment: &midoform_store::ipam::Attachment,
) -> Option<String> {
    let previous = config.previous.as_ref()?;
    let sandbox = request.namespace.as_deref().map(|path| path.display().to_string());
    let at = previous.interfaces.iter().position(|interface| {
        interface.name == request.endpoint.interface && Some(&interface.sandbox) == sandbox.as_ref()
    })?;
    let has = |ip: &crate::protocol::result::Address| {
        ip.interface == Some(at) && ip.address.addr() == attachment.address
    };
    (!previous.ips.iter().any(has))
        .then(|| format!("prevResult does not have the address {}", attachment.address))
}
