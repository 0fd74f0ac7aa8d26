//! One endpoint: an interface of a container. Its part on the host is a veth pair, its part in the engine's network a port (`ports`).
//!
//! Its life in order: the address is claimed in the store, `attach` makes what the claim stands for, CHECK looks at it
//! (`veth`, `ports`), `detach` removes it.

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod engine;
mod midonet;
pub(crate) mod names;
mod ovn;
pub(crate) mod ports;
mod rename;
pub(crate) mod veth;

/// The attachment's extra field that is set if its port has an anti-spoofing chain.
const ANTI_SPOOF: &str = "tied";

/// The attachment's extra field that is set if an ADD repeated one that did not end. A call of the first ADD may still be
/// on its way. On 1.x it then makes a second port.
const REPEATED: &str = "begun_anew";
