//! Routers.

use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::device::{Device, DeviceJson, FILTERS};
use super::{Identity, Kind, Listed, MediaTypes, Names, Reference, Resource, TypedReference, Update};

/// A router (`/routers`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Router(pub Device);

impl Deref for Router {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.0
    }
}

impl Resource for Router {
    const KIND: Kind = Kind::Router;
    const NAME: &'static str = "router";
    const IDENTITY: Identity = Identity::Id { below: "routers", kept_by_1x: true };
    const MEDIA_TYPES: MediaTypes = MediaTypes {
        v1: "application/vnd.org.midonet.Router-v2+json",
        v5: "application/vnd.org.midonet.Router-v3+json",
    };
    const UPDATE: Update = Update::InPlace { clears: FILTERS };

    type Json = DeviceJson;

    fn collection_path(_parent: &str) -> String {
        "/routers".to_owned()
    }

    fn read(json: &DeviceJson, listed: &Listed<'_>) -> Option<Self> {
        Some(Router(Device::read(json, listed)))
    }

    fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        self.0.references(visit);
    }

    fn ends(&self) -> [Option<&Reference>; 2] {
        self.0.ends()
    }

    fn carries_traffic(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn body(&self, names: &dyn Names, id: Option<String>, _place: u32) -> Option<Box<RawValue>> {
        self.0.body(names, id)
    }
}
