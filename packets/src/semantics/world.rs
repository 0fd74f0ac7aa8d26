//! The stored objects, built by replaying API calls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use midoform_compiler::topology::kinds::{FlowAction, FragmentPolicy};
use midoform_compiler::values::{MacAddress, PortRange};

/// The virtual network: all objects that decide about packets.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(crate) devices: BTreeMap<Uuid, Device>,
    pub(crate) ports: BTreeMap<Uuid, Port>,
    pub(crate) chains: BTreeMap<Uuid, Vec<Rule>>,
    pub(crate) port_groups: BTreeMap<Uuid, BTreeSet<Uuid>>,
    pub(crate) address_groups: BTreeMap<Uuid, BTreeSet<Ipv4Addr>>,
}

/// An API call that can't be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct WorldError {
    /// The call's path.
    pub path: String,
    /// The cause.
    pub cause: String,
}

/// A router or a bridge.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) is_router: bool,
    pub(crate) up: bool,
    pub(crate) inbound: Option<Uuid>,
    pub(crate) outbound: Option<Uuid>,
    pub(crate) ports: Vec<Uuid>,
    pub(crate) routes: Vec<Route>,
}

/// A port of a router or a bridge.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) id: Uuid,
    pub(crate) device: Uuid,
    pub(crate) up: bool,
    pub(crate) mac: MacAddress,
    pub(crate) address: Option<Ipv4Addr>,
    /// The network that a router's port is on.
    pub(crate) network: Option<Ipv4Net>,
    pub(crate) inbound: Option<Uuid>,
    pub(crate) outbound: Option<Uuid>,
    pub(crate) peer: Option<Uuid>,
}

/// A route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Nil for the route to a port's own address.
    pub(crate) id: Uuid,
    pub(crate) kind: RouteKind,
    pub(crate) source: Ipv4Net,
    pub(crate) destination: Ipv4Net,
    pub(crate) weight: u32,
    pub(crate) port: Option<Uuid>,
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteKind {
    Normal,
    /// To the router itself.
    Local,
    BlackHole,
    Reject,
}

/// The action of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleKind {
    Accept,
    Drop,
    Reject,
    Return,
    Jump,
    Snat,
    Dnat,
    RevSnat,
    RevDnat,
    /// `trace`, `l2_transform`: they make no difference to an IPv4 packet without VLAN.
    #[default]
    #[serde(other)]
    Other,
}

