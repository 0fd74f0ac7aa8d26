//! The embedded MidoNet API.
