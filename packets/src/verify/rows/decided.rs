//! What lists of rows decide about sets of packets, and what of that was computed before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use uuid::Uuid;

use super::matches::{Between, Undecided};
use super::network::List;
use crate::semantics::Frame;
use crate::verify::header::{Protocols, Range};
use crate::verify::path::{Path, Tracking};
use crate::verify::sets::Set;
use midoform_compiler::values::MacAddress;

/// What a list decides about packets.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub(crate) accepted: Vec<Path>,
    /// The dropped packets, and the row that drops them.
    pub(crate) dropped: Vec<(Path, Uuid)>,
}

/// Everything that a list's decision about a header depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    list: usize,
    between: Between,
    macs: (MacAddress, MacAddress),
    frame: Frame,
    protocols: Protocols,
    tracking: Tracking,
    /// The variable of each field, with its range where that is not in the header as it was sent.
    fields: [(usize, Option<Range>); 4],
}

/// The headers, as they were sent, that a list accepts and drops.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    /// With the row that accepts; none where no row matches, or where rows are not told apart.
    pub(crate) accepted: Vec<(Set, Option<Uuid>)>,
    pub(crate) dropped: Vec<(Set, Uuid)>,
}

/// The decisions that were computed.
#[derive(Debug, Default)]
pub(crate) struct Known(pub(crate) RefCell<BTreeMap<Position, Rc<Result<Verdicts, Undecided>>>>);

impl Known {
    /// Forgets all of them: their sets are not valid any more.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Position {
    pub(crate) fn of(list: &List, path: &Path, between: Between) -> Position {
        let field = |at: usize| {
            let variable = path.variable(at);
            (variable, (variable >= path.header.len()).then(|| path.range(variable)))
        };
        Position {
            list: list.number,
            between,
            macs: (path.source_mac, path.destination_mac),
            frame: path.frame,
            protocols: path.protocols,
            tracking: path.tracking,
            fields: [field(0), field(1), field(2), field(3)],
        }
    }
}