/// A rule, as the API has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) id: Uuid,
    #[serde(rename = "type")]
    pub(crate) kind: RuleKind,
    pub(crate) position: usize,
    pub(crate) flow_action: Option<FlowAction>,
    pub(crate) jump_chain_id: Option<Uuid>,
    pub(crate) nat_targets: Option<Vec<Target>>,
    pub(crate) cond_invert: bool,
    pub(crate) match_forward_flow: bool,
    pub(crate) match_return_flow: bool,
    pub(crate) in_ports: Vec<Uuid>,
    pub(crate) inv_in_ports: bool,
    pub(crate) out_ports: Vec<Uuid>,
    pub(crate) inv_out_ports: bool,
    pub(crate) port_group: Option<Uuid>,
    pub(crate) inv_port_group: bool,
    pub(crate) in_port_group: Option<Uuid>,
    pub(crate) inv_in_port_group: bool,
    pub(crate) out_port_group: Option<Uuid>,
    pub(crate) inv_out_port_group: bool,
    pub(crate) ip_addr_group_src: Option<Uuid>,
    pub(crate) inv_ip_addr_group_src: bool,
    pub(crate) ip_addr_group_dst: Option<Uuid>,
    pub(crate) inv_ip_addr_group_dst: bool,
    pub(crate) traversed_device: Option<Uuid>,
    pub(crate) inv_traversed_device: bool,
    pub(crate) vlan: Option<u16>,
    pub(crate) dl_type: Option<u32>,
    pub(crate) inv_dl_type: bool,
    pub(crate) dl_src: Option<MacAddress>,
    pub(crate) dl_src_mask: Option<MacMask>,
    pub(crate) inv_dl_src: bool,
    pub(crate) dl_dst: Option<MacAddress>,
    pub(crate) dl_dst_mask: Option<MacMask>,
    pub(crate) inv_dl_dst: bool,
    pub(crate) nw_tos: Option<u8>,
    pub(crate) inv_nw_tos: bool,
    pub(crate) no_vlan: bool,
    pub(crate) nw_proto: Option<u8>,
    pub(crate) inv_nw_proto: bool,
    pub(crate) nw_src_address: Option<Ipv4Addr>,
    pub(crate) nw_src_length: u8,
    pub(crate) inv_nw_src: bool,
    pub(crate) nw_dst_address: Option<Ipv4Addr>,
    pub(crate) nw_dst_length: u8,
    pub(crate) inv_nw_dst: bool,
    pub(crate) match_nw_dst_rewritten: bool,
    pub(crate) tp_src: Option<PortRange>,
    pub(crate) inv_tp_src: bool,
    pub(crate) tp_dst: Option<PortRange>,
    pub(crate) inv_tp_dst: bool,
    pub(crate) icmp_data_src_ip_address: Option<Ipv4Addr>,
    pub(crate) inv_icmp_data_src_ip: bool,
    pub(crate) icmp_data_dst_ip_address: Option<Ipv4Addr>,
    pub(crate) inv_icmp_data_dst_ip: bool,
    pub(crate) fragment_policy: Option<FragmentPolicy>,
}

impl Rule {
    /// Returns the fragment policy: the server's default if the rule has none (04-chain-rule,
    /// 09-nat-rules).
    pub(crate) fn fragments(&self) -> FragmentPolicy {
        let default = match self.kind {
            RuleKind::Snat | RuleKind::Dnat => FragmentPolicy::Unfragmented,
            _ if self.tp_src.is_some() || self.tp_dst.is_some() => FragmentPolicy::Header,
            _ => FragmentPolicy::Any,
        };
        self.fragment_policy.unwrap_or(default)
    }
}

/// The bits of a MAC address that are compared: `ffff.ffff.0000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MacMask(pub(crate) [u8; 6]);

impl TryFrom<String> for MacMask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("`{text}` is no mask of a MAC address");
        let mut octets = [0; 6];
        let mut words = text.split('.');
        for pair in octets.chunks_exact_mut(2) {
            let word = words.next().filter(|word| word.len() == 4).ok_or_else(wrong)?;
            let bits = u16::from_str_radix(word, 16).map_err(|_| wrong())?;
            pair.copy_from_slice(&bits.to_be_bytes());
        }
        if words.next().is_some() { Err(wrong()) } else { Ok(MacMask(octets)) }
    }
}

/// The addresses and ports of a NAT target.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) address_from: Ipv4Addr,
    pub(crate) address_to: Ipv4Addr,
    pub(crate) port_from: u16,
    pub(crate) port_to: u16,
}

/// The fields of the other objects.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(default)]
    id: Uuid,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default = "yes")]
    admin_state_up: bool,
    inbound_filter_id: Option<Uuid>,
    outbound_filter_id: Option<Uuid>,
    port_address: Option<Ipv4Addr>,
    network_address: Option<Ipv4Addr>,
    #[serde(default)]
    network_length: u8,
    port_mac: Option<String>,
    peer_id: Option<Uuid>,
    port_id: Option<Uuid>,
    addr: Option<Ipv4Addr>,
    src_network_addr: Option<Ipv4Addr>,
    #[serde(default)]
    src_network_length: u8,
    dst_network_addr: Option<Ipv4Addr>,
    #[serde(default)]
    dst_network_length: u8,
    #[serde(default)]
    weight: u32,
    next_hop_port: Option<Uuid>,
    next_hop_gateway: Option<Ipv4Addr>,
}

