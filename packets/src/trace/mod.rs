//! Traces one packet and its reply through a topology: MidoNet's objects, or the rows of OVN's northbound database.

mod network;
mod probe;
mod report;
mod rows;
mod rows_report;
mod write;

pub(crate) use network::bridge_name;
pub use network::{Endpoint, HeldAddresses, TraceError, TraceNetwork};
pub use probe::{Probe, Surroundings, trace};
pub use report::{Ending, EvaluatedRule, Hop, IcmpView, PacketView, RowView, TraceReport};
pub(crate) use rows::RowsNetwork;
pub use write::{mermaid, text};
