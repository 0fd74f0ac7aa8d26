//! The lock that keeps two runs from working on one endpoint at the same time.

use std::path::Path;
use std::time::Duration;

use midoform_store::ipam::Owner;
use uuid::Uuid;

use super::journal::file_name;
use crate::protocol::error::{CniError, Code, Result};

/// One verb at a time for one interface of one container: held until dropped, or until the process ends.
pub(crate) struct EndpointLock {
    _file: std::fs::File,
}

impl EndpointLock {
    /// Waits for its turn.
    pub(crate) async fn acquire(
        state: &Path,
        host: Uuid,
        owner: &Owner,
        patience: Duration,
    ) -> Result<EndpointLock> {
        let folder = state.join("turns");
        let failed = |error: std::io::Error| CniError::file(&folder, &error);
        // A few files for all: a file for each container would stay behind, or be removed under somebody's feet.
        let name = file_name(host, owner);
        let path = folder.join(name.get(..2).unwrap_or("00"));
        let open = || std::fs::File::options().create(true).truncate(false).write(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&folder).map_err(failed)?;
                open().map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        let end = std::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(EndpointLock { _file: file }),
                Err(std::fs::TryLockError::WouldBlock) if std::time::Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let message = format!("another run for {owner} does not end");
                    return Err(CniError::new(Code::TryAgainLater, message));
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}
