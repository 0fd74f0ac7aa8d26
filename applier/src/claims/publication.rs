//! What pods find of tenants that were applied: that they are ready, and the specs they were made from.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::keys;
use super::lock::Lock;
use super::ready::Ready;
use super::tenants::{self, Pushed, TenantError, ready, sources};
use crate::store::record::encode;
use crate::store::{Commit, Compare, SharedStore, StoreError, Transaction};

/// Some tenants as pods find them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The site file.
    pub site: Option<Pushed>,
    /// By name.
    pub tenants: BTreeMap<String, Published>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// What its pods need to know; none: it isn't made.
    pub ready: Option<Ready>,
    /// Its spec; none: the default layout.
    pub spec: Option<Pushed>,
}

impl Publication {
    /// These tenants as the store has them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(store: &SharedStore, tenants: &BTreeSet<String>) -> Result<Publication, StoreError> {
        let mut found = Publication::default();
        for tenant in tenants {
            let sources = sources(store, tenant).await?;
            found.site = sources.site;
            let ready = ready(store, tenant).await?.map(|held| held.record);
            found.tenants.insert(tenant.clone(), Published { ready, spec: sources.tenant });
        }
        Ok(found)
    }

    /// Puts it into the store, under the locks of its tenants. A tenant that is not ready has to be retired before.
    ///
    /// # Errors
    /// When the store fails, a lock was lost, or a static port's address is held by somebody else.
    pub async fn publish(&self, store: &SharedStore, lock: &Lock) -> Result<(), TenantError> {
        for (tenant, published) in &self.tenants {
            let fence = fence_of(lock, tenant)?;
            let transaction = Transaction::default().when_all(std::slice::from_ref(&fence));
            let transaction = match &self.site {
                Some(site) => transaction.put(keys::SITE, encode(site)),
                None => transaction,
            };
            let transaction = match &published.spec {
                Some(spec) => transaction.put(keys::spec(tenant), encode(spec)),
                None => transaction.delete(keys::spec(tenant)),
            };
            send(store, tenant, &transaction).await?;
            if let Some(ready) = &published.ready {
                tenants::publish(store, &fence, ready).await?;
            }
        }
        Ok(())
    }
}

/// Forgets the specs of tenants that were taken down.
///
/// # Errors
/// When the store fails, or a lock was lost.
pub async fn forget(store: &SharedStore, lock: &Lock, tenants: &BTreeSet<String>) -> Result<(), TenantError> {
    for tenant in tenants {
        let fence = fence_of(lock, tenant)?;
        let transaction = Transaction::default().when_all(&[fence]).delete(keys::spec(tenant));
        send(store, tenant, &transaction).await?;
    }
    Ok(())
}

fn fence_of(lock: &Lock, tenant: &str) -> Result<Compare, TenantError> {
    let fence = lock.fence_of(&keys::tenant_lock(tenant));
    fence.ok_or_else(|| TenantError::Lost { tenant: tenant.to_owned() })
}

async fn send(store: &SharedStore, tenant: &str, transaction: &Transaction) -> Result<(), TenantError> {
    match store.commit(transaction).await? {
        Commit::Done(_) => Ok(()),
        Commit::Conflict => Err(TenantError::Lost { tenant: tenant.to_owned() }),
    }
}
