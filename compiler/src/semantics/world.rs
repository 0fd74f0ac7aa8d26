//! The stored objects, built by playing API calls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::object::{MacAddress, PortRange};

/// Everything that decides about packets.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(super) devices: BTreeMap<Uuid, Device>,
    pub(super) ports: BTreeMap<Uuid, Port>,
    pub(super) chains: BTreeMap<Uuid, Vec<Rule>>,
    pub(super) port_groups: BTreeMap<Uuid, BTreeSet<Uuid>>,
    pub(super) address_groups: BTreeMap<Uuid, BTreeSet<Ipv4Addr>>,
}

/// A call that builds no world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct WorldError {
    /// The call's path.
    pub path: String,
    /// What is wrong.
    pub cause: String,
}

/// A router or a bridge.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) is_router: bool,
    pub(super) up: bool,
    pub(super) inbound: Option<Uuid>,
    pub(super) outbound: Option<Uuid>,
    pub(super) ports: Vec<Uuid>,
    pub(super) routes: Vec<Route>,
}

/// A port of a router or a bridge.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) id: Uuid,
    pub(super) device: Uuid,
    pub(super) up: bool,
    pub(super) mac: MacAddress,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) inbound: Option<Uuid>,
    pub(super) outbound: Option<Uuid>,
    pub(super) peer: Option<Uuid>,
}

/// A route.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) kind: RouteKind,
    pub(super) source: Ipv4Net,
    pub(super) destination: Ipv4Net,
    pub(super) weight: u32,
    pub(super) port: Option<Uuid>,
    pub(super) gateway: Option<Ipv4Addr>,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    Normal,
    /// To the router itself.
    Local,
    BlackHole,
    Reject,
}

/// A rule, as the API has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    pub(super) id: Uuid,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) position: usize,
    pub(super) flow_action: Option<String>,
    pub(super) jump_chain_id: Option<Uuid>,
    pub(super) nat_targets: Option<Vec<Target>>,
    pub(super) cond_invert: bool,
    pub(super) match_forward_flow: bool,
    pub(super) match_return_flow: bool,
    pub(super) in_ports: Vec<Uuid>,
    pub(super) inv_in_ports: bool,
    pub(super) out_ports: Vec<Uuid>,
    pub(super) inv_out_ports: bool,
    pub(super) port_group: Option<Uuid>,
    pub(super) inv_port_group: bool,
    pub(super) ip_addr_group_src: Option<Uuid>,
    pub(super) inv_ip_addr_group_src: bool,
    pub(super) ip_addr_group_dst: Option<Uuid>,
    pub(super) inv_ip_addr_group_dst: bool,
    pub(super) dl_type: Option<u32>,
    pub(super) inv_dl_type: bool,
    pub(super) dl_src: Option<String>,
    pub(super) inv_dl_src: bool,
    pub(super) dl_dst: Option<String>,
    pub(super) inv_dl_dst: bool,
    pub(super) nw_tos: Option<u8>,
    pub(super) inv_nw_tos: bool,
    pub(super) nw_proto: Option<u8>,
    pub(super) inv_nw_proto: bool,
    pub(super) nw_src_address: Option<Ipv4Addr>,
    pub(super) nw_src_length: u8,
    pub(super) inv_nw_src: bool,
    pub(super) nw_dst_address: Option<Ipv4Addr>,
    pub(super) nw_dst_length: u8,
    pub(super) inv_nw_dst: bool,
    pub(super) tp_src: Option<PortRange>,
    pub(super) inv_tp_src: bool,
    pub(super) tp_dst: Option<PortRange>,
    pub(super) inv_tp_dst: bool,
    pub(super) fragment_policy: Option<String>,
}

impl Default for Rule {
    fn default() -> Self {
        // An empty object has every field's default; the struct has no other way to say so.
        Rule {
            id: Uuid::nil(),
            kind: String::new(),
            position: 1,
            flow_action: None,
            jump_chain_id: None,
            nat_targets: None,
            cond_invert: false,
            match_forward_flow: false,
            match_return_flow: false,
            in_ports: Vec::new(),
            inv_in_ports: false,
            out_ports: Vec::new(),
            inv_out_ports: false,
            port_group: None,
            inv_port_group: false,
            ip_addr_group_src: None,
            inv_ip_addr_group_src: false,
            ip_addr_group_dst: None,
            inv_ip_addr_group_dst: false,
            dl_type: None,
            inv_dl_type: false,
            dl_src: None,
            inv_dl_src: false,
            dl_dst: None,
            inv_dl_dst: false,
            nw_tos: None,
            inv_nw_tos: false,
            nw_proto: None,
            inv_nw_proto: false,
            nw_src_address: None,
            nw_src_length: 0,
            inv_nw_src: false,
            nw_dst_address: None,
            nw_dst_length: 0,
            inv_nw_dst: false,
            tp_src: None,
            inv_tp_src: false,
            tp_dst: None,
            inv_tp_dst: false,
            fragment_policy: None,
        }
    }
}

/// What a translation chooses from.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    pub(super) address_from: Ipv4Addr,
    pub(super) port_from: u16,
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

/// A MAC address for a port that was given none.
fn made_up_mac(id: Uuid) -> MacAddress {
    let [a, b, c, d, ..] = *id.as_bytes();
    MacAddress([0x02, 0xfe, a, b, c, d])
}

impl World {
    /// Plays a POST. Calls that decide nothing about packets (hosts, tunnel zones) are taken and forgotten.
    ///
    /// # Errors
    /// When the path or the body is none that the API has.
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

    /// Plays a PUT of the fields in `body`.
    ///
    /// # Errors
    /// When the path names nothing that is there.
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

    /// A router port brings a route to its own address with it.
    fn add_port(&mut self, device: Uuid, fields: &Fields) {
        let mac = fields.port_mac.as_deref().and_then(|mac| mac.parse().ok());
        let port = Port {
            id: fields.id,
            device,
            up: fields.admin_state_up,
            mac: mac.unwrap_or_else(|| made_up_mac(fields.id)),
            address: fields.port_address,
            inbound: fields.inbound_filter_id,
            outbound: fields.outbound_filter_id,
            peer: None,
        };
        if let Some(device) = self.devices.get_mut(&device) {
            device.ports.push(fields.id);
            if let (Some(address), "Router") = (port.address, fields.kind.as_str()) {
                device.routes.push(Route {
                    kind: RouteKind::Local,
                    source: Ipv4Net::default(),
                    destination: address.into(),
                    weight: 0,
                    port: Some(fields.id),
                    gateway: None,
                });
            }
        }
        self.ports.insert(fields.id, port);
    }

    fn link(&mut self, port: Uuid, peer: Uuid) {
        for (one, other) in [(port, peer), (peer, port)] {
            if let Some(port) = self.ports.get_mut(&one) {
                port.peer = Some(other);
            }
        }
    }

    fn add_route(&mut self, router: Uuid, fields: &Fields) {
        let network = |address: Option<Ipv4Addr>, length: u8| {
            let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
            Ipv4Net::new(address, length.min(32)).map(|network| network.trunc()).unwrap_or_default()
        };
        let route = Route {
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

    /// The MAC address of a router's port, as a station behind its bridge knows it.
    pub fn port_mac(&self, port: Uuid) -> Option<MacAddress> {
        self.ports.get(&port).map(|port| port.mac)
    }
}
