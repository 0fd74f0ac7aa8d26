//! PUT and DELETE.

use uuid::Uuid;

use super::read::{check_ip_version, child_field};
use super::{Api, Call, Outcome, uuid_of};
use crate::failure::{Failure, Operation};
use crate::http::deserialize::{self, Draft, MODELS};
use crate::http::reply::Reply;
use crate::integrity::{self, check_references, leave_group, load_balancer};
use crate::object::Object;
use crate::schema::Kind;

/// The fields of a port that a PUT on 5.x does not change once they are set (random3, step 43), even if the body has
/// another value (not recorded).
const KEPT_ON_5X: &[&str] = &["hostId", "interfaceName", "peerId"];
/// The fields of a port that a PUT on 1.7 never changes (the README; random1, step 27).
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

/// The fields of a router or a bridge that a PUT on 1.7 does not change (18-tenant-id, steps 2 and 6).
const KEPT_OF_DEVICES_ON_1X: &[&str] = &["tenantId"];
/// The fields of a host that a PUT does not change: all but its flooding proxy weight (not recorded).
const KEPT_OF_HOSTS: &[&str] = &["containerWeight", "containerLimit", "enforceContainerLimit"];

impl Api {
    /// Replaces an object by the body (PUT).
    pub(super) fn replace(&self, call: &Call<'_>, kind: Kind, id: &str) -> Outcome {
        let is_1x = self.version.traits().is_1x;
        let mut draft = self.draft(call, kind)?;
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        if is_1x {
            self.validate(kind, &draft)?;
        }
        let before = self.find(&state, kind, id, Operation::Change)?;
        if !is_1x {
            self.validate(kind, &draft)?;
        }
        if draft.type_name != before.type_name() {
            let (is, wanted) = (
                deserialize::model_of(kind, before.type_name()),
                deserialize::model_of(kind, draft.type_name),
            );
            let message = Some(format!("{MODELS}.{is} cannot be cast to {MODELS}.{wanted}"));
            return Err(Failure::Exception { class: "java.lang.ClassCastException", message });
        }
        if kind == Kind::TunnelZone {
            self.check_zone_name(&state, &draft)?;
        }
        // Nothing else of a host can be changed (not recorded).
        if kind == Kind::Host && draft.get("floodingProxyWeight").is_none() {
            return Err(Failure::bad("Flooding proxy weight must not be null."));
        }
        if kind == Kind::LoadBalancer {
            load_balancer::check_router(Some(&before), &draft)?;
        }
        check_references(&state, kind, self.version, &draft)?;
        if kind == Kind::Router {
            load_balancer::check_is_free(&state, self.version, Some(before.id), &draft)?;
        }
        let kept = self.keep_fields(&before, &mut draft);
        let peer = match kind {
            Kind::Port => self.check_initial_links(&state, &draft)?,
            _ => None,
        };
        let mut change = state.begin();
        change.put(integrity::replacement(&before, self.version, draft, kept));
        if kind == Kind::Router {
            load_balancer::attach(&mut change, before.id, load_balancer::of_router(&before));
        }
        if let Some(peer) = peer {
            integrity::link(&mut change, before.id, peer);
        }
        let ticket = self.commit(call, change);
        // A PUT on a host returns 200, all others 204 (02-router, step 4).
        let reply = if kind == Kind::Host { Reply::status(200) } else { Reply::done() };
        Ok((reply, ticket))
    }

