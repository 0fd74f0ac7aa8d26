//! Traces one packet and its reply through a topology.

mod network;
mod report;

pub(crate) use network::bridge_name;
pub use network::{Endpoint, HeldAddresses, TraceError, TraceNetwork};
pub use report::{Ending, EvaluatedRule, Hop, IcmpView, PacketView, TraceReport, mermaid, text};
