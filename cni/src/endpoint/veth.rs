//! What is made in the kernel for one interface of one container, taken away, and looked at.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use midoform_compiler::values::MacAddress;
use sha2::{Digest as _, Sha256};

use crate::netlink::{KernelRoute, Link, LinkChange, Netlink, NetlinkError, VethPair};
use crate::protocol::request::Endpoint;

/// The name of the host's end: `vif`, as the Go plugin calls it, and a hash in the place of the container id's first
/// twelve characters, since an id may be shorter, two may begin alike, and a container may have several interfaces.
pub(crate) fn host_interface_name(endpoint: &Endpoint) -> String {
    let digits = hex::encode(&hash_of(endpoint));
    format!("vif{}", digits.get(..12).unwrap_or_default())
}

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Veth {
    /// The name of the host's end.
    pub(crate) host_interface: String,
    /// The interface in the container.
    pub(crate) interface: String,
    /// What the host's end is labelled with: whose it is.
    pub(crate) alias: String,
    pub(crate) mac: MacAddress,
    /// The MAC address of the host's end: always the same, so that the same ADD has the same result.
    pub(crate) host_mac: MacAddress,
    pub(crate) mtu: u16,
    pub(crate) address: Ipv4Net,
    pub(crate) gateway: Ipv4Addr,
    /// Routes besides the default route, by this gateway.
    pub(crate) routes: Vec<(Ipv4Net, Ipv4Addr)>,
    /// An interface that is there already makes way.
    pub(crate) may_rename: bool,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VethState {
    /// The name that an interface has now which made way for this one.
    pub(crate) renamed: Option<String>,
    /// This interface has the default route.
    pub(crate) has_default_route: bool,
    /// What is not as it was made.
    pub(crate) problems: Vec<String>,
}

/// An interface that makes way, and the default routes that it had.
struct Renamed {
    name: String,
    default_routes: Vec<KernelRoute>,
}

/// What the name and the MAC address of the host's end are made of.
fn hash_of(endpoint: &Endpoint) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(endpoint.container.as_bytes());
    hash.update([0]);
    hash.update(endpoint.interface.as_bytes());
    hash.finalize().into()
}

/// The MAC address of the host's end: locally administered.
pub(crate) fn host_mac(endpoint: &Endpoint) -> MacAddress {
    let [.., a, b, c, d, e] = hash_of(endpoint);
    MacAddress([0x0e, a, b, c, d, e])
}

impl Veth {
    /// Makes it. What fails is taken back, as far as the kernel lets.
    pub(crate) fn create(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
    ) -> Result<VethState, NetlinkError> {
        // What an earlier run left: it was killed, so nothing of it is complete.
        if let Some(left) = host.link(&self.host_interface)? {
            left_by(&left, &self.alias)?;
            host.remove(left.index)?;
        }
        let renamed = match container.link(&self.interface)? {
            None => None,
            Some(found) if self.may_rename => Some(make_way(container, &found)?),
            Some(_) => return Err(occupied(&self.interface)),
        };
        match self.make(host, container, renamed.is_some()) {
            Ok(has_default_route) => {
                let renamed = renamed.map(|renamed| renamed.name);
                Ok(VethState { renamed, has_default_route, problems: Vec::new() })
            }
            Err(error) => {
                if let Err(second) = self.take_back(host, container, renamed.as_ref()) {
                    tracing::warn!(error = %second, "what was begun in the kernel can't be taken back");
                }
                Err(error)
            }
        }
    }