fn yes() -> bool {
    true
}

/// Returns a MAC address for a port whose body has none.
fn made_up_mac(id: Uuid) -> MacAddress {
    let [a, b, c, d, ..] = *id.as_bytes();
    MacAddress([0x02, 0xfe, a, b, c, d])
}

impl World {
    /// Replays a POST. Calls that make no difference to packets (hosts, tunnel zones) are accepted and ignored.
    ///
    /// # Errors
    /// Returns an error if the API has no such path or body.
    pub fn call(&mut self, path: &str, body: &Value) -> Result<(), WorldError> {
        let failed = |cause: String| WorldError { path: path.to_owned(), cause };
        let parts: Vec<&str> =
            path.split('/').filter(|part| !part.is_empty() && *part != "midonet-api").collect();
        let id_of = |text: &str| Uuid::try_parse(text).map_err(|error| failed(error.to_string()));
        let fields: Fields =
            serde_json::from_value(body.clone()).map_err(|error| failed(error.to_string()))?;
        match parts.as_slice() {
            ["routers"] => self.add_device(&fields, true),
            ["bridges"] => self.add_device(&fields, false),
            ["chains"] => drop(self.chains.insert(fields.id, Vec::new())),
            ["port_groups"] => drop(self.port_groups.insert(fields.id, BTreeSet::new())),
            ["ip_addr_groups"] => drop(self.address_groups.insert(fields.id, BTreeSet::new())),
            ["routers" | "bridges", device, "ports"] => self.add_port(id_of(device)?, &fields),
            ["ports", port, "link"] => {
                let (port, peer) = (id_of(port)?, fields.peer_id);
                self.link(port, peer.ok_or_else(|| failed("a link without peerId".to_owned()))?);
            }
            ["routers", router, "routes"] => self.add_route(id_of(router)?, &fields),
            ["chains", chain, "rules"] => {
                let rule: Rule =
                    serde_json::from_value(body.clone()).map_err(|error| failed(error.to_string()))?;
                let rules = self.chains.entry(id_of(chain)?).or_default();
                let place = rule.position.saturating_sub(1).min(rules.len());
                rules.insert(place, rule);
            }
            ["port_groups", group, "ports"] => {
                self.port_groups.entry(id_of(group)?).or_default().extend(fields.port_id);
            }
            ["ip_addr_groups", group, "ip_addrs"] => {
                self.address_groups.entry(id_of(group)?).or_default().extend(fields.addr);
            }
            ["hosts" | "tunnel_zones", ..] => {}
            _ => return Err(failed("no such collection".to_owned())),
        }
        Ok(())
    }

