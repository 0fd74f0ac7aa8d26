//! Records between two things: bindings of ports to interfaces, members of tunnel zones and of groups.

use std::sync::Arc;

use uuid::Uuid;

use super::create::refused;
use super::{Api, Call, Outcome};
use crate::failure::{During, Failure};
use crate::http::reply::Reply;
use crate::integrity;
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::state::State;
use crate::validation::{Violation, is_address};

impl Api {
    /// The bindings of a host. 5.x reads them off the ports; 1.7 keeps records, which may outlive what the port says
    /// (the README: "On a second host: 201, and the first host keeps its mapping").
    pub(super) fn bindings(&self, state: &State, host: Uuid) -> Vec<Arc<Object>> {
        if self.version.traits().first_generation {
            return state.naming(host, "hostId", Kind::Binding).cloned().collect();
        }
        state
            .naming(host, "hostId", Kind::Port)
            .map(|port| {
                let mut fields = vec![("hostId", Value::Uuid(host)), ("portId", Value::Uuid(port.id))];
                if let Some(name) = port.text("interfaceName") {
                    fields.push(("interfaceName", Value::text(name)));
                }
                Arc::new(Object::new(Kind::Binding, port.id, fields))
            })
            .collect()
    }

    /// Binds a port to an interface of a host (13-host-binding, steps 3 to 17).
    pub(super) fn bind(&self, call: &Call<'_>, host: Uuid) -> Outcome {
        let draft = self.draft(call, Kind::Binding)?;
        let port = draft.uuid("portId");
        let interface = match draft.get("interfaceName") {
            Some(Value::Text(name)) => Some(name.clone()),
            _ => None,
        };
        let mut state = self.lock();
        let port = if self.version.traits().first_generation {
            check_binding_1x(&state, host, port, interface.as_deref())?
        } else {
            self.check_binding_5x(&state, host, port, interface.as_deref())?
        };
        let mut change = state.begin();
        if self.version.traits().first_generation {
            for old in change.naming(host, "hostId", Kind::Binding) {
                if old.uuid("portId") == Some(port) {
                    change.delete(Kind::Binding, old.id);
                }
            }
            let fields = draft.fields.into_iter().filter(|(name, _)| *name == "interfaceName");
            let fields =
                fields.chain([("hostId", Value::Uuid(host)), ("portId", Value::Uuid(port))]).collect();
            change.create(Object::new(Kind::Binding, Uuid::new_v4(), fields));
        }
        change.set(Kind::Port, port, "hostId", Value::Uuid(host));
        change.set(Kind::Port, port, "interfaceName", interface.map_or(Value::Null, Value::Text));
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/hosts/{host}/ports/{port}", call.base))), ticket))
    }

    fn check_binding_5x(
        &self,
        state: &State,
        host: Uuid,
        port: Option<Uuid>,
        interface: Option<&str>,
    ) -> Result<Uuid, Failure> {
        let taken = |message: String| Failure::Plain { status: self.version.traits().taken, message };
        if !state.has(Kind::Host, host) {
            return Err(Failure::missing(Kind::Host, host, During::Reference));
        }
        if state.naming(host, "hostId", Kind::ZoneHost).next().is_none() {
            return Err(taken("The specified host is not in any tunnel zone.".to_owned()));
        }
        let port = port.ok_or_else(Failure::null)?;
        let found = state
            .get(Kind::Port, port)
            .ok_or_else(|| Failure::missing(Kind::Port, port, During::Reference))?;
        if found.text("interfaceName").is_some() {
            return Err(taken(format!("Port {} is already bound to an interface", found.id)));
        }
        if let Some(interface) = interface
            && state
                .naming(host, "hostId", Kind::Port)
                .any(|port| port.text("interfaceName") == Some(interface))
        {
            return Err(taken(format!("Interface {interface} is already bound to a port.")));
        }
        Ok(found.id)
    }

    /// Takes a binding away: 404 on 5.x when the port is not there (13-host-binding, steps 20 and 23).
    pub(super) fn unbind(&self, host: Uuid, port: Uuid) -> Outcome {
        let mut state = self.lock();
        let found = state.get(Kind::Port, port).cloned();
        if found.is_none() && !self.version.traits().first_generation {
            return Err(Failure::missing(Kind::Port, port, During::Read));
        }
        let mut change = state.begin();
        for binding in change.naming(port, "portId", Kind::Binding) {
            if binding.uuid("hostId") == Some(host) {
                change.delete(Kind::Binding, binding.id);
            }
        }
        let bound_here = found.is_some_and(|port| port.uuid("hostId") == Some(host));
        if bound_here || !self.version.traits().first_generation {
            change.set(Kind::Port, port, "hostId", Value::Null);
            change.set(Kind::Port, port, "interfaceName", Value::Null);
        }
        let ticket = self.keep(change);
        Ok((Reply::done(), ticket))
    }

