//! Evaluates the rules of a chain for a packet.

use uuid::Uuid;

use super::condition::{Position, Seen, matches};
use super::simulate::{ChainVerdict, EvaluatedRule, Walk};
use super::world::{Rule, RuleKind};
use midoform_compiler::topology::kinds::FlowAction;

/// The next step after a rule.
enum Next {
    Rule,
    Accept,
    Return,
    End(ChainVerdict),
}

impl Walk<'_> {
    /// Evaluates a chain, if there is one.
    pub(super) fn evaluate(&mut self, chain: Option<Uuid>, position: Position) -> ChainVerdict {
        let Some(chain) = chain else { return ChainVerdict::Pass };
        match self.evaluate_rules(chain, position, &mut Vec::new()) {
            Err(verdict) => verdict,
            Ok(_) => ChainVerdict::Pass,
        }
    }

    /// Returns true if the packet was accepted, so the chains that jumped here are not evaluated further. A chain is
    /// evaluated once: after a jump to a visited chain, evaluation continues after the jump.
    fn evaluate_rules(
        &mut self,
        chain: Uuid,
        position: Position,
        visited: &mut Vec<Uuid>,
    ) -> Result<bool, ChainVerdict> {
        visited.push(chain);
        let world = self.world;
        for rule in world.chains.get(&chain).map(Vec::as_slice).unwrap_or_default() {
            let packet = self.packet;
            let (traversed, rewritten) = (std::mem::take(&mut self.traversed), self.rewritten);
            let seen = Seen { traversed: &traversed, rewritten };
            let matched = matches(world, rule, &packet, position, seen, &mut || self.is_forward());
            self.traversed = traversed;
            let at = self.evaluated.len();
            self.evaluated.push(EvaluatedRule { rule: rule.id, chain, matched, packet_after: None });
            if !matched {
                continue;
            }
            let next = match rule.kind {
                RuleKind::Accept => Next::Accept,
                RuleKind::Drop => Next::End(ChainVerdict::Drop(rule.id)),
                RuleKind::Reject => Next::End(ChainVerdict::Reject(rule.id)),
                RuleKind::Return => Next::Return,
                RuleKind::Jump => match rule.jump_chain_id.filter(|jump| !visited.contains(jump)) {
                    Some(jump) if self.evaluate_rules(jump, position, visited)? => Next::Accept,
                    _ => Next::Rule,
                },
                RuleKind::Other => Next::Rule,
                _ => self.translate(rule, position.device),
            };
            if let Some(evaluated) = self.evaluated.get_mut(at).filter(|_| self.packet != packet) {
                evaluated.packet_after = (rule.kind != RuleKind::Jump).then_some(self.packet);
            }
            match next {
                Next::Rule => {}
                Next::Accept => return Ok(true),
                Next::Return => return Ok(false),
                Next::End(verdict) => return Err(verdict),
            }
        }
        Ok(false)
    }

    /// Applies NAT or reverse NAT. If there is nothing to translate, the next rule is evaluated.
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
