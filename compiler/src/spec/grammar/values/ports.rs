//! Ports and protocols.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::number::integer_of;
use super::{Integer, SubTable, integer};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::grammar::key::{key, required, table};
use crate::spec::grammar::{Reader, Shape, TomlValue, Value};
use crate::values::PortRange;

/// IP protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// The protocols that have names.
const PROTOCOLS: [(&str, u8); 7] =
    [("icmp", ICMP), ("tcp", TCP), ("udp", UDP), ("gre", 47), ("esp", 50), ("ah", 51), ("sctp", 132)];

/// A port, or a range of ports: `8000` or `"8000-8100"`.
pub(crate) struct PortOrRange;

fn port_schemas() -> [Json; 2] {
    [
        json!({"type": "integer", "minimum": 1, "maximum": 65535}),
        json!({"type": "string", "pattern": "^ *[1-9][0-9]{0,4} *(- *[1-9][0-9]{0,4} *)?$"}),
    ]
}

impl Shape for PortOrRange {
    fn wanted(&self) -> String {
        "a port, a range such as `\"8000-8100\"`".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"oneOf": port_schemas()})
    }
}

impl Value for PortOrRange {
    type Output<'a> = Spanned<PortRange>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<PortRange>> {
        let span = reader.span(value.span());
        let range = match (integer_of(value), value.get_ref().as_str()) {
            (Some(number), _) => port(reader, span, number).map(|port| PortRange { start: port, end: port }),
            (None, Some(text)) => range_of(reader, span, text),
            (None, None) => {
                let wanted = "a port, a range such as \"8000-8100\", or a list of these";
                reader.wrong_type(key, value, wanted);
                None
            }
        };
        Some(Spanned { value: range?, span })
    }
}

fn range_of(reader: &mut Reader<'_>, span: Span, text: &str) -> Option<PortRange> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (Some(start), Some(end)) = (number_of(start.trim()), number_of(end.trim())) else {
        let message = format!("`{text}` is not a port or a range of ports");
        reader.push(Diagnostic::error(Code::BadPort, span, message).help("write 8000 or \"8000-8100\""));
        return None;
    };
    let (start, end) = (port(reader, span, start)?, port(reader, span, end)?);
    if end < start {
        let message = format!("the range `{text}` ends before it begins");
        reader.push(Diagnostic::error(Code::BadPort, span, message).help(format!("write \"{end}-{start}\"")));
        return None;
    }
    Some(PortRange { start, end })
}

/// Parses a number as people write it: digits without leading zeros, which some programs read as octal.
pub(super) fn number_of(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn port(reader: &mut Reader<'_>, span: Span, number: i64) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = format!("{number} is not a port: ports go from 1 to 65535");
        reader.push(Diagnostic::error(Code::BadPort, span, message));
    }
    port
}

/// Ports of a rule: `80`, `"8000-8100"`, `[80, "8000-8100"]`, or `true` for all ports.
pub(crate) struct Ports;

impl Shape for Ports {
    fn wanted(&self) -> String {
        "a port, a range such as `\"8000-8100\"`, a list of these, or true for all ports".to_owned()
    }

    fn schema(&self) -> Json {
        let [port, range] = port_schemas();
        let list = json!({"type": "array", "items": PortOrRange.schema(), "minItems": 1});
        json!({"oneOf": [port, range, {"const": true}, list]})
    }
}

impl Value for Ports {
    /// The ranges. None in the list: all ports.
    type Output<'a> = Spanned<Vec<PortRange>>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Self::Output<'a>> {
        let mut one = |item: &'a TomlValue<'a>| PortOrRange.read(reader, key, item).map(|range| range.value);
        let ranges = match value.get_ref() {
            DeValue::Boolean(true) => Some(Vec::new()),
            DeValue::Array(items) if !items.is_empty() => {
                // Each is read before the first that is wrong ends it, so that all of them are reported.
                let read: Vec<_> = items.iter().map(one).collect();
                read.into_iter().collect()
            }
            DeValue::Integer(_) | DeValue::String(_) => one(value).map(|range| vec![range]),
            _ => {
                reader.wrong_type(key, value, &self.wanted());
                None
            }
        };
        Some(Spanned { value: ranges?, span: reader.span(value.span()) })
    }
}

table! {
    /// One type of ICMP.
    IcmpKeys {
        kind: Integer<u8> = required(integer(0, 255), "The type.").named("type"),
        code: Integer<u8> = key(integer(0, 255), "The code. If it is absent, every code of the type."),
    }
}

const ICMP_TYPE: SubTable<IcmpKeys> = SubTable::INLINE;

/// One type of ICMP with one of its codes; none: all of ICMP.
pub(crate) type Icmp = Option<(u8, Option<u8>)>;

/// `true`, or `{ type = 8, code = 0 }`.
pub(crate) struct IcmpValue;

impl Shape for IcmpValue {
    fn wanted(&self) -> String {
        "true or a table".to_owned()
    }

    fn schema(&self) -> Json {
        json!({"oneOf": [{"const": true}, ICMP_TYPE.schema()]})
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<crate::spec::grammar::reference::Nested> {
        ICMP_TYPE.tables(key)
    }
}

impl Value for IcmpValue {
    type Output<'a> = Spanned<Icmp>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<Icmp>> {
        let span = reader.span(value.span());
        match value.get_ref() {
            DeValue::Boolean(true) => Some(Spanned { value: None, span }),
            DeValue::Table(_) => {
                const FORM: &SubTable<IcmpKeys> = &ICMP_TYPE;
                let table = FORM.read(reader, key, value)?;
                let kind = table.get(reader, |icmp| &icmp.kind);
                let code = table.get(reader, |icmp| &icmp.code);
                Some(Spanned { value: Some((kind?.value, code.map(|code| code.value))), span })
            }
            _ => {
                reader.wrong_type(key, value, "true or a table with `type` and `code`");
                None
            }
        }
    }
}

/// An IP protocol: its number, or a well-known name.
pub(crate) struct ProtocolValue;

fn protocol_names() -> Vec<&'static str> {
    PROTOCOLS.iter().map(|(name, _)| *name).collect()
}

impl Shape for ProtocolValue {
    fn wanted(&self) -> String {
        let names: Vec<String> = protocol_names().iter().map(|name| format!("`\"{name}\"`")).collect();
        format!("an integer from 1 to 255, or {}", names.join(", "))
    }

    fn schema(&self) -> Json {
        let number = json!({"type": "integer", "description": "Its number.", "minimum": 1, "maximum": 255});
        let name = json!({"description": "A protocol's name.", "enum": protocol_names()});
        json!({"oneOf": [number, name]})
    }
}

impl Value for ProtocolValue {
    type Output<'a> = Spanned<u8>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<u8>> {
        let span = reader.span(value.span());
        let number = match value.get_ref() {
            DeValue::String(text) => {
                PROTOCOLS.iter().find(|(name, _)| name == text).map(|(_, number)| *number)
            }
            // MidoNet 1.7 takes protocol 0 for "any", so a rule can't match it.
            _ => integer_of(value).and_then(|number| u8::try_from(number).ok()).filter(|number| *number > 0),
        };
        if number.is_none() {
            let message = format!("`{key}` has to be a number from 1 to 255, or the name of a protocol");
            let help = format!("names: {}", protocol_names().join(", "));
            reader.push(Diagnostic::error(Code::BadProtocol, span, message).help(help));
        }
        Some(Spanned { value: number?, span })
    }
}
