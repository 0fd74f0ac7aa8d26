//! `egress` and `gateway`.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::address::{address_of, address_pattern};
use super::text::{pattern, string};
use super::{AddressRange, SubTable};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};
use crate::spec::grammar::key::{required, table};
use crate::spec::grammar::{HasDefault, Reader, Shape, TomlValue, Value};
use crate::spec::{Egress, Gateway};

table! {
    /// Source NAT to addresses of the tenant's own.
    SnatKeys {
        snat: AddressRange = required(AddressRange, "The addresses that pods get as their source: one, or a range of up to 256."),
    }
}

const SNAT_TO: SubTable<SnatKeys> = SubTable::called("`egress`");
/// The word for source NAT to the link address.
const SNAT: &str = SnatKeys::NAME;
/// The word for no source NAT.
const NONE: &str = "none";

impl SnatKeys {
    const NAME: &'static str = <Self as crate::spec::grammar::Grammar>::KEYS.snat.name;
}

/// The NAT of traffic to the world.
pub(crate) struct EgressValue;

impl Shape for EgressValue {
    fn wanted(&self) -> String {
        format!("`\"{SNAT}\"`, `\"{NONE}\"` or a table")
    }

    fn schema(&self) -> Json {
        let description = "Source NAT to the link address, or none.";
        json!({"oneOf": [{"enum": [SNAT, NONE], "description": description}, SNAT_TO.schema()]})
    }

    #[cfg(test)]
    fn tables(&self, key: &'static str) -> Vec<crate::spec::grammar::reference::Nested> {
        SNAT_TO.tables(key)
    }
}

impl Value for EgressValue {
    type Output<'a> = Spanned<Egress>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<Egress>> {
        let span = reader.span(value.span());
        let egress = match value.get_ref() {
            DeValue::String(word) if word == SNAT => Egress::SnatToLink,
            DeValue::String(word) if word == NONE => Egress::None,
            DeValue::Table(_) => {
                const FORM: &SubTable<SnatKeys> = &SNAT_TO;
                let table = FORM.read(reader, key, value)?;
                let (first, last) = table.get(reader, |egress| &egress.snat)?;
                Egress::SnatTo(first, last)
            }
            _ => {
                let message =
                    format!("`{key}` says how pods reach the world: it has to be {}", self.wanted());
                let help = "write `\"snat\"`, `\"none\"` or `{ snat = \"203.0.113.8-203.0.113.11\" }`";
                reader.push(Diagnostic::error(Code::UnknownWord, span, message).help(help));
                return None;
            }
        };
        Some(Spanned { value: egress, span })
    }
}

impl HasDefault for EgressValue {
    type Default = Egress;

    fn output<'a>(&self, default: Egress, span: Span) -> Self::Output<'a> {
        Spanned { value: default, span }
    }

    fn json(&self, default: Egress) -> Json {
        match default {
            Egress::SnatToLink => json!(SNAT),
            Egress::SnatTo(first, last) => json!({SNAT: format!("{first}-{last}")}),
            Egress::None => json!(NONE),
        }
    }
}

/// The address of a gateway in its bridge's network.
pub(crate) struct GatewayValue {
    /// True if it may be a certain address.
    pub(crate) may_be_an_address: bool,
}

const FIRST: &str = "first";
const LAST: &str = "last";

impl Shape for GatewayValue {
    fn wanted(&self) -> String {
        match self.may_be_an_address {
            true => format!("`\"{FIRST}\"`, `\"{LAST}\"` or an IPv4 address"),
            false => format!("`\"{FIRST}\"` or `\"{LAST}\"`"),
        }
    }

    fn schema(&self) -> Json {
        match self.may_be_an_address {
            true => pattern(&format!("^({FIRST}|{LAST}|{})$", address_pattern())),
            false => json!({"enum": [FIRST, LAST]}),
        }
    }
}

impl Value for GatewayValue {
    type Output<'a> = Spanned<Gateway>;

    fn read<'a>(
        &'static self,
        reader: &mut Reader<'_>,
        key: &'a str,
        value: &'a TomlValue<'a>,
    ) -> Option<Spanned<Gateway>> {
        let text = string(reader, key, value, self)?;
        let gateway = match text.value.as_str() {
            FIRST => Gateway::First,
            LAST => Gateway::Last,
            _ => Gateway::Address(address_of(reader, &text)?.value),
        };
        if !self.may_be_an_address && matches!(gateway, Gateway::Address(_)) {
            let message = "one address can't be the gateway of every bridge";
            let help = format!("write \"{FIRST}\" or \"{LAST}\"");
            reader.push(Diagnostic::error(Code::BadGateway, text.span, message).help(help));
            return None;
        }
        Some(Spanned { value: gateway, span: text.span })
    }
}
