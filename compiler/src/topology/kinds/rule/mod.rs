//! Rules of chains.

mod body;
mod condition;
mod json;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::difference::{changed_fields, show};
use super::json::raw;
use super::{Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference, port};
use crate::values::PortRange;

use condition::OF_ACTIONS;
pub use condition::{Condition, FragmentPolicy, OtherField};
pub use json::RuleJson;

/// A rule of a chain (`/chains/ID/rules`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The chain.
    pub chain: Reference,
    /// The rule's position in the chain: 1 is the first. The positions in one chain are 1, 2, 3 …
    pub position: u32,
    /// The conditions, all of which a packet has to meet.
    pub condition: Condition,
    /// The action on the packets that it matches.
    pub action: RuleAction,
}

/// The action of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Accepts the packet: the device's chain ends.
    Accept,
    /// Drops the packet silently.
    Drop,
    /// Rejects the packet with an ICMP error to the sender.
    Reject,
    /// Returns to the chain that jumped here. At the top level it is the same as accept.
    Return,
    /// Jumps to another chain. If that chain returns, evaluation continues after this rule.
    Jump {
        /// The chain.
        chain: Reference,
        /// The chain's name, which the recorded bodies have besides the id (04-chain-rule).
        chain_name: String,
    },
    /// SNAT: translates the source address.
    SourceNat(NatTarget, FlowAction),
    /// DNAT: translates the destination address.
    DestinationNat(NatTarget, FlowAction),
    /// Reverse SNAT: reverses the translation for return traffic.
    ReverseSourceNat(FlowAction),
    /// Reverse DNAT: reverses the translation for return traffic.
    ReverseDestinationNat(FlowAction),
}

impl RuleAction {
    /// Returns true if a packet that the rule matches ends there.
    pub fn discards(&self) -> bool {
        matches!(self, RuleAction::Drop | RuleAction::Reject)
    }
}

/// The continuation after an address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowAction {
    /// The packet is accepted.
    Accept,
    /// The chain continues with the next rule.
    Continue,
    /// Evaluation returns to the chain that jumped here.
    Return,
}

/// The addresses and ports that a translation may choose from, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatTarget {
    /// The first address.
    pub first: Ipv4Addr,
    /// The last address.
    pub last: Ipv4Addr,
    /// The ports.
    pub ports: PortRange,
}

impl Rule {
    /// Returns true if both do the same to the same packets, whatever their positions are.
    pub fn says_the_same_as(&self, other: &Rule) -> bool {
        self.action == other.action
            && self.condition.canonical(&self.action) == other.condition.canonical(&other.action)
    }

    /// Returns true if the rule matches every packet that comes to it, and none comes to the rules behind it.
    pub fn ends_every_packet(&self) -> bool {
        let is_modelled = !self.condition.unspoken;
        let ends = matches!(
            self.action,
            RuleAction::Accept | RuleAction::Drop | RuleAction::Reject | RuleAction::Return
        );
        let fragments = self.condition.fragments.filter(|policy| *policy != FragmentPolicy::Any);
        is_modelled
            && ends
            && fragments.is_none()
            && Condition { fragments, ..self.condition.clone() } == Condition::default()
    }

    /// Returns the action of a rule whose action midoform does not model, in the API's words.
    fn other_type(&self) -> String {
        let value = |name: &str| match self.condition.others.get(name) {
            Some(OtherField::Value(value)) => Some(show(Some(value))),
            _ => None,
        };
        OF_ACTIONS.into_iter().filter_map(value).collect::<Vec<_>>().join(" ")
    }

    /// Returns the chain that the rule jumps to.
    fn jump(&self) -> Option<&Reference> {
        match &self.action {
            RuleAction::Jump { chain, .. } => Some(chain),
            _ => None,
        }
    }

    /// Returns the ports that the rule matches.
    pub fn ports(&self) -> impl Iterator<Item = &Reference> {
        self.condition.in_ports.iter().chain(&self.condition.out_ports)
    }
}

