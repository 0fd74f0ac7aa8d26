//! PUT, DELETE, and the links of ports.

use uuid::Uuid;

use super::create::refused;
use super::read::{check_ip_version, child_field};
use super::{Api, Call, Outcome, uuid_of};
use crate::failure::{During, Failure};
use crate::http::bind;
use crate::http::media;
use crate::http::reply::Reply;
use crate::integrity::{self, check_references};
use crate::object::{Object, Value};
use crate::resources::port;
use crate::schema::Kind;
use crate::validation::Violation;

/// What a PUT on a port leaves as it is on 5.x once it is set (random3, step 43), whatever the body says (that is not
/// recorded).
const KEPT_ON_5X: &[&str] = &["hostId", "interfaceName", "peerId"];
/// What it leaves as it is on 1.7 whatever the body says (the README; random1, step 27).
const KEPT_ON_1X: &[&str] = &[
    "hostId",
    "interfaceName",
    "peerId",
    "networkAddress",
    "networkLength",
    "portAddress",
    "portMac",
    "vlanId",
    "vifId",
];

/// What a PUT on a host leaves as it is: all but its weight (not recorded).
const KEPT_OF_HOSTS: &[&str] = &["containerWeight", "containerLimit", "enforceContainerLimit"];

impl Api {
    /// PUT: the body takes the thing's place.
    pub(super) fn replace(&self, call: &Call<'_>, kind: Kind, id: &str) -> Outcome {
        let first = self.version.traits().first_generation;
        let mut draft = self.draft(call, kind)?;
        let mut state = self.lock();
        if first {
            self.validate(kind, &draft)?;
        }
        let before = self.find(&state, kind, id, During::Change)?;
        if !first {
            self.validate(kind, &draft)?;
        }
        if draft.type_name != before.type_name() {
            let models = "org.midonet.cluster.rest_api.models";
            let (is, wanted) =
                (bind::model_of(kind, before.type_name()), bind::model_of(kind, draft.type_name));
            let message = Some(format!("{models}.{is} cannot be cast to {models}.{wanted}"));
            return Err(Failure::Exception { class: "java.lang.ClassCastException", message });
        }
        if kind == Kind::TunnelZone {
            self.check_zone_name(&state, &draft)?;
        }
        // It is all that can be changed of a host (not recorded).
        if kind == Kind::Host && draft.get("floodingProxyWeight").is_none() {
            return Err(Failure::bad("Flooding proxy weight must not be null."));
        }
        check_references(&state, kind, self.version, &draft)?;
        let kept = match kind {
            Kind::Port if first => {
                draft.fields.retain(|(name, _)| !KEPT_ON_1X.contains(name));
                KEPT_ON_1X
            }
            Kind::Port => {
                draft.fields.retain(|(name, _)| !KEPT_ON_5X.contains(name) || before.get(name).is_none());
                KEPT_ON_5X
            }
            Kind::Host => {
                draft.fields.retain(|(name, _)| *name == "floodingProxyWeight");
                KEPT_OF_HOSTS
            }
            _ => &[],
        };
        let peer = match kind {
            Kind::Port => self.check_born_linked(&state, &draft)?,
            _ => None,
        };
        let mut change = state.begin();
        change.put(integrity::replacement(&before, self.version, draft, kept));
        if let Some(peer) = peer {
            integrity::link(&mut change, before.id, peer);
        }
        let ticket = self.keep(change);
        // A host's PUT answers with 200, everything else's with 204 (02-router, step 4).
        let reply = if kind == Kind::Host { Reply::status(200) } else { Reply::done() };
        Ok((reply, ticket))
    }

    /// DELETE of a thing at the root. What is not there is gone for most: 5.x says 404 for bridges, chains, ports and
    /// rules (04-chain-rule, steps 23 and 31; random4, steps 23 and 78), 1.7 for nothing.
    pub(super) fn delete(&self, kind: Kind, id: &str) -> Outcome {
        let first = self.version.traits().first_generation;
        let must_be_there =
            matches!(kind, Kind::Bridge | Kind::Chain | Kind::Port | Kind::Rule | Kind::Host) && !first;
        let mut state = self.lock();
        let found = match self.find(&state, kind, id, During::Read) {
            Err(Failure::Missing { .. }) if !must_be_there => return Ok((Reply::done(), None)),
            other => other?,
        };
        if kind == Kind::Host {
            let bound = self.bindings(&state, found.id).len();
            self.check_host_may_go(found.id, bound)?;
        }
        if first && !integrity::can_be_deleted(&state, kind, found.id) {
            return Err(Failure::Crash(String::new()));
        }
        let mut change = state.begin();
        integrity::delete(&mut change, self.version, kind, found.id);
        let ticket = self.keep(change);
        // A host's end is a 200, as its PUT is (not recorded).
        let reply = if kind == Kind::Host { Reply::status(200) } else { Reply::done() };
        Ok((reply, ticket))
    }

    fn check_host_may_go(&self, host: Uuid, bound: usize) -> Result<(), Failure> {
        let message = match (self.version.traits().host_alive, bound) {
            // The README says that, and MidoNet in which words: only 1.7's hosts are alive here.
            (true, _) => {
                "Midolman Agent is still active on this host. You must remove all port bindings on this host \
                          and shutdown midolman before deleting this host."
                    .to_owned()
            }
            (false, 0) => return Ok(()),
            (false, bound) => format!("Cannot delete host {host} because it has {bound} binding(s)."),
        };
        Err(Failure::Plain { status: 403, message })
    }

