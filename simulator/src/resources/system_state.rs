//! The state of the system (16-lists, step 11, which shows that it is there).

use serde_json::{Value as Json, json};

/// What is shown of it.
pub(crate) fn shown(base: &str) -> Json {
    json!({
        "uri": format!("{base}/system_state"),
        "state": "ACTIVE",
        "availability": "READWRITE",
        "writeVersion": null,
    })
}