    fn make(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        takes_default: bool,
    ) -> Result<bool, NetlinkError> {
        let (name, peer) = (self.interface.as_str(), self.host_interface.as_str());
        container.add_pair(VethPair { name, mac: self.mac, mtu: self.mtu, peer, peer_mac: self.host_mac })?;
        let host_end = host.link(peer)?.ok_or_else(|| vanished(peer))?;
        let own = container.link(name)?.ok_or_else(|| vanished(name))?;
        host.change(host_end.index, LinkChange { alias: Some(&self.alias), ..LinkChange::default() })?;
        // The host has nothing to say on this wire, and must not listen to router advertisements of a container.
        host.set_parameter(&format!("ipv6/conf/{peer}/disable_ipv6"), "1")?;
        // As the reference plugins: a change of address is announced to the neighbours.
        container.set_parameter(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        container.set_parameter(&format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
        host.change(host_end.index, LinkChange { up: Some(true), ..LinkChange::default() })?;
        container.add_address(own.index, IpNet::V4(self.address))?;
        container.change(own.index, LinkChange { up: Some(true), ..LinkChange::default() })?;
        let has_default = takes_default || !container.routes()?.iter().any(is_default_v4);
        if has_default {
            container.add_route(&KernelRoute::new(Ipv4Net::default(), Some(self.gateway), own.index))?;
        }
        for (destination, gateway) in &self.routes {
            container.add_route(&KernelRoute::new(*destination, Some(*gateway), own.index))?;
        }
        Ok(has_default)
    }

    /// Lets the neighbours know, once packets can pass.
    pub(crate) fn announce(&self, container: &mut dyn Netlink) -> Result<(), NetlinkError> {
        let Some(own) = container.link(&self.interface)? else { return Err(vanished(&self.interface)) };
        // With arp_notify the kernel sends a gratuitous ARP when the address is set, to the same one as well.
        container.change(own.index, LinkChange { mac: Some(self.mac), ..LinkChange::default() })
    }

    /// Takes back what `plug` made.
    fn take_back(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
        renamed: Option<&Renamed>,
    ) -> Result<(), NetlinkError> {
        remove(host, Some(&mut *container), &self.host_interface, &self.interface, &self.alias)?;
        let Some(renamed) = renamed else { return Ok(()) };
        for route in &renamed.default_routes {
            container.add_route(route)?;
        }
        Ok(())
    }

    /// What is there, and what of it is not as `plug` made it.
    pub(crate) fn inspect(
        &self,
        host: &mut dyn Netlink,
        container: &mut dyn Netlink,
    ) -> Result<VethState, NetlinkError> {
        let mut state = VethState {
            renamed: renamed_link(container, &self.interface)?.map(|link| link.name),
            ..VethState::default()
        };
        let problems = &mut state.problems;
        match host.link(&self.host_interface)? {
            None => problems.push(format!("{} is not on the host", self.host_interface)),
            Some(link) => {
                self.common_problems(&link, problems);
                if link.alias != self.alias {
                    problems.push(format!("{} has the alias `{}`", self.host_interface, link.alias));
                }
            }
        }
        let Some(link) = container.link(&self.interface)? else {
            problems.push(format!("{} is not in the container", self.interface));
            return Ok(state);
        };
        self.common_problems(&link, problems);
        if link.mac != Some(self.mac) {
            let shown = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
            problems.push(format!("{} has the MAC address {shown}, not {}", self.interface, self.mac));
        }
        if !container.addresses(link.index)?.contains(&IpNet::V4(self.address)) {
            problems.push(format!("{} has not the address {}", self.interface, self.address));
        }
        let routes = container.routes()?;
        for (destination, gateway) in &self.routes {
            let wanted = |route: &KernelRoute| {
                route.destination == IpNet::V4(*destination)
                    && route.index == link.index
                    && route.gateway == Some(IpAddr::V4(*gateway))
            };
            if !routes.iter().any(wanted) {
                problems.push(format!("the route to {destination} by {gateway} is missing"));
            }
        }
        state.has_default_route =
            routes.iter().any(|route| is_default_v4(route) && route.index == link.index);
        // Another interface may have the default route, if it had it first.
        if !routes.iter().any(is_default_v4) {
            problems.push(format!("there is no default route by {}", self.gateway));
        }
        Ok(state)
    }

    fn common_problems(&self, link: &Link, problems: &mut Vec<String>) {
        if !link.is_up {
            problems.push(format!("{} is down", link.name));
        }
        if link.mtu != u32::from(self.mtu) {
            problems.push(format!("{} has the MTU {}, not {}", link.name, link.mtu, self.mtu));
        }
    }
}

/// Whether `plug` would find its names free: another's interface is in nobody's way after an ADD has begun to make things.
pub(crate) fn names_are_free(
    host: &mut dyn Netlink,
    container: &mut dyn Netlink,
    (host_interface, alias): (&str, &str),
    interface: &str,
    may_rename: bool,
) -> Result<(), NetlinkError> {
    match host.link(host_interface)? {
        Some(link) => left_by(&link, alias),
        None if may_rename || container.link(interface)?.is_none() => Ok(()),
        None => Err(occupied(interface)),
    }
}

/// Whether a host's end is of an earlier run for the same owner. Without an alias it is of one that was killed before it
/// could set one.
fn left_by(link: &Link, alias: &str) -> Result<(), NetlinkError> {
    if link.alias == alias || link.alias.is_empty() {
        return Ok(());
    }
    Err(NetlinkError::Conflict(format!("{} on the host is somebody else's ({})", link.name, link.alias)))
}

fn occupied(interface: &str) -> NetlinkError {
    NetlinkError::Conflict(format!("{interface} is in the container already, and is not this plugin's"))
}

/// Takes away what `plug` makes: the host's end, and with it the container's, only if it is this container's; then an
/// interface that made way has its name again.
pub(crate) fn remove(
    host: &mut dyn Netlink,
    container: Option<&mut dyn Netlink>,
    host_interface: &str,
    interface: &str,
    alias: &str,
) -> Result<(), NetlinkError> {
    if let Some(link) = host.link(host_interface)? {
        left_by(&link, alias)?;
        host.remove(link.index)?;
    }
    let Some(container) = container else { return Ok(()) };
    let Some(renamed) = renamed_link(container, interface)? else { return Ok(()) };
    if container.link(interface)?.is_none() {
        rename(container, &renamed, interface, "")?;
    }
    Ok(())
}

/// How many names are tried for an interface that makes way.
const NAMES: u32 = 8;

/// `eth0`: `eth1`, `eth2` and so on.
fn next_names(name: &str) -> impl Iterator<Item = String> {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let number: u32 = name.strip_prefix(&letters).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let names = (number.saturating_add(1)..).take(NAMES as usize).map(move |next| format!("{letters}{next}"));
    names.filter(|name| name.len() <= 15)
}

/// What an interface is labelled with that made way.
fn mark_of(former: &str) -> String {
    format!("midonet-cni: was {former}")
}

/// The interface that made way for one of this name.
fn renamed_link(container: &mut dyn Netlink, former: &str) -> Result<Option<Link>, NetlinkError> {
    for name in next_names(former) {
        match container.link(&name)? {
            Some(link) if link.alias == mark_of(former) => return Ok(Some(link)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Renames an interface to the next free name (`eth0` to `eth1`), and takes its default routes.
fn make_way(container: &mut dyn Netlink, link: &Link) -> Result<Renamed, NetlinkError> {
    for name in next_names(&link.name) {
        if container.link(&name)?.is_none() {
            let default_routes = rename(container, link, &name, &mark_of(&link.name))?;
            return Ok(Renamed { name, default_routes });
        }
    }
    Err(NetlinkError::Conflict(format!("{} is there already, and no name is free for it", link.name)))
}

/// Renames an interface. It has to be down for that, which takes its routes away: they are put back, all but the
/// default routes, which are handed to the caller. What fails is taken back.
fn rename(
    container: &mut dyn Netlink,
    link: &Link,
    name: &str,
    alias: &str,
) -> Result<Vec<KernelRoute>, NetlinkError> {
    let addresses = container.addresses(link.index)?;
    let mut routes = container.routes()?;
    routes.retain(|route| route.index == link.index && !route.automatic);
    // A gateway has to be reachable before it is used.
    routes.sort_by_key(|route| (route.is_default(), route.gateway.is_some()));
    let (default, others): (Vec<KernelRoute>, Vec<KernelRoute>) =
        routes.iter().cloned().partition(KernelRoute::is_default);
    let to = (name, alias);
    let result = rename_with(container, link, to, &addresses, &others);
    if result.is_err()
        && let Err(second) = rename_with(container, link, (&link.name, &link.alias), &addresses, &routes)
    {
        tracing::warn!(error = %second, interface = link.name, "its renaming can't be taken back");
    }
    result.map(|()| default)
}

fn rename_with(
    container: &mut dyn Netlink,
    link: &Link,
    (name, alias): (&str, &str),
    addresses: &[IpNet],
    routes: &[KernelRoute],
) -> Result<(), NetlinkError> {
    container.change(link.index, LinkChange { up: Some(false), ..LinkChange::default() })?;
    container
        .change(link.index, LinkChange { name: Some(name), alias: Some(alias), ..LinkChange::default() })?;
    for address in addresses {
        container.add_address(link.index, *address)?;
    }
    if !link.is_up {
        return Ok(());
    }
    container.change(link.index, LinkChange { up: Some(true), ..LinkChange::default() })?;
    routes.iter().try_for_each(|route| container.add_route(route))
}

fn is_default_v4(route: &KernelRoute) -> bool {
    route.is_default() && matches!(route.destination, IpNet::V4(_))
}

fn vanished(name: &str) -> NetlinkError {
    NetlinkError::Conflict(format!("{name} was removed while it was being set up"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::netlink::fake::{Fake, World};

    fn veth() -> Veth {
        Veth {
            host_interface: "vif0123456789ab".to_owned(),
            interface: "eth0".to_owned(),
            alias: "c1/eth0".to_owned(),
            mac: MacAddress([0x0a, 0x58, 192, 168, 0, 5]),
            host_mac: MacAddress([0x0e, 0, 0, 0, 0, 1]),
            mtu: 1454,
            address: "192.168.0.5/24".parse().unwrap(),
            gateway: "192.168.0.254".parse().unwrap(),
            routes: vec![("10.0.0.0/8".parse().unwrap(), "192.168.0.253".parse().unwrap())],
            may_rename: true,
        }
    }

    fn both(world: World) -> (Rc<RefCell<World>>, Fake, Fake) {
        let world = Rc::new(RefCell::new(world));
        let host = Fake { world: world.clone(), is_host: true };
        let container = Fake { world: world.clone(), is_host: false };
        (world, host, container)
    }

    /// A container that `ptp` has given an interface.
    fn with_eth0() -> World {
        let mut world = World::default();
        let index = world.add_to_container("eth0");
        world.container.addresses.push((index, "10.22.0.2/16".parse().unwrap()));
        let route = |to: &str, by: Option<&str>| {
            KernelRoute::new(to.parse().unwrap(), by.map(|by| by.parse().unwrap()), index)
        };
        world.container.routes.push(route("10.22.0.1/32", None));
        world.container.routes.push(route("10.22.0.0/16", Some("10.22.0.1")));
        world.container.routes.push(route("0.0.0.0/0", Some("10.22.0.1")));
        world
    }

    #[test]
    fn an_interface_that_is_there_makes_way_and_comes_back() {
        let before = with_eth0();
        let (world, mut host, mut container) = both(before.clone());
        let state = veth().create(&mut host, &mut container).unwrap();
        assert_eq!(state.renamed.as_deref(), Some("eth1"));
        assert!(state.has_default_route);
        assert_eq!(veth().inspect(&mut host, &mut container).unwrap(), state);
        let now = world.borrow().clone();
        let default: Vec<_> = now.container.routes.iter().filter(|route| route.is_default()).collect();
        assert_eq!(default[0].gateway, Some("192.168.0.254".parse().unwrap()));
        assert_eq!(now.container.routes.len(), 4, "{:?}", now.container.routes);
        assert_eq!(now.host.parameters["ipv6/conf/vif0123456789ab/disable_ipv6"], "1");
        remove(&mut host, Some(&mut container), "vif0123456789ab", "eth0", "c1/eth0").unwrap();
        let (host_links, links, addresses, routes) = world.borrow().shape();
        let (_, links_before, addresses_before, routes_before) = before.shape();
        assert_eq!((host_links, links, addresses), (Vec::new(), links_before, addresses_before));
        // The default route was replaced: it went with the interface that had it.
        let others: Vec<_> = routes_before.into_iter().filter(|route| !route.is_default()).collect();
        assert_eq!(routes, others);
    }

    #[test]
    fn whichever_verb_fails_nothing_is_left() {
        for start in [World::default(), with_eth0()] {
            for fails in 1.. {
                let (world, mut host, mut container) = both(World { fails: Some(fails), ..start.clone() });
                match veth().create(&mut host, &mut container) {
                    Ok(_) => break,
                    Err(NetlinkError::Refused { source, .. }) => assert_eq!(source.raw_os_error(), Some(105)),
                    Err(other) => panic!("{other}"),
                }
                assert_eq!(world.borrow().shape(), start.shape(), "verb {fails} failed");
            }
        }
    }

    #[test]
    fn an_interface_of_somebody_else_stays() {
        let (world, mut host, mut container) = both(with_eth0());
        let strict = Veth { may_rename: false, ..veth() };
        assert!(matches!(strict.create(&mut host, &mut container), Err(NetlinkError::Conflict(_))));
        assert_eq!(world.borrow().shape(), with_eth0().shape());
    }

    #[test]
    fn what_a_killed_run_left_is_replaced() {
        let (_, mut host, mut container) = both(World::default());
        veth().create(&mut host, &mut container).unwrap();
        assert!(veth().create(&mut host, &mut container).unwrap().renamed.is_none());
        assert_eq!(veth().inspect(&mut host, &mut container).unwrap().problems, Vec::<String>::new());
    }

    #[test]
    fn problems_are_named() {
        let (world, mut host, mut container) = both(World::default());
        assert_eq!(veth().inspect(&mut host, &mut container).unwrap().problems.len(), 2);
        veth().create(&mut host, &mut container).unwrap();
        world.borrow_mut().container.addresses.clear();
        world.borrow_mut().container.routes.clear();
        let problems = veth().inspect(&mut host, &mut container).unwrap().problems;
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn names_are_safe_for_short_ids_and_several_interfaces() {
        let name = |container: &str, interface: &str| {
            host_interface_name(&Endpoint {
                container: container.to_owned(),
                interface: interface.to_owned(),
            })
        };
        assert_eq!(name("default-c9", "eth0").len(), 15);
        assert_ne!(name("default-c9", "eth0"), name("default-c9", "eth1"));
        let (one, other) = (format!("{}1", "a".repeat(40)), format!("{}2", "a".repeat(40)));
        assert_ne!(name(&one, "eth0"), name(&other, "eth0"));
    }
}
