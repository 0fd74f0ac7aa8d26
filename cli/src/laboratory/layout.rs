//! The places of a laboratory: the static ports of the spec, the pods that it names, and others to talk to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::network::{Bridge, BridgeIndex, Port, RouteTarget, Tenant};
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::ovn::names;
use midoform_compiler::spec::Egress;
use midoform_compiler::topology::key::{Key, Namespace};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::MacAddress;
use midoform_lab::{Place, PodRow, World, host_name};
use uuid::Uuid;

use crate::error::CommandError;

/// The number of places up to which bridges get pods that nobody asked for.
const ENOUGH: usize = 64;
/// The number of places that a bridge has, if nobody says otherwise.
const USUAL: usize = 2;

/// What decides about the places.
pub(crate) struct Wishes<'a> {
    /// The site's name.
    pub(crate) site: &'a str,
    /// The number of hosts.
    pub(crate) hosts: u8,
    /// The laboratory's host of each host of the site.
    pub(crate) host_of: &'a [(Uuid, u8)],
    /// The pods that the command line names.
    pub(crate) pods: &'a [String],
    /// The number of places that each bridge has at least; none: as many as are usual, if the laboratory gets not too large.
    pub(crate) per_bridge: Option<usize>,
    /// The places that are there: pods stay.
    pub(crate) before: &'a [Place],
}

/// The places of a laboratory.
pub(crate) struct Layout {
    pub(crate) places: Vec<Place>,
    /// The rows of the pods among them.
    pub(crate) pods: Vec<PodRow>,
    /// The number of bridges that have fewer places than is usual.
    pub(crate) bridges_left_out: usize,
}

/// The pods of one bridge.
struct BridgePods<'a> {
    tenant: &'a Tenant,
    index: BridgeIndex,
    bridge: &'a Bridge,
    /// The addresses that static ports have.
    ports: BTreeSet<Ipv4Addr>,
    /// The addresses of pods.
    pods: BTreeSet<Ipv4Addr>,
    /// The number of pods that are wanted at any address.
    asked: usize,
    /// The pods that the spec or the command line names by their addresses.
    named: usize,
}

impl BridgePods<'_> {
    fn count(&self) -> usize {
        self.ports.len() + self.pods.len()
    }

    fn is_usable(&self, address: Ipv4Addr) -> bool {
        let network = self.bridge.cidr;
        network.contains(&address)
            && ![network.network(), network.broadcast(), self.bridge.gateway].contains(&address)
            && !self.ports.contains(&address)
    }

    /// Adds a pod at the next free address. Returns false if none is free.
    fn add_any(&mut self) -> bool {
        let is_free = |address: &Ipv4Addr| self.is_usable(*address) && !self.pods.contains(address);
        let free = self.bridge.cidr.hosts().find(is_free);
        free.is_some_and(|address| self.pods.insert(address))
    }

    /// Keeps the pods that are there already.
    fn keep(&mut self, places: &[Place]) {
        let is_here = |place: &&Place| {
            place.port.is_none() && self.tenant.name == *place.tenant && *self.bridge.name == *place.bridge
        };
        let addresses = places.iter().filter(is_here).map(|place| place.address);
        let kept: Vec<Ipv4Addr> = addresses.filter(|address| self.is_usable(*address)).collect();
        self.pods.extend(kept);
    }
}

/// Returns the places of tenants.
pub(crate) fn of(tenants: &[Tenant], wishes: &Wishes<'_>) -> Result<Layout, CommandError> {
    let mut bridges: Vec<BridgePods<'_>> = tenants.iter().flat_map(bridges_of).collect();
    for wish in wishes.pods {
        ask(&mut bridges, wish)?;
    }
    for bridge in &mut bridges {
        bridge.keep(wishes.before);
        while bridge.pods.len() < bridge.named + bridge.asked && bridge.add_any() {}
    }
    let wanted = wishes.per_bridge.unwrap_or(USUAL);
    let mut count: usize = bridges.iter().map(BridgePods::count).sum();
    let mut bridges_left_out = 0;
    for round in 1..=wanted {
        for bridge in &mut bridges {
            if bridge.count() >= round {
                continue;
            }
            if wishes.per_bridge.is_none() && count >= ENOUGH {
                bridges_left_out += 1;
            } else if bridge.add_any() {
                count += 1;
            }
        }
    }
    Ok(placed(&bridges, wishes, bridges_left_out))
}

