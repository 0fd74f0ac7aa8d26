//! Ports that no row has: those of pods that are not there yet, and the world behind a router that has no other way out.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::network::{
    Network, RouterIndex, RouterPort, RouterPortIndex, StaticRoute, Switch, SwitchIndex, SwitchPort,
    SwitchPortIndex, SwitchPortKind,
};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::MacAddress;

/// The key of what is attached for the world.
const WORLD: &str = "world";
/// The world's end of the link to a router, and the router's (TEST-NET-1).
pub(crate) const WORLD_FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const WORLD_NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const WORLD_NETWORK: Ipv4Net = Ipv4Net::new_assert(WORLD_NEAR, 30);
const WORLD_MAC: MacAddress = MacAddress([0x02, 0x97, 0, 0, 0, 1]);

impl Network {
    /// Adds a port to a switch.
    pub fn attach(&mut self, port: SwitchPort) -> SwitchPortIndex {
        let at = SwitchPortIndex(self.switch_ports.len());
        if let Some(switch) = self.switches.get_mut(port.switch.0) {
            switch.ports.push(at);
        }
        self.switch_ports_by_name.insert(port.name.clone(), at);
        if let Some(key) = &port.key {
            self.switch_ports_by_key.insert(key.clone(), at);
        }
        self.switch_ports.push(port);
        at
    }

    /// Returns the port to a physical network on a switch that a router has a port on; none if it has none.
    pub(crate) fn localnet_of(&self, router: RouterIndex) -> Option<(SwitchPortIndex, RouterPortIndex)> {
        self.router(router)?.ports.iter().find_map(|near| {
            let switch = self.switch_port(self.router_port(*near)?.switch_port?)?.switch;
            let is_localnet = |at: &&SwitchPortIndex| {
                self.switch_port(**at)
                    .is_some_and(|port| matches!(port.kind, SwitchPortKind::Localnet { .. }))
            };
            let port = self.switch(switch)?.ports.iter().find(is_localnet)?;
            Some((*port, *near))
        })
    }

    /// Adds a switch with a physical network to a router, and a default route there if the router has none.
    pub(crate) fn attach_world(&mut self, router: RouterIndex) -> (SwitchPortIndex, RouterPortIndex) {
        let switch = SwitchIndex(self.switches.len());
        let row = Reference::Named(WORLD.to_owned());
        self.switches_by_row.insert(row.clone(), switch);
        let (ports, lists) = (Vec::new(), Vec::new());
        self.switches.push(Switch {
            row,
            ports,
            from_port: lists.clone(),
            to_port: lists,
            load_balancers: Vec::new(),
            passes_tags: false,
        });
        let named = |end: &str| format!("{WORLD}/{end}");
        let mut attach = |name: String, kind, addresses, has_unknown| {
            let security = Vec::new();
            self.attach(SwitchPort { key: None, name, switch, kind, addresses, has_unknown, security })
        };
        let kind = SwitchPortKind::Localnet { network: WORLD.to_owned(), tag: None };
        let outside = attach(named("localnet"), kind, Vec::new(), true);
        let kind = SwitchPortKind::Router(named("router-port"));
        let peer = attach(named("peer"), kind, vec![(WORLD_MAC, vec![WORLD_NEAR])], false);
        let near = RouterPortIndex(self.router_ports.len());
        self.router_ports_by_name.insert(named("router-port"), near);
        self.router_ports.push(RouterPort {
            key: Key::new(WORLD),
            name: named("router-port"),
            router,
            mac: WORLD_MAC,
            networks: vec![WORLD_NETWORK],
            peer: None,
            switch_port: Some(peer),
            gateway_chassis: Vec::new(),
            mtu: None,
        });
        if let Some(router) = self.routers.get_mut(router.0) {
            router.ports.push(near);
            if router.routes.iter().all(|route| route.destination.prefix_len() > 0) {
                router.routes.push(StaticRoute {
                    key: Key::new(WORLD),
                    destination: Ipv4Net::default(),
                    next_hop: Some(WORLD_FAR),
                    port: Some(near),
                });
            }
        }
        (outside, near)
    }
}
