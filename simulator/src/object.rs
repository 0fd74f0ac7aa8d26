//! Objects as the state holds them: only with the fields that were set.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::resources::rule::RANK;
use crate::schema::{Field, Kind, Row, ValueType};

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(i64),
    Text(Box<str>),
    Uuid(Uuid),
    Range(i64, i64),
    Uuids(Box<[Uuid]>),
    NatTargets(Box<[NatTarget]>),
    Any(Box<Json>),
}

/// A target of a NAT rule: ranges of addresses and ports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NatTarget {
    pub(crate) address_from: Option<Box<str>>,
    pub(crate) address_to: Option<Box<str>>,
    pub(crate) port_from: i64,
    pub(crate) port_to: i64,
}

impl Value {
    pub(crate) fn text(text: impl Into<Box<str>>) -> Value {
        Value::Text(text.into())
    }
}

/// The fields that were set, by name.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// An object of the state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) id: Uuid,
    /// The number of the object in the order of creation: its key on disk.
    pub(crate) sequence: u64,
    fields: Box<[(&'static str, Value)]>,
}

impl Object {
    pub(crate) fn new(kind: Kind, id: Uuid, fields: Fields) -> Object {
        Object { kind, id, sequence: 0, fields: fields.into_boxed_slice() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns the names of the fields that are set.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|(name, _)| *name)
    }

    pub(crate) fn uuid(&self, name: &str) -> Option<Uuid> {
        match self.get(name) {
            Some(Value::Uuid(id)) => Some(*id),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn uuids(&self, name: &str) -> &[Uuid] {
        match self.get(name) {
            Some(Value::Uuids(ids)) => ids,
            _ => &[],
        }
    }

    /// Returns the object's type; empty for a kind without types.
    pub(crate) fn type_name(&self) -> &str {
        if self.kind.types().is_empty() { "" } else { self.text("type").unwrap_or("") }
    }

    /// Sets a field; null removes it.
    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        let mut fields: Fields = std::mem::take(&mut self.fields).into_vec();
        fields.retain(|(known, _)| *known != name);
        if value != Value::Null {
            fields.push((name, value));
        }
        self.fields = fields.into_boxed_slice();
    }

    /// Returns the rank of the object among its parent's children. Rules have their own ranks; other objects are in the
    /// order of creation.
    pub(crate) fn rank(&self) -> i64 {
        self.number(RANK).unwrap_or_else(|| i64::try_from(self.sequence).unwrap_or(i64::MAX))
    }

    /// Returns the fields that refer to other objects, with the ids.
    pub(crate) fn references(&self) -> impl Iterator<Item = (&'static str, Uuid)> {
        self.fields.iter().filter_map(|(name, value)| match value {
            Value::Uuid(id) => Some((*name, *id)),
            _ => None,
        })
    }

    /// Serialises the object for the database.
    pub(crate) fn to_stored(&self) -> Vec<u8> {
        let mut map = Map::new();
        for (name, value) in &self.fields {
            map.insert((*name).to_owned(), value.to_json());
        }
        let mut out = String::with_capacity(128);
        // Writing into a string can't fail.
        let _ = write!(out, "{}\n{}\n{}", self.kind.class(), self.id, Json::Object(map));
        out.into_bytes()
    }

    /// Deserialises an object that [`Object::to_stored`] wrote.
    pub(crate) fn from_stored(sequence: u64, bytes: &[u8]) -> Result<Object, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut lines = text.splitn(3, '\n');
        let (Some(class), Some(id), Some(body)) = (lines.next(), lines.next(), lines.next()) else {
            return Err("it is incomplete".to_owned());
        };
        let kind = Kind::ALL.into_iter().chain([Kind::DeviceTable]).find(|kind| kind.class() == class);
        let kind = kind.ok_or_else(|| format!("its kind {class:?} is unknown"))?;
        let id: Uuid = id.parse().map_err(|_| format!("its id {id:?} is not a UUID"))?;
        let map: Map<String, Json> = serde_json::from_str(body).map_err(|why| why.to_string())?;
        let mut fields = Fields::with_capacity(map.len());
        for (name, json) in &map {
            let field = stored_field(kind, name).ok_or_else(|| format!("its field {name:?} is unknown"))?;
            fields.push((
                field.name,
                Value::from_json(field.value_type, json)
                    .ok_or_else(|| format!("its field {name:?} has a bad value"))?,
            ));
        }
        Ok(Object { kind, id, sequence, fields: fields.into_boxed_slice() })
    }
}

fn stored_field(kind: Kind, name: &str) -> Option<&'static Field> {
    kind.table().iter().find_map(|item| match item {
        Row::Field(field) if field.name == name => Some(field),
        _ => None,
    })
}

