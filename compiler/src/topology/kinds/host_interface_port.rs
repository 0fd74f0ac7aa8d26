//! Bindings of ports to interfaces of hosts.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::json::raw;
use super::port::{self, PortJson};
use super::resource::text;
use super::{Evidence, Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference};
use crate::topology::key::Key;

/// A binding (`/hosts/ID/ports`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInterfacePort {
    /// The host's id.
    pub host: Uuid,
    /// The interface's name on the host.
    pub interface: String,
    /// The bound port.
    pub port: Reference,
}

impl Resource for HostInterfacePort {
    const KIND: Kind = Kind::HostInterfacePort;
    const NAME: &'static str = "host interface port";
    const IDENTITY: Identity = Identity::Joined { named_by: Some("portId") };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.HostInterfacePort-v1+json");
    const EXCLUSIVE: bool = true;

    /// A port says what it is bound to.
    type Json = PortJson;

    fn collection_path(host: &str) -> String {
        format!("/hosts/{host}/ports")
    }

    fn read(json: &PortJson, listed: &Listed<'_>) -> Option<Self> {
        let (host, interface) = (json.host_id?, json.interface_name.clone()?);
        Some(HostInterfacePort { host, interface, port: (listed.resolve)(json.id) })
    }

    fn evidence(path: &str, body: &Value) -> Option<Evidence> {
        let host = path.strip_prefix("/hosts/")?.strip_suffix("/ports")?.to_owned();
        let mut holds = vec![("hostId", host)];
        holds.extend(text(body, "interfaceName").map(|name| ("interfaceName", name)));
        let path = format!("/ports/{}", text(body, "portId")?);
        Some(Evidence { path, kind: Kind::BridgePort, is_list: false, holds })
    }

    fn parent(&self) -> Option<TypedReference<'_>> {
        Some(port::any(&self.port))
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn occupies(&self) -> Option<String> {
        Some(format!("{} of {}", self.interface, self.host))
    }

    fn describe(&self) -> String {
        format!("{} on host {}", self.interface, self.host)
    }

    /// Returns the id of its host: MidoNet takes the POST there.
    fn parent_id(&self, _names: &dyn Names) -> String {
        self.host.to_string()
    }

    fn path(&self, names: &dyn Names, _key: &Key) -> String {
        format!("{}/{}", self.posted_to(names), names.reference(port::any(&self.port)))
    }

    fn body(&self, names: &dyn Names, _id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&Body {
            host_id: self.host.to_string(),
            interface_name: &self.interface,
            port_id: names.reference(port::any(&self.port)),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    host_id: String,
    interface_name: &'a str,
    port_id: String,
}
