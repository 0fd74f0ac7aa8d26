//! Tenants; with the mock provider, every name is a tenant (15-tenants).

use serde_json::{Value as Json, json};

use crate::version::Version;

/// The message about a change of tenants (not recorded).
pub(crate) const UNMODIFIABLE: &str = "Tenants cannot be created, updated or deleted via the REST API.";

/// Returns a tenant as JSON. 5.x shows more fields (not recorded: the recorded requests were for a revision that it
/// does not have).
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
