//! Creates ports, and creates and deletes the links between ports.

use uuid::Uuid;

use super::create::refused;
use super::media_type::{self, Purpose};
use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::deserialize::{self, Draft, MODELS};
use crate::http::reply::Reply;
use crate::integrity::{self, check_references, new_id};
use crate::object::{Object, Value};
use crate::resources::port;
use crate::schema::Kind;
use crate::state::State;
use crate::validation::Violation;

impl Api {
    pub(super) fn create_port(&self, call: &Call<'_>, parent: Kind, device: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::Port)?;
        let of_router = draft.type_name == port::ROUTER;
        if of_router != (parent == Kind::Router) && (parent == Kind::Router || self.version.traits().is_1x) {
            let (is, wanted) =
                if of_router { ("RouterPort", "BridgePort") } else { ("BridgePort", "RouterPort") };
            return Err(Failure::Crash(format!(
                "java.lang.IllegalArgumentException: Class {MODELS}.{is} is not assignable to {MODELS}.{wanted}"
            )));
        }
        self.check_port_form(call, &draft)?;
        self.validate(Kind::Port, &draft)?;
        if of_router != (parent == Kind::Router) {
            return Err(Failure::bad("Not a bridge port."));
        }
        let mut state = self.lock();
        // 5.x checks the router last, in the order of its storage's declarations of references (not recorded).
        let device_last = of_router && !self.version.traits().is_1x;
        let device_is_there = || match state.has(parent, device) {
            true => Ok(()),
            false => Err(Failure::missing(parent, device, Operation::Create(Kind::Port))),
        };
        if !device_last {
            device_is_there()?;
        }
        let peer = self.check_initial_links(&state, &draft)?;
        check_references(&state, Kind::Port, self.version, &draft)?;
        if device_last {
            device_is_there()?;
        }
        let id = new_id(&state, Kind::Port, self.version, &draft)?;

        let mut change = state.begin();
        draft.set("deviceId", Value::Uuid(device));
        if !self.version.traits().is_1x {
            draft.set("tunnelKey", Value::Number(change.next_tunnel_key()));
        }
        let mut route = None;
        if of_router {
            if draft.get("portMac").is_none() {
                draft.set("portMac", Value::text(random_mac()));
            }
            if let Some(Value::Text(address)) = draft.get("portAddress") {
                route = Some(integrity::automatic_route(self.version, device, id, address));
            }
        }
        change.create(integrity::object(Kind::Port, id, draft));
        if let Some(route) = route {
            change.create(route);
        }
        if let Some(peer) = peer {
            integrity::link(&mut change, id, peer);
        }
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/ports/{id}", call.base))), ticket))
    }

    /// Checks the name of a port's type on 1.7, which has older names for the older representation (the README, for
    /// plain JSON; the messages are MidoNet's, not recorded).
    fn check_port_form(&self, call: &Call<'_>, draft: &Draft) -> Result<(), Failure> {
        if !self.version.traits().is_1x {
            return Ok(());
        }
        let older = media_type::is_older(
            call.content_type,
            &media_type::offers(Kind::Port, self.version, Purpose::Body),
        );
        let device = draft.type_name;
        match (older, draft.older) {
            (true, false) => Err(Failure::bad(format!(
                "Invalid port type.  Only Interior{device} and Exterior{device} are accepted."
            ))),
            (false, true) => {
                Err(Failure::bad(format!("Invalid port type.  Only {device} type is accepted.")))
            }
            _ => Ok(()),
        }
    }

    /// Checks the peer and the host in the body of a port, and returns the peer to link. 1.7 stores both without a
    /// check (the README); 5.x checks them (the messages are MidoNet's, not recorded).
    pub(super) fn check_initial_links(&self, state: &State, draft: &Draft) -> Result<Option<Uuid>, Failure> {
        if self.version.traits().is_1x {
            return Ok(None);
        }
        let peer = match draft.uuid("peerId") {
            None => None,
            Some(peer) => match state.get(Kind::Port, peer) {
                None => return Err(Failure::missing(Kind::Port, peer, Operation::Reference)),
                Some(port) => {
                    if let Some(other) = port.uuid("peerId") {
                        let message = format!(
                            "Operation failed because the Port with ID {peer} already references the Port with ID \
                             {other} via the field peer_id. This field can accommodate only one reference."
                        );
                        return Err(Failure::Message { status: 409, message });
                    }
                    Some(peer)
                }
            },
        };
        match draft.uuid("hostId") {
            Some(host) if !state.has(Kind::Host, host) => {
                Err(Failure::missing(Kind::Host, host, Operation::Reference))
            }
            _ => Ok(peer),
        }
    }

