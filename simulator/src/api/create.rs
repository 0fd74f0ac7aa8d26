//! POST.

use uuid::Uuid;

use super::{Api, Call, Outcome};
use crate::failure::{During, Failure};
use crate::http::bind::Draft;
use crate::http::media::{self, Use};
use crate::http::reply::Reply;
use crate::integrity::{self, check_references, new_id};
use crate::object::{RANK, Value};
use crate::resources::{port, route, rule};
use crate::schema::Kind;
use crate::state::State;
use crate::validation::{MAC_MASK, Violation, is_mac, is_mac_mask, is_storable, violations};

/// What a Normal route without a port of its router is told (07-route, steps 8, 11 and 12).
const NEXT_HOP: &str = "This type of route requires a next hop port that is a port on the same router.";
/// Fragment policies that do not go with a rule's other conditions.
const POLICY_FOR_PORTS: &str =
    "For a rule with tpDst or tpSrc constraints, the fragmentPolicy must be 'header' or 'unfragmented'.";
const POLICY_FOR_NAT: &str =
    "For a NAT rule with port constraints or multiple targets, the fragmentPolicy must be 'unfragmented'.";

impl Api {
    /// Makes a thing in a collection at the root.
    pub(super) fn create(&self, call: &Call<'_>, kind: Kind) -> Outcome {
        let draft = self.draft(call, kind)?;
        self.validate(kind, &draft)?;
        let mut state = self.lock();
        if kind == Kind::TunnelZone {
            self.check_zone_name(&state, &draft)?;
        }
        check_references(&state, kind, self.version, &draft)?;
        let id = new_id(&state, kind, self.version, &draft)?;
        let mut change = state.begin();
        change.create(integrity::object(kind, id, draft));
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/{}/{id}", call.base, kind.path()))), ticket))
    }

    /// Makes a thing within another.
    pub(super) fn create_within(
        &self,
        call: &Call<'_>,
        parent: Kind,
        parent_id: &str,
        kind: Kind,
    ) -> Outcome {
        let parent_id = Self::path_id(parent_id)?;
        match kind {
            Kind::Port => self.create_port(call, parent, parent_id),
            Kind::Route => self.create_route(call, parent_id),
            Kind::Rule => self.create_rule(call, parent_id),
            Kind::ZoneHost => self.create_zone_host(call, parent_id),
            Kind::PortGroupPort => self.create_member(call, parent_id),
            Kind::GroupAddress => self.create_address(call, parent_id),
            Kind::Binding => self.bind(call, parent_id),
            _ => Err(Failure::Bare(405)),
        }
    }

    pub(super) fn validate(&self, kind: Kind, draft: &Draft) -> Result<(), Failure> {
        let found = violations(kind, self.version, draft.type_name, &draft.fields);
        if found.is_empty() { Ok(()) } else { Err(Failure::Violations(found)) }
    }

    /// Two tunnel zones can't have one name (the README, on 1.7, which takes capitals for small letters). A change that
    /// keeps the name finds the zone itself, and is refused too (not recorded; MidoNet's issue MNA-1293).
    pub(super) fn check_zone_name(&self, state: &State, draft: &Draft) -> Result<(), Failure> {
        let Some(Value::Text(name)) = draft.get("name") else { return Ok(()) };
        let same = |known: &str| match self.version.traits().first_generation {
            true => known.eq_ignore_ascii_case(name),
            false => *known == **name,
        };
        if !state.all(Kind::TunnelZone).any(|zone| zone.text("name").is_some_and(same)) {
            return Ok(());
        }
        Err(refused("name", "Tunnel zone name already exists.", self.version.traits().taken))
    }

