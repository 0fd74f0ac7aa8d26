//! One endpoint: an interface of a container. Its part on the host is a veth pair, its part in MidoNet a port.
//!
//! Its life in order: the address is claimed in the store, `attach` makes what the claim stands for, CHECK looks at it
//! (`veth`, `midonet`), `detach` removes it.

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod midonet;
pub(crate) mod names;
mod rename;
pub(crate) mod veth;
