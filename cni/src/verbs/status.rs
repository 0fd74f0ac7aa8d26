//! STATUS: tells whether an ADD could succeed now. It looks at the store, the addresses, and the engine.

use midoform_store::{Range, keys, read_one, tenants};

use crate::backend::{Backend, within};
use crate::config::Config;
use crate::endpoint::engine::ports;
use crate::protocol::error::{CniError, Code, Result};
use crate::tenant;

/// Fails with code 50 if no container can be attached. Fails with 51 if nothing on the host makes flows: then
/// attached containers have no network either.
pub(crate) async fn status(config: &Config) -> Result<()> {
    let mut backend = Backend::open(config).await?;
    let addresses = has_addresses(&mut backend);
    within(config.timeouts.other, "reading the store", addresses).await.map_err(not_available)?;
    let engine = async { ports(&mut backend).await?.status().await };
    let result = within(config.timeouts.other, "asking the engine", engine).await;
    backend.keep_token();
    result.map_err(|error| match error.code {
        Code::LimitedConnectivity => error,
        _ => not_available(error),
    })
}

/// Fails if the configured tenant has no free address and can't get another bridge. Without a configured tenant, this only
/// reads the store: each tenant has its own addresses.
async fn has_addresses(backend: &mut Backend<'_>) -> Result<()> {
    let store = backend.store().await?;
    let Some(tenant) = backend.config.tenant.as_deref() else {
        // The site's key belongs to no tenant.
        return read_one(&*store, Range::key(keys::SITE)).await.map(drop).map_err(CniError::from);
    };
    let Some(ready) = tenants::ready(&store, tenant).await? else { return Ok(()) };
    let used = tenants::addresses(&store, tenant).await?;
    let used = used.values().filter(|address| address.record.holder.is_some()).count() as u64;
    let capacity: u64 = ready.record.bridges.iter().map(|bridge| bridge.capacity()).sum();
    tracing::info!(step = "addresses", tenant, used, capacity, "STATUS");
    if used < capacity {
        return Ok(());
    }
    tenant::check_growth(backend, tenant, &ready.record).await
}

fn not_available(error: CniError) -> CniError {
    CniError { code: Code::NotAvailable, ..error }
}
