//! GET: reads objects and collections.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::bgp::has_bgp;
use super::media_type::{self, Offer, Purpose};
use super::{Api, Call, uuid_of};
use crate::failure::{Failure, Operation};
use crate::http::path::{Target, query};
use crate::http::reply::{Content, Reply};
use crate::http::serialize;
use crate::integrity;
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::state::State;
use crate::version::Negotiation;

impl Api {
    pub(crate) fn read(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        match &call.target {
            Target::Root => self.root(call),
            Target::SystemState => self.system_state(call),
            Target::Tenants => self.tenants(call, None),
            Target::Tenant(name) => self.tenants(call, Some(name)),
            Target::Collection(kind) => {
                let negotiation = self.negotiation(&call.target);
                self.list(call, &self.lists(*kind), negotiation, |state| {
                    self.collection(state, *kind, call.query)
                })
            }
            Target::Object(kind, id) => self.one(call, *kind, id),
            Target::ChildCollection(parent, id, kind) => {
                let negotiation = self.negotiation(&call.target);
                let within = |state: &State| {
                    let mut found = self.children(state, *parent, id, *kind)?;
                    if self.version.traits().is_1x && *kind == Kind::TunnelZoneHost {
                        keep_one_of_each_address(&mut found);
                    }
                    Ok(found)
                };
                self.list(call, &self.lists(*kind), negotiation, within)
            }
            Target::Child(_, id, kind @ (Kind::DhcpSubnet | Kind::DhcpSubnet6), name) => {
                self.subnet(call, id, *kind, name)
            }
            Target::Child(parent, id, kind, child) => self.child(call, *parent, id, *kind, child),
            Target::PeerPorts(kind, id) => {
                self.list(call, &self.lists(Kind::Port), Negotiation::Weighed, |state| {
                    let device = self.find(state, *kind, id, Operation::List)?;
                    Ok(peers(state, device.id))
                })
            }
            Target::GroupsOf(id) => {
                let mut offers = self.lists(Kind::PortGroupPort);
                offers.retain(|offer| offer.name != media_type::JSON);
                self.list(call, &offers, Negotiation::Weighed, |state| {
                    let port = self.find(state, Kind::Port, id, Operation::List)?;
                    Ok(self.groups_of(state, &port))
                })
            }
            Target::Address(group, version, address) => self.address(call, group, version, address),
            Target::Login | Target::Link(_) => Err(Failure::StatusOnly(405)),
        }
    }

    fn lists(&self, kind: Kind) -> Vec<Offer> {
        media_type::offers(kind, self.version, Purpose::Many)
    }

    fn list(
        &self,
        call: &Call<'_>,
        offers: &[Offer],
        negotiation: Negotiation,
        find: impl FnOnce(&State) -> Result<Vec<Arc<Object>>, Failure>,
    ) -> Result<Reply, Failure> {
        let offer = media_type::choose(negotiation, call.accept, offers)?;
        let objects = find(&self.lock())?;
        let content = Content::List { objects, form: self.form(offer), base: Arc::clone(&call.base) };
        Ok(Reply { content_type: Some(offer.name.clone()), content, ..Reply::status(200) })
    }

    pub(super) fn shown(&self, call: &Call<'_>, offer: &Offer, object: &Object) -> Reply {
        let mut body = Vec::with_capacity(1024);
        serialize::object(&mut body, object, self.form(offer), &call.base);
        Reply::with(200, &offer.name, body)
    }

    fn one(&self, call: &Call<'_>, kind: Kind, id: &str) -> Result<Reply, Failure> {
        let offers = media_type::offers(kind, self.version, Purpose::One);
        let offer = media_type::choose(self.negotiation(&call.target), call.accept, &offers)?;
        let state = self.lock();
        let mut object = self.find(&state, kind, id, Operation::Read)?;
        if kind == Kind::Rule {
            object = integrity::with_position(&state, &object);
        }
        drop(state);
        if kind == Kind::Route && object.uuid("routerId").is_none() && object.uuid("nextHopPort").is_none() {
            let message = format!("Route {} is missing both router ID and next hop port ID", object.id);
            return Err(Failure::Message { status: 500, message });
        }
        Ok(self.shown(call, offer, &object))
    }