/// Returns the bridges of a tenant, with the pods that its spec names.
fn bridges_of(tenant: &Tenant) -> Vec<BridgePods<'_>> {
    let targets = tenant.exposes.iter().map(|expose| (expose.bridge, expose.address));
    let hops = tenant.routes.iter().filter_map(|route| match route.target {
        RouteTarget::Via(bridge, address) => Some((bridge, address)),
        RouteTarget::Bridge(_) | RouteTarget::Blackhole | RouteTarget::Reject => None,
    });
    let named: BTreeSet<(BridgeIndex, Ipv4Addr)> = targets.chain(hops).collect();
    let bridge = |(index, bridge)| {
        let ports =
            tenant.ports.iter().filter(|port| port.bridge == index).map(|port| port.address).collect();
        let mut pods = BridgePods { tenant, index, bridge, ports, pods: BTreeSet::new(), asked: 0, named: 0 };
        let here = named.iter().filter(|(at, _)| *at == index).map(|(_, address)| *address);
        pods.pods = here.filter(|address| pods.is_usable(*address)).collect();
        pods.named = pods.pods.len();
        pods
    };
    tenant.indexed_bridges().map(bridge).collect()
}

/// Adds what the command line asks for: `TENANT/BRIDGE`, or `TENANT/BRIDGE/ADDRESS`.
fn ask(bridges: &mut [BridgePods<'_>], wish: &str) -> Result<(), CommandError> {
    let wrong = |why: &str| {
        Err(CommandError::Usage(format!("--pod {wish}: {why}; write TENANT/BRIDGE or TENANT/BRIDGE/ADDRESS")))
    };
    let parts: Vec<&str> = wish.split('/').collect();
    let (tenant, name, address) = match parts[..] {
        [tenant, bridge] => (tenant, bridge, None),
        [tenant, bridge, address] => match address.parse::<Ipv4Addr>() {
            Ok(address) => (tenant, bridge, Some(address)),
            Err(_) => return wrong("this is no IPv4 address"),
        },
        _ => return wrong("this names no bridge"),
    };
    let found = bridges.iter_mut().find(|of| of.tenant.name == *tenant && *of.bridge.name == *name);
    let Some(bridge) = found else { return wrong("there is no such bridge in the spec") };
    match address {
        None => bridge.asked += 1,
        Some(address) if !bridge.is_usable(address) => {
            return wrong(&format!(
                "no pod can have this address: the bridge has {}, its gateway {}, and a static port may have it",
                bridge.bridge.cidr, bridge.bridge.gateway
            ));
        }
        Some(address) => bridge.named += usize::from(bridge.pods.insert(address)),
    }
    Ok(())
}

fn placed(bridges: &[BridgePods<'_>], wishes: &Wishes<'_>, bridges_left_out: usize) -> Layout {
    let mut next = wishes.before.iter().map(|place| place.number).max().unwrap_or(0) + 1;
    let mut layout = Layout { places: Vec::new(), pods: Vec::new(), bridges_left_out };
    let mut pods_so_far = 0;
    let host_of: BTreeMap<Uuid, u8> = wishes.host_of.iter().copied().collect();
    for of in bridges {
        let ports = of.tenant.ports.iter().filter(|port| port.bridge == of.index);
        let ports = ports
            .map(|port| (port_place(of, port, wishes.site), host_of.get(&port.host).copied().unwrap_or(1)));
        let pods = of.pods.iter().map(|address| {
            pods_so_far += 1;
            let number = u8::try_from((pods_so_far - 1) % usize::from(wishes.hosts)).unwrap_or(0) + 1;
            (pod_place(of, *address), number)
        });
        for (place, host) in ports.chain(pods).collect::<Vec<_>>() {
            let mut place = Place { host, ..place };
            let known = wishes.before.iter().find(|before| {
                let other = Place { logical_port: before.logical_port.clone(), ..place.clone() };
                before.is_same_as(&if place.port.is_none() { other } else { place.clone() })
            });
            match known {
                // A pod stays on its host.
                Some(known) if place.port.is_none() || known.host == host => {
                    (place.number, place.host) = (known.number, known.host);
                }
                _ => {
                    place.number = next;
                    next += 1;
                }
            }
            if place.port.is_none() {
                layout.pods.push(pod_row(of, &mut place, wishes.site));
            }
            layout.places.push(place);
        }
    }
    layout
}

fn place(of: &BridgePods<'_>, address: Ipv4Addr, mac: MacAddress) -> Place {
    Place {
        number: 0,
        tenant: of.tenant.name.to_string(),
        bridge: of.bridge.name.to_string(),
        port: None,
        address,
        prefix: of.bridge.cidr.prefix_len(),
        gateway: of.bridge.gateway,
        mac: mac.to_string(),
        mtu: of.tenant.mtu,
        host: 1,
        logical_port: String::new(),
        logical_switch: String::new(),
    }
}

fn switch_key(of: &BridgePods<'_>) -> Key {
    Key::tenant(&of.tenant.name).bridge(&of.bridge.name).device()
}

fn port_place(of: &BridgePods<'_>, port: &Port, site: &str) -> Place {
    let key = Key::tenant(&of.tenant.name).port(&port.name).device();
    Place {
        port: Some(port.name.to_string()),
        logical_port: names::name(site, &key),
        logical_switch: names::name(site, &switch_key(of)),
        ..place(of, port.address, port.mac)
    }
}

fn pod_place(of: &BridgePods<'_>, address: Ipv4Addr) -> Place {
    let [a, b, c, d] = address.octets();
    place(of, address, MacAddress([0x0a, 0x58, a, b, c, d]))
}

/// Returns the row of a pod's port, and completes the place.
fn pod_row(of: &BridgePods<'_>, place: &mut Place, site: &str) -> PodRow {
    let [a, b, c, d] = place.address.octets();
    let host = host_name(place.host);
    let container = format!("lab-{}-{}", of.bridge.name, place.address);
    let pod = Pod {
        site,
        tenant: &of.tenant.name,
        switch: Reference::Key(switch_key(of)),
        container: &container,
        interface: "eth0",
        tag: None,
        host: Uuid::from_u128(place.host.into()),
        chassis: Some(&host),
        mac: MacAddress([0x0a, 0x58, a, b, c, d]),
        address: place.address,
        security: PortSecurity::of(of.tenant, of.index, place.address),
    };
    place.logical_port = pod.port_name();
    place.logical_switch = names::name(site, &switch_key(of));
    let rows = pod::lower(&pod);
    let columns =
        rows.entries().iter().filter_map(|entry| entry.object.row()).flat_map(|row| {
            row.columns.iter().map(|(name, value)| ((*name).to_owned(), value.json(|_| None)))
        });
    PodRow {
        name: place.logical_port.clone(),
        switch: place.logical_switch.clone(),
        uuid: Namespace::of_site(site).id(&pod.keys().port()).to_string(),
        columns: columns.collect(),
    }
}

/// Returns the tenants' public networks that are in the network outside: the world reaches them through the provider router only.
pub(crate) fn world_routes(tenants: &[Tenant], world: &World) -> Vec<Ipv4Net> {
    let Ok(outside) = Ipv4Net::new(world.provider, world.prefix) else { return Vec::new() };
    let public = tenants.iter().flat_map(|tenant| {
        let exposed = tenant.exposes.iter().map(|expose| expose.public);
        let translated = match tenant.egress {
            Egress::SnatTo(first, last) => ipnet::Ipv4AddrRange::new(first, last),
            Egress::SnatToLink | Egress::None => {
                ipnet::Ipv4AddrRange::new(tenant.link.near, tenant.link.near)
            }
        };
        let networks = tenant.bridges.iter().map(|bridge| bridge.cidr);
        exposed.chain(translated).map(Ipv4Net::from).chain(networks).collect::<Vec<_>>()
    });
    let inside: BTreeSet<Ipv4Net> = public.filter(|network| outside.contains(network)).collect();
    inside.into_iter().collect()
}
