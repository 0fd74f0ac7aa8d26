//! A host's own Open vSwitch database: the facts that OVN's host has there, and the ports that plug interfaces into the integration
//! bridge.
//!
//! `external_ids:iface-id` of an interface is the name of its logical switch port; ovn-controller binds the port to it, and says so by
//! `external_ids:ovn-installed` (ovn-controller(8)). A port that midoform plugs has the marks of its row in the northbound database as
//! well: its key and its site. Ports without these marks belong to others, and stay.

mod bind;
mod database;
mod interface;
mod plug;

pub use bind::{Decision, decide, left_over};
pub use database::{DATABASE, Host, OpenVswitch, USUAL};
pub use interface::{Interface, ReadBy};
pub use plug::{Plug, PlugError};
