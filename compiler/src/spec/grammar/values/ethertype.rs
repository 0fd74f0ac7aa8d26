//! EtherTypes.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::number::integer_of;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;
use crate::spec::grammar::{Reader, Shape, TomlValue, Value};
use crate::values::ethertype::{LOWEST, NAMES, parse};

/// An EtherType: its number, or a well-known name.
pub(crate) struct EthertypeValue;

fn names() -> Vec<&'static str> {
    NAMES.iter().map(|(name, _)| *name).collect()
}

impl Shape for EthertypeValue {
    fn wanted(&self) -> String {
        let names: Vec<String> = names().iter().map(|name| format!("`\"{name}\"`")).collect();
        format!("an EtherType such as `0x88cc`, or {}", names.join(", "))
    }

    fn schema(&self) -> Json {
        let number =
            json!({"type": "integer", "description": "Its number.", "minimum": LOWEST, "maximum": 0xffff});
        let name = json!({"description": "An EtherType's name.", "enum": names()});
        let text = json!({"type": "string", "pattern": "^0x0*([6-9a-fA-F][0-9a-fA-F]{2}|[1-9a-fA-F][0-9a-fA-F]{3})$"});
        json!({"oneOf": [number, name, text]})
    }
}

impl Value for EthertypeValue {
    type Output<'a> = Spanned<u16>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<u16>> {
        let span = reader.span(value.span());
        let number = match value.get_ref() {
            DeValue::String(text) => parse(text),
            _ => integer_of(value).and_then(|number| u16::try_from(number).ok()),
        };
        let number = number.filter(|number| *number >= LOWEST);
        if number.is_none() {
            let message = format!("`{key}` has an item that is no EtherType");
            let help = format!("write a number from 0x600 to 0xffff, or a name: {}", names().join(", "));
            reader.push(Diagnostic::error(Code::BadEthertype, span, message).help(help));
        }
        Some(Spanned { value: number?, span })
    }
}