    fn create_port(&self, call: &Call<'_>, parent: Kind, device: Uuid) -> Outcome {
        let mut draft = self.draft(call, Kind::Port)?;
        let of_router = draft.type_name == port::ROUTER;
        if of_router != (parent == Kind::Router)
            && (parent == Kind::Router || self.version.traits().first_generation)
        {
            let (is, wanted) =
                if of_router { ("RouterPort", "BridgePort") } else { ("BridgePort", "RouterPort") };
            let models = "org.midonet.cluster.rest_api.models";
            return Err(Failure::Crash(format!(
                "java.lang.IllegalArgumentException: Class {models}.{is} is not assignable to {models}.{wanted}"
            )));
        }
        self.check_port_form(call, &draft)?;
        self.validate(Kind::Port, &draft)?;
        if of_router != (parent == Kind::Router) {
            return Err(Failure::bad("Not a bridge port."));
        }
        let mut state = self.lock();
        // A router is what 5.x looks for last, in the order in which its storage knows what refers to what (not recorded).
        let device_last = of_router && !self.version.traits().first_generation;
        let device_is_there = || match state.has(parent, device) {
            true => Ok(()),
            false => Err(Failure::missing(parent, device, During::Create(Kind::Port))),
        };
        if !device_last {
            device_is_there()?;
        }
        let peer = self.check_born_linked(&state, &draft)?;
        check_references(&state, Kind::Port, self.version, &draft)?;
        if device_last {
            device_is_there()?;
        }
        let id = new_id(&state, Kind::Port, self.version, &draft)?;

        let mut change = state.begin();
        draft.set("deviceId", Value::Uuid(device));
        if !self.version.traits().first_generation {
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
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/ports/{id}", call.base))), ticket))
    }

    /// 1.7 has older names for the types of ports, which go with the older form of its bodies (the README, of plain JSON;
    /// the words are MidoNet's, not recorded).
    fn check_port_form(&self, call: &Call<'_>, draft: &Draft) -> Result<(), Failure> {
        if !self.version.traits().first_generation {
            return Ok(());
        }
        let older = media::is_older(call.content_type, &media::offers(Kind::Port, self.version, Use::Body));
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

    /// A port may be made with a peer or a host in its body. 1.7 stores them blindly (the README); 5.x follows them (the
    /// words are MidoNet's, not recorded).
    pub(super) fn check_born_linked(&self, state: &State, draft: &Draft) -> Result<Option<Uuid>, Failure> {
        if self.version.traits().first_generation {
            return Ok(None);
        }
        let peer = match draft.uuid("peerId") {
            None => None,
            Some(peer) => match state.get(Kind::Port, peer) {
                None => return Err(Failure::missing(Kind::Port, peer, During::Reference)),
                Some(port) => {
                    if let Some(other) = port.uuid("peerId") {
                        let message = format!(
                            "Operation failed because the Port with ID {peer} already references the Port with ID \
                             {other} via the field peer_id. This field can accommodate only one reference."
                        );
                        return Err(Failure::Plain { status: 409, message });
                    }
                    Some(peer)
                }
            },
        };
        match draft.uuid("hostId") {
            Some(host) if !state.has(Kind::Host, host) => {
                Err(Failure::missing(Kind::Host, host, During::Reference))
            }
            _ => Ok(peer),
        }
    }

    fn create_route(&self, call: &Call<'_>, router: Uuid) -> Outcome {
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
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/routes/{id}", call.base))), ticket))
    }

    /// The router that a new route belongs to. On 1.7 it is the one in the path; on 5.x that of the port that the route
    /// goes through, whichever router the path names (random9, steps 33, 92 and 96; random10, steps 61, 94 and 98).
    fn owner(&self, state: &State, router: Uuid, draft: &Draft) -> Result<Option<Uuid>, Failure> {
        let first = self.version.traits().first_generation;
        match draft.uuid("nextHopPort") {
            Some(port) if !first => match state.get(Kind::Port, port) {
                None => Err(Failure::missing(Kind::Port, port, During::Reference)),
                Some(port) if port.type_name() == port::ROUTER => Ok(port.uuid("deviceId")),
                Some(_) => Ok(None),
            },
            _ if matches!(draft.get("type"), Some(Value::Text(kind)) if &**kind == route::LOCAL) => Ok(None),
            _ if state.has(Kind::Router, router) => Ok(Some(router)),
            _ => Err(Failure::missing(Kind::Router, router, During::Create(Kind::Route))),
        }
    }

    fn create_rule(&self, call: &Call<'_>, chain: Uuid) -> Outcome {
        let first = self.version.traits().first_generation;
        let mut draft = self.draft(call, Kind::Rule)?;
        // Position 0 and none are 1 (04-chain-rule, steps 9 and 10).
        let position = match draft.get("position") {
            None | Some(Value::Number(0)) => 1,
            Some(Value::Number(position)) => *position,
            Some(_) => 1,
        };
        draft.set("position", Value::Number(position));
        self.validate(Kind::Rule, &draft)?;
        if first {
            check_rule_1x(&draft)?;
        }
        self.settle_fragment_policy(&mut draft)?;
        if let Some(Value::NatTargets(targets)) = draft.get("natTargets")
            && !targets.iter().all(is_storable)
        {
            return Err(Failure::Unstorable(describe(self.version, &draft, position)));
        }
        let mut state = self.lock();
        let missing = || Failure::missing(Kind::Chain, chain, During::Create(Kind::Rule));
        // 1.7 looks at the position before it looks for the chain (random1, steps 31 and 87).
        if !first && !state.has(Kind::Chain, chain) {
            return Err(missing());
        }
        let mut change = state.begin();
        let rank = integrity::rank_at(&mut change, chain, position).ok_or_else(|| Failure::Worded {
            status: 400,
            first: "Invalid rule position.".to_owned(),
            later: "Position exceeds number of rules in chain".to_owned(),
        })?;
        if !change.state().has(Kind::Chain, chain) {
            return Err(missing());
        }
        check_references(change.state(), Kind::Rule, self.version, &draft)?;
        if let Some(to) = draft.uuid("jumpChainId")
            && !change.state().has(Kind::Chain, to)
        {
            return Err(Failure::missing(Kind::Chain, to, During::Reference));
        }
        let id = new_id(change.state(), Kind::Rule, self.version, &draft)?;
        draft.set("chainId", Value::Uuid(chain));
        draft.set("position", Value::Null);
        draft.set(RANK, Value::Number(rank));
        change.create(integrity::object(Kind::Rule, id, draft));
        let ticket = self.keep(change);
        Ok((Reply::created(Some(format!("{}/rules/{id}", call.base))), ticket))
    }

    /// The fragment policy that a rule has when it names none (04-chain-rule, step 7; 09-nat-rules, steps 7 to 11), or
    /// the refusal of one that does not go with its conditions.
    fn settle_fragment_policy(&self, draft: &mut Draft) -> Result<(), Failure> {
        let ports = draft.get("tpSrc").is_some() || draft.get("tpDst").is_some();
        let nat = rule::FORWARD_NAT.contains(&draft.type_name);
        let floating = match draft.get("natTargets") {
            Some(Value::NatTargets(targets)) => match &**targets {
                [one] => one.address_from == one.address_to && one.port_from == 0 && one.port_to == 0,
                _ => false,
            },
            _ => false,
        };
        let whole = nat && (!floating || ports);
        let given = match draft.get("fragmentPolicy") {
            Some(Value::Text(given)) => given.clone(),
            _ => {
                let policy = match (whole, nat, ports) {
                    (true, ..) => "unfragmented",
                    (_, false, true) => "header",
                    _ => "any",
                };
                draft.set("fragmentPolicy", Value::text(policy));
                return Ok(());
            }
        };
        let first = self.version.traits().first_generation;
        if !["any", "nonheader", "header", "unfragmented"].contains(&&*given) {
            let message =
                "The valid options for fragmentPolicy are: 'any', 'header', 'nonheader', and 'unfragmented'.";
            return Err(Failure::Violations(vec![Violation::new("fragmentPolicy", message)]));
        }
        if whole && &*given != "unfragmented" {
            return Err(Failure::bad(if first { POLICY_FOR_NAT } else { POLICY_FOR_PORTS }));
        }
        if !nat && ports && matches!(&*given, "any" | "nonheader") {
            return Err(Failure::bad(POLICY_FOR_PORTS));
        }
        Ok(())
    }
}

/// What 1.7 finds wrong with a rule when it makes what it stores of it (not recorded; the words are MidoNet's).
fn check_rule_1x(draft: &Draft) -> Result<(), Failure> {
    for (address, mask) in [("dlSrc", "dlSrcMask"), ("dlDst", "dlDstMask")] {
        if let Some(Value::Text(text)) = draft.get(address)
            && !is_mac(text)
        {
            let words = "MAC address string must be 6 words of 1 or 2 hex digits joined with 5 ':' but was";
            return Err(Failure::bad(format!("{words} {text}.")));
        }
        if let Some(Value::Text(text)) = draft.get(mask)
            && !is_mac_mask(text)
        {
            return Err(Failure::bad(MAC_MASK));
        }
    }
    match draft.get("flowAction") {
        Some(Value::Text(action)) if !rule::FLOW_ACTIONS.contains(&&**action) => {
            Err(Failure::Crash("java.lang.IllegalArgumentException: Invalid action passed in.".to_owned()))
        }
        _ => Ok(()),
    }
}

/// A violation on 1.7, a message on 5.x.
pub(super) fn refused(property: &'static str, message: &str, later: u16) -> Failure {
    Failure::Refused { property, first: message.to_owned(), message: message.to_owned(), later }
}

/// A MAC address as the servers make them: theirs all start with ac:ca:ba.
fn random_mac() -> String {
    let random = Uuid::new_v4();
    let [.., a, b, c] = *random.as_bytes();
    format!("ac:ca:ba:{a:02x}:{b:02x}:{c:02x}")
}

/// How 5.x describes a rule that it can't store (09-nat-rules, step 15).
#[allow(clippy::too_many_lines, reason = "one arm for each rule type")]
fn describe(version: crate::version::Version, draft: &Draft, position: i64) -> String {
    let model = crate::http::bind::model_of(Kind::Rule, draft.type_name);
    let mut parts = Vec::new();
    if let Some(id) = draft.uuid("id") {
        parts.push(format!("id={id}"));
    }
    parts.push("type=NAT".to_owned());
    if let Some(Value::Text(action)) = draft.get("flowAction") {
        parts.push(format!("action={}", action.to_uppercase()));
    }
    parts.push(format!("position={position}"));
    let always = ["nwDstLength", "nwSrcLength", "noVlan", "icmpDataSrcIpLength", "icmpDataDstIpLength"];
    let order = [
        "nwDstAddress",
        "nwDstLength",
        "nwSrcAddress",
        "nwSrcLength",
        "condInvert",
        "matchForwardFlow",
        "matchReturnFlow",
        "invInPorts",
        "invOutPorts",
        "portGroup",
        "invPortGroup",
        "ipAddrGroupSrc",
        "invIpAddrGroupSrc",
        "ipAddrGroupDst",
        "invIpAddrGroupDst",
        "traversedDevice",
        "dlType",
        "invDlType",
        "dlSrc",
        "dlSrcMask",
        "invDlSrc",
        "dlDst",
        "dlDstMask",
        "invDlDst",
        "nwTos",
        "invNwTos",
        "nwProto",
        "invNwProto",
        "invNwSrc",
        "invNwDst",
        "fragmentPolicy",
        "tpSrc",
        "tpDst",
        "invTpSrc",
        "invTpDst",
        "vlan",
        "noVlan",
        "icmpDataSrcIpAddress",
        "icmpDataSrcIpLength",
        "icmpDataDstIpAddress",
        "icmpDataDstIpLength",
    ];
    for name in order {
        let known =
            crate::schema::fields(Kind::Rule, version, draft.type_name).any(|field| field.name == name);
        let shown = match draft.get(name) {
            _ if !known => continue,
            Some(Value::Flag(false)) if name != "noVlan" => continue,
            Some(Value::Flag(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Text(text)) => text.to_string(),
            Some(Value::Uuid(id)) => id.to_string(),
            Some(Value::Range(start, end)) => format!("Range{{start={start}, end={end}}}"),
            _ if !always.contains(&name) => continue,
            _ if name == "noVlan" => "false".to_owned(),
            _ => "0".to_owned(),
        };
        parts.push(format!("{name}={shown}"));
    }
    format!("{model}{{{}}}", parts.join(", "))
}
