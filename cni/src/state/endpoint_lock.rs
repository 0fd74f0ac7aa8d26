//! The lock of an endpoint: one verb at a time works on one interface of one container.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use midoform_store::ipam::Owner;
use uuid::Uuid;

use super::journal::release_name;
use crate::protocol::error::{CniError, Code, Result};

/// Held until it is dropped, or until the process ends.
pub(crate) struct EndpointLock {
    _file: File,
}

impl EndpointLock {
    /// Acquires the lock, waiting at most `longest`.
    pub(crate) async fn acquire(
        state: &Path,
        host: Uuid,
        owner: &Owner,
        longest: Duration,
    ) -> Result<EndpointLock> {
        let folder = state.join("turns");
        // Endpoints share a few files. A file for each would stay behind, or be removed while another run locks it.
        let name = release_name(host, owner);
        let path = folder.join(name.get(..2).unwrap_or("00"));
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let opened = match open() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                super::make_private(&folder).and_then(|()| open())
            }
            other => other,
        };
        let file = opened.map_err(|error| CniError::file(&folder, error))?;
        let end = Instant::now() + longest;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(EndpointLock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!("another run of midonet-cni for {owner} has not ended");
                    return Err(CniError::new(Code::TryAgainLater, message));
                }
                Err(TryLockError::Error(error)) => return Err(CniError::file(&folder, error)),
            }
        }
    }
}
