//! The API's checks of a single body: required fields, formats, media types. Each names the recording that
//! shows it; where 5.0.2 and 5.8 differ, the stricter check counts.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::{Code, Problem};
use crate::midonet::dialect::Dialect;

/// Checks the media type of a POST to, or a PUT at, a path (the recordings' table of both dialects).
pub(super) fn media_type(dialect: Dialect, path: &[&str], sent: Option<&str>, problems: &mut Vec<Problem>) {
    let name = match path {
        ["chains"] => "Chain-v1",
        ["routers"] | ["routers", _] if dialect == Dialect::V1 => "Router-v2",
        ["routers"] | ["routers", _] => "Router-v3",
        ["bridges"] | ["bridges", _] if dialect == Dialect::V1 => "Bridge-v1",
        ["bridges"] | ["bridges", _] => "Bridge-v4",
        ["hosts", _, "ports"] => "HostInterfacePort-v1",
        ["port_groups", _, "ports"] => "PortGroupPort-v1",
        ["routers" | "bridges", _, "ports"] | ["ports", _] if dialect == Dialect::V1 => "Port-v2",
        ["routers" | "bridges", _, "ports"] | ["ports", _] => "Port-v3",
        ["ports", _, "link"] => "PortLink-v1",
        ["routers", _, "routes"] => "Route-v1",
        ["chains", _, "rules"] => "Rule-v2",
        ["port_groups"] => "PortGroup-v1",
        ["tunnel_zones"] => "TunnelZone-v1",
        ["tunnel_zones", _, "hosts"] => "TunnelZoneHost-v1",
        _ => return,
    };
    let wanted = format!("application/vnd.org.midonet.{name}+json");
    if sent != Some(wanted.as_str()) {
        problems.push((Code::MediaType, format!("{} instead of {wanted}", sent.unwrap_or("none"))));
    }
}

/// A body under validation.
struct Body<'a> {
    body: &'a Value,
    problems: &'a mut Vec<Problem>,
}

/// Checks the fields of a body that is posted to a path.
pub(super) fn body(dialect: Dialect, path: &[&str], body: &Value, problems: &mut Vec<Problem>) {
    let mut body = Body { body, problems };
    body.id();
    match path {
        // 1.x requires both. 5.x requires neither, but a plan should name every object (02, 03, 04).
        ["chains" | "routers" | "bridges" | "port_groups"] => {
            body.required("name");
            if dialect == Dialect::V1 {
                body.required("tenantId");
            }
        }
        ["routers", _, "ports"] => body.router_port(),
        ["bridges", _, "ports"] => {
            body.one_of("type", &["Bridge"]);
            body.absent(&["hostId", "interfaceName", "peerId"]);
        }
        ["routers", _, "routes"] => body.route(),
        ["chains", _, "rules"] => body.rule(dialect),
        ["ports", _, "link"] => body.required("peerId"),
        ["hosts", _, "ports"] => {
            body.required("portId");
            body.required("interfaceName");
        }
        ["tunnel_zones"] => {
            body.required("name");
            body.one_of("type", &["gre", "vxlan"]);
        }
        ["tunnel_zones", _, "hosts"] => {
            body.required("hostId");
            body.address("ipAddress", true);
        }
        _ => {}
    }
}

