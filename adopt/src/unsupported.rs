//! Settings and parts of a router, its bridges and their ports that no spec can express: load balancers, BGP, DHCP, VLANs, VXLAN,
//! mirrors, quality of service.
//!
//! The names of fields are those of the recordings (02-router, 03-bridge, 05-router-port). The lists and their media types are not
//! recorded: they are MidoNet's declarations (`MidonetMediaTypes`, `VendorMediaType`).

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::topology::kinds::Kind;
use midoform_reconcile::client::{Client, ClientError};
use midoform_reconcile::lists;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// A field that is set on an object if it has something no spec can express, and the words for it; `{}` is its value.
type Setting = (&'static str, &'static str);

/// The settings of a router.
const OF_ROUTER: &[Setting] = &[
    ("loadBalancerId", "load balancer {}"),
    ("asNumber", "BGP with the AS number {}"),
    ("localRedirectChainId", "local redirect chain {}"),
    ("forwardChainId", "forward chain {}"),
    ("inboundMirrorIds", "inbound mirror {}"),
    ("outboundMirrorIds", "outbound mirror {}"),
];
/// The settings of a bridge. 1.7 had one VXLAN port in `vxLanPortId` before it had several.
const OF_BRIDGE: &[Setting] = &[
    ("vxLanPortIds", "VXLAN port {}"),
    ("vxLanPortId", "VXLAN port {}"),
    ("inboundMirrorIds", "inbound mirror {}"),
    ("outboundMirrorIds", "outbound mirror {}"),
    ("qosPolicyId", "quality-of-service policy {}"),
];
/// The settings of a port of either.
const OF_PORT: &[Setting] = &[
    ("vlanId", "VLAN {}"),
    ("rtrPortVni", "VXLAN network {}"),
    ("offRampVxlan", "VXLAN off-ramp"),
    ("insertionIds", "service insertion {}"),
    ("serviceContainerId", "service container {}"),
    ("inboundMirrorIds", "inbound mirror {}"),
    ("outboundMirrorIds", "outbound mirror {}"),
    ("postInFilterMirrorIds", "inbound mirror {}"),
    ("preOutFilterMirrorIds", "outbound mirror {}"),
    ("qosPolicyId", "quality-of-service policy {}"),
];

/// A list below an object, all of whose items no spec can express.
struct Part {
    /// The path below the object.
    path: &'static str,
    /// The media type, without what all of them begin with.
    media_type: &'static str,
    /// The words for an item; `{FIELD}` is the value of a field.
    words: &'static str,
}

const DHCP: &[Part] = &[
    Part { path: "dhcp", media_type: "DhcpSubnet-v2", words: "DHCP subnet {subnetPrefix}/{subnetLength}" },
    Part { path: "dhcpV6", media_type: "DhcpV6Subnet-v1", words: "DHCPv6 subnet {prefix}/{prefixLength}" },
];
/// 5.x has BGP at the router, 1.x at the router's ports.
const BGP_OF_ROUTER: &[Part] = &[
    Part { path: "bgp_peers", media_type: "BgpPeer-v1", words: "BGP peer {address} (AS {asNumber})" },
    Part {
        path: "bgp_networks",
        media_type: "BgpNetwork-v1",
        words: "BGP network {subnetAddress}/{subnetLength}",
    },
];
const BGP_OF_PORT: &[Part] =
    &[Part { path: "bgps", media_type: "Bgp-v1", words: "BGP session with {peerAddr} (AS {peerAS})" }];

/// A router or a bridge.
#[derive(Clone, Copy)]
pub(super) struct Device<'a> {
    /// Its kind: a router or a bridge.
    pub(super) kind: Kind,
    pub(super) id: Uuid,
    pub(super) name: &'a str,
}

