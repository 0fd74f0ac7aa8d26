//! MidoNet, an engine: the tenants' network as MidoNet's objects, the objects as calls of its API, and the API's own rules.

pub mod dialect;
pub mod lint;
pub mod lower;

use crate::plan::{Plan, diff};
use crate::topology::Topology;
use crate::topology::observed::Observed;
use dialect::Dialect;

/// Returns the plan of MidoNet API calls that leads from what was observed to what is desired.
pub fn plan(site_name: &str, dialect: Dialect, desired: &Topology, observed: &Observed) -> Plan {
    diff::plan(site_name, dialect, desired, observed)
}
