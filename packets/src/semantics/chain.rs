//! What a chain says about a packet, and what it makes of it.

use uuid::Uuid;

use super::condition::{Place, Seen, matches};
use super::simulate::{Asked, Walk};
use super::world::{Rule, RuleKind};
use midoform_compiler::topology::object::FlowAction;

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

impl Walk<'_> {
    /// Asks a chain, if there is one.
    pub(super) fn ask(&mut self, chain: Option<Uuid>, place: Place) -> Answer {
        let Some(chain) = chain else { return Answer::Pass };
        match self.ask_rules(chain, place, &mut Vec::new()) {
            Err(rule) => Answer::Drop(rule),
            Ok(_) => Answer::Pass,
        }
    }

    /// True where the packet was accepted, so that nothing that jumped here is asked any more. A chain is asked
    /// once: a jump to one that was visited already goes on behind the jump.
    fn ask_rules(&mut self, chain: Uuid, place: Place, visited: &mut Vec<Uuid>) -> Result<bool, Uuid> {
        visited.push(chain);
        let world = self.world;
        for rule in world.chains.get(&chain).map(Vec::as_slice).unwrap_or_default() {
            let packet = self.packet;
            let (traversed, rewritten) = (std::mem::take(&mut self.traversed), self.rewritten);
            let seen = Seen { traversed: &traversed, rewritten };
            let matched = matches(world, rule, &packet, place, seen, &mut || self.is_forward());
            self.traversed = traversed;
            let at = self.asked.len();
            self.asked.push(Asked { rule: rule.id, chain, matched, became: None });
            if !matched {
                continue;
            }
            let next = match rule.kind {
                RuleKind::Accept => Next::Accept,
                RuleKind::Drop | RuleKind::Reject => Next::Drop,
                RuleKind::Return => Next::Return,
                RuleKind::Jump => match rule.jump_chain_id.filter(|jump| !visited.contains(jump)) {
                    Some(jump) if self.ask_rules(jump, place, visited)? => Next::Accept,
                    _ => Next::Rule,
                },
                RuleKind::Other => Next::Rule,
                _ => self.translate(rule, place.device),
            };
            if let Some(asked) = self.asked.get_mut(at).filter(|_| self.packet != packet) {
                asked.became = (rule.kind != RuleKind::Jump).then_some(self.packet);
            }
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
        if !self.packet.is_translated() {
            return Next::Rule;
        }
        let target = rule.nat_targets.as_ref().and_then(|targets| targets.first()).copied();
        let done = match (rule.kind, target) {
            (RuleKind::Snat, Some(target)) => {
                let first = (target.address_from, target.port_from);
                let new = Some(self.state.translate_source(&self.packet, device, first));
                self.set_source(new)
            }
            (RuleKind::Dnat, Some(target)) => {
                let known = self.state.known_destination(&self.packet, device);
                // An echo keeps its identifier.
                let port = if self.packet.is_echo() { 0 } else { target.port_from };
                let new = known.unwrap_or((target.address_from, port));
                self.state.translate_destination(&self.packet, device, new);
                self.set_destination(Some(new))
            }
            (RuleKind::RevSnat, _) => {
                let old = self.state.reverse_source(&self.packet, device);
                self.set_destination(old)
            }
            (RuleKind::RevDnat, _) => {
                let old = self.state.reverse_destination(&self.packet, device);
                self.set_source(old)
            }
            _ => false,
        };
        match (done, rule.flow_action) {
            (true, Some(FlowAction::Accept)) => Next::Accept,
            (true, Some(FlowAction::Return)) => Next::Return,
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
        self.rewritten = true;
        self.packet.destination = address;
        if self.packet.protocol != super::ICMP {
            self.packet.destination_port = port;
        }
        true
    }
}