/// Reads all that these devices and their ports have and no spec can express: a line for each.
///
/// # Errors
/// Returns an error if a device or its ports can't be read. A list that the server does not have in this form is a line.
pub(super) async fn read(
    client: &Client,
    dialect: Dialect,
    devices: &[Device<'_>],
) -> Result<Vec<String>, ClientError> {
    let reader = Reader { client, dialect };
    let mut found = Vec::new();
    for device in devices {
        found.extend(reader.device(*device).await?);
    }
    Ok(found)
}

struct Reader<'a> {
    client: &'a Client,
    dialect: Dialect,
}

impl Reader<'_> {
    async fn device(&self, device: Device<'_>) -> Result<Vec<String>, ClientError> {
        let Device { kind, id, name } = device;
        let is_router = kind == Kind::Router;
        let (collection, settings) = if is_router { ("routers", OF_ROUTER) } else { ("bridges", OF_BRIDGE) };
        let path = format!("/{collection}/{id}");
        let at = format!("of the {} `{name}`", kind.name());
        let answer = self.client.get(&path, self.dialect.media_type(kind)).await?;
        let shown: Map<String, Json> = answer.json()?;
        let mut found = set(settings, &shown, &at);
        let parts = match (is_router, self.dialect) {
            (false, _) => DHCP,
            (true, Dialect::V5) => BGP_OF_ROUTER,
            (true, Dialect::V1) => &[],
        };
        found.extend(self.parts(&path, parts, &at).await?);
        let accept = self.dialect.collection_media_type(Kind::RouterPort);
        let answer = self.client.get(&format!("{path}/ports"), &accept).await?;
        let ports: Vec<Map<String, Json>> =
            lists::read(&answer.body).map_err(|error| answer.unreadable(&error))?;
        for port in ports {
            let id = port.get("id").and_then(Json::as_str).unwrap_or_default();
            let at = format!("of port {id} {at}");
            found.extend(set(OF_PORT, &port, &at));
            if is_router && self.dialect == Dialect::V1 {
                found.extend(self.parts(&format!("/ports/{id}"), BGP_OF_PORT, &at).await?);
            }
        }
        Ok(found)
    }

    /// Reads lists below an object.
    async fn parts(&self, path: &str, parts: &[Part], at: &str) -> Result<Vec<String>, ClientError> {
        let mut found = Vec::new();
        for part in parts {
            let accept = format!("application/vnd.org.midonet.collection.{}+json", part.media_type);
            let answer = match self.client.get(&format!("{path}/{}", part.path), &accept).await {
                // Other releases may have no such list, or in another form.
                Err(error @ (ClientError::Status { .. } | ClientError::Unexpected { .. })) => {
                    found.push(format!("`{}` {at}, which could not be read: {error}", part.path));
                    continue;
                }
                other => other?,
            };
            let items: Vec<Map<String, Json>> =
                lists::read(&answer.body).map_err(|error| answer.unreadable(&error))?;
            found.extend(items.iter().map(|item| format!("{} {at}", filled(part.words, item))));
        }
        Ok(found)
    }
}

/// Returns a line for each setting that an object has.
fn set(settings: &[Setting], shown: &Map<String, Json>, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (field, words) in settings {
        let values = match shown.get(*field) {
            Some(Json::Array(list)) => list.iter().collect(),
            Some(one) if is_set(one) => vec![one],
            _ => Vec::new(),
        };
        found.extend(values.into_iter().map(|value| format!("{} {at}", words.replace("{}", &text(value)))));
    }
    found
}

/// Returns true if a field has a value: 0 and -1 stand for none (16-lists: the VLAN of a port).
fn is_set(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(set) => *set,
        Json::Number(number) => number.as_i64().is_none_or(|number| number > 0),
        Json::String(text) => !text.is_empty(),
        Json::Array(list) => !list.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
    }
}

/// Replaces each `{FIELD}` by the field's value.
fn filled(words: &str, item: &Map<String, Json>) -> String {
    let mut parts = words.split(['{', '}']);
    let mut text_of = String::new();
    while let Some(word) = parts.next() {
        text_of.push_str(word);
        if let Some(field) = parts.next() {
            text_of.push_str(&item.get(field).map_or_else(|| "?".to_owned(), text));
        }
    }
    text_of
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
