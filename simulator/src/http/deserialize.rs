//! Deserialises a body to the fields of a kind, with the leniency and the error messages of the real servers.
//!
//! Fields that the kind does not have are ignored (10-bad-input, step 7), scalars turn into texts and texts into
//! scalars where the servers' reader does so, and the error for the first value that does not fit names its location
//! and field (10-bad-input, step 6).

use uuid::Uuid;

use super::jackson::{BodyError, Located, Location, Node};
use crate::object::{Fields, NatTarget, Value};
use crate::resources::route::NEXT_HOP;
use crate::resources::rule::{self, FRAGMENT_POLICY};
use crate::resources::{port, port_link};
use crate::schema::{Access, Field, Kind, ValueType, fields};
use crate::version::Version;

/// The Java package of the model classes, which errors show.
pub(crate) const MODELS: &str = "org.midonet.cluster.rest_api.models";

/// The fields of an object as a body states them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// The object's type; empty for a kind without types.
    pub(crate) type_name: &'static str,
    /// True if the body named the type by its older name, as 1.7 has for ports.
    pub(crate) older: bool,
    pub(crate) fields: Fields,
}

impl Draft {
    pub(crate) fn uuid(&self, name: &str) -> Option<Uuid> {
        match self.get(name) {
            Some(Value::Uuid(id)) => Some(*id),
            _ => None,
        }
    }

    /// Returns the value of a field, unless it is null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let value = self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        value.filter(|value| **value != Value::Null)
    }

    /// Sets a field. The draft keeps a null, because a null is not the same as a missing field that has a default.
    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        self.fields.retain(|(known, _)| *known != name);
        self.fields.push((name, value));
    }
}

/// Reads a body as an object of `kind`.
pub(crate) fn draft(kind: Kind, version: Version, body: &Located) -> Result<Draft, BodyError> {
    let Node::Map(entries) = &body.value else { return Err(not_a(kind.model(), body)) };
    let mut draft = Draft { type_name: "", older: false, fields: Fields::new() };
    let (type_name, older) = type_of(kind, version, entries, body.at)?;
    match (kind.discriminator(), type_name) {
        (Some(("version", _)), version) => {
            draft.set("version", version.parse().map_or(Value::Null, Value::Number));
        }
        (Some((field, _)), type_name) => {
            draft.type_name = type_name;
            draft.older = older;
            draft.set(field, Value::text(type_name));
        }
        (None, _) => {}
    }
    let type_name = draft.type_name;
    let model = model_of(kind, type_name);
    for (name, located) in entries {
        let field = fields(kind, version, type_name)
            .find(|field| field.name == name && field.access != Access::Hidden);
        let Some(field) = field else { continue };
        if field.name == "type" && !type_name.is_empty() {
            continue;
        }
        let value = value(field, located, &model)?;
        if field.access == Access::Client {
            draft.set(field.name, value);
        }
    }
    Ok(draft)
}

/// Reads the body of a link.
pub(crate) fn link(body: &Located) -> Result<port_link::PortLink, BodyError> {
    let Node::Map(entries) = &body.value else { return Err(not_a(port_link::MODEL, body)) };
    let mut link = port_link::PortLink { peer: None };
    for (name, located) in entries {
        if name == "peerId" || name == "portId" {
            let chain = format!("{MODELS}.{}[\"{name}\"]", port_link::MODEL);
            let id = uuid(located, &chain)?;
            if name == "peerId" {
                link.peer = id;
            }
        }
    }
    Ok(link)
}

fn not_a(model: &str, body: &Located) -> BodyError {
    match &body.value {
        Node::Text(text) => BodyError::Mapping(format!(
            "Can not instantiate value of type [simple type, class {MODELS}.{model}] from String value ('{text}'); no \
             single-String constructor/factory method\n at {}",
            body.at.shown()
        )),
        other => BodyError::Mapping(format!(
            "Can not deserialize instance of {MODELS}.{model} out of {} token\n at {}",
            other.token(),
            body.at.shown()
        )),
    }
}

