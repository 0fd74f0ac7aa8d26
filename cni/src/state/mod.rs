//! The files of the state folder: pending releases, locks of endpoints, the API's token.

pub(crate) mod endpoint_lock;
pub(crate) mod journal;
pub(crate) mod token;

use sha2::{Digest as _, Sha256};

/// Returns a file name made of these parts: the first hexadecimal digits of their hash.
fn hashed_name<'a>(parts: impl IntoIterator<Item = &'a str>, digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut name = hex::encode(hash.finalize());
    name.truncate(digits);
    name
}
