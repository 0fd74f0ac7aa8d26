//! Tenants: on 1.7 whatever name somebody asks for, on 5.x nothing at all (15-tenants).

use serde_json::{Value as Json, json};

/// What 1.7 shows of a tenant.
pub(crate) fn shown(base: &str, id: &str, name: &str) -> Json {
    json!({
        "id": id,
        "name": name,
        "uri": format!("{base}/tenants/{id}"),
        "portGroups": format!("{base}/port_groups?tenant_id={id}"),
        "routers": format!("{base}/routers?tenant_id={id}"),
        "bridges": format!("{base}/bridges?tenant_id={id}"),
        "chains": format!("{base}/chains?tenant_id={id}"),
    })
}
