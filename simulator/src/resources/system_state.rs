//! The system state (16-lists, step 11).

use serde_json::{Value as Json, json};

use crate::version::Version;

/// Returns the system state as JSON (not recorded; 5.x has it for old clients, without its URI).
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
