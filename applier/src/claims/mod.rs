//! What is given out, and to whom: built on [`crate::store::Store`], and so the same on every store.
//!
//! [`pods`] claims and releases the addresses of containers; [`ready`] is what a tenant's pods need to know of it;
//! [`given`] is what tenants were given; [`lock`] is the right to change a tenant, which a holder that was paused for
//! too long no longer has. Keys are made in [`keys`] alone; `docs/store.md` lists them with their values.

mod attachment;
pub mod given;
pub mod keys;
pub mod lock;
mod pick;
pub mod pods;
pub mod ports;
pub mod publication;
pub mod ready;
pub mod reclaim;
pub mod tenants;
mod transactions;

/// Now, in milliseconds of Unix time: when something was claimed or released. Clocks that differ among hosts make
/// an address rest for longer or shorter, and nothing else.
pub(crate) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
