//! ADD: connects an interface of a container to its tenant.
//!
//! One read and one commit in the store, two calls of the API, and meanwhile the work in the kernel. Everything that is
//! made follows from the claim, which is written first: whoever finds a claim can take everything away.

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use midoform_store::ipam::{Ask, Attachment, Claim, ClaimError, Pods};
use midoform_store::ready::Ready;
use midoform_store::record::Held;
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use super::del;
use crate::backend::{Backend, within};
use crate::config::{Config, DEFAULT_MTU};
use crate::endpoint::midonet::{ANTI_SPOOF, RETRIED};
use crate::endpoint::veth;
use crate::endpoint::veth::{Veth, VethState, host_interface_name, host_mac};
use crate::netlink::{Namespace, NetworkThread};
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::{Endpoint, Request};
use crate::protocol::result::{Address, CniResult, Dns, Interface, Route};
use crate::state::endpoint_lock::EndpointLock;
use crate::tenant;

/// Connects, and answers the result.
pub(crate) async fn add(config: &Config, request: &Request) -> Result<CniResult> {
    let (started, since) = (Instant::now(), unix_milliseconds());
    let changes_begun = Cell::new(false);
    let namespace = open_namespace(request)?;
    let tenant = tenant::of_pod(config, request)?;
    let mut backend = Backend::new(config)?;
    let owner = backend.owner(&request.endpoint);
    tracing::debug!(step = "start", tenant, "ADD");
    let network = NetworkThread::start(Some(&namespace))?;
    let _lock =
        EndpointLock::acquire(&config.state_folder, backend.host, &owner, config.timeouts.add).await?;
    // Begun now, so that the sockets are opened while the store is.
    let names = names_are_free(config, request, &network);
    let work = async {
        backend.store().await?;
        names.await?;
        let (pods, claimed) = claim(&mut backend, request, &tenant).await?;
        let attached =
            Attached { config, request, network: &network, pods: &pods, changes_begun: &changes_begun };
        attached.finish(&mut backend, claimed).await
    };
    let result = within(config.timeouts.add, "ADD", work).await;
    backend.keep_token();
    match &result {
        Ok(_) => {
            let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(step = "done", tenant, took, "attached");
            del::retry_pending(&mut backend, 2).await;
        }
        Err(error) => {
            tracing::error!(step = "failed", tenant, %error, "ADD failed");
            // What an earlier ADD made, and this one only looked at, is not this one's to take away.
            let claimed_since = if changes_begun.get() { 0 } else { since };
            del::take_back(&mut backend, &network, &request.endpoint, claimed_since).await;
        }
    }
    result
}

/// Now, as the store counts.
pub(crate) fn unix_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn open_namespace(request: &Request) -> Result<Namespace> {
    let path = request.namespace.as_deref().unwrap_or_else(|| std::path::Path::new(""));
    Namespace::open(path)?.ok_or_else(|| {
        let message = format!("CNI_NETNS {} is no network namespace", path.display());
        CniError::new(Code::UnknownContainer, message)
    })
}

/// Nothing is claimed or asked for where an interface of somebody else is in the way.
fn names_are_free(
    config: &Config,
    request: &Request,
    network: &NetworkThread,
) -> impl Future<Output = Result<()>> + use<> {
    let (name, interface) = (host_interface_name(&request.endpoint), request.endpoint.interface.clone());
    let (alias, may_rename) = (alias_of(&config.name, &request.endpoint), may_rename(config, request));
    network.run(Box::new(move |host, container| match container {
        Some(container) => veth::names_are_free(host, container, (&name, &alias), &interface, may_rename),
        None => Ok(()),
    }))
}

/// What was claimed.
struct Claimed {
    attachment: Held<Attachment>,
    ready: Ready,
    new: bool,
}

/// Claims an address; makes the tenant, or another bridge, where one is needed first.
async fn claim(backend: &mut Backend<'_>, request: &Request, tenant: &str) -> Result<(Pods, Claimed)> {
    let pods = backend.pods().await?;
    let mut ask = ask_of(backend, request, tenant)?;
    tenant::serve_port_mappings(backend, tenant, &mut ask).await?;
    // Each round either ends, or makes what the next one needs.
    for _ in 0..8 {
        match pods.claim(&ask).await? {
            Claim::Attached { attachment, ready, new } => {
                return Ok((pods, Claimed { attachment: *attachment, ready: *ready, new }));
            }
            Claim::NotReady => tenant::make_ready(backend, tenant).await?,
            Claim::Full { ready, bridge } => tenant::grow(backend, tenant, &ready, &bridge).await?,
        }
    }
    Err(CniError::new(
        Code::TryAgainLater,
        format!("tenant `{tenant}` is changed faster than a pod can be attached"),
    ))
}

