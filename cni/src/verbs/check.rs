//! CHECK: compares an endpoint with what ADD made. The kernel is looked at first, the engine last.

use std::path::Path;

use midoform_store::ipam::Attachment;
use midoform_store::ready::Ready;
use midoform_store::tenants;

use crate::backend::{Backend, within};
use crate::config::Config;
use crate::endpoint::engine::ports_of;
use crate::endpoint::veth::Veth;
use crate::netlink::{Namespace, NetworkThread};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Request;
use crate::protocol::result::Address;

/// Looks at link, addresses, routes, claim, port and binding. The error names every difference.
pub(crate) async fn check(config: &Config, request: &Request) -> Result<()> {
    let namespace = Namespace::open(request.namespace.as_deref().unwrap_or_else(|| Path::new("")))?;
    let mut backend = Backend::open(config).await?;
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
        let mut problems: Vec<String> =
            difference_from_tenant(attachment, &ready.record).into_iter().collect();
        problems.extend(state.problems);
        problems.extend(difference_from_result(config, request, attachment));
        let ports = ports_of(&mut backend, attachment).await?;
        problems.extend(ports.check(attachment, &ready.record).await?.problems);
        match problems.first() {
            None => Ok(()),
            Some(first) => Err(CniError::new(Code::CheckFailed, first.clone()).hint(problems.join("; "))),
        }
    };
    let result = within(config.timeouts.other, "CHECK", work).await;
    backend.keep_token();
    result
}

/// Compares the attachment with the bridge as the last apply left it.
fn difference_from_tenant(attachment: &Attachment, ready: &Ready) -> Option<String> {
    let Attachment { tenant, bridge, bridge_id, cidr, gateway, .. } = attachment;
    let Some(now) = ready.bridges.iter().find(|one| one.id == *bridge_id) else {
        let is_another = ready.bridges.iter().any(|one| one.name == *bridge);
        return Some(match is_another {
            true => format!("bridge `{bridge}` of tenant `{tenant}` was created again: it is not the pod's"),
            false => format!("tenant `{tenant}` has no bridge `{bridge}` any more"),
        });
    };
    if now.cidr != *cidr {
        return Some(format!(
            "the network of bridge `{bridge}` is {} now, but the pod is in {cidr}",
            now.cidr
        ));
    }
    (now.gateway != *gateway).then(|| {
        format!("the gateway of bridge `{bridge}` is {} now, but the pod has {gateway}", now.gateway)
    })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_changed_bridge_is_a_difference() {
        let attachment: Attachment = serde_json::from_value(serde_json::json!({
            "owner": {"network": "n", "container": "c", "interface": "eth0"},
            "host": "11111111-2222-3333-4444-555555555555",
            "tenant": "acme",
            "bridge": "web",
            "bridge_id": "00000000-0000-0000-0000-00000000000a",
            "address": "10.1.0.5",
            "cidr": "10.1.0.0/24",
            "gateway": "10.1.0.254",
            "mac": "0a:58:0a:01:00:05",
            "host_interface": "mn0",
            "state": "done",
            "since": 0,
        }))
        .unwrap();
        let difference = |name: &str, id: char, cidr: &str, gateway: &str| {
            let id = format!("00000000-0000-0000-0000-00000000000{id}");
            let bridge = serde_json::json!({"name": name, "id": id, "cidr": cidr, "gateway": gateway});
            let ready =
                serde_json::json!({"tenant": "acme", "tenant_id": "acme", "spec": "", "bridges": [bridge]});
            difference_from_tenant(&attachment, &serde_json::from_value(ready).unwrap()).unwrap_or_default()
        };
        assert_eq!(difference("web", 'a', "10.1.0.0/24", "10.1.0.254"), "");
        // A renamed bridge is the pod's as before.
        assert_eq!(difference("front", 'a', "10.1.0.0/24", "10.1.0.254"), "");
        for (found, words) in [
            (difference("db", 'b', "10.2.0.0/24", "10.2.0.254"), "no bridge `web` any more"),
            (difference("web", 'b', "10.1.0.0/24", "10.1.0.254"), "created again"),
            (
                difference("web", 'a', "10.9.0.0/24", "10.9.0.254"),
                "10.9.0.0/24 now, but the pod is in 10.1.0.0/24",
            ),
            (difference("web", 'a', "10.1.0.0/24", "10.1.0.1"), "10.1.0.1 now, but the pod has 10.1.0.254"),
        ] {
            assert!(found.contains(words), "{found}");
        }
    }
}
