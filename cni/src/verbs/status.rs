//! STATUS: tells whether an ADD could succeed now. It looks at the store, the addresses, the API and the host's agent.

use midoform_compiler::midonet::dialect::Dialect;
use midoform_reconcile::client::{Client, ClientError};
use midoform_store::{Range, keys, read_one, tenants};
use serde::Deserialize;
use uuid::Uuid;

use crate::backend::{Backend, within};
use crate::config::Config;
use crate::protocol::error::{CniError, Code, Result};
use crate::tenant;

/// Fails with code 50 if no container can be attached. Fails with 51 if the agent is not running: then attached
/// containers have no network either.
pub(crate) async fn status(config: &Config) -> Result<()> {
    let mut backend = Backend::new(config)?;
    let addresses = has_addresses(&mut backend);
    within(config.timeouts.other, "reading the store", addresses).await.map_err(not_available)?;
    let api = async {
        let client = backend.client().await?;
        is_agent_running(&client, backend.dialect(), backend.host).await
    };
    let result = within(config.timeouts.other, "reading the API", api).await;
    backend.keep_token();
    match result {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!("the MidoNet agent of host {} is not running", backend.host);
            Err(CniError::new(Code::LimitedConnectivity, message).hint("start midolman on this host"))
        }
        Err(error) => Err(not_available(error)),
    }
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

/// Returns true if the host's agent is running. Fails if the API does not know the host.
async fn is_agent_running(client: &Client, dialect: Dialect, host: Uuid) -> Result<bool> {
    #[derive(Deserialize)]
    struct Host {
        #[serde(default)]
        alive: bool,
    }
    let accept = match dialect {
        Dialect::V1 => "application/vnd.org.midonet.Host-v2+json",
        Dialect::V5 => "application/vnd.org.midonet.Host-v3+json",
    };
    let answer = match client.get(&format!("/hosts/{host}"), accept).await {
        Err(ClientError::Status { status: 404, .. }) => {
            let message = format!("the MidoNet API does not know the host {host}");
            return Err(CniError::new(Code::NotAvailable, message)
                .hint("check `host_uuid`, and that the host's agent has run at least once"));
        }
        other => other?,
    };
    let host: Host = serde_json::from_str(&answer.body).map_err(|error| {
        CniError::new(Code::ApiRefused, "the API's answer about the host can't be read").caused_by(error)
    })?;
    Ok(host.alive)
}
