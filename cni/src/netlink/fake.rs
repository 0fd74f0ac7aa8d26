//! The operations on a simulated kernel with two namespaces. A test can let any operation fail.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use ipnet::IpNet;

use super::{KernelRoute, Link, LinkChange, Netlink, NetlinkError, VethPair};

/// The links of the host and of the container, the container's addresses and routes.
pub(crate) type Shape = (Vec<Link>, Vec<Link>, Vec<(u32, IpNet)>, Vec<KernelRoute>);

/// Both namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct World {
    pub(crate) host: Space,
    pub(crate) container: Space,
    pub(crate) next: u32,
    pub(crate) operations: u32,
    /// The number of the operation that fails, counted from 1.
    pub(crate) fails: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Space {
    pub(crate) links: BTreeMap<u32, Link>,
    pub(crate) addresses: Vec<(u32, IpNet)>,
    pub(crate) routes: Vec<KernelRoute>,
    pub(crate) parameters: BTreeMap<String, String>,
    /// The peer of each veth end.
    peers: BTreeMap<u32, u32>,
}

impl World {
    /// Returns what tests compare.
    pub(crate) fn shape(&self) -> Shape {
        let links = |space: &Space| space.links.values().cloned().collect();
        let mut routes = self.container.routes.clone();
        routes.sort_by_key(|route| route.destination);
        (links(&self.host), links(&self.container), self.container.addresses.clone(), routes)
    }

    pub(crate) fn add_to_container(&mut self, name: &str) -> u32 {
        self.next += 1;
        let (index, name) = (self.next, name.to_owned());
        self.container.links.insert(index, Link { index, name, is_up: true, mtu: 1500, ..Link::default() });
        index
    }
}

/// One of the two namespaces.
pub(crate) struct Fake {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) is_host: bool,
}

impl Fake {
    fn operation<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut World, bool) -> Result<T, i32>,
    ) -> Result<T, NetlinkError> {
        let mut world = self.world.borrow_mut();
        world.operations += 1;
        let refused = |number| NetlinkError::Refused {
            operation: name.to_owned(),
            source: io::Error::from_raw_os_error(number),
        };
        if world.fails == Some(world.operations) {
            return Err(refused(105));
        }
        act(&mut world, self.is_host).map_err(refused)
    }

    fn in_space<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Space) -> Result<T, i32>,
    ) -> Result<T, NetlinkError> {
        self.operation(name, |world, is_host| {
            act(if is_host { &mut world.host } else { &mut world.container })
        })
    }
}

impl Netlink for Fake {
    fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        self.in_space("link", |space| Ok(space.links.values().find(|link| link.name == name).cloned()))
    }

    fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        self.in_space("links", |space| Ok(space.links.values().cloned().collect()))
    }

    fn add_pair(&mut self, pair: VethPair<'_>) -> Result<(), NetlinkError> {
        self.operation("add_pair", |world, _| {
            let taken = |space: &Space, name: &str| space.links.values().any(|link| link.name == name);
            if taken(&world.container, pair.name) || taken(&world.host, pair.peer) {
                return Err(17);
            }
            let (own, peer) = (world.next + 1, world.next + 2);
            world.next += 2;
            let link = |index, peer, name: &str, mac| Link {
                index,
                peer: Some(peer),
                name: name.to_owned(),
                mac: Some(mac),
                mtu: pair.mtu.into(),
                ..Link::default()
            };
            world.container.links.insert(own, link(own, peer, pair.name, pair.mac));
            world.host.links.insert(peer, link(peer, own, pair.peer, pair.peer_mac));
            world.container.peers.insert(own, peer);
            world.host.peers.insert(peer, own);
            Ok(())
        })
    }

    fn remove(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.operation("remove", |world, is_host| {
            let World { host, container, .. } = world;
            let (here, there) = if is_host { (host, container) } else { (container, host) };
            let peer = here.peers.get(&index).copied();
            for (space, index) in [(here, Some(index)), (there, peer)] {
                let Some(index) = index else { continue };
                space.links.remove(&index);
                space.addresses.retain(|(of, _)| *of != index);
                space.routes.retain(|route| route.index != index);
            }
            Ok(())
        })
    }

    fn change(&mut self, index: u32, change: LinkChange<'_>) -> Result<(), NetlinkError> {
        self.in_space("change", |space| {
            let Some(link) = space.links.get_mut(&index) else { return Err(19) };
            if change.name.is_some() && link.is_up {
                return Err(16);
            }
            link.name = change.name.map_or_else(|| link.name.clone(), str::to_owned);
            link.alias = change.alias.map_or_else(|| link.alias.clone(), str::to_owned);
            link.mac = change.mac.or(link.mac);
            link.mtu = change.mtu.unwrap_or(link.mtu);
            link.is_up = change.up.unwrap_or(link.is_up);
            if change.up == Some(false) {
                space.routes.retain(|route| route.index != index);
            }
            Ok(())
        })
    }

    fn addresses(&mut self, index: u32) -> Result<Vec<IpNet>, NetlinkError> {
        self.in_space("addresses", |space| {
            Ok(space.addresses.iter().filter(|(of, _)| *of == index).map(|(_, address)| *address).collect())
        })
    }

    fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        self.in_space("add_address", |space| {
            if !space.addresses.contains(&(index, address)) {
                space.addresses.push((index, address));
            }
            Ok(())
        })
    }

    fn routes(&mut self) -> Result<Vec<KernelRoute>, NetlinkError> {
        self.in_space("routes", |space| Ok(space.routes.clone()))
    }

    fn add_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError> {
        self.in_space("add_route", |space| {
            if !space.links.get(&route.index).is_some_and(|link| link.is_up) {
                return Err(100);
            }
            if !space.routes.contains(route) {
                space.routes.push(route.clone());
            }
            Ok(())
        })
    }

    fn send_checksums(&mut self, name: &str) -> Result<(), NetlinkError> {
        self.in_space("send_checksums", |space| {
            space.parameters.insert(format!("checksums/{name}"), "sent".to_owned());
            Ok(())
        })
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), NetlinkError> {
        self.in_space("set_parameter", |space| {
            space.parameters.insert(name.to_owned(), value.to_owned());
            Ok(())
        })
    }
}
