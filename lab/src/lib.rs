//! A laboratory: a network on OVN in network namespaces of one machine.
//!
//! A laboratory is a folder ([`Folder`]), a description ([`Description`]), and what is made after it: the databases and northd, hosts
//! with Open vSwitch and ovn-controller, places behind ports of switches, and a world outside. Every step makes what is missing, so a
//! run that was killed is continued by the next one, and [`down`] takes everything away, whatever there is.

mod command;
mod description;
mod down;
mod error;
mod folder;
mod lab;
mod namespace;
mod places;
pub mod probe;
mod process;
mod programs;
mod start;

pub use description::{Datapath, Description, Ground, Place, Seat, Target, World, host_name};
pub use down::{DaemonStatus, Deleted, HostStatus, PlaceStatus, Status, down, is_gone};
pub use error::{LabError, Result};
pub use folder::{Folder, Lock, MARK, of_all};
pub use lab::{Lab, northbound};
pub use places::PodRow;
pub use programs::{Programs, Version};
