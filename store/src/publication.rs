//! The publication of applied tenants: their specs, and the mark that they are ready for pods.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::names::TenantName;
use serde::{Deserialize, Serialize};

use super::keys;
use super::ready::Ready;
use super::tenants::{self, PushedFile, TenantError, fenced, ready, send, sources};
use crate::locks::Lock;
use crate::record::encode;
use crate::{Compare, SharedStore, StoreError};

/// Tenants as they are published for pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The site file.
    pub site: Option<PushedFile>,
    /// The tenants, by name.
    pub tenants: BTreeMap<TenantName, Published>,
}

/// A published tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The tenant as its pods need it; none: it is not ready.
    pub ready: Option<Ready>,
    /// The spec; none: the default layout.
    pub spec: Option<PushedFile>,
}

impl Publication {
    /// Reads the publication of these tenants.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(
        store: &SharedStore,
        tenants: &BTreeSet<TenantName>,
    ) -> Result<Publication, StoreError> {
        let mut found = Publication::default();
        for tenant in tenants {
            let sources = sources(store, tenant).await?;
            found.site = sources.site;
            let ready = ready(store, tenant).await?.map(|held| held.record);
            found.tenants.insert(tenant.clone(), Published { ready, spec: sources.tenant });
        }
        Ok(found)
    }

    /// Checks whether the tenants can be published, before the first call of their plan.
    ///
    /// # Errors
    /// When the store fails, or a pod has the address or the MAC address of a static port.
    pub async fn check(&self, store: &SharedStore) -> Result<(), TenantError> {
        for ready in self.tenants.values().filter_map(|published| published.ready.as_ref()) {
            tenants::check_static_ports(store, ready).await?;
        }
        Ok(())
    }

    /// Writes the publication, under the locks of its tenants. A tenant that is not ready has to be withdrawn before.
    ///
    /// # Errors
    /// When the store fails, a lock was lost, or a static port's address is held by somebody else.
    pub async fn publish(&self, store: &SharedStore, lock: &Lock) -> Result<(), TenantError> {
        for (tenant, published) in &self.tenants {
            let fence = fence_of(lock, tenant)?;
            let before = sources(store, tenant).await?;
            let mut transaction = fenced(&fence);
            if let Some(site) = self.site.as_ref().filter(|site| before.site.as_ref() != Some(*site)) {
                transaction = transaction.put(keys::SITE, encode(site));
            }
            match &published.spec {
                same if *same == before.tenant => {}
                Some(spec) => transaction = transaction.put(keys::spec(tenant), encode(spec)),
                None => transaction = transaction.delete(keys::spec(tenant)),
            }
            send(store, tenant, &transaction).await?;
            if let Some(ready) = &published.ready {
                tenants::publish(store, &fence, ready).await?;
            }
        }
        Ok(())
    }
}

/// Deletes the specs of tenants that were destroyed.
///
/// # Errors
/// When the store fails, or a lock was lost.
pub async fn forget(
    store: &SharedStore,
    lock: &Lock,
    tenants: &BTreeSet<TenantName>,
) -> Result<(), TenantError> {
    for tenant in tenants {
        let fence = fence_of(lock, tenant)?;
        send(store, tenant, &fenced(&fence).delete(keys::spec(tenant))).await?;
    }
    Ok(())
}

fn fence_of(lock: &Lock, tenant: &str) -> Result<Compare, TenantError> {
    lock.fence_of_tenant(tenant).ok_or_else(|| TenantError::Lost { tenant: tenant.into() })
}