impl Resource for Rule {
    const KIND: Kind = Kind::Rule;
    const NAME: &'static str = "rule";
    /// 1.x responds with an id of its own in `Location` (recording v1.7/04).
    const IDENTITY: Identity = Identity::Id { below: "rules", kept_by_1x: false };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.Rule-v2+json");

    type Json = RuleJson;

    fn collection_path(chain: &str) -> String {
        format!("/chains/{chain}/rules")
    }

    /// Reads a rule. A rule of a type that midoform does not use never equals a wanted one.
    fn read(json: &RuleJson, listed: &Listed<'_>) -> Option<Self> {
        let mut condition = json.condition(listed.resolve);
        let action = json.action(listed.resolve).unwrap_or_else(|| {
            condition.unspoken = true;
            condition.others.extend(json.other_action());
            RuleAction::Return
        });
        Some(Rule { chain: listed.parent.clone()?, position: listed.position, condition, action })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(self.chain.to(&[Kind::Chain]))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        self.ports().for_each(|reference| visit(port::any(reference)));
        self.jump().into_iter().for_each(|chain| visit(chain.to(&[Kind::Chain])));
    }

    fn ends(&self) -> [Option<&Reference>; 2] {
        [Some(&self.chain), self.jump()]
    }

    fn position(&self) -> Option<u32> {
        Some(self.position)
    }

    fn carries_traffic(&self) -> bool {
        !matches!(self.action, RuleAction::Drop | RuleAction::Reject)
    }

    fn describe(&self) -> String {
        let action = match &self.action {
            _ if self.condition.others.contains_key("type") => self.other_type(),
            RuleAction::Accept => "accept".to_owned(),
            RuleAction::Drop => "drop".to_owned(),
            RuleAction::Reject => "reject".to_owned(),
            RuleAction::Return => "return".to_owned(),
            RuleAction::Jump { chain, .. } => format!("jump to {chain}"),
            RuleAction::SourceNat(target, flow) => {
                format!("SNAT to {}, {}", show_target(target), then(*flow))
            }
            RuleAction::DestinationNat(target, flow) => {
                format!("DNAT to {}, {}", show_target(target), then(*flow))
            }
            RuleAction::ReverseSourceNat(flow) => format!("reverse SNAT, {}", then(*flow)),
            RuleAction::ReverseDestinationNat(flow) => format!("reverse DNAT, {}", then(*flow)),
        };
        format!("{action}{}", condition::describe(&self.condition))
    }

    fn difference(&self, wanted: &Self) -> Option<String> {
        let (before, after) =
            (self.condition.canonical(&self.action), wanted.condition.canonical(&wanted.action));
        let mut words = Vec::new();
        if self.chain != wanted.chain {
            words.push("another chain".to_owned());
        }
        if before.unspoken && (!after.unspoken || before.others != after.others) {
            words.push("a condition that no spec can have".to_owned());
        }
        if self.action != wanted.action {
            let value = |action: &RuleAction| show(serde_json::to_value(action).ok().as_ref());
            words.push(format!("action: {} → {}", value(&self.action), value(&wanted.action)));
        }
        if before != after {
            let spoken = Condition { unspoken: false, others: BTreeMap::new(), ..before };
            words.extend(Some(changed_fields(&spoken, &after)).filter(|words| !words.is_empty()));
        }
        (!words.is_empty()).then(|| format!("differs: {}", words.join(", ")))
    }

    fn body(&self, names: &dyn Names, id: Option<String>, position: u32) -> Option<Box<RawValue>> {
        let body = body::rule_body(names, self, id, position);
        match self.condition.others.is_empty() {
            true => raw(&body),
            false => raw(&body::with_others(names, &body, &self.condition.others)?),
        }
    }
}

/// Returns what follows a translation, in words.
fn then(flow: FlowAction) -> &'static str {
    match flow {
        FlowAction::Accept => "accept",
        FlowAction::Continue => "continue",
        FlowAction::Return => "return",
    }
}

fn show_target(target: &NatTarget) -> String {
    let addresses = match target.first == target.last {
        true => target.first.to_string(),
        false => format!("{}-{}", target.first, target.last),
    };
    format!("{addresses}:{}", condition::show_range(target.ports))
}
