//! The forms of values: for each, its reading, its JSON Schema and its description.

mod address;
mod egress;
mod ethertype;
mod list;
mod name;
mod number;
mod policy;
mod ports;
mod table;
mod text;
mod words;

pub(crate) use address::{Address, AddressRange, Interface, Mac, Network, PublicEnd, SizedNetwork, UuidText};
pub(crate) use egress::{EgressValue, GatewayValue};
pub(crate) use ethertype::EthertypeValue;
pub(crate) use list::{List, Listed, Map, OneOrList, Raw, list, map, one_or_list};
pub use name::{LONGEST_NAME, name_problem};
pub(crate) use name::{Name, Named};
pub(crate) use number::{Boolean, Integer, Number, OnlyTrue, integer};
pub(crate) use policy::{PatternValue, ProtectValue};
pub(crate) use ports::{ICMP, Icmp, IcmpValue, PortOrRange, Ports, ProtocolValue, TCP, UDP};
pub(crate) use table::{SubTable, Tables, tables};
pub(crate) use text::{Text, text};
pub(crate) use words::{Word, Words, words};