    /// Returns a collection at the root, filtered by tenant, or port groups filtered by port. With a port, 1.7 ignores
    /// the tenant (not recorded).
    fn collection(
        &self,
        state: &State,
        kind: Kind,
        parameters: Option<&str>,
    ) -> Result<Vec<Arc<Object>>, Failure> {
        let is_1x = self.version.traits().is_1x;
        let port = match query(parameters, "port_id").filter(|_| kind == Kind::PortGroup) {
            None => None,
            Some(text) => Some(uuid_of(&text).ok_or_else(|| match is_1x {
                true => Failure::BadPathId(text.clone()),
                false => {
                    Failure::Crash(format!("java.lang.IllegalArgumentException: Invalid UUID string: {text}"))
                }
            })?),
        };
        let tenanted = matches!(kind, Kind::Router | Kind::Bridge | Kind::Chain | Kind::PortGroup);
        let tenant = query(parameters, "tenant_id").filter(|_| tenanted && !(is_1x && port.is_some()));
        let groups: Option<Vec<Option<Uuid>>> = port.map(|port| {
            let port = state.get(Kind::Port, port).into_iter();
            port.flat_map(|port| self.groups_of(state, port))
                .map(|member| member.uuid("portGroupId"))
                .collect()
        });
        Ok(state
            .all(kind)
            .filter(|object| tenant.as_deref().is_none_or(|tenant| object.text("tenantId") == Some(tenant)))
            .filter(|object| groups.as_ref().is_none_or(|groups| groups.contains(&Some(object.id))))
            .cloned()
            .collect())
    }

    /// Returns the collection that belongs to an object. On 1.7 the list is empty for the rules of a missing chain
    /// (11-tenant, step 46), the hosts of a missing tunnel zone, and the bindings of a missing host (the last two are
    /// not recorded).
    fn children(
        &self,
        state: &State,
        parent: Kind,
        id: &str,
        kind: Kind,
    ) -> Result<Vec<Arc<Object>>, Failure> {
        let is_1x = self.version.traits().is_1x;
        let parent_id = match self.find(state, parent, id, Operation::List) {
            Ok(port) if kind == Kind::Bgp && !has_bgp(&port) => {
                return Err(Failure::missing(Kind::Port, port.id, Operation::List));
            }
            Ok(parent) => parent.id,
            Err(Failure::Missing { .. })
                if is_1x && matches!(kind, Kind::Rule | Kind::HostInterfacePort | Kind::TunnelZoneHost) =>
            {
                return Ok(Vec::new());
            }
            Err(failure) => return Err(failure),
        };
        let named = |field| state.referring(parent_id, field, kind).cloned().collect();
        Ok(match kind {
            Kind::Port => named("deviceId"),
            Kind::Route | Kind::BgpPeer | Kind::BgpNetwork => named("routerId"),
            Kind::Bgp => named("portId"),
            Kind::DhcpSubnet | Kind::DhcpSubnet6 => named("bridgeId"),
            Kind::Rule => integrity::rules(state, parent_id),
            Kind::TunnelZoneHost => named("tunnelZoneId"),
            Kind::PortGroupPort => named("portGroupId"),
            Kind::IpAddrGroupAddr => state
                .referring(parent_id, "ipAddrGroupId", kind)
                .map(|address| self.address_as_shown(address))
                .collect(),
            Kind::HostInterfacePort => self.bindings(state, parent_id),
            _ => Vec::new(),
        })
    }

    /// Returns the memberships of a port in port groups. 1.7 reads them from the port's record.
    fn groups_of(&self, state: &State, port: &Object) -> Vec<Arc<Object>> {
        if !self.version.traits().is_1x {
            return state.referring(port.id, "portId", Kind::PortGroupPort).cloned().collect();
        }
        let member = |group: &Uuid| {
            let fields = vec![("portGroupId", Value::Uuid(*group)), ("portId", Value::Uuid(port.id))];
            Arc::new(Object::new(Kind::PortGroupPort, port.id, fields))
        };
        port.uuids("portGroupIds").iter().map(member).collect()
    }

