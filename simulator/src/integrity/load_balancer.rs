//! The load balancer of a router: the router names it, and the servers write the router into it (not recorded; MidoNet's
//! source).

use uuid::Uuid;

use crate::failure::Failure;
use crate::http::deserialize::Draft;
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::state::{State, Transaction};
use crate::version::{AttachedLoadBalancer, Version};

/// The field of a router that names its load balancer.
const OF_ROUTER: &str = "loadBalancerId";
/// The field of a load balancer that names its router.
const ROUTER: &str = "routerId";

/// Checks that the load balancer that a new or changed router names has no other router. 1.7 does not check it: the load
/// balancer then belongs to the later router.
pub(crate) fn check_is_free(
    state: &State,
    version: Version,
    router: Option<Uuid>,
    draft: &Draft,
) -> Result<(), Failure> {
    let named = draft.uuid(OF_ROUTER).and_then(|id| state.get(Kind::LoadBalancer, id));
    let Some(named) = named.filter(|_| !version.traits().is_1x) else { return Ok(()) };
    match named.uuid(ROUTER) {
        Some(other) if Some(other) != router => {
            let message = format!(
                "Operation failed because the LoadBalancer with ID {} already references the Router with ID {other} via \
                 the field router_id. This field can accommodate only one reference.",
                named.id
            );
            Err(Failure::Message { status: 409, message })
        }
        _ => Ok(()),
    }
}

/// Checks that the body of a load balancer names the router that the load balancer has: only a PUT on a router changes it
/// (the status is MidoNet's, the words are not).
pub(crate) fn check_router(before: Option<&Object>, draft: &Draft) -> Result<(), Failure> {
    if draft.uuid(ROUTER) == before.and_then(|before| before.uuid(ROUTER)) {
        return Ok(());
    }
    Err(Failure::bad("A load balancer's routerId can't be set. Set the loadBalancerId of the router."))
}

/// Checks that the load balancer of a router lets the router be deleted.
pub(crate) fn check_router_may_go(state: &State, version: Version, router: Uuid) -> Result<(), Failure> {
    let named = state.get(Kind::Router, router).and_then(|router| router.uuid(OF_ROUTER));
    match (version.traits().attached_load_balancer, named) {
        // MidoNet's message has the id of the load balancer in both places.
        (AttachedLoadBalancer::KeepsRouter, Some(id)) => {
            let message = format!(
                "Cannot delete the Router with ID {id} because it is still referenced by the LoadBalancer with ID {id}."
            );
            Err(Failure::Message { status: 409, message })
        }
        // 1.7 finds no record to write.
        _ if version.traits().is_1x && named.is_some_and(|id| !state.has(Kind::LoadBalancer, id)) => {
            Err(Failure::Crash(String::new()))
        }
        _ => Ok(()),
    }
}

/// Writes a router into the load balancer that it names now, and removes it from the one that it named before.
pub(crate) fn attach(change: &mut Transaction<'_>, router: Uuid, before: Option<Uuid>) {
    let now = change.state().get(Kind::Router, router).and_then(|router| router.uuid(OF_ROUTER));
    if now == before {
        return;
    }
    if let Some(before) = before {
        change.set(Kind::LoadBalancer, before, ROUTER, Value::Null);
    }
    if let Some(now) = now {
        change.set(Kind::LoadBalancer, now, ROUTER, Value::Uuid(router));
    }
}

/// Returns the load balancer that a router names.
pub(crate) fn of_router(router: &Object) -> Option<Uuid> {
    router.uuid(OF_ROUTER)
}

/// Removes a load balancer that is deleted from its router. On 1.7 another router can still name it.
pub(super) fn detach(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    let attached = change.state().get(Kind::LoadBalancer, id).and_then(|known| known.uuid(ROUTER));
    for router in change.referring(id, OF_ROUTER, Kind::Router) {
        if !version.traits().is_1x || attached == Some(router.id) {
            change.set(Kind::Router, router.id, OF_ROUTER, Value::Null);
        }
    }
}

/// Deletes the load balancer of a router that is deleted, or removes the router from it.
pub(super) fn release(change: &mut Transaction<'_>, version: Version, router: Uuid) {
    let named = change.state().get(Kind::Router, router).and_then(|router| router.uuid(OF_ROUTER));
    let Some(named) = named else { return };
    match version.traits().attached_load_balancer {
        AttachedLoadBalancer::Deleted => drop(change.delete(Kind::LoadBalancer, named)),
        AttachedLoadBalancer::Stays | AttachedLoadBalancer::KeepsRouter => {
            change.set(Kind::LoadBalancer, named, ROUTER, Value::Null);
        }
    }
}