fn ask_of(backend: &Backend<'_>, request: &Request, tenant: &str) -> Result<Ask> {
    let (config, endpoint) = (backend.config, &request.endpoint);
    let pod = match (&request.arguments.pod_namespace, &request.arguments.pod_name) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (None, Some(name)) => Some(name.clone()),
        _ => None,
    };
    Ok(Ask {
        owner: backend.owner(endpoint),
        host: backend.host,
        tenant: tenant.to_owned(),
        bridge: config.runtime.bridge.clone().or_else(|| config.bridge.clone()),
        address: config.runtime.address(&request.arguments)?,
        mac: config.runtime.mac(&request.arguments),
        host_interface: host_interface_name(endpoint),
        port: backend.site().port_id(tenant, backend.host, &endpoint.container, &endpoint.interface),
        pod,
        extra: Map::new(),
    })
}

impl From<ClaimError> for CniError {
    fn from(error: ClaimError) -> CniError {
        let text = error.to_string();
        match error {
            ClaimError::Store(error) => error.into(),
            ClaimError::Taken { .. } | ClaimError::Unusable { .. } => {
                CniError::new(Code::AddressRefused, text)
            }
            ClaimError::NoBridge { .. } => CniError::configuration("bridge", format!("is wrong: {text}")),
            ClaimError::Elsewhere { .. } => CniError::new(Code::AddressRefused, text),
            ClaimError::Contended => CniError::new(Code::TryAgainLater, text),
        }
    }
}

/// An ADD that holds a claim.
struct Attached<'a> {
    config: &'a Config,
    request: &'a Request,
    network: &'a NetworkThread,
    pods: &'a Pods,
    /// Set when something is about to be made: from then on a failure has to take it back.
    changes_begun: &'a Cell<bool>,
}

impl Attached<'_> {
    /// Makes what the claim stands for; the same again where all of it is there.
    async fn finish(&self, backend: &mut Backend<'_>, mut claimed: Claimed) -> Result<CniResult> {
        let client = backend.client().await?;
        let site = backend.site();
        let veth = veth_of(self.config, self.request, &claimed.attachment.record, &claimed.ready);
        if !claimed.new {
            let seen = self.inspect(&veth).await?;
            let mut problems = seen.problems.clone();
            if problems.is_empty() {
                problems = site.problems(&client, &claimed.attachment.record).await?;
            }
            if problems.is_empty() {
                tracing::info!(step = "again", "everything is there already");
                return Ok(self.result(&claimed, &veth, &seen));
            }
            tracing::info!(
                step = "again",
                problems = problems.join("; "),
                "an earlier ADD did not end: beginning anew"
            );
            claimed.attachment.record.extra.insert(RETRIED.to_owned(), true.into());
            self.write(&mut claimed).await?;
            site.disconnect(&client, &claimed.attachment.record).await?;
        }
        self.changes_begun.set(true);
        self.remember(&mut claimed).await?;
        let (plugged, connected) = tokio::join!(
            self.create(&veth),
            site.connect(&client, &claimed.attachment.record, &claimed.ready.tenant_id),
        );
        // The port first: where both failed, it says more.
        let (port, anew) = connected?;
        let state = plugged?;
        tracing::debug!(step = "port", %port, "port and binding are there");
        if claimed.attachment.record.port != Some(port) {
            if anew {
                claimed.attachment.record.extra.insert(RETRIED.to_owned(), true.into());
            }
            claimed.attachment.record.port = Some(port);
            self.write(&mut claimed).await?;
        }
        self.announce(&veth).await;
        Ok(self.result(&claimed, &veth, &state))
    }

    /// Writes down, before anything is made, what DEL will have to know.
    async fn remember(&self, claimed: &mut Claimed) -> Result<()> {
        if claimed.ready.port_anti_spoof && !claimed.attachment.record.extra.contains_key(ANTI_SPOOF) {
            claimed.attachment.record.extra.insert(ANTI_SPOOF.to_owned(), true.into());
            self.write(claimed).await?;
        }
        Ok(())
    }

    async fn write(&self, claimed: &mut Claimed) -> Result<()> {
        if self.pods.update(&mut claimed.attachment).await? {
            return Ok(());
        }
        let message = "the attachment was taken away while it was being made";
        Err(CniError::new(Code::TryAgainLater, message))
    }

    async fn create(&self, veth: &Veth) -> Result<VethState> {
        let veth = veth.clone();
        self.network
            .run(Box::new(move |host, container| match container {
                Some(container) => veth.create(host, container),
                None => Err(crate::netlink::NetlinkError::Conflict("there is no container".to_owned())),
            }))
            .await
    }

    async fn inspect(&self, veth: &Veth) -> Result<VethState> {
        let veth = veth.clone();
        self.network
            .run(Box::new(move |host, container| match container {
                Some(container) => veth.inspect(host, container),
                None => Err(crate::netlink::NetlinkError::Conflict("there is no container".to_owned())),
            }))
            .await
    }

    /// Tells the neighbours; who misses it asks.
    async fn announce(&self, veth: &Veth) {
        let veth = veth.clone();
        let told = self.network.run(Box::new(move |_, container| match container {
            Some(container) => veth.announce(container),
            None => Ok(()),
        }));
        if let Err(error) = told.await {
            tracing::warn!(step = "announce", %error, "the address could not be announced");
        }
    }

    fn result(&self, claimed: &Claimed, veth: &Veth, state: &VethState) -> CniResult {
        let mut result = self.config.previous.clone().unwrap_or_default();
        let sandbox =
            self.request.namespace.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        if let Some(renamed) = &state.renamed {
            rename_in(&mut result, &veth.interface, renamed);
        }
        let interface = |name: &str, mac: String, sandbox: String| Interface {
            name: name.to_owned(),
            mac,
            mtu: Some(veth.mtu.into()),
            sandbox,
            other: Map::new(),
        };
        let host_mac = veth.host_mac.to_string();
        result.interfaces.push(interface(&veth.host_interface, host_mac, String::new()));
        result.interfaces.push(interface(&veth.interface, veth.mac.to_string(), sandbox));
        result.ips.push(Address {
            address: ipnet::IpNet::V4(veth.address),
            gateway: Some(veth.gateway.into()),
            interface: Some(result.interfaces.len() - 1),
            other: Map::new(),
        });
        let route = |dst: ipnet::Ipv4Net, gw: std::net::Ipv4Addr| Route {
            dst: dst.into(),
            gw: Some(gw.into()),
            other: Map::new(),
        };
        if state.has_default_route {
            result.routes.push(route(ipnet::Ipv4Net::default(), veth.gateway));
        }
        result.routes.extend(veth.routes.iter().map(|(dst, gw)| route(*dst, *gw)));
        result.dns = dns_of(self.config, &claimed.ready, result.dns);
        result
    }
}