/// Returns the type that a body states, for a kind with types (04-chain-rule, step 13).
fn type_of(
    kind: Kind,
    version: Version,
    entries: &[(String, Located)],
    at: Location,
) -> Result<(&'static str, bool), BodyError> {
    let Some((field, types)) = kind.discriminator() else { return Ok(("", false)) };
    let Some((_, located)) = entries.iter().find(|(name, _)| name == field) else {
        return Err(BodyError::Mapping(format!(
            "Unexpected token (END_OBJECT), expected FIELD_NAME: missing property '{field}' that is to contain type id  \
             (for class {MODELS}.{})\n at {}",
            kind.model(),
            at.shown()
        )));
    };
    let text_value = match &located.value {
        Node::Text(text) | Node::Integer(text) => text.clone(),
        Node::Flag(flag) => flag.to_string(),
        Node::Fraction(number) => number.to_string(),
        other => {
            return Err(BodyError::Mapping(format!(
                "Unexpected token ({}), expected VALUE_STRING: need JSON String that contains type id (for subtype of \
                 {MODELS}.{})\n at {}",
                other.token(),
                kind.model(),
                located.at.shown()
            )));
        }
    };
    let older: &[(&str, &'static str)] = if kind == Kind::Port && version.traits().is_1x {
        &[
            ("InteriorBridge", port::BRIDGE),
            ("ExteriorBridge", port::BRIDGE),
            ("InteriorRouter", port::ROUTER),
            ("ExteriorRouter", port::ROUTER),
        ]
    } else {
        &[]
    };
    let known = types.iter().copied().find(|known| *known == text_value).map(|known| (known, false));
    let known =
        known.or_else(|| older.iter().find(|(name, _)| *name == text_value).map(|(_, known)| (*known, true)));
    known.ok_or_else(|| {
        let all = match kind {
            Kind::Rule => rule::KNOWN,
            Kind::IpAddrGroupAddr => "4, 6, IpAddrGroupAddr",
            _ => "Bridge, ExteriorBridge, ExteriorRouter, InteriorBridge, InteriorRouter, Port, Router, Vxlan",
        };
        BodyError::Mapping(format!(
            "Could not resolve type id '{text_value}' into a subtype of [simple type, class {MODELS}.{}]: known type ids = \
             [{all}]\n at {}",
            kind.model(),
            located.at.shown()
        ))
    })
}

/// Returns the name of the Java class for a type of a kind.
pub(crate) fn model_of(kind: Kind, type_name: &str) -> String {
    match (kind, type_name) {
        (_, "") => kind.model().to_owned(),
        (Kind::Port, port::BRIDGE) => "BridgePort".to_owned(),
        (Kind::Port, _) => "RouterPort".to_owned(),
        (_, "snat") => "ForwardSnatRule".to_owned(),
        (_, "dnat") => "ForwardDnatRule".to_owned(),
        (_, "rev_snat") => "ReverseSnatRule".to_owned(),
        (_, "rev_dnat") => "ReverseDnatRule".to_owned(),
        (_, other) => {
            let mut letters = other.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).chain("Rule".chars()).collect()
        }
    }
}

fn value(field: &Field, located: &Located, model: &str) -> Result<Value, BodyError> {
    let chain = format!("{MODELS}.{model}[\"{}\"]", field.name);
    Ok(match field.value_type {
        ValueType::Uuid => uuid(located, &chain)?.map_or(Value::Null, Value::Uuid),
        ValueType::Text => text(located, &chain)?.map_or(Value::Null, Value::text),
        ValueType::Flag => Value::Flag(flag(located, &chain)?),
        ValueType::Number => Value::Number(number(located, "int", &chain)?.unwrap_or(0)),
        // Stored as a Java byte, which is shown without its sign (not recorded).
        ValueType::Byte => Value::Number(number(located, "int", &chain)?.unwrap_or(0) & 0xFF),
        ValueType::OptionalNumber => {
            number(located, "java.lang.Integer", &chain)?.map_or(Value::Null, Value::Number)
        }
        ValueType::Range => range(located, &chain)?,
        ValueType::Uuids => uuid_list(located, &chain)?,
        ValueType::NatTargets => nat_targets(located, &chain)?,
        ValueType::Word(name, words) => word(located, name, words, &chain)?,
        ValueType::Any => Value::Any(Box::new(plain(&located.value))),
    })
}