impl Body<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    fn wrong(&mut self, code: Code, message: String) {
        self.problems.push((code, message));
    }

    fn id(&mut self) {
        if let Some(id) = self.body.get("id")
            && id.as_str().is_none_or(|id| uuid::Uuid::try_parse(id).is_err())
        {
            self.wrong(Code::BadId, format!("the id {id} is not a UUID"));
        }
    }

    fn required(&mut self, field: &str) {
        if self.text(field).is_none_or(str::is_empty) {
            self.wrong(Code::MissingField, format!("`{field}` may not be empty"));
        }
    }

    fn one_of(&mut self, field: &str, words: &[&str]) {
        if !self.text(field).is_some_and(|word| words.contains(&word)) {
            self.wrong(Code::BadWord, format!("`{field}` has to be one of {}", words.join(", ")));
        }
    }

    /// Checks that the body has none of these fields. 1.7 stores them unchecked, and then every DELETE of the port is
    /// a 500.
    fn absent(&mut self, fields: &[&str]) {
        for field in fields {
            if self.body.get(field).is_some() {
                self.wrong(Code::ForbiddenField, format!("a port's body must not have `{field}`"));
            }
        }
    }

    /// Checks that a field is an IPv4 address in dotted form (07: "must match …"; 05: "is an invalid IP format").
    fn address(&mut self, field: &str, required: bool) {
        match self.body.get(field) {
            None if !required => {}
            Some(Value::String(text)) if text.parse::<Ipv4Addr>().is_ok() => {}
            _ => self.wrong(Code::BadAddress, format!("`{field}` has to be an IPv4 address")),
        }
    }

    fn number(&mut self, field: &str, least: u64, most: u64, required: bool) {
        match self.body.get(field) {
            None if !required => {}
            Some(value) if value.as_u64().is_some_and(|number| (least..=most).contains(&number)) => {}
            _ => self.wrong(Code::BadNumber, format!("`{field}` has to be from {least} to {most}")),
        }
    }

    fn router_port(&mut self) {
        self.one_of("type", &["Router"]);
        self.address("portAddress", true);
        self.address("networkAddress", true);
        self.number("networkLength", 0, 32, true);
        self.absent(&["hostId", "interfaceName", "peerId"]);
    }

    fn route(&mut self) {
        self.one_of("type", &["Normal", "BlackHole", "Reject"]);
        for field in ["srcNetworkAddr", "dstNetworkAddr"] {
            self.address(field, true);
        }
        for field in ["srcNetworkLength", "dstNetworkLength"] {
            self.number(field, 0, 32, true);
        }
        self.number("weight", 0, i32::MAX as u64, true);
        self.address("nextHopGateway", false);
    }

    fn rule(&mut self, dialect: Dialect) {
        let kinds = ["accept", "drop", "reject", "return", "jump", "snat", "dnat", "rev_snat", "rev_dnat"];
        self.one_of("type", &kinds);
        self.number("position", 1, i32::MAX as u64, true);
        let kind = self.text("type").unwrap_or_default().to_owned();
        if kind == "jump" {
            self.required("jumpChainId");
        }
        if matches!(kind.as_str(), "snat" | "dnat" | "rev_snat" | "rev_dnat") {
            self.one_of("flowAction", &["accept", "continue", "return"]);
        }
        if matches!(kind.as_str(), "snat" | "dnat") {
            self.nat_targets();
        }
        for (address, length) in [("nwSrcAddress", "nwSrcLength"), ("nwDstAddress", "nwDstLength")] {
            self.address(address, false);
            self.number(length, 0, 32, self.body.get(address).is_some());
        }
        self.number("nwProto", 1, 255, false);
        self.number("dlType", 0x600, 0xffff, false);
        if dialect == Dialect::V1 && self.body.get("noVlan").is_some() {
            self.wrong(Code::ForbiddenField, "1.x has no condition about VLAN tags".to_owned());
        }
        for field in ["tpSrc", "tpDst"] {
            // 5.x requires 1 at least (not recorded: MidoNet declares it).
            self.range(field, u64::from(dialect == Dialect::V5));
        }
        let policy = self.text("fragmentPolicy").map(str::to_owned);
        if policy.is_some() {
            self.one_of("fragmentPolicy", &["any", "header", "nonheader", "unfragmented"]);
        }
        let matches_ports = self.body.get("tpSrc").is_some() || self.body.get("tpDst").is_some();
        if matches_ports && matches!(policy.as_deref(), Some("any" | "nonheader")) {
            self.wrong(Code::BadFragments, "ports can't be matched in later fragments".to_owned());
        }
        for ports in ["inPorts", "outPorts"] {
            if self.body.get(ports).is_some_and(|ports| !ports.is_array()) {
                self.wrong(Code::BadPorts, format!("`{ports}` has to be a list"));
            }
        }
    }

    /// Checks the targets of a translation (09: "size must be between 1 and 2147483647", and a 500 for an address
    /// that is none).
    fn nat_targets(&mut self) {
        let targets = self.body.get("natTargets").and_then(Value::as_array).cloned().unwrap_or_default();
        if targets.is_empty() {
            self.wrong(Code::NoNatTargets, "a translation needs `natTargets`".to_owned());
        }
        for target in &targets {
            let mut target = Body { body: target, problems: self.problems };
            target.address("addressFrom", true);
            target.address("addressTo", true);
            target.number("portFrom", 0, 65535, true);
            target.number("portTo", 0, 65535, true);
        }
    }

    fn range(&mut self, field: &str, least: u64) {
        let Some(range) = self.body.get(field) else { return };
        let end = |name: &str| range.get(name).and_then(Value::as_u64).filter(|port| *port <= 65535);
        match (end("start"), end("end")) {
            (Some(start), Some(end)) if (least..=end).contains(&start) => {}
            _ => self.wrong(Code::BadRange, format!("`{field}` is not a range of ports")),
        }
    }
}
