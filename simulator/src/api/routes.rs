//! Creates routes.

use uuid::Uuid;

use super::create::refused;
use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::deserialize::Draft;
use crate::http::reply::Reply;
use crate::integrity::{self, new_id};
use crate::object::Value;
use crate::resources::{port, route};
use crate::schema::Kind;
use crate::state::State;

/// The message about a Normal route whose next hop port is not a port of its router (07-route, steps 8, 11 and 12).
const NEXT_HOP: &str = "This type of route requires a next hop port that is a port on the same router.";

impl Api {
    pub(super) fn create_route(&self, call: &Call<'_>, router: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::Route)?;
        self.validate(Kind::Route, &draft)?;
        let mut state = self.lock();
        let normal = matches!(draft.get("type"), Some(Value::Text(kind)) if &**kind == "Normal");
        let through = draft.uuid("nextHopPort");
        if normal {
            let port = through.and_then(|port| state.get(Kind::Port, port));
            if port.is_none_or(|port| port.uuid("deviceId") != Some(router)) {
                return Err(refused("nextHopPort", NEXT_HOP, 400));
            }
        }
        draft.set("routerId", self.owner(&state, router, &draft)?.map_or(Value::Null, Value::Uuid));
        let id = new_id(&state, Kind::Route, self.version, &draft)?;
        let mut change = state.begin();
        change.create(integrity::object(Kind::Route, id, draft));
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/routes/{id}", call.base))), ticket))
    }

    /// Returns the router of a new route. On 1.7 it is the router in the path; on 5.x it is the router of the next hop
    /// port, even if the path names another (random9, steps 33, 92 and 96; random10, steps 61, 94 and 98).
    fn owner(&self, state: &State, router: Uuid, draft: &Draft) -> Result<Option<Uuid>, Failure> {
        let is_1x = self.version.traits().is_1x;
        match draft.uuid("nextHopPort") {
            Some(port) if !is_1x => match state.get(Kind::Port, port) {
                None => Err(Failure::missing(Kind::Port, port, Operation::Reference)),
                Some(port) if port.type_name() == port::ROUTER => Ok(port.uuid("deviceId")),
                Some(_) => Ok(None),
            },
            _ if matches!(draft.get("type"), Some(Value::Text(kind)) if &**kind == route::LOCAL) => Ok(None),
            _ if state.has(Kind::Router, router) => Ok(Some(router)),
            _ => Err(Failure::missing(Kind::Router, router, Operation::Create(Kind::Route))),
        }
    }
}