fn body_error(what: &str, located: &Located, chain: &str) -> BodyError {
    BodyError::Mapping(format!("{what}\n at {} (through reference chain: {chain})", located.at.shown()))
}

fn out_of(class: &str, located: &Located, chain: &str) -> BodyError {
    let token = located.value.token();
    body_error(&format!("Can not deserialize instance of {class} out of {token} token"), located, chain)
}

fn uuid(located: &Located, chain: &str) -> Result<Option<Uuid>, BodyError> {
    let text = match &located.value {
        Node::Null => return Ok(None),
        Node::Text(text) if text.trim().is_empty() => return Ok(None),
        Node::Text(text) => text.trim(),
        _ => return Err(out_of("java.util.UUID", located, chain)),
    };
    let dashes = [8, 13, 18, 23].iter().all(|place| text.as_bytes().get(*place) == Some(&b'-'));
    let problem = if text.len() != 36 || !dashes {
        "UUID has to be represented by the standard 36-char representation".to_owned()
    } else if let Ok(id) = text.parse() {
        return Ok(Some(id));
    } else {
        let bad = text.chars().find(|letter| *letter != '-' && !letter.is_ascii_hexdigit()).unwrap_or('-');
        format!("Non-hex character '{bad}', not valid character for a UUID String")
    };
    let what = format!(
        "Can not construct instance of java.util.UUID from String value '{text}': not a valid textual representation, \
         problem: {problem}"
    );
    Err(body_error(&what, located, chain))
}

fn text(located: &Located, chain: &str) -> Result<Option<String>, BodyError> {
    Ok(Some(match &located.value {
        Node::Null => return Ok(None),
        Node::Text(text) | Node::Integer(text) => text.clone(),
        Node::Flag(flag) => flag.to_string(),
        Node::Fraction(number) => number.to_string(),
        Node::List(_) | Node::Map(_) => return Err(out_of("java.lang.String", located, chain)),
    }))
}

fn flag(located: &Located, chain: &str) -> Result<bool, BodyError> {
    match &located.value {
        Node::Null => Ok(false),
        Node::Flag(flag) => Ok(*flag),
        Node::Integer(digits) => Ok(digits != "0"),
        Node::Text(text) => match text.trim() {
            "true" | "True" => Ok(true),
            "false" | "False" | "" => Ok(false),
            other => {
                let what = format!(
                    "Can not construct instance of boolean from String value '{other}': only \"true\" or \"false\" \
                     recognized"
                );
                Err(body_error(&what, located, chain))
            }
        },
        _ => Err(out_of("boolean", located, chain)),
    }
}

fn number(located: &Located, class: &str, chain: &str) -> Result<Option<i64>, BodyError> {
    let digits = match &located.value {
        Node::Null => return Ok(None),
        // The servers drop the fraction.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is too large saturates and is refused below"
        )]
        Node::Fraction(number) => (*number as i64).to_string(),
        Node::Integer(digits) => digits.clone(),
        Node::Text(text) if text.trim().is_empty() => return Ok(None),
        Node::Text(text) => match text.trim().parse::<i32>() {
            Ok(number) => return Ok(Some(number.into())),
            Err(_) => {
                let problem =
                    if class == "int" { "not a valid int value" } else { "not a valid Integer value" };
                let what =
                    format!("Can not construct instance of {class} from String value '{text}': {problem}");
                return Err(body_error(&what, located, chain));
            }
        },
        _ => return Err(out_of(class, located, chain)),
    };
    match digits.parse::<i32>() {
        Ok(number) => Ok(Some(number.into())),
        Err(_) => Err(body_error(&format!("Numeric value ({digits}) out of range of int"), located, chain)),
    }
}

fn range(located: &Located, chain: &str) -> Result<Value, BodyError> {
    let entries = match &located.value {
        Node::Null => return Ok(Value::Null),
        Node::Map(entries) => entries,
        _ => return Err(out_of("org.midonet.util.Range", located, chain)),
    };
    let mut ends = [None, None];
    for (name, located) in entries {
        let chain = format!("{chain}->org.midonet.util.Range[\"{name}\"]");
        match name.as_str() {
            "start" => ends[0] = number(located, "java.lang.Integer", &chain)?,
            "end" => ends[1] = number(located, "java.lang.Integer", &chain)?,
            _ => {}
        }
    }
    Ok(match ends {
        [None, None] => Value::Null,
        [start, end] => Value::Range(start.or(end).unwrap_or(0), end.or(start).unwrap_or(0)),
    })
}

