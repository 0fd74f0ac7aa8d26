//! One packet through a topology, and its answer, in words of the topology.

mod report;
mod scene;

pub use report::{AskedRule, Ending, Hop, PacketView, TraceReport, mermaid, text};
pub(crate) use scene::bridge_name;
pub use scene::{Probe, Scene, TraceError};
