//! OVN's treatment of one packet, as the rows of its northbound database say.
//!
//! [`network::Network`] is a typed reading of the rows of a topology. It knows nothing of the code that makes rows: whoever wrote
//! them, they mean the same. Sources: ovn-nb(5), ovn-northd(8), and the logical flows of a real OVN; `docs/semantics.md` has the rules.

pub mod network;
pub(crate) mod read;
mod router;
mod simulate;
mod switch;
mod tracking;

pub use simulate::{Device, End, Evaluated, Hop, Neighbour, Trace, simulate};
pub use tracking::{Datapath, Sent, State};