/// An earlier interface has another name now, and no longer the default route.
fn rename_in(result: &mut CniResult, from: &str, to: &str) {
    for interface in result.interfaces.iter_mut().filter(|interface| !interface.sandbox.is_empty()) {
        if interface.name == from {
            to.clone_into(&mut interface.name);
        }
    }
    result.routes.retain(|route| route.dst.prefix_len() != 0 || route.dst.addr().is_ipv6());
}

/// Name resolution: what this run wants, else what the tenant has, else what the configuration or the plugin before says.
fn dns_of(config: &Config, ready: &Ready, previous: Dns) -> Dns {
    if let Some(dns) = &config.runtime.dns {
        return dns.clone();
    }
    if ready.nameservers.is_empty() && ready.search.is_empty() {
        return if config.dns.is_empty() { previous } else { config.dns.clone() };
    }
    Dns {
        nameservers: ready.nameservers.iter().map(ToString::to_string).collect(),
        search: ready.search.clone(),
        ..Dns::default()
    }
}

/// What is made in the kernel for an attachment.
pub(crate) fn veth_of(config: &Config, request: &Request, attachment: &Attachment, ready: &Ready) -> Veth {
    let gateway = attachment.gateway;
    let length = attachment.cidr.prefix_len();
    Veth {
        host_interface: attachment.host_interface.clone(),
        interface: request.endpoint.interface.clone(),
        alias: alias_of(&config.name, &request.endpoint),
        mac: attachment.mac,
        host_mac: host_mac(&request.endpoint),
        mtu: config.mtu.or(ready.mtu).unwrap_or(DEFAULT_MTU),
        // A network's prefix length is one of an address.
        address: ipnet::Ipv4Net::new(attachment.address, length)
            .unwrap_or_else(|_| attachment.address.into()),
        gateway,
        routes: config.routes.iter().map(|route| (route.dst, route.gw.unwrap_or(gateway))).collect(),
        may_rename: may_rename(config, request),
    }
}

/// Whether an interface of the wanted name makes way.
fn may_rename(config: &Config, request: &Request) -> bool {
    config.renames || made_by_previous(config, request)
}

/// Whether an earlier plugin of the chain made the interface: then it is no stranger, and makes way.
fn made_by_previous(config: &Config, request: &Request) -> bool {
    let Some(previous) = &config.previous else { return false };
    let mut inside = previous.interfaces.iter().filter(|interface| !interface.sandbox.is_empty());
    inside.any(|interface| interface.name == request.endpoint.interface)
}

/// The alias of a host interface: whose it is, in full. The kernel takes 255 bytes.
pub(crate) fn alias_of(network: &str, endpoint: &Endpoint) -> String {
    let Endpoint { container, interface } = endpoint;
    let alias = format!("{network}/{container}/{interface}");
    if alias.len() <= 255 {
        return alias;
    }
    let hash = hex::encode(&Sha256::digest(&alias));
    // Network and container are of ASCII.
    format!("{}…{}", alias.get(..180).unwrap_or_default(), hash.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_fits_and_tells_owners_apart() {
        let alias = |network: &str, container: &str| {
            let endpoint = Endpoint { container: container.to_owned(), interface: "eth0".to_owned() };
            alias_of(network, &endpoint)
        };
        assert_eq!(alias("lab", "c1"), "lab/c1/eth0");
        let (one, other) = ("a".repeat(256), format!("{}b", "a".repeat(255)));
        assert_ne!(alias("lab", &one), alias("lab", &other));
        assert!(alias(&"n".repeat(255), &one).len() <= 255);
    }
}
