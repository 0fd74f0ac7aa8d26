//! The whole state as JSON, and as a drawing for Graphviz.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::http::reply::Representation;
use crate::http::serialize;
use crate::object::Object;
use crate::schema::Kind;
use crate::state::State;

/// Returns every object, by kind, as the API shows it.
pub(crate) fn json(state: &State, form: Representation, base: &str) -> Vec<u8> {
    let mut out = format!("{{\"version\":\"{}\",\"objects\":{{", form.version).into_bytes();
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{}\":[", kind.class()).as_bytes());
        for (index, object) in state.all(kind).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            serialize::object(&mut out, object, form, base);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}}");
    out
}

/// Returns a drawing of routers, bridges, chains and hosts with the connections between them.
pub(crate) fn dot(state: &State) -> String {
    let mut out = String::from("graph midonet {\n  graph [rankdir=LR];\n  node [fontname=\"sans-serif\"];\n");
    for (kind, shape) in
        [(Kind::Router, "ellipse"), (Kind::Bridge, "box"), (Kind::Chain, "note"), (Kind::Host, "house")]
    {
        for object in state.all(kind) {
            let name = object.text("name").unwrap_or("");
            let label = quoted(&format!("{} {name}", kind.class()));
            line(&mut out, &format!("{} [shape={shape}, label={label}]", node(object.id)));
        }
    }
    for port in state.all(Kind::Port) {
        port_lines(&mut out, port);
    }
    for kind in [Kind::Router, Kind::Bridge, Kind::Port] {
        for object in state.all(kind) {
            for (field, label) in [("inboundFilterId", "in"), ("outboundFilterId", "out")] {
                if let Some(chain) = object.uuid(field) {
                    edge(&mut out, object.id, chain, &format!("label={}, style=dashed", quoted(label)));
                }
            }
        }
    }
    for rule in state.all(Kind::Rule) {
        if let (Some(chain), Some(to)) = (rule.uuid("chainId"), rule.uuid("jumpChainId")) {
            edge(&mut out, chain, to, "label=\"jump\", style=dotted, dir=forward");
        }
    }
    out.push_str("}\n");
    out
}

/// Draws a port with its device, its interface, and its link (once for both ports).
fn port_lines(out: &mut String, port: &Object) {
    let label = match (port.text("portAddress"), port.number("networkLength")) {
        (Some(address), length) => format!("{address}/{}", length.unwrap_or(0)),
        (None, _) => "port".to_owned(),
    };
    line(out, &format!("{} [shape=plaintext, label={}]", node(port.id), quoted(&label)));
    if let Some(device) = port.uuid("deviceId") {
        edge(out, device, port.id, "");
    }
    if let Some(peer) = port.uuid("peerId").filter(|peer| *peer >= port.id) {
        edge(out, port.id, peer, "style=bold");
    }
    if let Some(host) = port.uuid("hostId") {
        edge(out, port.id, host, &format!("label={}", quoted(port.text("interfaceName").unwrap_or(""))));
    }
}

fn node(id: Uuid) -> String {
    format!("\"{id}\"")
}

fn edge(out: &mut String, from: Uuid, to: Uuid, how: &str) {
    line(out, &format!("{} -- {} [{how}]", node(from), node(to)));
}

fn line(out: &mut String, text: &str) {
    // Writing into a string can't fail.
    let _ = writeln!(out, "  {text};");
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out + "\""
}
