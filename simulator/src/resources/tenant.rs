//! Tenants: under the mock provider, whatever name somebody asks for (15-tenants).

use serde_json::{Value as Json, json};

use crate::version::Version;

/// What a client hears that would change tenants here (not recorded).
pub(crate) const UNMODIFIABLE: &str = "Tenants cannot be created, updated or deleted via the REST API.";

/// What is shown of a tenant. 5.x says more (not recorded: the recorded clients asked for a revision that it does not
/// have).
pub(crate) fn shown(version: Version, base: &str, id: &str, name: &str, description: Option<&str>) -> Json {
    let mut shown = json!({
        "id": id,
        "name": name,
        "uri": format!("{base}/tenants/{id}"),
        "portGroups": format!("{base}/port_groups?tenant_id={id}"),
        "routers": format!("{base}/routers?tenant_id={id}"),
        "bridges": format!("{base}/bridges?tenant_id={id}"),
        "chains": format!("{base}/chains?tenant_id={id}"),
    });
    if !version.traits().is_1x {
        shown["description"] = description.into();
        shown["enabled"] = true.into();
    }
    shown
}
