//! Bindings of ports to interfaces of hosts.

use std::sync::Arc;

use uuid::Uuid;

use super::create::refused;
use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::reply::Reply;
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::state::State;
use crate::validation::Violation;

impl Api {
    /// Returns the bindings of a host. 5.x reads them from the ports; 1.7 has a record for each, which can differ from
    /// the port (the README: "On a second host: 201, and the first host keeps its mapping").
    pub(super) fn bindings(&self, state: &State, host: Uuid) -> Vec<Arc<Object>> {
        if self.version.traits().is_1x {
            return state.referring(host, "hostId", Kind::HostInterfacePort).cloned().collect();
        }
        state
            .referring(host, "hostId", Kind::Port)
            .map(|port| {
                let mut fields = vec![("hostId", Value::Uuid(host)), ("portId", Value::Uuid(port.id))];
                if let Some(name) = port.text("interfaceName") {
                    fields.push(("interfaceName", Value::text(name)));
                }
                Arc::new(Object::new(Kind::HostInterfacePort, port.id, fields))
            })
            .collect()
    }

    /// Binds a port to an interface of a host (13-host-binding, steps 3 to 17).
    pub(super) fn bind(&self, call: &Call<'_>, host: Uuid) -> Outcome {
        let draft = self.draft(call, Kind::HostInterfacePort)?;
        let port = draft.uuid("portId");
        let interface = match draft.get("interfaceName") {
            Some(Value::Text(name)) => Some(name.clone()),
            _ => None,
        };
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        let port = if self.version.traits().is_1x {
            check_binding_1x(&state, host, port, interface.as_deref())?
        } else {
            self.check_binding_5x(&state, host, port, interface.as_deref())?
        };
        let mut change = state.begin();
        if self.version.traits().is_1x {
            for old in change.referring(host, "hostId", Kind::HostInterfacePort) {
                if old.uuid("portId") == Some(port) {
                    change.delete(Kind::HostInterfacePort, old.id);
                }
            }
            let fields = draft.fields.into_iter().filter(|(name, _)| *name == "interfaceName");
            let fields =
                fields.chain([("hostId", Value::Uuid(host)), ("portId", Value::Uuid(port))]).collect();
            change.create(Object::new(Kind::HostInterfacePort, Uuid::new_v4(), fields));
        }
        change.set(Kind::Port, port, "hostId", Value::Uuid(host));
        change.set(Kind::Port, port, "interfaceName", interface.map_or(Value::Null, Value::Text));
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/hosts/{host}/ports/{port}", call.base))), ticket))
    }

    fn check_binding_5x(
        &self,
        state: &State,
        host: Uuid,
        port: Option<Uuid>,
        interface: Option<&str>,
    ) -> Result<Uuid, Failure> {
        let taken =
            |message: String| Failure::Message { status: self.version.traits().conflict_status, message };
        if !state.has(Kind::Host, host) {
            return Err(Failure::missing(Kind::Host, host, Operation::Reference));
        }
        if state.referring(host, "hostId", Kind::TunnelZoneHost).next().is_none() {
            return Err(taken("The specified host is not in any tunnel zone.".to_owned()));
        }
        let port = port.ok_or_else(Failure::null)?;
        let found = state
            .get(Kind::Port, port)
            .ok_or_else(|| Failure::missing(Kind::Port, port, Operation::Reference))?;
        if found.text("interfaceName").is_some() {
            return Err(taken(format!("Port {} is already bound to an interface", found.id)));
        }
        if let Some(interface) = interface
            && state
                .referring(host, "hostId", Kind::Port)
                .any(|port| port.text("interfaceName") == Some(interface))
        {
            return Err(taken(format!("Interface {interface} is already bound to a port.")));
        }
        Ok(found.id)
    }

    /// Deletes a binding. When the port does not exist, it is 404 on 5.x, and on 1.7 500 if the host still has the
    /// binding, else 204 (13-host-binding, steps 20 and 23; two-hosts/20-hosts-and-zones, steps 27 and 28).
    pub(super) fn unbind(&self, call: &Call<'_>, host: Uuid, port: Uuid) -> Outcome {
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        let found = state.get(Kind::Port, port).cloned();
        if found.is_none() && !self.version.traits().is_1x {
            return Err(Failure::missing(Kind::Port, port, Operation::Read));
        }
        let mut change = state.begin();
        for binding in change.referring(port, "portId", Kind::HostInterfacePort) {
            if binding.uuid("hostId") == Some(host) {
                if found.is_none() {
                    return Err(Failure::Crash(String::new()));
                }
                change.delete(Kind::HostInterfacePort, binding.id);
            }
        }
        let bound_here = found.is_some_and(|port| port.uuid("hostId") == Some(host));
        if bound_here || !self.version.traits().is_1x {
            change.set(Kind::Port, port, "hostId", Value::Null);
            change.set(Kind::Port, port, "interfaceName", Value::Null);
        }
        let ticket = self.commit(call, change);
        Ok((Reply::done(), ticket))
    }
}

/// Checks a new binding as 1.7 does: first the port, then all other fields together, then that the interface is free. A
/// port that is bound already moves (13-host-binding, steps 12, 15 to 17).
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
    if state.referring(host, "hostId", Kind::TunnelZoneHost).next().is_none() {
        found.push(Violation::new("hostId", "The specified host is not in any tunnel zone."));
    }
    if interface.is_none() {
        found.push(Violation::new("interfaceName", "may not be null"));
    }
    if !found.is_empty() {
        return Err(Failure::Violations(found));
    }
    let taken = state
        .referring(host, "hostId", Kind::HostInterfacePort)
        .any(|other| other.text("interfaceName") == interface && other.uuid("portId") != Some(port.id));
    if taken {
        return Err(refused("", "Interface is already bound to a port.", 400));
    }
    Ok(port.id)
}
