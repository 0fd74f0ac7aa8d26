//! MidoNet, an engine: the tenants' network as MidoNet's objects, the objects as calls of its API, and the API's own rules.

pub mod dialect;
pub mod lint;
pub mod lower;

use crate::network::allocation::Allocations;
use crate::plan::{Action, Plan, diff};
use crate::topology::Topology;
use crate::topology::kinds::Kind;
use crate::topology::observed::Observed;
use dialect::Dialect;

/// Returns the plan of MidoNet API calls that leads from what was observed to what is desired.
pub fn plan(site_name: &str, dialect: Dialect, desired: &Topology, observed: &Observed) -> Plan {
    diff::plan(&dialect, site_name, desired, observed)
}

/// Adds the objects that a plan creates to the unfinished objects of the allocations (`making`), if the server will choose
/// their ids (1.x: ports, rules, routes).
///
/// The allocations are stored before the first call. If the run ends before it has recorded the ids, the next run
/// recognises the objects by their content.
pub fn add_unfinished_objects(allocations: &mut Allocations, plan: &Plan, desired: &Topology) {
    let Some(dialect) =
        Dialect::of(plan.engine).filter(|dialect| !dialect.keeps_offered_id(Kind::RouterPort))
    else {
        return;
    };
    for step in plan.changes().filter(|step| matches!(step.action, Action::Create | Action::Replace)) {
        // A link and a binding identify their port.
        if dialect.keeps_offered_id(step.kind) && !step.kind.is_exclusive() {
            continue;
        }
        let Some(entry) = desired.get(step.key.as_str()).filter(|entry| !entry.key.is_foreign()) else {
            continue;
        };
        let Some(tenant) = allocations.tenants.get_mut(step.key.owner()) else { continue };
        let making = (entry.key.clone(), entry.object.clone());
        if !tenant.making.contains(&making) {
            tenant.making.push(making);
        }
    }
}