    /// Replays a PUT of the fields in `body`.
    ///
    /// # Errors
    /// Returns an error if the path names no existing object.
    pub fn put(&mut self, path: &str, body: &Value) -> Result<(), WorldError> {
        let failed = |cause: &str| WorldError { path: path.to_owned(), cause: cause.to_owned() };
        let id =
            path.rsplit('/').next().and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| failed("no id"))?;
        let up = body.get("adminStateUp").and_then(Value::as_bool);
        if let (Some(up), Some(device)) = (up, self.devices.get_mut(&id)) {
            device.up = up;
            return Ok(());
        }
        match (up, self.ports.get_mut(&id)) {
            (Some(up), Some(port)) => {
                port.up = up;
                Ok(())
            }
            _ => Err(failed("nothing to change")),
        }
    }

    fn add_device(&mut self, fields: &Fields, is_router: bool) {
        let device = Device {
            is_router,
            up: fields.admin_state_up,
            inbound: fields.inbound_filter_id,
            outbound: fields.outbound_filter_id,
            ports: Vec::new(),
            routes: Vec::new(),
        };
        self.devices.insert(fields.id, device);
    }

    fn add_port(&mut self, device: Uuid, fields: &Fields) {
        let mac = fields.port_mac.as_deref().and_then(|mac| mac.parse().ok());
        self.insert_port(Port {
            id: fields.id,
            device,
            up: fields.admin_state_up,
            mac: mac.unwrap_or_else(|| made_up_mac(fields.id)),
            address: fields.port_address,
            network: fields.network_address.map(|address| network(Some(address), fields.network_length)),
            inbound: fields.inbound_filter_id,
            outbound: fields.outbound_filter_id,
            peer: None,
        });
    }

    /// Adds a port. A router's port adds a route to its own address.
    pub(crate) fn insert_port(&mut self, port: Port) {
        if let Some(device) = self.devices.get_mut(&port.device) {
            device.ports.push(port.id);
            if let (Some(address), true) = (port.address, device.is_router) {
                device.routes.push(Route {
                    id: Uuid::nil(),
                    kind: RouteKind::Local,
                    source: Ipv4Net::default(),
                    destination: address.into(),
                    weight: 0,
                    port: Some(port.id),
                    gateway: None,
                });
            }
        }
        self.ports.insert(port.id, port);
    }

    pub(crate) fn link(&mut self, port: Uuid, peer: Uuid) {
        for (one, other) in [(port, peer), (peer, port)] {
            if let Some(port) = self.ports.get_mut(&one) {
                port.peer = Some(other);
            }
        }
    }

    fn add_route(&mut self, router: Uuid, fields: &Fields) {
        let route = Route {
            id: fields.id,
            kind: match fields.kind.as_str() {
                "BlackHole" => RouteKind::BlackHole,
                "Reject" => RouteKind::Reject,
                "Local" => RouteKind::Local,
                _ => RouteKind::Normal,
            },
            source: network(fields.src_network_addr, fields.src_network_length),
            destination: network(fields.dst_network_addr, fields.dst_network_length),
            weight: fields.weight,
            port: fields.next_hop_port,
            gateway: fields.next_hop_gateway,
        };
        if let Some(device) = self.devices.get_mut(&router) {
            device.routes.push(route);
        }
    }

    /// Returns the MAC address of a port.
    pub fn port_mac(&self, port: Uuid) -> Option<MacAddress> {
        self.ports.get(&port).map(|port| port.mac)
    }

    /// Returns the router or bridge of a port.
    pub fn device_of(&self, port: Uuid) -> Option<Uuid> {
        self.ports.get(&port).map(|port| port.device)
    }

    /// Returns the matching route with the longest destination prefix, then the lowest weight, then the first. Routes
    /// through a port that is down are not in the table.
    pub(crate) fn best_route(&self, router: Uuid, source: Ipv4Addr, destination: Ipv4Addr) -> Option<&Route> {
        let fits = |route: &&Route| {
            route.destination.contains(&destination)
                && route.source.contains(&source)
                && self.is_usable(route)
        };
        let routes = self.devices.get(&router)?.routes.iter().filter(fits);
        routes.min_by_key(|route| (32 - route.destination.prefix_len(), route.weight))
    }

    /// Returns true if the route has no port or its port is up.
    pub(crate) fn is_usable(&self, route: &Route) -> bool {
        route.port.is_none_or(|port| self.ports.get(&port).is_none_or(|port| port.up))
    }

    /// Returns the device at the other end of a port's link.
    pub(crate) fn peer_device(&self, port: Uuid) -> Option<Uuid> {
        self.device_of(self.ports.get(&port)?.peer?)
    }

    /// Returns true if the device is a router.
    pub(crate) fn is_router(&self, device: Uuid) -> bool {
        self.devices.get(&device).is_some_and(|device| device.is_router)
    }
}

fn network(address: Option<Ipv4Addr>, length: u8) -> Ipv4Net {
    let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    Ipv4Net::new(address, length.min(32)).map(|network| network.trunc()).unwrap_or_default()
}
