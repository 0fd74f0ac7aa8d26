//! Packets through a topology: pure functions, as the compiler's.
//!
//! [`semantics`] is MidoNet's treatment of one packet, compared with recordings of MidoNet's own simulation. [`ovn`] is OVN's,
//! compared with a real OVN. [`trace`] describes the path of one packet and its reply by the objects of the topology. [`verify`] proves properties of all
//! packets.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "tests read recordings, and fail where they can't go on"
    )
)]

pub mod ovn;
pub mod semantics;
pub mod trace;
pub mod verify;
