//! Deletes the ports of pods in a northbound database.

use std::collections::BTreeSet;
use std::convert::Infallible;

use midoform_compiler::ovn;
use midoform_compiler::topology::kinds::Kind;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology};
use uuid::Uuid;

use crate::claimed_port::{ClaimedPort, PortError};
use crate::client::ClientError;
use crate::connection::Connection;
use crate::northbound::Northbound;
use crate::northbound::pods::{FoundPort, with_ids};
use crate::planned::Unsound;

/// The number of tries of a deletion that somebody else gets ahead of.
const TRIES: u32 = 4;

/// The failure to delete ports of pods, or to find them.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// A read failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The plan did not pass the lint.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// The deletion failed.
    #[error(transparent)]
    Port(#[from] PortError<Infallible>),
}

/// Deletes a site's ports with these ids. What does not exist is no error. Returns the number of ports that were there.
///
/// # Errors
/// Returns an error if a read or a deletion fails.
pub async fn delete(northbound: &Northbound, site: &str, ids: &BTreeSet<Uuid>) -> Result<usize, DeleteError> {
    let connection = Connection::Ovn(northbound.clone());
    let mut deleted = 0;
    for left in (0..TRIES).rev() {
        let found = with_ids(northbound, site, ids).await?;
        if found.is_empty() {
            return Ok(deleted);
        }
        deleted = deleted.max(found.len());
        match removal(site, found)?.delete(&connection).await {
            Ok(()) => return Ok(deleted),
            // Somebody changed or deleted it meanwhile.
            Err(PortError::Step(failed)) if failed.source.is_moved() && left > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(deleted)
}

/// Plans to delete ports.
fn removal(site: &str, found: Vec<FoundPort>) -> Result<ClaimedPort, Unsound> {
    let mut observed = Observed::default();
    let mut entries = Vec::new();
    for FoundPort { id, key, row, switch, .. } in found {
        observed.present.extend(switch.map(|switch| (switch, Kind::Row(Table::LogicalSwitch))));
        observed.ids.insert(key.clone(), id);
        entries.push(Entry { key, object: row.into(), provenance: None });
    }
    observed.topology = Topology::new(entries);
    let nothing = Topology::default();
    ClaimedPort::new(ovn::plan(site, &nothing, &observed), &nothing, &observed)
}