fn uuid_list(located: &Located, chain: &str) -> Result<Value, BodyError> {
    let entries = match &located.value {
        Node::Null => return Ok(Value::Null),
        Node::List(entries) => entries,
        _ => return Err(out_of("java.util.UUID[]", located, chain)),
    };
    let mut ids = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if let Some(id) = uuid(entry, &format!("{chain}->java.lang.Object[][{index}]"))? {
            ids.push(id);
        }
    }
    Ok(Value::Uuids(ids.into_boxed_slice()))
}

fn nat_targets(located: &Located, chain: &str) -> Result<Value, BodyError> {
    const CLASS: &str = "org.midonet.cluster.rest_api.models.ForwardNatRule$NatTarget";
    let entries = match &located.value {
        Node::Null => return Ok(Value::Null),
        Node::List(entries) => entries,
        _ => return Err(out_of(&format!("{CLASS}[]"), located, chain)),
    };
    let mut targets = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let chain = format!("{chain}->java.lang.Object[][{index}]");
        let Node::Map(parts) = &entry.value else { return Err(out_of(CLASS, entry, &chain)) };
        let mut target = NatTarget { address_from: None, address_to: None, port_from: 0, port_to: 0 };
        for (name, part) in parts {
            let chain = format!("{chain}->{CLASS}[\"{name}\"]");
            match name.as_str() {
                "addressFrom" => target.address_from = text(part, &chain)?.map(Into::into),
                "addressTo" => target.address_to = text(part, &chain)?.map(Into::into),
                "portFrom" => target.port_from = number(part, "int", &chain)?.unwrap_or(0),
                "portTo" => target.port_to = number(part, "int", &chain)?.unwrap_or(0),
                _ => {}
            }
        }
        targets.push(target);
    }
    Ok(Value::NatTargets(targets.into_boxed_slice()))
}

fn word(located: &Located, name: &str, words: &[&str], chain: &str) -> Result<Value, BodyError> {
    let text_value = match &located.value {
        Node::Null => return Ok(Value::Null),
        Node::Text(text) if text.trim().is_empty() => return Ok(Value::Null),
        Node::Text(text) => text.as_str(),
        _ => return Err(custom(name).unwrap_or_else(|| out_of(&format!("{MODELS}.{name}"), located, chain))),
    };
    if words.contains(&text_value) {
        return Ok(Value::text(text_value));
    }
    Err(custom(name).unwrap_or_else(|| {
        let what = format!(
            "Can not construct instance of {MODELS}.{name} from String value '{text_value}': value not one of declared Enum \
             instance names: [{}]",
            words.join(", ")
        );
        body_error(&what, located, chain)
    }))
}

/// Returns the message for a bad value, for the enumerations that have their own (07-route, step 14).
fn custom(name: &str) -> Option<BodyError> {
    match name {
        NEXT_HOP => Some(BodyError::Custom("This type of route is invalid.".to_owned())),
        FRAGMENT_POLICY => Some(BodyError::Custom(
            "The valid options for fragmentPolicy are: 'any', 'header', 'nonheader', and 'unfragmented'."
                .to_owned(),
        )),
        _ => None,
    }
}

fn plain(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match node {
        Node::Null => Json::Null,
        Node::Flag(flag) => Json::Bool(*flag),
        Node::Integer(digits) => {
            digits.parse::<i64>().map_or_else(|_| Json::from(digits.as_str()), Json::from)
        }
        Node::Fraction(number) => Json::from(*number),
        Node::Text(text) => Json::from(text.as_str()),
        Node::List(entries) => entries.iter().map(|entry| plain(&entry.value)).collect(),
        Node::Map(entries) => {
            Json::Object(entries.iter().map(|(name, entry)| (name.clone(), plain(&entry.value))).collect())
        }
    }
}
