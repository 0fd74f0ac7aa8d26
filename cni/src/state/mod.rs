//! The files of the state folder: pending releases, locks of endpoints, the API's token.

pub(crate) mod endpoint_lock;
pub(crate) mod journal;
pub(crate) mod token;

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Makes a folder, and those above it, that only this user can read: names of files in it must not be public either. A
/// folder that exists stays as it is.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

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
