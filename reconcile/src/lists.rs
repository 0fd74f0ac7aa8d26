//! Reads the lists that the API returns.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

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
