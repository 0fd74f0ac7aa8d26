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

/// The reason why a list can't be used.
pub(crate) enum Unusable {
    /// It can't be read.
    Json(serde_json::Error),
    /// It has an object twice, or one of another parent: the words for what it should be.
    Objects(String),
}

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Unusable::Json(error)
    }
}

/// Reads a list of objects that a run compares with others. An object may be in it once, and the objects of a list below `parent`
/// are its own: what a run finds too much, it deletes.
pub(crate) fn read_objects<T: DeserializeOwned>(
    body: &str,
    parent: Option<Uuid>,
) -> Result<Vec<T>, Unusable> {
    let items: Vec<&RawValue> = serde_json::from_str(body)?;
    let mut seen = BTreeSet::new();
    let mut objects = Vec::with_capacity(items.len());
    for raw in items {
        objects.push(item(raw)?);
        let Ok(ids) = item::<Ids>(raw) else { continue };
        let holder = ids.chain_id.or(ids.router_id).or(ids.port_group_id).or(ids.tunnel_zone_id);
        if let (Some(parent), Some(holder)) = (parent, holder)
            && parent != holder
        {
            let words = format!("a list of the objects of {parent} alone, and one of {holder} is in it");
            return Err(Unusable::Objects(words));
        }
        if let Some(own) = ids.id.or(ids.port_id).or(ids.host_id)
            && !seen.insert(own)
        {
            return Err(Unusable::Objects(format!(
                "a list that has each object once, and {own} is in it twice"
            )));
        }
    }
    Ok(objects)
}
