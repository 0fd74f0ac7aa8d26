//! A switch: port security, ACLs with connection tracking, load balancers, ARP, and the forwarding by MAC addresses.

use std::net::Ipv4Addr;

use super::network::{
    Acl, AclAction, LoadBalancer, Security, Switch, SwitchPort, SwitchPortIndex, SwitchPortKind,
};
use super::simulate::{Device, End, Next, Walk, dropped};
use super::tracking::{Flow, Zone};
use crate::semantics::{ARP_REQUEST, Packet};
use midoform_compiler::ovn::expression::meaning::connection_state as state;
use midoform_compiler::values::ethertype;

impl Walk<'_> {
    /// Handles a packet at its input port.
    pub(super) fn enter_switch(&mut self, from: SwitchPortIndex) -> Result<Next, End> {
        let network = self.network;
        let Some(port) = network.switch_port(from) else { return dropped("no such port") };
        let Some(switch) = network.switch(port.switch) else { return dropped("no such switch") };
        self.begin(Device::Switch(port.switch), &port.name);
        let before = self.packet;
        if self.packet.source_mac.is_group() {
            return dropped("the source MAC address is a group address");
        }
        if self.packet.vlan.is_some() && !switch.passes_tags {
            return dropped("frames with a VLAN tag do not pass here");
        }
        if !may_send(&port.security, &self.packet) {
            return dropped("port security: the port may not send with these addresses");
        }
        self.track(switch, from, port, &switch.from_port, None)?;
        let commits = self.list(switch, &switch.from_port, false, (&port.name, None), Zone::Port(from))?;
        let is_reply = self.is_open_reply();
        let balanced = self.balance(switch, from)?;
        if let Some(out) = self.hairpin(switch, from, &before)? {
            return self.leave_switch(switch, port, out);
        }
        if !is_reply || !is_stateful(switch) {
            let more = self.list(switch, &switch.from_port, true, (&port.name, None), Zone::Port(from))?;
            if (commits || more) && !balanced {
                self.state.commit(Zone::Port(from), (&mut self.packet, self.sent), false);
            }
        }
        self.answer_arp(switch, from)?;
        self.forward(switch, from, port)
    }

    /// Sends a packet through the connection tracking of a port, if the switch tracks it.
    fn track(
        &mut self,
        switch: &Switch,
        at: SwitchPortIndex,
        port: &SwitchPort,
        list: &[Acl],
        output: Option<&str>,
    ) -> Result<(), End> {
        let has_balancer = !switch.load_balancers.is_empty();
        let stateful = switch.has_stateful_acl();
        let is_exempt = port.kind != SwitchPortKind::Interface;
        if !self.is_ip() || self.packet.destination_mac.is_group() || is_exempt || !(stateful || has_balancer)
        {
            return Ok(());
        }
        // An ACL without tracking exempts what it matches, whatever the ACLs with a higher priority say.
        let input = if output.is_some() { "" } else { port.name.as_str() };
        let mut untracked = list.iter().filter(|acl| acl.action == AclAction::AllowStateless);
        if untracked.any(|acl| self.meets(&acl.condition, input, output)) {
            return Ok(());
        }
        self.look_up(Zone::Port(at), has_balancer)
    }

    fn is_open_reply(&self) -> bool {
        self.tracked.has(state::ESTABLISHED | state::REPLY) && !self.tracked.is_blocked
    }

    /// Evaluates a list of ACLs. Returns true if the packet's connection is to be tracked from now on.
    fn list(
        &mut self,
        switch: &Switch,
        list: &[Acl],
        is_after_balancing: bool,
        (input, output): (&str, Option<&str>),
        zone: Zone,
    ) -> Result<bool, End> {
        let stateful = is_stateful(switch);
        if stateful {
            if self.tracked.has(state::INVALID)
                || self.tracked.has(state::ESTABLISHED | state::REPLY) && self.tracked.is_blocked
            {
                return dropped(
                    "connection tracking: the packet belongs to no connection, and can't open one",
                );
            }
            if self.is_open_reply() {
                return Ok(false);
            }
        }
        let is_established = self.tracked.has(state::ESTABLISHED) && !self.tracked.is_blocked;
        for acl in list.iter().filter(|acl| acl.is_after_balancing == is_after_balancing) {
            let matched = self.meets(&acl.condition, input, output);
            self.evaluated(&acl.key, matched);
            if !matched {
                continue;
            }
            let row = acl.key.clone();
            if matches!(acl.action, AclAction::Drop | AclAction::Reject) && stateful && is_established {
                self.state.commit(zone, (&mut self.packet, self.sent), true);
            }
            return match acl.action {
                AclAction::Drop => Err(End::Dropped { row: Some(row), why: "an ACL" }),
                AclAction::Reject => Err(End::Rejected(row)),
                AclAction::AllowRelated => Ok(stateful && self.tracked.is_tracked() && !is_established),
                AclAction::Allow | AclAction::AllowStateless => Ok(false),
            };
        }
        Ok(stateful && !is_after_balancing && self.is_ip() && !is_established)
    }

    /// Translates what opens a connection to an exposed port.
    fn balance(&mut self, switch: &Switch, from: SwitchPortIndex) -> Result<bool, End> {
        if !self.tracked.has(state::NEW) {
            return Ok(false);
        }
        let packet = self.packet;
        let balancer = switch.load_balancers.iter().find(|balancer| {
            packet.ethertype == ethertype::IPV4
                && balancer.protocol == packet.protocol
                && balancer.public == (packet.destination, packet.destination_port)
        });
        let Some(balancer) = balancer else { return Ok(false) };
        // With several targets, OVN takes one by a hash.
        let Some(target) = balancer.targets.first() else { return dropped("the exposed port has no target") };
        self.pass_tracking()?;
        let row = Some(&balancer.key);
        self.state.open(Zone::Port(from), (&mut self.packet, self.sent), (None, Some(*target)), row);
        self.translated_by(&balancer.key);
        Ok(true)
    }

    /// Sends a packet back to a pod that has connected to its own exposed port, and its replies. Returns the port.
    fn hairpin(
        &mut self,
        switch: &Switch,
        from: SwitchPortIndex,
        before: &Packet,
    ) -> Result<Option<SwitchPortIndex>, End> {
        if switch.load_balancers.is_empty() || !self.tracked.is_tracked() {
            return Ok(None);
        }
        let packet = self.packet;
        let targets = |balancer: &&LoadBalancer| {
            balancer.protocol == packet.protocol
                && balancer.public == (before.destination, before.destination_port)
                && balancer.targets.contains(&(packet.destination, packet.destination_port))
        };
        let is_own = packet.source == packet.destination;
        let reply = self.state.hairpins.get(&(from, Flow::of(&packet, self.sent.echo))).cloned();
        let row = if let Some((reply, row)) = reply {
            self.pass_tracking()?;
            reply.put_into(&mut self.packet);
            row
        } else if let Some(balancer) = switch.load_balancers.iter().find(targets).filter(|_| is_own) {
            self.pass_tracking()?;
            self.packet.source = balancer.public.0;
            let answer = Flow::of(&self.packet.reply(), self.sent.echo);
            let opened =
                Packet { destination: balancer.public.0, destination_port: balancer.public.1, ..*before };
            let reply = Flow::of(&opened.reply(), self.sent.echo);
            self.state.hairpins.insert((from, answer), (reply, balancer.key.clone()));
            balancer.key.clone()
        } else {
            return Ok(None);
        };
        self.translated_by(&row);
        (self.packet.source_mac, self.packet.destination_mac) = (packet.destination_mac, packet.source_mac);
        Ok(Some(from))
    }

    /// Answers an ARP request for an address behind another port.
    fn answer_arp(&self, switch: &Switch, from: SwitchPortIndex) -> Result<(), End> {
        let packet = &self.packet;
        let from_outside = self
            .network
            .switch_port(from)
            .is_some_and(|port| matches!(port.kind, SwitchPortKind::Localnet { .. }));
        if packet.ethertype != ethertype::ARP || packet.protocol != ARP_REQUEST || from_outside {
            return Ok(());
        }
        let knows = |at: &&SwitchPortIndex| {
            self.network.switch_port(**at).is_some_and(|port| {
                !port.has_unknown
                    && port.addresses.iter().any(|(_, addresses)| addresses.contains(&packet.destination))
            })
        };
        match switch.ports.iter().find(knows) {
            Some(at) if *at != from => Err(End::Answered("the switch answers the ARP request")),
            _ => Ok(()),
        }
    }

    /// Sends the packet to the port of its destination MAC address.
    fn forward(&mut self, switch: &Switch, from: SwitchPortIndex, port: &SwitchPort) -> Result<Next, End> {
        let network = self.network;
        let wanted = self.packet.destination_mac;
        let has = |at: &&SwitchPortIndex| {
            network.switch_port(**at).is_some_and(|port| port.addresses.iter().any(|(mac, _)| *mac == wanted))
        };
        if !wanted.is_group()
            && let Some(out) = switch.ports.iter().find(has)
        {
            if *out == from {
                return dropped("the output port is the input port");
            }
            return self.leave_switch(switch, port, *out);
        }
        let takes = |at: &&SwitchPortIndex| {
            **at != from
                && network.switch_port(**at).is_some_and(|port| wanted.is_group() || port.has_unknown)
        };
        let ports: Vec<SwitchPortIndex> = switch.ports.iter().filter(takes).copied().collect();
        self.flood(switch, port, &ports)
    }

    fn flood(&mut self, switch: &Switch, port: &SwitchPort, ports: &[SwitchPortIndex]) -> Result<Next, End> {
        let (packet, tracked) = (self.packet, self.tracked);
        let (mut reached, mut last, mut answer) = (Vec::new(), packet, None);
        for out in ports {
            (self.packet, self.tracked) = (packet, tracked);
            match self.leave_switch(switch, port, *out) {
                Err(End::Delivered(ports)) => {
                    reached.extend(ports);
                    last = self.packet;
                }
                Ok(Next::Router(router_port)) if packet.ethertype == ethertype::ARP => {
                    if let Some(end) = self.ask_router(router_port) {
                        answer = Some(end);
                    }
                }
                _ => {}
            }
        }
        self.packet = last;
        match (reached.is_empty(), answer) {
            (_, Some(end)) => Err(end),
            (true, None) => dropped("no port for the MAC address"),
            (false, None) => Err(End::Delivered(reached)),
        }
    }

    /// Sends a packet out by a port.
    fn leave_switch(
        &mut self,
        switch: &Switch,
        input: &SwitchPort,
        out: SwitchPortIndex,
    ) -> Result<Next, End> {
        let network = self.network;
        let Some(port) = network.switch_port(out) else { return dropped("no such port") };
        self.track(switch, out, port, &switch.to_port, Some(&port.name))?;
        let ways = (input.name.as_str(), Some(port.name.as_str()));
        let commits = self.list(switch, &switch.to_port, false, ways, Zone::Port(out))?;
        if commits {
            self.state.commit(Zone::Port(out), (&mut self.packet, self.sent), false);
        }
        if !self.packet.destination_mac.is_group() && !may_receive(&port.security, &self.packet) {
            return dropped("port security: the port may not receive for these addresses");
        }
        self.hop(|hop| hop.out_ports.push(port.name.clone()));
        self.behind(out)
    }
}

