//! Packets through a topology: pure functions, as the compiler's.
//!
//! [`semantics`] is MidoNet's treatment of one packet, held against recordings of MidoNet's own simulation; [`trace`]
//! tells of one packet and its reply in the topology's words; [`verify`] proves what holds for all packets.
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

pub mod semantics;
pub mod trace;
pub mod verify;
