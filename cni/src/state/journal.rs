//! The journal of pending releases: DEL could not release port and address, and a later run does.
//!
//! Each release is one small file. It is on the disk before DEL succeeds.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use midoform_store::atomic_file::replace_atomically;
use midoform_store::ipam::{Attachment, Owner};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{hashed_name, make_private};
use crate::protocol::error::{CniError, Code, Result};

/// The most releases that may be pending. Then DEL fails, so that the runtime notices the trouble.
const LIMIT: usize = 4096;

/// A release that a later run has to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingRelease {
    version: u32,
    /// The site. Releases of another site are left to its own runs.
    pub(crate) site: String,
    pub(crate) host: Uuid,
    pub(crate) owner: Owner,
    /// The attachment, if the store could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attachment: Option<Attachment>,
    /// True if the interface could not be removed in time: it may still exist.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_interface: bool,
}

impl PendingRelease {
    pub(crate) fn new(
        site: &str,
        host: Uuid,
        owner: &Owner,
        attachment: Option<&Attachment>,
        has_interface: bool,
    ) -> Self {
        PendingRelease {
            version: 1,
            site: site.to_owned(),
            host,
            owner: owner.clone(),
            attachment: attachment.cloned(),
            has_interface,
        }
    }
}

/// The folder of pending releases.
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    pub(crate) fn in_folder(state: &Path) -> Journal {
        Journal { folder: state.join("journal") }
    }

    /// Writes a release to the disk. When this returns, the release survives a power cut.
    pub(crate) fn add(&self, pending: &PendingRelease) -> Result<()> {
        let failed = |error: std::io::Error| {
            let message = format!("the pending release can't be written to {}", self.folder.display());
            CniError::new(Code::TryAgainLater, message).caused_by(error)
        };
        make_private(&self.folder).map_err(failed)?;
        let path = self.path(pending.host, &pending.owner);
        let count = std::fs::read_dir(&self.folder).map_err(failed)?.count();
        if count >= LIMIT && !path.exists() {
            let message = format!("{} has {count} pending releases and takes no more", self.folder.display());
            return Err(CniError::new(Code::TryAgainLater, message).hint(
                "the API or the store has not worked for a long time: the verb STATUS reports the reason",
            ));
        }
        let text = serde_json::to_vec(pending).map_err(|error| CniError::internal(error.to_string()))?;
        replace_atomically(&path, |file| std::io::Write::write_all(file, &text)).map_err(failed)
    }

    /// Puts a release that failed behind the others, so that it does not hold them up.
    pub(crate) fn postpone(&self, pending: &PendingRelease) {
        let path = self.path(pending.host, &pending.owner);
        let file = std::fs::File::options().write(true).open(&path);
        if let Err(error) = file.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::warn!(path = %path.display(), %error, "the pending release stays the first one");
        }
    }

    /// Removes a release that was made, or that is not needed any more.
    pub(crate) fn remove(&self, host: Uuid, owner: &Owner) {
        let path = self.path(host, owner);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "the release was made, but its file can't be removed");
            }
            _ => {}
        }
    }

    /// Returns the oldest pending releases, at most `limit`. A file that can't be read is reported in the log and stays.
    pub(crate) fn oldest(&self, limit: usize) -> Vec<PendingRelease> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        found.sort();
        found.into_iter().take(limit).filter_map(|(_, path)| read(&path)).collect()
    }

    fn path(&self, host: Uuid, owner: &Owner) -> PathBuf {
        self.folder.join(format!("{}.json", release_name(host, owner)))
    }
}

fn read(path: &Path) -> Option<PendingRelease> {
    let pending =
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<PendingRelease>(&bytes).ok());
    if pending.as_ref().is_none_or(|pending| pending.version != 1) {
        tracing::warn!(path = %path.display(), "the pending release can't be read: the file stays");
        return None;
    }
    pending
}

/// Returns the file name of an endpoint's release, without the extension.
pub(super) fn release_name(host: Uuid, owner: &Owner) -> String {
    let host = host.to_string();
    hashed_name([host.as_str(), &owner.network, &owner.container, &owner.interface], 32)
}
