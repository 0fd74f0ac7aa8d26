//! The shape of MidoNet's rules.

use super::Writer;
use crate::verify::header::Range;
use midoform_compiler::topology::kinds::{
    Condition, FlowAction, FragmentPolicy, NatTarget, Rule, RuleAction,
};

impl<'a> Writer<'a> {
    pub(super) fn rule(&mut self, rule: &'a Rule) {
        let Rule { chain, position, condition, action } = rule;
        self.tag(9);
        self.reference(chain);
        self.number(*position);
        self.condition(condition);
        match action {
            RuleAction::Accept => self.tag(1),
            RuleAction::Drop => self.tag(2),
            RuleAction::Reject => self.tag(3),
            RuleAction::Return => self.tag(4),
            RuleAction::Jump { chain, chain_name: _ } => {
                self.tag(5);
                self.reference(chain);
            }
            RuleAction::SourceNat(target, flow) => self.translation(6, Some(*target), *flow),
            RuleAction::DestinationNat(target, flow) => self.translation(7, Some(*target), *flow),
            RuleAction::ReverseSourceNat(flow) => self.translation(8, None, *flow),
            RuleAction::ReverseDestinationNat(flow) => self.translation(9, None, *flow),
        }
    }

    fn translation(&mut self, tag: u8, target: Option<NatTarget>, flow: FlowAction) {
        self.tag(tag);
        if let Some(NatTarget { first, last, ports }) = target {
            self.addresses(Range { first: first.into(), last: u32::from(last).max(first.into()) });
            self.ports(ports);
        }
        self.tag(match flow {
            FlowAction::Accept => 1,
            FlowAction::Continue => 2,
            FlowAction::Return => 3,
        });
    }

    fn condition(&mut self, condition: &'a Condition) {
        let Condition {
            in_ports,
            not_in_ports,
            out_ports,
            not_out_ports,
            source,
            not_source,
            destination,
            not_destination,
            ethertype,
            not_ethertype,
            untagged,
            source_mac,
            not_source_mac,
            protocol,
            source_ports,
            destination_ports,
            return_flow,
            forward_flow,
            fragments,
            unspoken,
            others,
        } = condition;
        for (name, field) in others {
            self.bytes.extend(format!("{name} {field:?};").into_bytes());
        }
        self.all(in_ports, Writer::reference);
        self.all(out_ports, Writer::reference);
        for flag in [
            not_in_ports,
            not_out_ports,
            not_source,
            not_destination,
            not_source_mac,
            not_ethertype,
            untagged,
            return_flow,
            forward_flow,
            unspoken,
        ] {
            self.tag((*flag).into());
        }
        self.maybe(*source, Writer::network);
        self.maybe(*destination, Writer::network);
        self.maybe(*ethertype, |writer, kind| writer.number(kind.into()));
        self.maybe(*source_mac, Writer::mac);
        self.maybe(*protocol, Writer::tag);
        self.maybe(*source_ports, Writer::ports);
        self.maybe(*destination_ports, Writer::ports);
        self.maybe(*fragments, |writer, policy| {
            writer.tag(match policy {
                FragmentPolicy::Any => 1,
                FragmentPolicy::Header => 2,
                FragmentPolicy::Nonheader => 3,
                FragmentPolicy::Unfragmented => 4,
            });
        });
    }
}
