//! Creates members: hosts of tunnel zones, ports of port groups, addresses of address groups.

use uuid::Uuid;

use super::create::refused;
use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::reply::Reply;
use crate::integrity::{self, join_group};
use crate::object::Value;
use crate::schema::Kind;
use crate::validation::{Violation, is_address};

impl Api {
    /// Adds a host to a tunnel zone (13-host-binding, step 5).
    pub(super) fn create_zone_host(&self, call: &Call<'_>, zone: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::TunnelZoneHost)?;
        self.validate(Kind::TunnelZoneHost, &draft)?;
        let mut state = self.lock();
        let is_1x = self.version.traits().is_1x;
        let named = draft.uuid("hostId");
        let host = named.unwrap_or_default();
        let mut found = Vec::new();
        if !state.has(Kind::TunnelZone, zone) {
            if !is_1x {
                return Err(Failure::missing(Kind::TunnelZone, zone, Operation::Reference));
            }
            found.push(Violation::new("tunnelZoneId", "Tunnel zone ID is not valid."));
        }
        if is_1x && !state.has(Kind::Host, host) {
            found.push(Violation::new("hostId", "Host ID is not valid."));
        }
        if !found.is_empty() {
            return Err(Failure::Violations(found));
        }
        if named.is_none() {
            return Err(Failure::null());
        }
        if state
            .referring(zone, "tunnelZoneId", Kind::TunnelZoneHost)
            .any(|member| member.uuid("hostId") == Some(host))
        {
            return Err(if is_1x {
                refused("", "Tunnel zone membership already exists.", 409)
            } else {
                Failure::StatusOnly(409)
            });
        }
        if !state.has(Kind::Host, host) {
            return Err(Failure::missing(Kind::Host, host, Operation::Reference));
        }
        draft.set("tunnelZoneId", Value::Uuid(zone));
        let mut change = state.begin();
        change.create(integrity::object(Kind::TunnelZoneHost, Uuid::new_v4(), draft));
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/tunnel_zones/{zone}/hosts/{host}", call.base))), ticket))
    }

    /// Adds a port to a port group (14-groups, step 4; random1, steps 20 and 74).
    pub(super) fn create_member(&self, call: &Call<'_>, group: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::PortGroupPort)?;
        self.validate(Kind::PortGroupPort, &draft)?;
        let mut state = self.lock();
        self.check_port_records(&state, call)?;
        let port = draft.uuid("portId").unwrap_or_default();
        let is_1x = self.version.traits().is_1x;
        let mut found = Vec::new();
        for (kind, id, field, message) in [
            (Kind::Port, port, "portId", "Port ID is not valid."),
            (Kind::PortGroup, group, "portGroupId", "Port group ID is not valid."),
        ] {
            if !state.has(kind, id) {
                if !is_1x {
                    return Err(Failure::missing(kind, id, Operation::Reference));
                }
                found.push(Violation::new(field, message));
            }
        }
        if !found.is_empty() {
            return Err(Failure::Violations(found));
        }
        let there = state
            .referring(group, "portGroupId", Kind::PortGroupPort)
            .any(|member| member.uuid("portId") == Some(port));
        if there && !is_1x {
            return Err(Failure::StatusOnly(409));
        }
        let mut change = state.begin();
        if !there {
            draft.set("portGroupId", Value::Uuid(group));
            change.create(integrity::object(Kind::PortGroupPort, Uuid::new_v4(), draft));
        }
        if is_1x {
            join_group(&mut change, port, group);
        }
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/port_groups/{group}/ports/{port}", call.base))), ticket))
    }

    /// Adds an address to an address group; 5.0.2 adds it and then crashes (14-groups, steps 8 and 9).
    pub(super) fn create_address(&self, call: &Call<'_>, group: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::IpAddrGroupAddr)?;
        self.validate(Kind::IpAddrGroupAddr, &draft)?;
        let version = match draft.get("version") {
            Some(Value::Number(version)) => *version,
            _ => 0,
        };
        let Some(Value::Text(address)) = draft.get("addr").cloned() else { return Err(Failure::null()) };
        if !is_address(&address) && address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Failure::bad(format!("{address} is not a valid IP address")));
        }
        let mut state = self.lock();
        if !state.has(Kind::IpAddrGroup, group) {
            return Err(Failure::missing(Kind::IpAddrGroup, group, Operation::Create(Kind::IpAddrGroupAddr)));
        }
        let there = state
            .referring(group, "ipAddrGroupId", Kind::IpAddrGroupAddr)
            .any(|known| known.text("addr") == Some(&address));
        let mut change = state.begin();
        if !there {
            draft.set("ipAddrGroupId", Value::Uuid(group));
            change.create(integrity::object(Kind::IpAddrGroupAddr, Uuid::new_v4(), draft));
        }
        let ticket = self.commit(call, change);
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
