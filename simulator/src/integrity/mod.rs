//! Referential integrity: checks references between objects, cascades deletes, and creates the objects that the server
//! adds itself.
//!
//! Each rule names the recording that shows it.

mod cascade;
pub(crate) mod load_balancer;

use std::sync::Arc;

use uuid::Uuid;

use crate::failure::{Failure, Operation};
use crate::http::deserialize::Draft;
use crate::object::{Fields, Object, Value};
use crate::resources::fields;
use crate::resources::rule::RANK;
use crate::schema::{Access, Kind};
use crate::state::{State, Transaction};
use crate::version::Version;
use cascade::{ADDRESS_GROUPS, PORT_GROUPS};
pub(crate) use cascade::{delete, join_group, leave_group, unlink};

/// The distance between the ranks of neighbouring rules.
const STEP: i64 = 1 << 32;

/// Checks that every object exists that a new or changed object refers to: 404 on 5.x, 500 on 1.7 (08-filters, step 4;
/// random4, step 21).
pub(crate) fn check_references(
    state: &State,
    kind: Kind,
    version: Version,
    draft: &Draft,
) -> Result<(), Failure> {
    for field in fields(kind, version, draft.type_name) {
        if let (Some(class), Some(Value::Uuids(ids))) = (field.unsupported, draft.get(field.name))
            && let Some(id) = ids.first()
        {
            let (id, operation) = (id.to_string(), Operation::Reference);
            return Err(Failure::Missing { class, kind: None, id, operation });
        }
        let Some(id) = draft.uuid(field.name) else { continue };
        match (field.refers, field.unsupported) {
            (Some(kind), _) if !state.has(kind, id) => {
                return Err(Failure::missing(kind, id, Operation::Reference));
            }
            (_, Some(class)) => {
                let (id, operation) = (id.to_string(), Operation::Reference);
                return Err(Failure::Missing { class, kind: None, id, operation });
            }
            _ => {}
        }
    }
    // 1.7 also checks the groups and the chain that a rule refers to (the README: "500 and nothing made").
    if version.traits().is_1x && kind == Kind::Rule {
        let groups = PORT_GROUPS.map(|field| (field, Kind::PortGroup));
        let addresses = ADDRESS_GROUPS.map(|field| (field, Kind::IpAddrGroup));
        for (field, kind) in groups.into_iter().chain(addresses).chain([("jumpChainId", Kind::Chain)]) {
            if let Some(id) = draft.uuid(field)
                && !state.has(kind, id)
            {
                return Err(Failure::missing(kind, id, Operation::Reference));
            }
        }
    }
    Ok(())
}

/// Returns the id of a new object: the one in the body, except where 1.7 generates its own (03-bridge, step 6). An id
/// that exists is refused (02-router, step 3), and on 5.0.2 that of a deleted router or bridge (17-id-again), after all
/// other errors: 5.x finds it when it commits.
pub(crate) fn new_id(state: &State, kind: Kind, version: Version, draft: &Draft) -> Result<Uuid, Failure> {
    let offered = draft.uuid("id").filter(|_| !version.traits().is_1x || kind.keeps_id_on_1x());
    match offered {
        Some(id) if state.has(kind, id) => Err(Failure::Exists { kind, id }),
        Some(id) if has_table(state, kind, id) => Err(Failure::Used { kind, id }),
        Some(id) => Ok(id),
        None => Ok(Uuid::new_v4()),
    }
}

/// Returns true if the server still has the tables of a deleted router or bridge.
fn has_table(state: &State, kind: Kind, id: Uuid) -> bool {
    state
        .referring(id, "deviceId", Kind::DeviceTable)
        .any(|table| table.text("deviceKind") == Some(kind.class()))
}

/// Turns a draft into a new object.
pub(crate) fn object(kind: Kind, id: Uuid, draft: Draft) -> Object {
    let mut fields: Fields = draft.fields;
    fields.retain(|(name, value)| *name != "id" && *value != Value::Null);
    Object::new(kind, id, fields)
}