fn is_stateful(switch: &Switch) -> bool {
    switch.has_stateful_acl() || !switch.load_balancers.is_empty()
}

/// Returns true if a network of the port security has the address. Of an address with the length of its network, only the address
/// itself is allowed.
fn allows(security: &Security, address: Ipv4Addr) -> bool {
    security.networks.iter().any(|network| match network.addr() == network.network() {
        true => network.contains(&address),
        false => network.addr() == address,
    })
}

fn may_send(security: &[Security], packet: &Packet) -> bool {
    let fits = |allowed: &Security| {
        if allowed.mac != packet.source_mac {
            return false;
        }
        match packet.ethertype {
            _ if allowed.networks.is_empty() => true,
            ethertype::IPV4 => {
                let asks_for_lease = packet.source == Ipv4Addr::UNSPECIFIED
                    && packet.destination == Ipv4Addr::BROADCAST
                    && (packet.protocol, packet.source_port, packet.destination_port) == (17, 68, 67);
                asks_for_lease || allows(allowed, packet.source)
            }
            ethertype::ARP => allows(allowed, packet.source),
            _ => false,
        }
    };
    security.is_empty() || security.iter().any(fits)
}

fn may_receive(security: &[Security], packet: &Packet) -> bool {
    let fits = |allowed: &Security| {
        allowed.mac == packet.destination_mac
            && (allowed.networks.is_empty()
                || match packet.ethertype {
                    ethertype::IPV4 => {
                        packet.destination.is_broadcast()
                            || packet.destination.is_multicast()
                            || allows(allowed, packet.destination)
                    }
                    ethertype::IPV6 => false,
                    _ => true,
                })
    };
    security.is_empty() || security.iter().any(fits)
}
