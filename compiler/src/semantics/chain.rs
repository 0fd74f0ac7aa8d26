//! What a chain says about a packet, and what it makes of it.

use uuid::Uuid;

use super::condition::{Place, matches};
use super::simulate::{Asked, Walk};
use super::world::Rule;

/// What a chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The packet goes on.
    Pass,
    /// It ends, by this rule.
    Drop(Uuid),
}

/// What one rule says.
enum Next {
    Rule,
    Accept,
    Return,
    Drop,
}

/// Chains may jump to each other this deep.
const DEEPEST: usize = 32;

impl Walk<'_> {
    /// Asks a chain, if there is one.
    pub(super) fn ask(&mut self, chain: Option<Uuid>, place: Place) -> Answer {
        let Some(chain) = chain else { return Answer::Pass };
        match self.ask_rules(chain, place, 0) {
            Err(rule) => Answer::Drop(rule),
            Ok(_) => Answer::Pass,
        }
    }

    /// True where the packet was accepted, so that nothing that jumped here is asked any more.
    fn ask_rules(&mut self, chain: Uuid, place: Place, depth: usize) -> Result<bool, Uuid> {
        if depth > DEEPEST {
            return Ok(false);
        }
        let world = self.world;
        for rule in world.chains.get(&chain).map(Vec::as_slice).unwrap_or_default() {
            let packet = self.packet;
            let matched = matches(world, rule, &packet, place, &mut || self.is_forward());
            self.asked.push(Asked { rule: rule.id, matched });
            if !matched {
                continue;
            }
            let next = match rule.kind.as_str() {
                "accept" => Next::Accept,
                "drop" | "reject" => Next::Drop,
                "return" => Next::Return,
                "jump" => match rule.jump_chain_id {
                    Some(jump) if self.ask_rules(jump, place, depth + 1)? => Next::Accept,
                    _ => Next::Rule,
                },
                _ => self.translate(rule, place.device),
            };
            match next {
                Next::Rule => {}
                Next::Accept => return Ok(true),
                Next::Return => return Ok(false),
                Next::Drop => return Err(rule.id),
            }
        }
        Ok(false)
    }

    /// Translates, or turns a translation back. What can't be is left to the next rule.
    fn translate(&mut self, rule: &Rule, device: Uuid) -> Next {
        if !self.packet.has_flow() {
            return Next::Rule;
        }
        let target = rule.nat_targets.as_ref().and_then(|targets| targets.first()).copied();
        let done = match (rule.kind.as_str(), target) {
            ("snat", Some(target)) => {
                let first = (target.address_from, target.port_from);
                let new = Some(self.state.translate_source(&self.packet, device, first));
                self.set_source(new)
            }
            ("dnat", Some(target)) => {
                let known = self.state.known_destination(&self.packet, device);
                let new = known.unwrap_or((target.address_from, target.port_from));
                self.state.translate_destination(&self.packet, device, new);
                self.set_destination(Some(new))
            }
            ("rev_snat", _) => {
                let old = self.state.reverse_source(&self.packet, device);
                self.set_destination(old)
            }
            ("rev_dnat", _) => {
                let old = self.state.reverse_destination(&self.packet, device);
                self.set_source(old)
            }
            _ => false,
        };
        match (done, rule.flow_action.as_deref()) {
            (true, Some("accept")) => Next::Accept,
            (true, Some("return")) => Next::Return,
            _ => Next::Rule,
        }
    }

    fn set_source(&mut self, new: Option<(std::net::Ipv4Addr, u16)>) -> bool {
        let Some((address, port)) = new else { return false };
        self.packet.source = address;
        if self.packet.protocol != super::ICMP {
            self.packet.source_port = port;
        }
        true
    }

    fn set_destination(&mut self, new: Option<(std::net::Ipv4Addr, u16)>) -> bool {
        let Some((address, port)) = new else { return false };
        self.packet.destination = address;
        if self.packet.protocol != super::ICMP {
            self.packet.destination_port = port;
        }
        true
    }
}