/// Turns a draft into the replacement of an object. Fields that the server set itself stay. Fields that the body omits
/// are removed, except those in `kept` (random1, step 82: the MAC is removed; random3, step 43: the link is not).
pub(crate) fn replacement(before: &Object, version: Version, draft: Draft, kept: &[&'static str]) -> Object {
    let mut fields: Fields = draft.fields;
    fields.retain(|(name, value)| *name != "id" && *value != Value::Null);
    let of = before.type_name();
    let server = self::fields(before.kind, version, of).filter(|field| field.access != Access::Client);
    for name in server.map(|field| field.name).chain(kept.iter().copied()).chain([RANK]) {
        if let Some(value) = before.get(name)
            && !fields.iter().any(|(known, _)| *known == name)
        {
            fields.push((name, value.clone()));
        }
    }
    let mut after = Object::new(before.kind, before.id, fields);
    after.sequence = before.sequence;
    after
}

/// Returns the route that the server adds for a router's port: to the port's own address, with weight 0
/// (05-router-port, step 4).
pub(crate) fn automatic_route(version: Version, router: Uuid, port: Uuid, address: &str) -> Object {
    let traits = version.traits();
    let mut fields = vec![
        ("routerId", Value::Uuid(router)),
        ("nextHopPort", Value::Uuid(port)),
        ("dstNetworkAddr", Value::text(address)),
        ("dstNetworkLength", Value::Number(32)),
        ("srcNetworkAddr", Value::text("0.0.0.0")),
        ("type", Value::text(traits.local_route_type)),
    ];
    if let Some(gateway) = traits.local_route_gateway {
        fields.push(("nextHopGateway", Value::text(gateway)));
    }
    Object::new(Kind::Route, Uuid::new_v4(), fields)
}

/// Returns the rank of a new rule at `position` (from 1) of a chain; none if the position is more than one past the end
/// (04-chain-rule, step 8). The rules from that position on come after it.
pub(crate) fn rank_at(change: &mut Transaction<'_>, chain: Uuid, position: i64) -> Option<i64> {
    let before = usize::try_from(position).ok()?.checked_sub(1)?;
    let ranks: Vec<i64> =
        change.state().referring(chain, "chainId", Kind::Rule).map(|rule| rule.rank()).collect();
    match (before.checked_sub(1).and_then(|index| ranks.get(index)), ranks.get(before)) {
        _ if before > ranks.len() => None,
        (None, None) => Some(0),
        (Some(last), None) => last.checked_add(STEP).or_else(|| renumber(change, chain, before)),
        (None, Some(first)) => first.checked_sub(STEP).or_else(|| renumber(change, chain, before)),
        (Some(left), Some(right)) if right - left > 1 => Some(left + (right - left) / 2),
        _ => renumber(change, chain, before),
    }
}

/// Renumbers the ranks of a chain's rules with room between them, and returns the free rank before the rule with index
/// `before`.
fn renumber(change: &mut Transaction<'_>, chain: Uuid, before: usize) -> Option<i64> {
    let mut rank: i64 = 0;
    let mut free = None;
    for (index, rule) in change.referring(chain, "chainId", Kind::Rule).into_iter().enumerate() {
        if index == before {
            free = Some(rank);
            rank = rank.checked_add(STEP)?;
        }
        change.set(Kind::Rule, rule.id, RANK, Value::Number(rank));
        rank = rank.checked_add(STEP)?;
    }
    free.or(Some(rank))
}

/// Returns a rule with its position among its chain's rules, counted from 1.
pub(crate) fn with_position(state: &State, rule: &Arc<Object>) -> Arc<Object> {
    let Some(chain) = rule.uuid("chainId") else { return Arc::clone(rule) };
    let place = state.referring(chain, "chainId", Kind::Rule).take_while(|other| other.id != rule.id).count();
    placed(rule, place + 1)
}

/// Returns the rules of a chain with their positions.
pub(crate) fn rules(state: &State, chain: Uuid) -> Vec<Arc<Object>> {
    state
        .referring(chain, "chainId", Kind::Rule)
        .enumerate()
        .map(|(index, rule)| placed(rule, index + 1))
        .collect()
}

fn placed(rule: &Arc<Object>, position: usize) -> Arc<Object> {
    let mut shown = Object::clone(rule);
    shown.set("position", Value::Number(i64::try_from(position).unwrap_or(i64::MAX)));
    Arc::new(shown)
}

/// Links two ports.
pub(crate) fn link(change: &mut Transaction<'_>, port: Uuid, peer: Uuid) {
    change.set(Kind::Port, port, "peerId", Value::Uuid(peer));
    change.set(Kind::Port, peer, "peerId", Value::Uuid(port));
}

/// Returns true if a 1.7 server can delete an object. 1.7 does not check a peer or a host in the body of a new port;
/// such a port can never be deleted, nor can its device (the README: "deleting such a port is 500 ever after"). The same
/// holds for a port whose record lost an unbinding or a leaving of a port group (README, 17), and for a port group that
/// has a port which does not exist (not recorded).
pub(crate) fn can_be_deleted(state: &State, kind: Kind, id: Uuid) -> bool {
    match kind {
        Kind::Router | Kind::Bridge => {
            state.referring(id, "deviceId", Kind::Port).all(|port| is_sound(state, port))
        }
        Kind::Port => state.get(Kind::Port, id).is_none_or(|port| is_sound(state, port)),
        Kind::PortGroup => state
            .referring(id, "portGroupId", Kind::PortGroupPort)
            .all(|member| member.uuid("portId").is_some_and(|port| state.has(Kind::Port, port))),
        _ => true,
    }
}

/// Returns true if the port's peer, host and port groups refer back to the port.
fn is_sound(state: &State, port: &Object) -> bool {
    let peer_knows = port.uuid("peerId").is_none_or(|peer| {
        state.get(Kind::Port, peer).is_some_and(|peer| peer.uuid("peerId") == Some(port.id))
    });
    let host_knows = port.uuid("hostId").is_none_or(|host| {
        state
            .referring(port.id, "portId", Kind::HostInterfacePort)
            .any(|binding| binding.uuid("hostId") == Some(host))
    });
    let groups_know = port.uuids("portGroupIds").iter().all(|group| {
        state
            .referring(port.id, "portId", Kind::PortGroupPort)
            .any(|member| member.uuid("portGroupId") == Some(*group))
    });
    peer_knows && host_knows && groups_know
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(state: &mut State, chain: Uuid, position: i64, id: u128) {
        let mut change = state.begin();
        let rank = rank_at(&mut change, chain, position).unwrap();
        let fields = vec![("chainId", Value::Uuid(chain)), (RANK, Value::Number(rank))];
        change.create(Object::new(Kind::Rule, Uuid::from_u128(id), fields));
        change.commit();
    }

    #[test]
    fn rules_are_at_their_positions() {
        let chain = Uuid::from_u128(1);
        let mut state = State::default();
        let mut model: Vec<u128> = Vec::new();
        // Inserting always at position 2 uses up the room between two ranks again and again.
        for id in 10..200 {
            let position = if model.is_empty() { 1 } else { 2 };
            insert(&mut state, chain, position, id);
            model.insert(usize::try_from(position).unwrap() - 1, id);
        }
        insert(&mut state, chain, 1, 500);
        model.insert(0, 500);
        let end = i64::try_from(model.len()).unwrap() + 1;
        insert(&mut state, chain, end, 501);
        model.push(501);
        let order: Vec<u128> = rules(&state, chain).iter().map(|rule| rule.id.as_u128()).collect();
        assert_eq!(order, model);
        let mut change = state.begin();
        assert_eq!(rank_at(&mut change, chain, end + 2), None);
        assert_eq!(rank_at(&mut change, chain, 0), None);
    }
}
