//! Creates rules.

use uuid::Uuid;

use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::deserialize::{self, Draft};
use crate::http::reply::Reply;
use crate::integrity::{self, check_references, new_id};
use crate::object::Value;
use crate::resources::rule::RANK;
use crate::resources::{fields, rule};
use crate::schema::Kind;
use crate::validation::{MAC_MASK, Violation, is_mac, is_mac_mask, is_storable};
use crate::version::Version;

/// The message about a fragment policy that does not fit the rule's other conditions.
const POLICY_FOR_PORTS: &str =
    "For a rule with tpDst or tpSrc constraints, the fragmentPolicy must be 'header' or 'unfragmented'.";
/// The message about a fragment policy that does not fit a NAT rule.
const POLICY_FOR_NAT: &str =
    "For a NAT rule with port constraints or multiple targets, the fragmentPolicy must be 'unfragmented'.";
/// The fields of a rule in the order of its `toString` in MidoNet (09-nat-rules, step 15).
const TO_STRING_FIELDS: [&str; 41] = [
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
/// The fields that `toString` shows even when they are not set.
const TO_STRING_ALWAYS: [&str; 5] =
    ["nwDstLength", "nwSrcLength", "noVlan", "icmpDataSrcIpLength", "icmpDataDstIpLength"];

impl Api {
    pub(super) fn create_rule(&self, call: &Call<'_>, chain: Uuid) -> Outcome {
        let is_1x = self.version.traits().is_1x;
        let mut draft = self.draft(call, Kind::Rule)?;
        // Position 0 and a missing position mean 1 (04-chain-rule, steps 9 and 10).
        let position = match draft.get("position") {
            None | Some(Value::Number(0)) => 1,
            Some(Value::Number(position)) => *position,
            Some(_) => 1,
        };
        draft.set("position", Value::Number(position));
        self.validate(Kind::Rule, &draft)?;
        if is_1x {
            check_rule_1x(&draft)?;
        }
        self.set_fragment_policy(&mut draft)?;
        if let Some(Value::NatTargets(targets)) = draft.get("natTargets")
            && !targets.iter().all(is_storable)
        {
            return Err(Failure::Unstorable(to_java_string(self.version, &draft, position)));
        }
        let mut state = self.lock();
        let missing = || Failure::missing(Kind::Chain, chain, Operation::Create(Kind::Rule));
        // 1.7 checks the position before the chain (random1, steps 31 and 87).
        if !is_1x && !state.has(Kind::Chain, chain) {
            return Err(missing());
        }
        let mut change = state.begin();
        let rank =
            integrity::rank_at(&mut change, chain, position).ok_or_else(|| Failure::PerGeneration {
                status: 400,
                on_1x: "Invalid rule position.".to_owned(),
                on_5x: "Position exceeds number of rules in chain".to_owned(),
            })?;
        if !change.state().has(Kind::Chain, chain) {
            return Err(missing());
        }
        check_references(change.state(), Kind::Rule, self.version, &draft)?;
        if let Some(to) = draft.uuid("jumpChainId")
            && !change.state().has(Kind::Chain, to)
        {
            return Err(Failure::missing(Kind::Chain, to, Operation::Reference));
        }
        let id = new_id(change.state(), Kind::Rule, self.version, &draft)?;
        draft.set("chainId", Value::Uuid(chain));
        draft.set("position", Value::Null);
        draft.set(RANK, Value::Number(rank));
        change.create(integrity::object(Kind::Rule, id, draft));
        let ticket = self.commit(call, change);
        Ok((Reply::created(Some(format!("{}/rules/{id}", call.base))), ticket))
    }

    /// Sets the default fragment policy of a rule (04-chain-rule, step 7; 09-nat-rules, steps 7 to 11), or refuses one
    /// that does not fit the rule's other conditions.
    fn set_fragment_policy(&self, draft: &mut Draft) -> Result<(), Failure> {
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
        let policy = match draft.get("fragmentPolicy") {
            Some(Value::Text(policy)) => policy.clone(),
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
        let is_1x = self.version.traits().is_1x;
        if !["any", "nonheader", "header", "unfragmented"].contains(&&*policy) {
            let message =
                "The valid options for fragmentPolicy are: 'any', 'header', 'nonheader', and 'unfragmented'.";
            return Err(Failure::Violations(vec![Violation::new("fragmentPolicy", message)]));
        }
        if whole && &*policy != "unfragmented" {
            return Err(Failure::bad(if is_1x { POLICY_FOR_NAT } else { POLICY_FOR_PORTS }));
        }
        if !nat && ports && matches!(&*policy, "any" | "nonheader") {
            return Err(Failure::bad(POLICY_FOR_PORTS));
        }
        Ok(())
    }
}

/// Checks a rule as 1.7 does when it converts the rule for its storage (not recorded; the messages are MidoNet's).
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

/// Describes a rule that can't be stored, as the `toString` of 5.x does (09-nat-rules, step 15).
fn to_java_string(version: Version, draft: &Draft, position: i64) -> String {
    let model = deserialize::model_of(Kind::Rule, draft.type_name);
    let mut parts = Vec::new();
    if let Some(id) = draft.uuid("id") {
        parts.push(format!("id={id}"));
    }
    parts.push("type=NAT".to_owned());
    if let Some(Value::Text(action)) = draft.get("flowAction") {
        parts.push(format!("action={}", action.to_uppercase()));
    }
    parts.push(format!("position={position}"));
    for name in TO_STRING_FIELDS {
        let known = fields(Kind::Rule, version, draft.type_name).any(|field| field.name == name);
        let shown = match draft.get(name) {
            _ if !known => continue,
            Some(Value::Flag(false)) if name != "noVlan" => continue,
            Some(Value::Flag(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Text(text)) => text.to_string(),
            Some(Value::Uuid(id)) => id.to_string(),
            Some(Value::Range(start, end)) => format!("Range{{start={start}, end={end}}}"),
            _ if !TO_STRING_ALWAYS.contains(&name) => continue,
            _ if name == "noVlan" => "false".to_owned(),
            _ => "0".to_owned(),
        };
        parts.push(format!("{name}={shown}"));
    }
    format!("{model}{{{}}}", parts.join(", "))
}
