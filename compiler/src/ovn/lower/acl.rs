//! The rows of access control lists.

use super::Lowering;
use super::keys::{self, Direction};
use crate::network::BridgeIndex;
use crate::ovn::expression::Expression;
use crate::source::Span;
use crate::spec::Action;
use crate::topology::key::Key;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::Holder;
use crate::topology::kinds::row::schema::{LONGEST_ACL_NAME, Table};

/// The action of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Accepts the packet, its connection and the replies.
    Accept,
    /// Accepts the packet, and tracks no connection.
    AcceptUntracked,
    /// Drops the packet silently.
    Drop,
    /// Drops the packet, and tells the sender.
    Reject,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Accept => "allow-related",
            Verdict::AcceptUntracked => "allow-stateless",
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
        }
    }
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        match action {
            Action::Accept => Verdict::Accept,
            Action::Drop => Verdict::Drop,
            Action::Reject => Verdict::Reject,
        }
    }
}

/// The switch of a bridge, and one of its two lists.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) bridge: BridgeIndex,
    switch: Key,
    pub(super) direction: Direction,
    /// True if the packets are matched behind the translation of exposed ports.
    is_behind_balancing: bool,
}

impl List {
    /// Returns a list of a bridge's switch; none if there is no such bridge.
    pub(super) fn of(lowering: &Lowering<'_>, bridge: BridgeIndex, direction: Direction) -> Option<List> {
        let switch = lowering.keys.bridge(&lowering.tenant.bridge(bridge)?.name).device();
        Some(List { bridge, switch, direction, is_behind_balancing: false })
    }

    /// Returns the part of the list that sees the destinations of exposed ports translated. A list in the direction of the ports
    /// always does.
    pub(super) fn behind_balancing(&self, lowering: &Lowering<'_>) -> List {
        let has_balancers = self.direction == Direction::FromPort && !lowering.tenant.exposes.is_empty();
        List { is_behind_balancing: has_balancers, ..self.clone() }
    }

    /// Adds an ACL of the layout.
    pub(super) fn add(
        &self,
        lowering: &mut Lowering<'_>,
        name: &str,
        (priority, verdict): (i64, Verdict),
        expression: &Expression,
        span: Span,
    ) {
        self.add_named(lowering, name, None, (priority, verdict), expression, span);
    }

    /// Adds an ACL of a rule of the spec.
    pub(super) fn add_named(
        &self,
        lowering: &mut Lowering<'_>,
        name: &str,
        rule: Option<&str>,
        (priority, verdict): (i64, Verdict),
        expression: &Expression,
        span: Span,
    ) {
        let mut row = Row::new(Table::Acl)
            .text("direction", self.direction.word())
            .integer("priority", priority)
            .text("match", expression.to_string())
            .text("action", verdict.word());
        if self.is_behind_balancing {
            row = row.map("options", [("apply-after-lb", "true".to_owned())]);
        }
        // The name is for OVN's log alone.
        if let Some(rule) = rule.filter(|rule| rule.len() <= LONGEST_ACL_NAME) {
            row = row.text("name", rule);
        }
        let key = keys::acl(&self.switch, self.direction, name);
        let holder = Holder { row: (&self.switch).into(), table: Table::LogicalSwitch, column: "acls" };
        lowering.add_to(holder, key, row, span);
    }
}
