//! OVN's treatment of one packet, as the rows of its northbound database say.
//!
//! [`network::Network`] is a typed reading of the rows of a topology. It knows nothing of the code that makes rows: whoever wrote
//! them, they mean the same. Sources: ovn-nb(5), ovn-northd(8), and the logical flows of a real OVN; `docs/semantics.md` has the rules.

mod attach;
pub mod network;
pub(crate) mod read;
mod router;
mod simulate;
mod switch;
mod tracking;

pub(crate) use attach::WORLD_FAR;
pub use simulate::{Device, End, Evaluated, Hop, Neighbour, Trace, simulate};
pub use tracking::{ConnectionState, Datapath, Sent, State};

use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::Object;

/// Returns true if a topology is of OVN's rows.
pub(crate) fn has_rows(topology: &Topology) -> bool {
    topology.entries().first().is_some_and(|entry| matches!(entry.object, Object::Row(_)))
}