    /// Creates a link (06-port-link). The reply has a location on 1.7 only (step 4).
    pub(super) fn link(&self, call: &Call<'_>, id: &str) -> Outcome {
        let offers = media_type::named(&["application/vnd.org.midonet.PortLink-v1+json", media_type::JSON]);
        let port = Self::path_id(id)?;
        let body = self.body(call, &offers)?;
        let link = deserialize::link(&body.value).map_err(Failure::Body)?;
        body.checked?;
        let is_1x = self.version.traits().is_1x;
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        let there = (state.get(Kind::Port, port), link.peer.and_then(|peer| state.get(Kind::Port, peer)));
        let (peer, free) = match (there, link.peer) {
            ((Some(a), Some(b)), Some(peer)) => {
                (peer, if is_1x { linkable_1x(a, b) } else { linkable_5x(a, b) })
            }
            ((a, b), _) if is_1x => {
                return Err(Failure::Violations(bad_ends(a.is_some(), b.is_some())));
            }
            (_, None) => return Err(Failure::null()),
            ((None, _), _) => return Err(Failure::missing(Kind::Port, port, Operation::Reference)),
            ((Some(_), _), Some(peer)) => {
                return Err(Failure::missing(Kind::Port, peer, Operation::Reference));
            }
        };
        if !free {
            return Err(refused("link", "Ports are not linkable.", self.version.traits().conflict_status));
        }
        let mut change = state.begin();
        integrity::link(&mut change, port, peer);
        let ticket = self.commit(call, change);
        Ok((Reply::created(is_1x.then(|| format!("{}/ports/{port}/link", call.base))), ticket))
    }

    /// Deletes a link: 204 even if there is none; 404 on 5.x if the port does not exist (random10, step 43).
    pub(super) fn unlink(&self, call: &Call<'_>, id: &str) -> Outcome {
        let port = Self::path_id(id)?;
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        if !state.has(Kind::Port, port) {
            return if self.version.traits().is_1x {
                Ok((Reply::done(), None))
            } else {
                Err(Failure::missing(Kind::Port, port, Operation::Read))
            };
        }
        let mut change = state.begin();
        integrity::unlink(&mut change, port);
        let ticket = self.commit(call, change);
        Ok((Reply::done(), ticket))
    }
}

/// Returns a violation for each missing end of a link (06-port-link, steps 11 and 12; random2, step 58).
fn bad_ends(port: bool, peer: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    for (there, field) in [(port, "portId"), (peer, "peerId")] {
        if !there {
            found.push(Violation::new(field, "Port ID is not valid."));
        }
    }
    found
}

/// Returns true if 5.x links two ports: neither has a peer. It even links a port to itself (random10, step 27).
fn linkable_5x(a: &Object, b: &Object) -> bool {
    a.uuid("peerId").is_none() && b.uuid("peerId").is_none()
}

/// Returns true if 1.7 links two ports: they differ, neither is linked or bound (the README), and of two bridge ports
/// exactly one has a VLAN.
fn linkable_1x(a: &Object, b: &Object) -> bool {
    let free = |port: &Object| port.uuid("peerId").is_none() && port.uuid("hostId").is_none();
    let of_bridge = |port: &Object| port.type_name() == port::BRIDGE;
    let tagged = |port: &Object| matches!(port.get("vlanId"), Some(Value::Number(_)));
    a.id != b.id && free(a) && free(b) && !(of_bridge(a) && of_bridge(b) && tagged(a) == tagged(b))
}

/// Returns a random MAC address with the servers' prefix, ac:ca:ba.
fn random_mac() -> String {
    let random = Uuid::new_v4();
    let [.., a, b, c] = *random.as_bytes();
    format!("ac:ca:ba:{a:02x}:{b:02x}:{c:02x}")
}