    /// DELETE of a binding or a member.
    pub(super) fn delete_within(&self, parent: Kind, id: &str, kind: Kind, child: &str) -> Outcome {
        let id = Self::path_id(id)?;
        if kind == Kind::Binding {
            // 5.x looks for the port under whatever its path says.
            return match uuid_of(child) {
                Some(child) => self.unbind(id, child),
                None if self.version.traits().first_generation => Err(Failure::BadPathId(child.to_owned())),
                None => Err(Failure::Missing {
                    class: Kind::Port.class(),
                    kind: Some(Kind::Port),
                    id: child.to_owned(),
                    during: During::Read,
                }),
            };
        }
        let child = Self::path_id(child)?;
        let first = self.version.traits().first_generation;
        let mut state = self.lock();
        if !state.has(parent, id) && !first {
            return Err(Failure::missing(parent, id, During::Read));
        }
        let parent_field = if parent == Kind::TunnelZone { "tunnelZoneId" } else { "portGroupId" };
        let mut change = state.begin();
        let members = change.naming(id, parent_field, kind);
        let Some(member) = members.iter().find(|member| member.uuid(child_field(kind)) == Some(child)) else {
            // 5.x does not mind when the member is gone as well.
            let gone = kind == Kind::PortGroupPort && !change.state().has(Kind::Port, child);
            return if first || gone { Ok((Reply::done(), None)) } else { Err(Failure::Bare(404)) };
        };
        change.delete(kind, member.id);
        let ticket = self.keep(change);
        Ok((Reply::done(), ticket))
    }

    /// DELETE of an address of a group.
    pub(super) fn delete_address(&self, group: &str, version: &str, address: &str) -> Outcome {
        check_ip_version(version)?;
        let group = Self::path_id(group)?;
        let first = self.version.traits().first_generation;
        let mut state = self.lock();
        if !state.has(Kind::AddressGroup, group) && !first {
            return Err(Failure::missing(Kind::AddressGroup, group, During::List));
        }
        let mut change = state.begin();
        for known in change.naming(group, "ipAddrGroupId", Kind::GroupAddress) {
            if known.text("addr") == Some(address) {
                change.delete(Kind::GroupAddress, known.id);
            }
        }
        let ticket = self.keep(change);
        Ok((Reply::done(), ticket))
    }

    /// POST of a link (06-port-link). 1.7 names the place of the link, 5.x does not (step 4).
    pub(super) fn link(&self, call: &Call<'_>, id: &str) -> Outcome {
        let offers = media::named(&["application/vnd.org.midonet.PortLink-v1+json", media::JSON]);
        let port = Self::path_id(id)?;
        let body = self.body(call, &offers)?;
        let link = bind::link(&body.value).map_err(Failure::Body)?;
        body.checked?;
        let first = self.version.traits().first_generation;
        let mut state = self.lock();
        let there = (state.get(Kind::Port, port), link.peer.and_then(|peer| state.get(Kind::Port, peer)));
        let (peer, free) = match (there, link.peer) {
            ((Some(a), Some(b)), Some(peer)) => {
                (peer, if first { linkable_1x(a, b) } else { linkable_5x(a, b) })
            }
            ((a, b), _) if first => {
                return Err(Failure::Violations(bad_ends(a.is_some(), b.is_some())));
            }
            (_, None) => return Err(Failure::null()),
            ((None, _), _) => return Err(Failure::missing(Kind::Port, port, During::Reference)),
            ((Some(_), _), Some(peer)) => {
                return Err(Failure::missing(Kind::Port, peer, During::Reference));
            }
        };
        if !free {
            return Err(refused("link", "Ports are not linkable.", self.version.traits().taken));
        }
        let mut change = state.begin();
        integrity::link(&mut change, port, peer);
        let ticket = self.keep(change);
        Ok((Reply::created(first.then(|| format!("{}/ports/{port}/link", call.base))), ticket))
    }

    /// DELETE of a link: 204 also when there is none; 404 on 5.x when the port is not there (random10, step 43).
    pub(super) fn unlink(&self, id: &str) -> Outcome {
        let port = Self::path_id(id)?;
        let mut state = self.lock();
        if !state.has(Kind::Port, port) {
            return if self.version.traits().first_generation {
                Ok((Reply::done(), None))
            } else {
                Err(Failure::missing(Kind::Port, port, During::Read))
            };
        }
        let mut change = state.begin();
        integrity::unlink(&mut change, port);
        let ticket = self.keep(change);
        Ok((Reply::done(), ticket))
    }
}

/// Which ends of a link are not there (06-port-link, steps 11 and 12; random2, step 58).
fn bad_ends(port: bool, peer: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    for (there, field) in [(port, "portId"), (peer, "peerId")] {
        if !there {
            found.push(Violation::new(field, "Port ID is not valid."));
        }
    }
    found
}

/// 5.x links any two ports that have no peer, even a port to itself (random10, step 27).
fn linkable_5x(a: &Object, b: &Object) -> bool {
    a.uuid("peerId").is_none() && b.uuid("peerId").is_none()
}

/// 1.7 wants two different ports, neither linked nor bound (the README), and of two bridges' ports one with a VLAN.
fn linkable_1x(a: &Object, b: &Object) -> bool {
    let free = |port: &Object| port.uuid("peerId").is_none() && port.uuid("hostId").is_none();
    let of_bridge = |port: &Object| port.type_name() == port::BRIDGE;
    let tagged = |port: &Object| matches!(port.get("vlanId"), Some(Value::Number(_)));
    a.id != b.id && free(a) && free(b) && !(of_bridge(a) && of_bridge(b) && tagged(a) == tagged(b))
}
