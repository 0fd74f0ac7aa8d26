//! Reads the lists that the API returns.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Reads a list.
pub fn read<T: DeserializeOwned>(body: &str) -> Result<Vec<T>, serde_json::Error> {
    let items: Vec<&RawValue> = serde_json::from_str(body)?;
    items.into_iter().map(item).collect()
}

/// Reads an item. 1.7 repeats some keys, which serde accepts in a JSON tree and not in a struct.
fn item<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.get())
        .or_else(|_| T::deserialize(&serde_json::from_str::<serde_json::Value>(raw.get())?))
}

/// The ids of an item: its own, and that of the object whose list it is in. Every version has these fields (recordings).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ids {
    id: Option<Uuid>,
    chain_id: Option<Uuid>,
    router_id: Option<Uuid>,
    port_group_id: Option<Uuid>,
    tunnel_zone_id: Option<Uuid>,
    port_id: Option<Uuid>,
    host_id: Option<Uuid>,
}

/// Returns what is wrong with a list, as the words for what it should be: an object may be in it once, and the objects of a list
/// below `parent` are its own. What a run does not find is created, and what it finds twice is deleted.
pub fn problem(body: &str, parent: Option<Uuid>) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(body).ok()?;
    let mut seen = BTreeSet::new();
    for item in items {
        let ids: Ids = serde_json::from_str(item.get()).ok()?;
        let holder = ids.chain_id.or(ids.router_id).or(ids.port_group_id).or(ids.tunnel_zone_id);
        if let (Some(parent), Some(holder)) = (parent, holder)
            && parent != holder
        {
            return Some(format!("a list of the objects of {parent} alone, and one of {holder} is in it"));
        }
        if let Some(own) = ids.id.or(ids.port_id).or(ids.host_id)
            && !seen.insert(own)
        {
            return Some(format!("a list that has each object once, and {own} is in it twice"));
        }
    }
    None
}
