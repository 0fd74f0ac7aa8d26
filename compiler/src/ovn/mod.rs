//! OVN, an engine: the tenants' network as rows of OVN's northbound database, the matches of these rows, and what OVN can't do.
//!
//! `docs/engines.md` says how the layout differs from MidoNet's. [`lower::lower`] is the pass; [`check`] refuses what can't be
//! lowered, and [`lint`] checks rows by code of its own.

pub mod check;
pub mod encode;
pub mod expression;
pub mod lint;
pub mod lower;
pub mod names;
pub mod networks;

use crate::plan::{Plan, diff};
use crate::topology::Topology;
use crate::topology::observed::Observed;

/// Returns the plan of operations on rows that leads from what was observed to what is desired.
pub fn plan(site_name: &str, desired: &Topology, observed: &Observed) -> Plan {
    diff::plan(&encode::Rows, site_name, desired, observed)
}
