//! The calls of a plan's steps.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::RowOperation;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "HTTP's own words")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// Returns the method as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// One call of an engine: of MidoNet's API over HTTP, or an operation on a row of OVN's northbound database.
#[derive(Clone, Debug)]
pub enum Call {
    /// A call of MidoNet's API.
    Http(HttpCall),
    /// An operation on a row. The operations of a plan, or of a batch of its tenants, are one transaction.
    Row(RowOperation),
}

impl Call {
    /// Returns the call of MidoNet's API, if it is one.
    pub fn http(&self) -> Option<&HttpCall> {
        match self {
            Call::Http(call) => Some(call),
            Call::Row(_) => None,
        }
    }

    /// Returns the word for what the call does: an HTTP method, or the protocol's name of the operation.
    pub fn word(&self) -> &'static str {
        match self {
            Call::Http(call) => call.method.as_str(),
            Call::Row(operation) => operation.name(),
        }
    }

    /// Returns the place of the call: a path, or a table and a row.
    pub fn place(&self) -> Cow<'_, str> {
        match self {
            Call::Http(call) => Cow::Borrowed(&call.path),
            Call::Row(operation) => Cow::Owned(format!("{} {}", operation.table(), operation.at())),
        }
    }

    /// Returns the media type of the body, or the one that is requested.
    pub fn media_type(&self) -> Option<&str> {
        let call = self.http()?;
        call.content_type.as_deref().or(call.accept.as_deref())
    }

    /// Returns the JSON that the call carries: the body, or the values of a row.
    pub fn body(&self) -> Option<Cow<'_, str>> {
        match self {
            Call::Http(call) => call.body.as_ref().map(|body| Cow::Borrowed(body.get())),
            Call::Row(operation) => operation.values().map(Cow::Owned),
        }
    }

    /// Returns the operation on a row, if it is one.
    pub fn row(&self) -> Option<&RowOperation> {
        match self {
            Call::Http(_) => None,
            Call::Row(operation) => Some(operation),
        }
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Call::Http(call) => call.serialize(serializer),
            Call::Row(operation) => operation.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Call {
    /// Reads a call. One with `op` is an operation on a row.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Probe {
            op: Option<serde::de::IgnoredAny>,
        }
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let probe: Probe = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        match probe.op {
            Some(_) => serde_json::from_str(raw.get()).map(Call::Row),
            None => serde_json::from_str(raw.get()).map(Call::Http),
        }
        .map_err(D::Error::custom)
    }
}

/// One call of the MidoNet API.
///
/// `${KEY}` in a path or a body stands for the id of the object with that key, which only the server knows
/// until it has responded to its creation (MidoNet 1.x: ports, rules and routes).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpCall {
    /// The method.
    pub method: Method,
    /// The path below the API's base URL.
    pub path: String,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Cow<'static, str>>,
    /// The media type that is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Cow<'static, str>>,
    /// The body: JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
    /// True if the body holds only the fields to set: the object is read when the call is made, these fields are set in
    /// it, and the whole is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merges: bool,
    /// True if the response's `Location` has the id that `${KEY}` of this step's key stands for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binds: bool,
}
