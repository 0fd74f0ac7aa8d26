//! The host's id at a site on OVN: that of the `[[host]]` with this chassis, otherwise one that follows from the chassis' name.
//!
//! Attachments are kept under the id, and DEL has to find them while the host's database can't be read. So the id is kept in the state
//! folder; it stays when somebody adds a `[[host]]` later.

use std::io::Write as _;
use std::path::PathBuf;

use midoform_compiler::topology::key::{Key, Namespace};
use midoform_reconcile::open_vswitch::Host;
use midoform_store::atomic_file::replace_atomically;
use midoform_store::private_folder;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Config;
use crate::protocol::error::{CniError, Code, Result};

/// What is kept.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    site: String,
    chassis: String,
    host: Uuid,
}

/// Returns the id of this host. `facts` are those of its database, if it could be read.
pub(super) fn host_of(config: &Config, facts: Result<Host>) -> Result<Uuid> {
    let site = &config.site.name.value;
    let known = read(config).filter(|known| known.site == *site);
    let chassis = match (facts, &known) {
        (Ok(facts), _) => facts.chassis.ok_or_else(|| {
            CniError::new(
                Code::TryAgainLater,
                "the host is no OVN chassis: its Open vSwitch has no `system-id`",
            )
            .hint("set `external_ids:system-id`, or `host_uuid` in the network configuration")
        })?,
        (Err(error), Some(known)) => {
            tracing::warn!(
                step = "host",
                error = error.in_full(),
                "the host's id is the one of an earlier run"
            );
            return Ok(known.host);
        }
        (Err(error), None) => return Err(error),
    };
    if let Some(known) = known.filter(|known| known.chassis == chassis) {
        return Ok(known.host);
    }
    let by_name = || Namespace::of_site(site).id(&Key::new(format!("site/chassis/{chassis}")));
    let host = config.site.host_of(&chassis).unwrap_or_else(by_name);
    keep(config, &Known { site: site.clone(), chassis, host });
    Ok(host)
}

fn file(config: &Config) -> PathBuf {
    config.state_folder.join("chassis")
}

fn read(config: &Config) -> Option<Known> {
    serde_json::from_slice(&std::fs::read(file(config)).ok()?).ok()
}

/// Keeps the id. A failure is only logged: the next run finds the id in the database again.
fn keep(config: &Config, known: &Known) {
    let text = serde_json::to_string(known).unwrap_or_default();
    let kept = private_folder::create(&config.state_folder)
        .and_then(|()| replace_atomically(&file(config), |file| file.write_all(text.as_bytes())));
    if let Err(error) = kept {
        tracing::warn!(step = "host", %error, "the host's id can't be kept");
    }
}