    /// Puts a host into a tunnel zone (13-host-binding, step 5).
    pub(super) fn create_zone_host(&self, call: &Call<'_>, zone: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::ZoneHost)?;
        self.validate(Kind::ZoneHost, &draft)?;
        let mut state = self.lock();
        let first = self.version.traits().first_generation;
        let named = draft.uuid("hostId");
        let host = named.unwrap_or_default();
        let mut found = Vec::new();
        if !state.has(Kind::TunnelZone, zone) {
            if !first {
                return Err(Failure::missing(Kind::TunnelZone, zone, During::Reference));
            }
            found.push(Violation::new("tunnelZoneId", "Tunnel zone ID is not valid."));
        }
        if first && !state.has(Kind::Host, host) {
            found.push(Violation::new("hostId", "Host ID is not valid."));
        }
        if !found.is_empty() {
            return Err(Failure::Violations(found));
        }
        if named.is_none() {
            return Err(Failure::null());
        }
        if state
            .naming(zone, "tunnelZoneId", Kind::ZoneHost)
            .any(|member| member.uuid("hostId") == Some(host))
        {
            return Err(if first {
                refused("", "Tunnel zone membership already exists.", 409)
            } else {
                Failure::Bare(409)
            });
        }
        if !state.has(Kind::Host, host) {
            return Err(Failure::missing(Kind::Host, host, During::Reference));
        }
        draft.set("tunnelZoneId", Value::Uuid(zone));
        let mut change = state.begin();
        change.create(integrity::object(Kind::ZoneHost, Uuid::new_v4(), draft));
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/tunnel_zones/{zone}/hosts/{host}", call.base))), ticket))
    }

    /// Puts a port into a group (14-groups, step 4; random1, steps 20 and 74).
    pub(super) fn create_member(&self, call: &Call<'_>, group: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::PortGroupPort)?;
        self.validate(Kind::PortGroupPort, &draft)?;
        let mut state = self.lock();
        let port = draft.uuid("portId").unwrap_or_default();
        let first = self.version.traits().first_generation;
        let mut found = Vec::new();
        for (kind, id, field, message) in [
            (Kind::Port, port, "portId", "Port ID is not valid."),
            (Kind::PortGroup, group, "portGroupId", "Port group ID is not valid."),
        ] {
            if !state.has(kind, id) {
                if !first {
                    return Err(Failure::missing(kind, id, During::Reference));
                }
                found.push(Violation::new(field, message));
            }
        }
        if !found.is_empty() {
            return Err(Failure::Violations(found));
        }
        let there = state
            .naming(group, "portGroupId", Kind::PortGroupPort)
            .any(|member| member.uuid("portId") == Some(port));
        if there && !first {
            return Err(Failure::Bare(409));
        }
        let mut change = state.begin();
        if !there {
            draft.set("portGroupId", Value::Uuid(group));
            change.create(integrity::object(Kind::PortGroupPort, Uuid::new_v4(), draft));
        }
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/port_groups/{group}/ports/{port}", call.base))), ticket))
    }

    /// Puts an address into a group; 5.0.2 does so and crashes (14-groups, steps 8 and 9).
    pub(super) fn create_address(&self, call: &Call<'_>, group: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::GroupAddress)?;
        self.validate(Kind::GroupAddress, &draft)?;
        let version = match draft.get("version") {
            Some(Value::Number(version)) => *version,
            _ => 0,
        };
        let Some(Value::Text(address)) = draft.get("addr").cloned() else { return Err(Failure::null()) };
        if !is_address(&address) && address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Failure::bad(format!("{address} is not a valid IP address")));
        }
        let mut state = self.lock();
        if !state.has(Kind::AddressGroup, group) {
            return Err(Failure::missing(Kind::AddressGroup, group, During::Create(Kind::GroupAddress)));
        }
        let there = state
            .naming(group, "ipAddrGroupId", Kind::GroupAddress)
            .any(|known| known.text("addr") == Some(&address));
        let mut change = state.begin();
        if !there {
            draft.set("ipAddrGroupId", Value::Uuid(group));
            change.create(integrity::object(Kind::GroupAddress, Uuid::new_v4(), draft));
        }
        let ticket = self.keep(change);
        if self.version.traits().group_address_crashes {
            let why = "java.lang.IllegalArgumentException: URI parameter is null".to_owned();
            return Ok((
                Failure::Crash(why)
                    .reply(self.version, &format!("/midonet-api/ip_addr_groups/{group}/ip_addrs")),
                ticket,
            ));
        }
        let location = format!("{}/ip_addr_groups/{group}/versions/{version}/ip_addrs/{address}", call.base);
        Ok((Reply::created(Some(location)), ticket))
    }
}

/// 1.7 checks a binding as it checks a form: the port first, then all else that is wrong at once, then whether the
/// interface is free. A bound port moves (13-host-binding, steps 12, 15 to 17).
fn check_binding_1x(
    state: &State,
    host: Uuid,
    port: Option<Uuid>,
    interface: Option<&str>,
) -> Result<Uuid, Failure> {
    let mut found = Vec::new();
    if port.is_none() {
        found.push(Violation::new("portId", "may not be null"));
    }
    let Some(port) = port.and_then(|port| state.get(Kind::Port, port)) else {
        found.push(Violation::new("portId", "Port ID is not valid."));
        return Err(Failure::Violations(found));
    };
    if state.naming(host, "hostId", Kind::ZoneHost).next().is_none() {
        found.push(Violation::new("hostId", "The specified host is not in any tunnel zone."));
    }
    if interface.is_none() {
        found.push(Violation::new("interfaceName", "may not be null"));
    }
    if !found.is_empty() {
        return Err(Failure::Violations(found));
    }
    let taken = state
        .naming(host, "hostId", Kind::Binding)
        .any(|other| other.text("interfaceName") == interface && other.uuid("portId") != Some(port.id));
    if taken {
        return Err(refused("", "Interface is already bound to a port.", 400));
    }
    Ok(port.id)
}