    /// Returns an address as it is listed: 1.7 shows IP version 6 for every address (14-groups, step 9).
    fn address_as_shown(&self, address: &Arc<Object>) -> Arc<Object> {
        if !self.version.traits().is_1x {
            return Arc::clone(address);
        }
        let mut shown = Object::clone(address);
        shown.set("version", Value::Number(6));
        Arc::new(shown)
    }

    fn child(
        &self,
        call: &Call<'_>,
        parent: Kind,
        id: &str,
        kind: Kind,
        child: &str,
    ) -> Result<Reply, Failure> {
        let offers = media_type::offers(kind, self.version, Purpose::One);
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        let child = Self::path_id(child)?;
        let state = self.lock();
        let field = child_field(kind);
        // 5.x checks the port first, and does not check the group.
        let is_1x = self.version.traits().is_1x;
        if kind == Kind::PortGroupPort && !is_1x && !state.has(Kind::Port, child) {
            return Err(Failure::missing(Kind::Port, child, Operation::Read));
        }
        let found = match self.children(&state, parent, id, kind) {
            Err(Failure::Missing { .. }) if is_1x || kind == Kind::PortGroupPort => None,
            other => other?.into_iter().find(|object| object.uuid(field) == Some(child)),
        };
        drop(state);
        let found = found.ok_or_else(|| match kind {
            // 13-host-binding, step 22.
            Kind::HostInterfacePort => Failure::PerGeneration {
                status: 404,
                on_1x: "Mapping does not exist".to_owned(),
                on_5x: "Host interface port not found".to_owned(),
            },
            // The message about a tunnel zone's host is that of 1.7 (not recorded).
            _ => Failure::PerGeneration {
                status: 404,
                on_1x: match kind {
                    Kind::TunnelZoneHost => "Tunnel zone member was not found".to_owned(),
                    _ => "The requested resource was not found.".to_owned(),
                },
                on_5x: "Resource not found".to_owned(),
            },
        })?;
        Ok(self.shown(call, offer, &found))
    }

    /// Reads an address of an address group (not recorded; the messages are MidoNet's).
    fn address(&self, call: &Call<'_>, group: &str, version: &str, address: &str) -> Result<Reply, Failure> {
        check_ip_version(version)?;
        let offers = media_type::offers(Kind::IpAddrGroupAddr, self.version, Purpose::One);
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        let state = self.lock();
        let held = self.children(&state, Kind::IpAddrGroup, group, Kind::IpAddrGroupAddr)?;
        drop(state);
        let found = held.iter().find(|object| object.text("addr") == Some(address));
        let words = "The IP address group does not contain the specified address";
        let found = found.ok_or_else(|| Failure::PerGeneration {
            status: 404,
            on_1x: format!("{words}: {address}"),
            on_5x: format!("{words} {address}"),
        })?;
        Ok(self.shown(call, offer, found))
    }
}

/// Leaves one host of each address in a list: 1.7 takes two hosts with one address, and lists one of them
/// (two-hosts/20-hosts-and-zones, steps 2 and 3).
fn keep_one_of_each_address(hosts: &mut Vec<Arc<Object>>) {
    let mut seen = BTreeSet::new();
    hosts.retain(|host| seen.insert(host.text("ipAddress").map(str::to_owned)));
}

/// Returns the field with the id by which a path names a member or a binding.
pub(super) fn child_field(kind: Kind) -> &'static str {
    if kind == Kind::TunnelZoneHost { "hostId" } else { "portId" }
}

/// Checks the IP version in a path.
pub(super) fn check_ip_version(version: &str) -> Result<(), Failure> {
    match version.parse::<i32>() {
        Ok(4 | 6) => Ok(()),
        Ok(other) => Err(Failure::bad(format!("Invalid IP version: {other}"))),
        Err(_) => Err(Failure::NotANumber(version.to_owned())),
    }
}

/// Returns the peers of a device's ports (06-port-link, step 14).
fn peers(state: &State, device: Uuid) -> Vec<Arc<Object>> {
    state
        .referring(device, "deviceId", Kind::Port)
        .filter_map(|port| state.get(Kind::Port, port.uuid("peerId")?))
        .cloned()
        .collect()
}
