//! OVN, an engine: the tenants' network as rows of OVN's northbound database, the matches of these rows, and what OVN can't do.
//!
//! `docs/engines.md` says how the layout differs from MidoNet's. [`lower::lower`] is the pass; [`check`] refuses what can't be
//! lowered, and [`lint`] checks rows by code of its own.

pub mod check;
pub mod expression;
pub mod lint;
pub mod lower;
pub mod names;
pub mod networks;
pub mod row;
pub mod schema;
