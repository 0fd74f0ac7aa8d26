//! Serialises objects to JSON, field by field in the order of their kind's table.

use std::net::Ipv4Addr;

use serde_json::Value as Json;

use super::reply::Representation;
use crate::object::{Object, Value};
use crate::resources::{dhcp, router};
use crate::schema::{Access, DefaultValue, Field, Kind, Row, applies};

/// Writes an object in a representation, with links under `base`.
pub(crate) fn object(out: &mut Vec<u8>, object: &Object, form: Representation, base: &str) {
    let of = object.type_name();
    let mut first = true;
    for item in object.kind.table() {
        let (name, versions, types) = match item {
            Row::Field(field) if field.access == Access::Hidden => continue,
            Row::Field(field) => (field.name, field.versions, field.types),
            Row::Link { name, versions, types, .. } | Row::Upper { name, versions, types, .. } => {
                (*name, *versions, *types)
            }
        };
        if !applies(versions, types, form.version, of) || (form.older && left_out(object.kind, name)) {
            continue;
        }
        out.extend_from_slice(if first { b"{\"" } else { b",\"" });
        first = false;
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match item {
            Row::Field(field) => write_field(out, object, field, form),
            Row::Link { path, .. } => write_link(out, object, path, base),
            Row::Upper { of, .. } => match object.text(of) {
                Some(text) => write_text(out, &text.to_uppercase()),
                None => out.extend_from_slice(b"null"),
            },
        }
    }
    out.extend_from_slice(if first { b"{}" } else { b"}" });
}

fn left_out(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Router => router::NOT_IN_V1_FORM.contains(&name),
        Kind::DhcpSubnet => dhcp::NOT_IN_V1_FORM.contains(&name),
        _ => false,
    }
}

fn write_field(out: &mut Vec<u8>, object: &Object, field: &Field, form: Representation) {
    match field.name {
        "id" if object.get("id").is_none() => write_uuid(out, object.id),
        // The older representation of ports (the README: "port types Interior/Exterior").
        "type" if form.older && object.kind == Kind::Port => {
            let side = if object.uuid("peerId").is_some() { "Interior" } else { "Exterior" };
            write_text(out, &format!("{side}{}", object.type_name()));
        }
        // 05-router-port, step 2 on 5.8.
        "portSubnet" => match (object.text("portAddress"), object.number("networkLength")) {
            (Some(address), length) => {
                write_any(out, &Json::from(vec![format!("{address}/{}", length.unwrap_or(0))]))
            }
            _ => out.extend_from_slice(b"[]"),
        },
        // A prefix length without its address is not stored (not recorded).
        name if lengthless(object, name) => write_unset(out, field.default),
        "networkAddress" if form.version.traits().network_of_address => match network(object) {
            Some(network) => write_text(out, &network.to_string()),
            None => write_unset(out, field.default),
        },
        name => match object.get(name) {
            Some(value) => write_value(out, value),
            None => write_unset(out, field.default),
        },
    }
}

/// Returns true if the field is the prefix length of an address that the rule does not have.
fn lengthless(object: &Object, name: &str) -> bool {
    object.kind == Kind::Rule
        && name.strip_suffix("Length").is_some_and(|stem| match stem {
            "nwSrc" => object.get("nwSrcAddress").is_none(),
            "nwDst" => object.get("nwDstAddress").is_none(),
            "icmpDataSrcIp" => object.get("icmpDataSrcIpAddress").is_none(),
            _ => object.get("icmpDataDstIpAddress").is_none(),
        })
}

/// Returns the network address of a router's port, computed from the port's address (random1, steps 78 and 91 on 5.8).
fn network(object: &Object) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = object.text("portAddress")?.parse().ok()?;
    let length = u32::try_from(object.number("networkLength").unwrap_or(0)).ok()?;
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
    Some(Ipv4Addr::from_bits(address.to_bits() & mask))
}

fn write_unset(out: &mut Vec<u8>, unset: DefaultValue) {
    match unset {
        DefaultValue::Null => out.extend_from_slice(b"null"),
        DefaultValue::Flag(flag) => write_flag(out, flag),
        DefaultValue::Number(number) => write_number(out, number),
        DefaultValue::EmptyList => out.extend_from_slice(b"[]"),
        DefaultValue::EmptyMap => out.extend_from_slice(b"{}"),
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Flag(flag) => write_flag(out, *flag),
        Value::Number(number) => write_number(out, *number),
        Value::Text(text) => write_text(out, text),
        Value::Uuid(id) => write_uuid(out, *id),
        Value::Range(start, end) => {
            out.extend_from_slice(format!("{{\"start\":{start},\"end\":{end}}}").as_bytes())
        }
        Value::Uuids(ids) => {
            out.push(b'[');
            for (index, id) in ids.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_uuid(out, *id);
            }
            out.push(b']');
        }
        Value::NatTargets(targets) => {
            let targets: Vec<Json> = targets
                .iter()
                .map(|target| {
                    serde_json::json!({
                        "addressFrom": target.address_from.as_deref(),
                        "addressTo": target.address_to.as_deref(),
                        "portFrom": target.port_from,
                        "portTo": target.port_to,
                    })
                })
                .collect();
            write_any(out, &Json::from(targets));
        }
        Value::Any(json) => write_any(out, json),
    }
}

fn write_flag(out: &mut Vec<u8>, flag: bool) {
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

fn write_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

fn write_uuid(out: &mut Vec<u8>, id: uuid::Uuid) {
    let mut buffer = uuid::Uuid::encode_buffer();
    out.push(b'"');
    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
    out.push(b'"');
}

/// Writes a JSON string. Writing into a vector can't fail.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

fn write_any(out: &mut Vec<u8>, json: &Json) {
    let _ = serde_json::to_writer(out, json);
}

/// Writes a link: replaces each `{field}` of the path by the field's value. `{{x}}` becomes `{x}`, which clients
/// replace.
fn write_link(out: &mut Vec<u8>, object: &Object, path: &str, base: &str) {
    let start = out.len();
    out.push(b'"');
    // The base came from a request's header, but it has only characters that need no escape.
    out.extend_from_slice(base.as_bytes());
    let mut rest = path;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        out.extend_from_slice(before.as_bytes());
        if let Some(template) = after.strip_prefix("{{") {
            let end = template.find("}}").unwrap_or(template.len());
            out.push(b'{');
            out.extend_from_slice(template.get(..end).unwrap_or_default().as_bytes());
            out.push(b'}');
            rest = template.get(end + 2..).unwrap_or_default();
            continue;
        }
        let end = after.find('}').unwrap_or(after.len());
        let name = after.get(1..end).unwrap_or_default();
        if !write_part(out, object, name) {
            out.truncate(start);
            out.extend_from_slice(b"null");
            return;
        }
        rest = after.get(end + 1..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

fn write_part(out: &mut Vec<u8>, object: &Object, name: &str) -> bool {
    match object.get(name) {
        Some(Value::Uuid(id)) => out.extend_from_slice(id.to_string().as_bytes()),
        Some(Value::Number(number)) => write_number(out, *number),
        // The only strings in paths are addresses, and they need no escape.
        Some(Value::Text(text)) => out.extend_from_slice(text.replace(['"', '\\'], "").as_bytes()),
        None if name == "id" => out.extend_from_slice(object.id.to_string().as_bytes()),
        _ => return false,
    }
    true
}
