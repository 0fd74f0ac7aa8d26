//! What tenants were given, in the store (`docs/store.md`): read whole, written for one tenant at a time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_applier::claims::keys;
use midoform_applier::store::record::{Record, decode, encode};
use midoform_applier::store::{Commit, Compare, Range, Revision, SharedStore, Transaction};
use midoform_compiler::allocation::{Allocations, LinkAddresses, TenantAllocation};
use midoform_compiler::key::Key;
use midoform_compiler::object::Object;
use midoform_compiler::observed::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::Result;

/// SHA-256 as hex digits.
pub(crate) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// What one tenant was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct GivenRecord {
    applied: bool,
    protect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    project_made: bool,
    link: Option<LinkRecord>,
    bridges: BTreeMap<String, Ipv4Net>,
    ports: Vec<String>,
    /// What a run that has not ended well was making (1.x).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    making: Vec<(Key, Object)>,
}

impl Record for GivenRecord {
    const VERSION: u64 = 1;
}

/// The two addresses of a link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct LinkRecord {
    provider: Ipv4Addr,
    tenant: Ipv4Addr,
}

impl Record for LinkRecord {
    const VERSION: u64 = 1;
}

/// The ids that don't follow from the keys: of the server's choosing, and of what was adopted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct IdsRecord {
    ids: BTreeMap<Key, Uuid>,
}

impl Record for IdsRecord {
    const VERSION: u64 = 1;
}

/// Says how often something was given out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct PoolsRecord {
    given: u64,
}

impl Record for PoolsRecord {
    const VERSION: u64 = 1;
}

/// Everything that was given out, and the state of the pools that it was read in.
pub(crate) struct Given {
    pub(crate) allocations: Allocations,
    pools: Revision,
    given: u64,
}

/// Reads everything that was given out.
pub(crate) async fn load(store: &SharedStore) -> Result<Given> {
    let name = store.name();
    let found = store.read(&[Range::prefix(keys::GIVEN)]).await?;
    let mut given = Given { allocations: Allocations::default(), pools: Revision::ABSENT, given: 0 };
    for entry in found.iter().flatten() {
        let parts: Option<Vec<String>> = entry.key.split('/').map(keys::name_of).collect();
        let parts = parts.unwrap_or_default();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["given", "tenant", tenant] => {
                let record = decode::<GivenRecord>(&name, entry)?.record;
                let own = given.allocations.tenants.entry((*tenant).to_owned()).or_default();
                own.applied = record.applied;
                own.protect = record.protect;
                own.tenant_id = record.tenant_id;
                own.project_made = record.project_made;
                own.link =
                    record.link.map(|link| LinkAddresses { provider: link.provider, tenant: link.tenant });
                own.bridges = record.bridges;
                own.ports = record.ports;
                own.making = record.making;
            }
            ["given", "ids", tenant] => {
                let record = decode::<IdsRecord>(&name, entry)?.record;
                given.allocations.tenants.entry((*tenant).to_owned()).or_default().ids = record.ids;
            }
            ["given", "peer", one, other] => {
                let link = decode::<LinkRecord>(&name, entry)?.record;
                let link = LinkAddresses { provider: link.provider, tenant: link.tenant };
                given.allocations.peers.insert(format!("{one}/{other}"), link);
            }
            ["given", "pools"] => {
                let held = decode::<PoolsRecord>(&name, entry)?;
                (given.pools, given.given) = (held.revision, held.record.given);
            }
            _ => {}
        }
    }
    Ok(given)
}

/// Writes what one tenant was given, if that changes it; false where another tenant was given something since.
pub(crate) async fn write(
    store: &SharedStore,
    fence: &Compare,
    given: &mut Given,
    now: &Allocations,
    tenant: &str,
) -> Result<bool> {
    let (before, after) = (given.allocations.tenants.get(tenant), now.tenants.get(tenant));
    let Some(after) = after.filter(|after| before != Some(*after)) else { return Ok(true) };
    let given_out = before.map(places) != Some(places(after));
    let mut transaction = Transaction::default().when_all(std::slice::from_ref(fence));
    let link = after.link.map(|link| LinkRecord { provider: link.provider, tenant: link.tenant });
    let record = GivenRecord {
        applied: after.applied,
        protect: after.protect,
        tenant_id: after.tenant_id.clone(),
        project_made: after.project_made,
        link,
        bridges: after.bridges.clone(),
        ports: after.ports.clone(),
        making: after.making.clone(),
    };
    transaction = transaction.put(keys::given(tenant), encode(&record));
    if !after.ids.is_empty() {
        transaction = transaction.put(keys::ids(tenant), encode(&IdsRecord { ids: after.ids.clone() }));
    }
    if given_out {
        let pools = PoolsRecord { given: given.given + 1 };
        transaction = transaction.when(keys::POOLS, given.pools).put(keys::POOLS, encode(&pools));
    }
    match store.commit(&transaction).await? {
        Commit::Conflict => Ok(false),
        Commit::Done(revisions) => {
            if given_out {
                given.given += 1;
                given.pools = revisions.last().copied().unwrap_or(Revision::ABSENT);
            }
            given.allocations = now.clone();
            Ok(true)
        }
    }
}

/// The addresses that a tenant was given.
fn places(tenant: &TenantAllocation) -> (Option<LinkAddresses>, &BTreeMap<String, Ipv4Net>) {
    (tenant.link, &tenant.bridges)
}
