//! A router: its own addresses, translations, load balancers, routes, policies, and the next hop's MAC address.

use std::net::Ipv4Addr;

use super::network::{LoadBalancer, Router, RouterPort, RouterPortIndex};
use super::simulate::{Device, End, Neighbour, Next, Walk, dropped};
use super::tracking::Zone;
use crate::semantics::{ARP_REQUEST, ECHO_REQUEST, Fragment, ICMP};
use midoform_compiler::ovn::expression::meaning::connection_state as state;
use midoform_compiler::values::{MacAddress, ethertype};

/// The way out of a router.
struct Way {
    port: RouterPortIndex,
    next_hop: Ipv4Addr,
}

impl Walk<'_> {
    /// Handles a packet at a router's port.
    pub(super) fn enter_router(&mut self, at: RouterPortIndex) -> Result<Next, End> {
        let network = self.network;
        let Some(port) = network.router_port(at) else { return dropped("no such port") };
        let Some(router) = network.router(port.router) else { return dropped("no such router") };
        self.begin(Device::Router(port.router), &port.name);
        if self.packet.vlan.is_some() {
            return dropped("a router forwards no frame with a VLAN tag");
        }
        if self.packet.destination_mac != port.mac && !self.packet.destination_mac.is_group() {
            return dropped("the destination MAC address is not the router's");
        }
        if self.packet.ethertype == ethertype::ARP {
            return Err(self
                .ask_router(at)
                .unwrap_or(End::Dropped { row: None, why: "ARP, but no request to the router" }));
        }
        if self.packet.ethertype != ethertype::IPV4 {
            return dropped("the router has IPv4 addresses only");
        }
        self.input(router, port)?;
        self.translate_in(router, port)?;
        let way = self.route(router)?;
        let Some(out) = network.router_port(way.port) else {
            return dropped("the route's port does not exist");
        };
        self.packet.ttl = self.packet.ttl.saturating_sub(1);
        self.policies(router, port, out)?;
        self.send(router, (at, port), (way, out))
    }

    /// Returns the end of an ARP packet that a router gets; none if the router is silent.
    pub(super) fn ask_router(&self, at: RouterPortIndex) -> Option<End> {
        let port = self.network.router_port(at)?;
        let router = self.network.router(port.router)?;
        let packet = &self.packet;
        let own = port
            .networks
            .iter()
            .any(|network| network.addr() == packet.destination && network.contains(&packet.source));
        let translated = router.translations.iter().any(|one| one.external == packet.destination);
        (packet.protocol == ARP_REQUEST && (own || translated))
            .then_some(End::Answered("the router answers the ARP request"))
    }

    fn ports<'r>(&'r self, router: &'r Router) -> impl Iterator<Item = &'r RouterPort> {
        router.ports.iter().filter_map(|at| self.network.router_port(*at))
    }

    /// Handles what a router does not forward.
    fn input(&mut self, router: &Router, port: &RouterPort) -> Result<(), End> {
        let packet = self.packet;
        let is_external = |address: Ipv4Addr| router.translations.iter().any(|one| one.external == address);
        let from_own = !port.gateway_chassis.is_empty() && is_external(packet.source);
        let is_own = |address: Ipv4Addr| self.ports(router).any(|port| port.has_address(address));
        let is_broadcast = |address: Ipv4Addr| {
            self.ports(router)
                .flat_map(|port| &port.networks)
                .any(|network| network.prefix_len() < 31 && network.broadcast() == address)
        };
        if !from_own && (is_own(packet.source) || is_broadcast(packet.source)) {
            return dropped("the source is an address of the router");
        }
        let is_martian = |address: Ipv4Addr| address.is_loopback() || address.octets()[0] == 0;
        if is_martian(packet.source)
            || is_martian(packet.destination)
            || packet.source.is_multicast()
            || packet.source.is_broadcast()
        {
            return dropped("an address that no packet may have");
        }
        if is_own(packet.destination)
            && packet.protocol == ICMP
            && (packet.source_port, packet.destination_port) == (ECHO_REQUEST, 0)
            && packet.fragment != Fragment::Later
        {
            self.turn_echo();
            return Ok(());
        }
        if packet.destination.is_multicast() {
            return dropped("multicast");
        }
        if is_own(packet.destination) && !is_external(packet.destination) {
            return dropped("addressed to the router itself");
        }
        if packet.destination_mac.is_group() {
            return dropped("broadcast");
        }
        match packet.ttl <= 1 {
            true if packet.fragment == Fragment::Later => dropped("the TTL is 0"),
            true => Err(End::Answered("the router tells the sender that the TTL is 0")),
            false => Ok(()),
        }
    }

    /// Translates what comes in: replies of source translations, and what is for exposed ports.
    fn translate_in(&mut self, router: &Router, port: &RouterPort) -> Result<(), End> {
        let zone = Zone::Router(port.router);
        let is_external = router.translations.iter().any(|one| one.external == self.packet.destination);
        if is_external && !port.gateway_chassis.is_empty() {
            self.look_up(zone, true)?;
        }
        let public = |balancer: &&LoadBalancer| balancer.public.0 == self.packet.destination;
        if router.load_balancers.iter().any(|balancer| public(&balancer)) {
            self.look_up(zone, true)?;
        }
        if !self.tracked.has(state::NEW) {
            return Ok(());
        }
        let packet = self.packet;
        let balancer = router.load_balancers.iter().find(|balancer| {
            balancer.protocol == packet.protocol
                && balancer.public == (packet.destination, packet.destination_port)
        });
        if let Some(balancer) = balancer {
            let Some(target) = balancer.targets.first() else {
                return dropped("the exposed port has no target");
            };
            self.pass_tracking()?;
            let row = Some(&balancer.key);
            self.state.open(zone, (&mut self.packet, self.sent), (None, Some(*target)), row);
            self.translated_by(&balancer.key);
        }
        Ok(())
    }

    /// Returns the route of a packet: that with the longest prefix. A port's own network wins against a static route with the same one.
    fn route(&mut self, router: &Router) -> Result<Way, End> {
        let destination = self.packet.destination;
        let connected = router
            .ports
            .iter()
            .filter_map(|at| Some((*at, self.network.router_port(*at)?)))
            .flat_map(|(at, port)| port.networks.iter().map(move |network| (at, network)))
            .filter(|(_, network)| network.contains(&destination))
            .max_by_key(|(_, network)| network.prefix_len());
        let longest = router
            .routes
            .iter()
            .filter(|route| route.destination.contains(&destination))
            .map(|route| route.destination.prefix_len())
            .max();
        if let Some((port, network)) = connected
            && longest.is_none_or(|length| network.prefix_len() >= length)
        {
            return Ok(Way { port, next_hop: destination });
        }
        // Of several with one prefix, OVN takes one by a hash.
        let route = router.routes.iter().find(|route| {
            route.destination.contains(&destination) && Some(route.destination.prefix_len()) == longest
        });
        let Some(route) = route else { return dropped("no route") };
        self.hop(|hop| hop.route = Some(route.key.clone()));
        let Some(next_hop) = route.next_hop else {
            return Err(End::Dropped { row: Some(route.key.clone()), why: "a route that discards" });
        };
        match self.network.port_of_route(router, route) {
            Some(port) => Ok(Way { port, next_hop }),
            None => dropped("the next hop is on no network of the router"),
        }
    }

    /// Evaluates the policies: the first that matches decides.
    fn policies(&mut self, router: &Router, input: &RouterPort, output: &RouterPort) -> Result<(), End> {
        for policy in &router.policies {
            let matched = self.meets(&policy.condition, &input.name, Some(&output.name));
            self.evaluated(&policy.key, matched);
            match matched {
                true if policy.drops => {
                    return Err(End::Dropped { row: Some(policy.key.clone()), why: "a policy" });
                }
                true => return Ok(()),
                false => {}
            }
        }
        Ok(())
    }

    /// Finds the next hop's MAC address, translates, and hands the packet over.
    fn send(
        &mut self,
        router: &Router,
        (at, input): (RouterPortIndex, &RouterPort),
        (way, out): (Way, &RouterPort),
    ) -> Result<Next, End> {
        let destination = self.packet.destination;
        let is_external = router.translations.iter().any(|one| one.external == destination);
        if is_external && at == way.port {
            return dropped("no connection has this translated address");
        }
        if out.gateway_chassis.is_empty() && is_external && input.gateway_chassis.is_empty() {
            // Only the gateway port translates.
            return dropped("addressed to a translated address");
        }
        let mac = if is_external { Some(out.mac) } else { self.next_mac(out, way.next_hop) };
        self.packet.source_mac = out.mac;
        if !out.gateway_chassis.is_empty() {
            self.translate_out(router, out, is_external)?;
            if is_external {
                // It comes back by the gateway port, where no connection has it.
                return dropped("no connection has this translated address");
            }
        }
        let Some(mac) = mac else { return Err(End::WaitsForArp(way.next_hop)) };
        self.packet.destination_mac = mac;
        self.hop(|hop| hop.out_ports.push(out.name.clone()));
        match (out.peer, out.switch_port) {
            (Some(peer), _) => Ok(Next::Router(peer)),
            (None, Some(port)) => Ok(Next::Switch(port)),
            (None, None) => dropped("the router's port leads nowhere"),
        }
    }

    /// Translates what goes out by the gateway port: replies of exposed ports, and the sources of connections.
    fn translate_out(&mut self, router: &Router, out: &RouterPort, returns: bool) -> Result<(), End> {
        let zone = Zone::Router(out.router);
        let packet = self.packet;
        let replies = router.load_balancers.iter().any(|balancer| {
            balancer.protocol == packet.protocol
                && balancer.targets.contains(&(packet.source, packet.source_port))
        });
        if replies {
            self.look_up(zone, true)?;
        }
        let source = self.packet.source;
        let translation = router
            .translations
            .iter()
            .filter(|one| one.logical.contains(&source))
            .max_by_key(|one| one.logical.prefix_len());
        let Some(translation) = translation else { return Ok(()) };
        let zone = if returns { Zone::Returning(out.router) } else { zone };
        self.look_up(zone, true)?;
        if self.tracked.has(state::NEW) {
            let row = Some(&translation.key);
            self.state.open(zone, (&mut self.packet, self.sent), (Some(translation.external), None), row);
            self.translated_by(&translation.key);
        }
        Ok(())
    }

    /// Returns the MAC address of a next hop.
    fn next_mac(&self, out: &RouterPort, next_hop: Ipv4Addr) -> Option<MacAddress> {
        if let Some(peer) = out.peer.and_then(|peer| self.network.router_port(peer)) {
            return peer.has_address(next_hop).then_some(peer.mac);
        }
        let switch =
            out.switch_port.and_then(|port| self.network.switch_port(port)).map(|port| port.switch)?;
        let ports = self.network.switch(switch)?.ports.iter().filter_map(|at| self.network.switch_port(*at));
        let known = ports
            .flat_map(|port| &port.addresses)
            .find(|(_, addresses)| addresses.contains(&next_hop))
            .map(|(mac, _)| *mac);
        let is_asked = |one: &&Neighbour| (one.switch, one.address) == (switch, next_hop);
        known.or_else(|| self.neighbours.iter().find(is_asked).map(|one| one.mac))
    }
}
