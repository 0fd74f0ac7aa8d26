//! Chains.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::device::{DeviceBody, DeviceJson};
use super::difference::changed_fields;
use super::json::raw;
use super::{Identity, Kind, Listed, MediaTypes, Names, Resource};

/// A chain (`/chains`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// MidoNet's `tenantId`.
    pub tenant_id: String,
}

impl Resource for Chain {
    const KIND: Kind = Kind::Chain;
    const NAME: &'static str = "chain";
    const IDENTITY: Identity = Identity::Id { below: "chains", kept_by_1x: true };
    const MEDIA_TYPES: MediaTypes = MediaTypes::same("application/vnd.org.midonet.Chain-v1+json");

    /// A chain has no filters.
    type Json = DeviceJson;

    fn collection_path(_parent: &str) -> String {
        "/chains".to_owned()
    }

    fn read(json: &DeviceJson, _listed: &Listed<'_>) -> Option<Self> {
        let (name, tenant_id) = (json.name.clone(), json.tenant_id.clone());
        Some(Chain { name: name.unwrap_or_default(), tenant_id: tenant_id.unwrap_or_default() })
    }

    fn describe(&self) -> String {
        format!("\"{}\"", self.name)
    }

    /// Describes the difference to the wanted chain. A chain's name can't be changed, and is for people: a chain
    /// whose bridge was renamed keeps its name.
    fn difference(&self, wanted: &Self) -> Option<String> {
        (self.tenant_id != wanted.tenant_id).then(|| changed_fields(self, wanted))
    }

    fn body(&self, _names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        raw(&DeviceBody {
            id,
            name: &self.name,
            tenant_id: &self.tenant_id,
            inbound_filter_id: None,
            outbound_filter_id: None,
            admin_state_up: None,
        })
    }
}
