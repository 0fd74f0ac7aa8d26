//! The pair on a simulated kernel.

use std::cell::RefCell;
use std::rc::Rc;

use midoform_store::ipam::host_interface::new_host_interface;

use super::*;
use crate::netlink::fake::{Fake, World};

fn veth() -> Veth {
    Veth {
        owner: VethOwner::new(&Owner {
            network: "lab".to_owned(),
            container: "c1".to_owned(),
            interface: "eth0".to_owned(),
        }),
        host_interface: "vif0123456789ab".to_owned(),
        mac: MacAddress([0x0a, 0x58, 192, 168, 0, 5]),
        host_mac: MacAddress([0x0e, 0, 0, 0, 0, 1]),
        mtu: 1454,
        address: "192.168.0.5/24".parse().unwrap(),
        gateway: "192.168.0.254".parse().unwrap(),
        routes: vec![("10.0.0.0/8".parse().unwrap(), "192.168.0.253".parse().unwrap())],
        may_rename: true,
        sends_checksums: false,
    }
}

fn both(world: World) -> (Rc<RefCell<World>>, Fake, Fake) {
    let world = Rc::new(RefCell::new(world));
    let host = Fake { world: world.clone(), is_host: true };
    let container = Fake { world: world.clone(), is_host: false };
    (world, host, container)
}

/// Makes a container with an interface of the plugin `ptp`.
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
fn an_existing_interface_is_renamed_and_gets_its_name_back() {
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
    veth().owner.remove(&mut host, Some(&mut container)).unwrap();
    let (host_links, links, addresses, routes) = world.borrow().shape();
    let (_, links_before, addresses_before, routes_before) = before.shape();
    assert_eq!((host_links, links, addresses), (Vec::new(), links_before, addresses_before));
    // The default route was replaced. It went away with the new interface.
    let others: Vec<_> = routes_before.into_iter().filter(|route| !route.is_default()).collect();
    assert_eq!(routes, others);
}

#[test]
fn whichever_operation_fails_nothing_is_left() {
    for start in [World::default(), with_eth0()] {
        for fails in 1.. {
            let (world, mut host, mut container) = both(World { fails: Some(fails), ..start.clone() });
            match veth().create(&mut host, &mut container) {
                Ok(_) => break,
                Err(NetlinkError::Refused { source, .. }) => assert_eq!(source.raw_os_error(), Some(105)),
                Err(other) => panic!("{other}"),
            }
            assert_eq!(world.borrow().shape(), start.shape(), "operation {fails} failed");
        }
    }
}

#[test]
fn an_interface_of_another_owner_stays() {
    let (world, mut host, mut container) = both(with_eth0());
    let strict = Veth { may_rename: false, ..veth() };
    assert!(matches!(strict.create(&mut host, &mut container), Err(NetlinkError::Conflict(_))));
    assert_eq!(world.borrow().shape(), with_eth0().shape());
}

#[test]
fn a_pair_that_a_killed_run_left_is_replaced() {
    let (_, mut host, mut container) = both(World::default());
    veth().create(&mut host, &mut container).unwrap();
    assert!(veth().create(&mut host, &mut container).unwrap().renamed.is_none());
    assert_eq!(veth().inspect(&mut host, &mut container).unwrap().problems, Vec::<String>::new());
}

#[test]
fn inspect_names_each_problem() {
    let (world, mut host, mut container) = both(World::default());
    assert_eq!(veth().inspect(&mut host, &mut container).unwrap().problems.len(), 2);
    veth().create(&mut host, &mut container).unwrap();
    world.borrow_mut().container.addresses.clear();
    world.borrow_mut().container.routes.clear();
    let problems = veth().inspect(&mut host, &mut container).unwrap().problems;
    assert_eq!(problems.len(), 3, "{problems:?}");
}

/// The agent sets the MTU of the host's end to 65000.
#[test]
fn the_mtu_of_the_host_s_end_is_the_agent_s() {
    let (world, mut host, mut container) = both(World::default());
    veth().create(&mut host, &mut container).unwrap();
    for link in world.borrow_mut().host.links.values_mut() {
        link.mtu = 65000;
    }
    assert_eq!(veth().inspect(&mut host, &mut container).unwrap().problems, Vec::<String>::new());
    for link in world.borrow_mut().container.links.values_mut() {
        link.mtu = 9000;
    }
    let problems = veth().inspect(&mut host, &mut container).unwrap().problems;
    assert_eq!(problems, ["eth0 has the MTU 9000, not 1454"]);
}

#[test]
fn a_pair_is_repaired_in_place() {
    let (world, mut host, mut container) = both(World::default());
    veth().create(&mut host, &mut container).unwrap();
    let before = world.borrow().clone();
    {
        let mut world = world.borrow_mut();
        world.container.addresses.clear();
        world.container.routes.clear();
        for link in world.container.links.values_mut() {
            (link.mtu, link.is_up, link.mac) = (9000, false, None);
        }
        for link in world.host.links.values_mut() {
            (link.mtu, link.is_up, link.alias) = (65000, false, String::new());
        }
    }
    let unalike = veth().inspect(&mut host, &mut container).unwrap();
    assert!(unalike.problems.len() > 5, "{unalike:?}");
    // Without its alias, and with a name of no meaning, the host's end may be somebody else's.
    assert!(!unalike.has_pair);
    let repaired = veth().repair(&mut host, &mut container).unwrap();
    assert_eq!((repaired.problems.len(), repaired.has_pair), (0, true), "{repaired:?}");
    for link in world.borrow_mut().host.links.values_mut() {
        link.mtu = 1454;
    }
    assert_eq!(world.borrow().shape(), before.shape());
}

#[test]
fn every_interface_of_the_owner_is_removed_whatever_its_name_is() {
    let (world, mut host, mut container) = both(World::default());
    let other = Veth { host_interface: "vif00000000000b".to_owned(), ..veth() };
    veth().create(&mut host, &mut container).unwrap();
    let stranger = world.borrow_mut().add_to_container("x");
    let stranger = world.borrow_mut().container.links.remove(&stranger).unwrap();
    world.borrow_mut().host.links.insert(99, Link { index: 99, ..stranger });
    // The names of a killed run, which set no alias.
    let owner = veth().owner.owner;
    for (index, name) in [(100, new_host_interface(&owner)), (101, host_interface_without_tag(&owner))] {
        world.borrow_mut().host.links.insert(index, Link { index, name, ..Link::default() });
    }
    other.owner.remove(&mut host, Some(&mut container)).unwrap();
    let left: Vec<u32> = world.borrow().host.links.keys().copied().collect();
    assert_eq!((left, world.borrow().container.links.len()), (vec![99], 0));
}
