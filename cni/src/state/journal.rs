//! Releases that could not be made: one small file each, on the disk before DEL answers, and made by a later run.

use std::path::{Path, PathBuf};

use midoform_store::atomic_file::write_atomically;
use midoform_store::ipam::{Attachment, Owner};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::protocol::error::{CniError, Code, Result};

/// How many releases may wait: DEL fails beyond, so that a runtime sees that something is wrong for long.
const MOST: usize = 4096;

/// A release that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingRelease {
    version: u32,
    /// The site: another site's releases are not this one's.
    pub(crate) site: String,
    pub(crate) host: Uuid,
    pub(crate) owner: Owner,
    /// What it was attached to, where the store could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attachment: Option<Attachment>,
}

impl PendingRelease {
    pub(crate) fn new(site: &str, host: Uuid, owner: &Owner, attachment: Option<&Attachment>) -> Self {
        PendingRelease {
            version: 1,
            site: site.to_owned(),
            host,
            owner: owner.clone(),
            attachment: attachment.cloned(),
        }
    }
}

/// The folder of releases that wait.
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    pub(crate) fn in_folder(state: &Path) -> Journal {
        Journal { folder: state.join("journal") }
    }

    /// Writes a release down. When this returns, it survives a power cut.
    pub(crate) fn add(&self, pending: &PendingRelease) -> Result<()> {
        let failed = |error: std::io::Error| {
            let message = format!("the release can't be written down in {}", self.folder.display());
            CniError::new(Code::TryAgainLater, message).details(error.to_string())
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let path = self.folder.join(file_name(pending.host, &pending.owner));
        let waiting = std::fs::read_dir(&self.folder).map_err(failed)?.count();
        if waiting >= MOST && !path.exists() {
            let message = format!("{waiting} releases wait in {}: no more are taken", self.folder.display());
            return Err(CniError::new(Code::TryAgainLater, message).details(
                "the API or the store has been away for long; `midonet-cni` STATUS says what is wrong",
            ));
        }
        let text = serde_json::to_vec(pending).map_err(|error| CniError::internal(error.to_string()))?;
        write_atomically(&path, |file| std::io::Write::write_all(file, &text)).map_err(failed)
    }

    /// Forgets a release.
    pub(crate) fn remove(&self, host: Uuid, owner: &Owner) {
        let path = self.folder.join(file_name(host, owner));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a release that was made stays written down");
            }
            _ => {}
        }
    }

    /// The oldest releases that wait, at most so many. What can't be read is told of, and left.
    pub(crate) fn waiting(&self, most: usize) -> Vec<PendingRelease> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found: Vec<(std::time::SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        found.sort();
        found.into_iter().take(most).filter_map(|(_, path)| read(&path)).collect()
    }
}

fn read(path: &Path) -> Option<PendingRelease> {
    let pending =
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<PendingRelease>(&bytes).ok());
    if pending.as_ref().is_none_or(|pending| pending.version != 1) {
        tracing::warn!(path = %path.display(), "a release that waits can't be read; it is left");
        return None;
    }
    pending
}

pub(super) fn file_name(host: Uuid, owner: &Owner) -> String {
    let mut hash = Sha256::new();
    for part in [&host.to_string(), &owner.network, &owner.container, &owner.interface] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    format!("{}.json", hex::encode(&hash.finalize()).get(..32).unwrap_or_default())
}
