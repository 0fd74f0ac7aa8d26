//! Creates BGP peers and networks of routers (5.x), and BGP sessions of ports (1.7). Not recorded; MidoNet's source.

use uuid::Uuid;

use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::deserialize::Draft;
use crate::http::reply::Reply;
use crate::integrity::{self, new_id};
use crate::object::{Object, Value};
use crate::resources::port;
use crate::schema::Kind;
use crate::state::State;
use crate::validation::is_address;

impl Api {
    /// Creates a BGP peer or a BGP network of a router.
    pub(super) fn create_router_bgp(&self, call: &Call<'_>, kind: Kind, router: Uuid) -> Outcome {
        let mut draft = self.draft(call, kind)?;
        // The number of a body without one is 0, which the constraints refuse.
        if kind == Kind::BgpPeer && draft.get("asNumber").is_none() {
            draft.set("asNumber", Value::Number(0));
        }
        self.validate(kind, &draft)?;
        let mut state = self.lock();
        if !state.has(Kind::Router, router) {
            return Err(Failure::missing(Kind::Router, router, Operation::Create(kind)));
        }
        if kind == Kind::BgpPeer && self.version.traits().refuses_duplicates {
            check_peer_is_new(&state, router, &draft)?;
        }
        draft.set("routerId", Value::Uuid(router));
        let id = new_id(&state, kind, self.version, &draft)?;
        let mut change = state.begin();
        change.create(integrity::object(kind, id, draft));
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/{}/{id}", call.base, kind.path()))), ticket))
    }

    /// Creates a BGP session of a router's port.
    pub(super) fn create_port_bgp(&self, call: &Call<'_>, port: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::Bgp)?;
        match draft.get("peerAddr") {
            Some(Value::Text(address)) if is_address(address) => {}
            _ => return Err(Failure::Crash(String::new())),
        }
        let mut state = self.lock();
        if !state.get(Kind::Port, port).is_some_and(|port| has_bgp(port)) {
            return Err(Failure::missing(Kind::Port, port, Operation::Create(Kind::Bgp)));
        }
        draft.set("portId", Value::Uuid(port));
        let id = new_id(&state, Kind::Bgp, self.version, &draft)?;
        let mut change = state.begin();
        change.create(integrity::object(Kind::Bgp, id, draft));
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/bgps/{id}", call.base))), ticket))
    }
}

/// Returns true if a port can have BGP sessions on 1.7: a bridge's port has no place for them.
pub(super) fn has_bgp(port: &Object) -> bool {
    port.type_name() == port::ROUTER
}

/// Checks that the router has no peer with the same address and AS number.
fn check_peer_is_new(state: &State, router: Uuid, draft: &Draft) -> Result<(), Failure> {
    let is_same =
        |peer: &Object| ["address", "asNumber"].into_iter().all(|name| peer.get(name) == draft.get(name));
    let mut peers = state.referring(router, "routerId", Kind::BgpPeer);
    let Some(peer) = peers.find(|peer| is_same(peer)) else { return Ok(()) };
    let (address, number) = (peer.text("address").unwrap_or_default(), peer.number("asNumber").unwrap_or(0));
    Err(Failure::bad(format!("A BGP peer with address {address} and AS number {number} already exists.")))
}
