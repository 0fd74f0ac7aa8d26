//! One endpoint: an interface of a container. Its part on the host is a veth pair, its part in MidoNet a port.

pub(crate) mod midonet;
pub(crate) mod veth;
