//! The records of ports on 1.7.
//!
//! 1.7 keeps a port's link, binding, port groups and filters in one record. A call reads the record, changes it and
//! writes it, without a check for another write in between. Of two calls about one port at the same time, one is lost:
//! an unbinding and a leaving of a port group are both 204, and the port can't be deleted any more (README, 17). Here a
//! call reads the records when it arrives, and writes them a moment later.

use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::{Api, Call, Method, uuid_of};
use crate::failure::Failure;
use crate::http::path::Target;
use crate::object::Object;
use crate::schema::Kind;
use crate::state::State;

impl Api {
    /// Returns true if a call reads and writes the records of ports.
    pub(crate) fn writes_port_records(&self, method: Method, target: &Target) -> bool {
        self.version.traits().is_1x
            && match (method, target) {
                (Method::Put, Target::Object(Kind::Port, _)) => true,
                (Method::Post | Method::Delete, Target::Link(_)) => true,
                (Method::Post, Target::ChildCollection(_, _, kind))
                | (Method::Delete, Target::Child(_, _, kind, _)) => {
                    matches!(kind, Kind::HostInterfacePort | Kind::PortGroupPort)
                }
                _ => false,
            }
    }

    /// Reads the records of the ports that a call writes.
    pub(crate) fn read_port_records(&self, call: &Call<'_>) -> Vec<Arc<Object>> {
        let named = |field: &str| {
            let body: Option<Json> = serde_json::from_slice(call.body).ok();
            body.and_then(|body| uuid_of(body.get(field)?.as_str()?))
        };
        let state = self.lock();
        let port = match &call.target {
            Target::Object(_, id) | Target::Link(id) | Target::Child(_, _, _, id) => uuid_of(id),
            _ => named("portId"),
        };
        let peer = match (&call.target, call.method) {
            (Target::Link(_), Method::Post) => named("peerId"),
            (Target::Link(_), _) => port.and_then(|port| state.get(Kind::Port, port)?.uuid("peerId")),
            _ => None,
        };
        let read = |id: Uuid| state.get(Kind::Port, id).cloned();
        [port, peer].into_iter().flatten().filter_map(read).collect()
    }

    /// Refuses a call if a port that it has read does not exist any more: 1.7 finds no record to write.
    pub(super) fn check_port_records(&self, state: &State, call: &Call<'_>) -> Result<(), Failure> {
        match call.port_records.iter().all(|read| state.has(Kind::Port, read.id)) {
            true => Ok(()),
            false => Err(Failure::Crash(String::new())),
        }
    }
}
