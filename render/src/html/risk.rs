//! The risks of a step, for the person who approves a plan.

use std::collections::BTreeSet;

use midoform_compiler::plan::{Action, Step};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{Object, Reference, RuleAction};

/// The step interrupts traffic.
pub(super) const CUTS_TRAFFIC: u8 = 1;
/// The step lets in traffic that was stopped before, or may do so.
pub(super) const EXPOSES: u8 = 2;
/// The step changes the router that all tenants share.
pub(super) const SHARED_ROUTER: u8 = 4;

/// The context that the risks of a step depend on.
pub(super) struct Risks<'a> {
    provider: &'a Reference,
    /// The inbound chains of routers.
    inbound: BTreeSet<&'a Key>,
}

impl<'a> Risks<'a> {
    pub(super) fn new(provider: &'a Reference, topologies: [&'a Topology; 2]) -> Self {
        let entries = topologies.into_iter().flat_map(|topology| topology.entries());
        let filter = |object: &'a Object| match object {
            Object::Router(router) => router.inbound_filter.as_ref().and_then(Reference::key),
            _ => None,
        };
        Risks { provider, inbound: entries.filter_map(|entry| filter(&entry.object)).collect() }
    }

    /// Returns the risks of a step, as bits.
    pub(super) fn of(&self, step: &Step, before: Option<&Object>, after: Option<&Object>) -> u8 {
        let mut risks = 0;
        if step.cuts_traffic {
            risks |= CUTS_TRAFFIC;
        }
        let opens_after = step.action != Action::Delete && after.is_some_and(|object| self.opens(object));
        // A rule that is created again stops the traffic again.
        let shut_before =
            step.action != Action::Create && before.is_some_and(shuts) && !after.is_some_and(shuts);
        if opens_after || shut_before {
            risks |= EXPOSES;
        }
        if [before, after].into_iter().flatten().any(|object| self.is_shared(&step.key, object)) {
            risks |= SHARED_ROUTER;
        }
        risks
    }

    /// Returns true for a rule that exposes a public port, or accepts other traffic than replies.
    fn opens(&self, object: &Object) -> bool {
        let Object::Rule(rule) = object else { return false };
        match rule.action {
            RuleAction::DestinationNat(..) => true,
            RuleAction::Accept => {
                !rule.condition.return_flow
                    && rule.chain.key().is_some_and(|chain| self.inbound.contains(chain))
            }
            _ => false,
        }
    }

    fn is_shared(&self, key: &Key, object: &Object) -> bool {
        match object {
            Object::Router(_) => self.provider.key() == Some(key),
            Object::RouterPort(port) => port.router == *self.provider,
            Object::Route(route) => route.router == *self.provider,
            _ => false,
        }
    }
}

/// Returns true for a rule that drops or rejects.
fn shuts(object: &Object) -> bool {
    matches!(object, Object::Rule(rule) if matches!(rule.action, RuleAction::Drop | RuleAction::Reject))
}