impl Value {
    fn to_json(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::from(*number),
            Value::Text(text) => Json::from(&**text),
            Value::Uuid(id) => Json::from(id.to_string()),
            Value::Range(start, end) => Json::from(vec![*start, *end]),
            Value::Uuids(ids) => ids.iter().map(|id| Json::from(id.to_string())).collect(),
            Value::NatTargets(targets) => targets.iter().map(NatTarget::to_json).collect(),
            Value::Any(json) => (**json).clone(),
        }
    }

    fn from_json(value_type: ValueType, json: &Json) -> Option<Value> {
        Some(match (value_type, json) {
            (ValueType::Any, json) => Value::Any(Box::new(json.clone())),
            (_, Json::Null) => Value::Null,
            (ValueType::Uuid, Json::String(text)) => Value::Uuid(text.parse().ok()?),
            (ValueType::Text | ValueType::Word(..), Json::String(text)) => Value::text(text.as_str()),
            (ValueType::Flag, Json::Bool(flag)) => Value::Flag(*flag),
            (ValueType::Number | ValueType::Byte | ValueType::OptionalNumber, Json::Number(number)) => {
                Value::Number(number.as_i64()?)
            }
            (ValueType::Range, Json::Array(ends)) => match ends.as_slice() {
                [start, end] => Value::Range(start.as_i64()?, end.as_i64()?),
                _ => return None,
            },
            (ValueType::Uuids, Json::Array(ids)) => {
                let ids: Option<Vec<Uuid>> = ids.iter().map(|id| id.as_str()?.parse().ok()).collect();
                Value::Uuids(ids?.into_boxed_slice())
            }
            (ValueType::NatTargets, Json::Array(targets)) => {
                let targets: Option<Vec<NatTarget>> = targets.iter().map(NatTarget::from_json).collect();
                Value::NatTargets(targets?.into_boxed_slice())
            }
            _ => return None,
        })
    }
}

impl NatTarget {
    fn to_json(&self) -> Json {
        Json::from(vec![
            self.address_from.as_deref().map_or(Json::Null, Json::from),
            self.address_to.as_deref().map_or(Json::Null, Json::from),
            Json::from(self.port_from),
            Json::from(self.port_to),
        ])
    }

    fn from_json(json: &Json) -> Option<NatTarget> {
        let [from, to, port_from, port_to] = json.as_array()?.as_slice() else { return None };
        Some(NatTarget {
            address_from: from.as_str().map(Into::into),
            address_to: to.as_str().map(Into::into),
            port_from: port_from.as_i64()?,
            port_to: port_to.as_i64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_back_as_it_was_written() {
        let target =
            NatTarget { address_from: Some("10.0.0.1".into()), address_to: None, port_from: 1, port_to: 2 };
        let object = Object::new(
            Kind::Rule,
            Uuid::from_u128(7),
            vec![
                ("type", Value::text("snat")),
                ("chainId", Value::Uuid(Uuid::from_u128(8))),
                ("tpDst", Value::Range(1, 2)),
                ("inPorts", Value::Uuids(Box::new([Uuid::from_u128(9)]))),
                ("natTargets", Value::NatTargets(Box::new([target]))),
                ("condInvert", Value::Flag(true)),
                (RANK, Value::Number(-4)),
            ],
        );
        let read = Object::from_stored(0, &object.to_stored()).unwrap();
        for (name, value) in &object.fields {
            assert_eq!(read.get(name), Some(value), "{name}");
        }
        assert_eq!(read.fields.len(), object.fields.len());
        assert!(Object::from_stored(0, b"Router\nx").is_err());
    }

    /// The records of a state folder that an earlier midoform wrote.
    const EARLIER: [&str; 15] = [
        r#"Router {"tenantId":"t","name":"r","adminStateUp":true,"inboundFilterId":"ID","asNumber":7}"#,
        r#"Network {"tenantId":"t","name":"b","outboundFilterId":"ID"}"#,
        r#"Port {"type":"Bridge","vlanId":5,"deviceId":"ID","peerId":"ID","portGroupIds":["ID"],"tunnelKey":3}"#,
        r#"Route {"routerId":"ID","nextHopPort":"ID","dstNetworkAddr":"10.0.0.0","weight":100,"type":"Normal"}"#,
        r#"Chain {"tenantId":"t","name":"c"}"#,
        r#"Rule {"type":"snat","chainId":"ID","tpDst":[1,2],"natTargets":[["10.0.0.1","10.0.0.1",1,2]],"rank":0}"#,
        r#"Host {"name":"node1","alive":true}"#,
        r#"TunnelZone {"name":"z","type":"gre"}"#,
        r#"TunnelZoneHost {"tunnelZoneId":"ID","hostId":"ID","ipAddress":"10.0.0.1"}"#,
        r#"PortGroup {"tenantId":"t","name":"g","stateful":true}"#,
        r#"PortGroupPort {"portGroupId":"ID","portId":"ID"}"#,
        r#"IPAddrGroup {"name":"a"}"#,
        r#"IpAddrGroupAddr {"version":4,"addr":"10.0.0.1","ipAddrGroupId":"ID"}"#,
        r#"DeviceTable {"deviceId":"ID","deviceKind":"Router"}"#,
        r#"HostInterfacePort {"hostId":"ID","portId":"ID","interfaceName":"eth0"}"#,
    ];

    #[test]
    fn the_records_of_an_earlier_midoform_are_read() {
        let id = Uuid::from_u128(5);
        for record in EARLIER {
            let (class, fields) = record.split_once(' ').unwrap();
            let fields = fields.replace("ID", &id.to_string());
            let stored = format!("{class}\n{id}\n{fields}");
            let object = Object::from_stored(1, stored.as_bytes()).unwrap();
            assert_eq!((object.kind.class(), object.id), (class, id));
            let written = object.to_stored();
            let (_, written) = std::str::from_utf8(&written).unwrap().rsplit_once('\n').unwrap();
            let same: (Json, Json) =
                (serde_json::from_str(written).unwrap(), serde_json::from_str(&fields).unwrap());
            assert_eq!(same.0, same.1, "{class}");
        }
    }
}
