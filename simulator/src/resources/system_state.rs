//! The state of the system (16-lists, step 11, which shows that it is there).

use serde_json::{Value as Json, json};

use crate::version::Version;

/// What is shown of it (not recorded; 5.x has it for old clients, without its place).
pub(crate) fn shown(version: Version, base: &str) -> Json {
    if !version.traits().is_1x {
        return json!({ "state": "ACTIVE", "availability": "READWRITE", "writeVersion": "5.0" });
    }
    json!({
        "uri": format!("{base}/system_state"),
        "state": "ACTIVE",
        "availability": "READWRITE",
        "writeVersion": null,
    })
}