    /// Removes from a body the fields that a PUT does not change, and returns those that the object keeps.
    fn keep_fields(&self, before: &Object, draft: &mut Draft) -> &'static [&'static str] {
        let is_1x = self.version.traits().is_1x;
        match before.kind {
            Kind::Port if is_1x => {
                draft.fields.retain(|(name, _)| !KEPT_ON_1X.contains(name));
                KEPT_ON_1X
            }
            Kind::Port => {
                draft.fields.retain(|(name, _)| !KEPT_ON_5X.contains(name) || before.get(name).is_none());
                KEPT_ON_5X
            }
            Kind::Router | Kind::Bridge if is_1x => {
                draft.fields.retain(|(name, _)| !KEPT_OF_DEVICES_ON_1X.contains(name));
                KEPT_OF_DEVICES_ON_1X
            }
            Kind::Host => {
                draft.fields.retain(|(name, _)| *name == "floodingProxyWeight");
                KEPT_OF_HOSTS
            }
            _ => &[],
        }
    }

    /// Deletes an object of a collection at the root. A missing object is a success for most kinds; 5.x returns 404 for
    /// bridges, chains, ports, rules and hosts (04-chain-rule, steps 23 and 31; random4, steps 23 and 78), and 1.7 500 for BGP
    /// sessions (not recorded).
    pub(super) fn delete(&self, call: &Call<'_>, kind: Kind, id: &str) -> Outcome {
        let is_1x = self.version.traits().is_1x;
        let must_be_there = match kind {
            Kind::Bridge | Kind::Chain | Kind::Port | Kind::Rule | Kind::Host => !is_1x,
            Kind::Bgp => true,
            _ => false,
        };
        let mut state = self.lock();
        let found = match self.find(&state, kind, id, Operation::Read) {
            Err(Failure::Missing { .. }) if !must_be_there => return Ok((Reply::done(), None)),
            other => other?,
        };
        if kind == Kind::Host {
            let bound = self.bindings(&state, found.id).len();
            self.check_host_may_go(found.id, bound)?;
        }
        if kind == Kind::Router {
            load_balancer::check_router_may_go(&state, self.version, found.id)?;
        }
        if is_1x && !integrity::can_be_deleted(&state, kind, found.id) {
            return Err(Failure::Crash(String::new()));
        }
        let mut change = state.begin();
        integrity::delete(&mut change, self.version, kind, found.id);
        let ticket = self.commit(call, change);
        // A DELETE of a host returns 200, as its PUT does (not recorded).
        let reply = if kind == Kind::Host { Reply::status(200) } else { Reply::done() };
        Ok((reply, ticket))
    }

    fn check_host_may_go(&self, host: Uuid, bound: usize) -> Result<(), Failure> {
        let message = match (self.version.traits().host_alive || self.agents.is_some(), bound) {
            // The README states the refusal, MidoNet's source the message. Without agents, only the
            // hosts of 1.7 are alive here.
            (true, _) => {
                "Midolman Agent is still active on this host. You must remove all port bindings on this host \
                          and shutdown midolman before deleting this host."
                    .to_owned()
            }
            (false, 0) => return Ok(()),
            (false, bound) => format!("Cannot delete host {host} because it has {bound} binding(s)."),
        };
        Err(Failure::Message { status: 403, message })
    }

    /// Deletes a binding or a member.
    pub(super) fn delete_child(
        &self,
        call: &Call<'_>,
        parent: Kind,
        id: &str,
        kind: Kind,
        child: &str,
    ) -> Outcome {
        let id = Self::path_id(id)?;
        if kind == Kind::HostInterfacePort {
            // 5.x looks for the port, whatever the id in the path is.
            return match uuid_of(child) {
                Some(child) => self.unbind(call, id, child),
                None if self.version.traits().is_1x => Err(Failure::BadPathId(child.to_owned())),
                None => Err(Failure::Missing {
                    class: Kind::Port.class(),
                    kind: Some(Kind::Port),
                    id: child.to_owned(),
                    operation: Operation::Read,
                }),
            };
        }
        if matches!(kind, Kind::DhcpSubnet | Kind::DhcpSubnet6) {
            return self.delete_subnet(call, id, kind, child);
        }
        let child = Self::path_id(child)?;
        let is_1x = self.version.traits().is_1x;
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        if !state.has(parent, id) && !is_1x {
            return Err(Failure::missing(parent, id, Operation::Read));
        }
        let parent_field = if parent == Kind::TunnelZone { "tunnelZoneId" } else { "portGroupId" };
        let mut change = state.begin();
        let members = change.referring(id, parent_field, kind);
        let Some(member) = members.iter().find(|member| member.uuid(child_field(kind)) == Some(child)) else {
            // On 5.x it is a success if the port does not exist either.
            let gone = kind == Kind::PortGroupPort && !change.state().has(Kind::Port, child);
            return if is_1x || gone { Ok((Reply::done(), None)) } else { Err(Failure::StatusOnly(404)) };
        };
        if is_1x && kind == Kind::PortGroupPort {
            // Without the port there is no record to write (not recorded).
            if !change.state().has(Kind::Port, child) {
                return Err(Failure::Crash(String::new()));
            }
            leave_group(&mut change, child, id);
        }
        change.delete(kind, member.id);
        let ticket = self.commit(call, change);
        Ok((Reply::done(), ticket))
    }

    /// Deletes an address of an address group.
    pub(super) fn delete_address(
        &self,
        call: &Call<'_>,
        group: &str,
        version: &str,
        address: &str,
    ) -> Outcome {
        check_ip_version(version)?;
        let group = Self::path_id(group)?;
        let is_1x = self.version.traits().is_1x;
        let mut state = self.lock();
        if !state.has(Kind::IpAddrGroup, group) && !is_1x {
            return Err(Failure::missing(Kind::IpAddrGroup, group, Operation::List));
        }
        let mut change = state.begin();
        for known in change.referring(group, "ipAddrGroupId", Kind::IpAddrGroupAddr) {
            if known.text("addr") == Some(address) {
                change.delete(Kind::IpAddrGroupAddr, known.id);
            }
        }
        let ticket = self.commit(call, change);
        Ok((Reply::done(), ticket))
    }
}
