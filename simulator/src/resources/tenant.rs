//! Tenants: on 1.7 whatever name somebody asks for, on 5.x nothing at all (15-tenants).

use serde_json::{Value as Json, json};

/// What 1.7 shows of a tenant: under the mock provider every name is one (15-tenants, step 2).
pub(crate) fn shown(base: &str, name: &str) -> Json {
    json!({
        "id": name,
        "name": name,
        "uri": format!("{base}/tenants/{name}"),
        "portGroups": format!("{base}/port_groups?tenant_id={name}"),
        "routers": format!("{base}/routers?tenant_id={name}"),
        "bridges": format!("{base}/bridges?tenant_id={name}"),
        "chains": format!("{base}/chains?tenant_id={name}"),
    })
}
