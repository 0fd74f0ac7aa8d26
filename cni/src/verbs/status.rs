//! STATUS: whether an ADD could succeed now: store, API, the host's agent, addresses.

use midoform_compiler::midonet::dialect::Dialect;
use midoform_reconcile::client::ClientError;
use midoform_store::tenants;
use serde::Deserialize;

use crate::backend::{Backend, within};
use crate::config::Config;
use crate::protocol::error::{CniError, Code, Result};
use crate::tenant;

/// Looks. Everything that keeps containers from being attached is code 50; an agent that is not there is 51, since what
/// is attached has no network either.
pub(crate) async fn status(config: &Config) -> Result<()> {
    let mut backend = Backend::new(config)?;
    let store = async {
        let store = backend.store().await?;
        // The default tenant stands for all: others may still have addresses.
        let Some(tenant) = config.tenant.as_deref() else {
            return tenants::sources(&store, "status").await.map(drop).map_err(CniError::from);
        };
        let Some(ready) = tenants::ready(&store, tenant).await? else { return Ok(()) };
        let used = tenants::addresses(&store, tenant).await?;
        let used = used.values().filter(|address| address.record.holder.is_some()).count() as u64;
        let capacity: u64 = ready.record.bridges.iter().map(|bridge| bridge.capacity()).sum();
        tracing::info!(step = "addresses", tenant, used, capacity, "STATUS");
        if used < capacity {
            return Ok(());
        }
        tenant::room_to_grow(&mut backend, tenant, &ready.record).await
    };
    within(config.timeouts.other, "reading the store", store).await.map_err(not_available)?;
    let api = async {
        let client = backend.client().await?;
        host_is_alive(&client, backend.dialect(), backend.host).await
    };
    let result = within(config.timeouts.other, "reading the API", api).await;
    backend.keep_token();
    match result {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!("the MidoNet agent of host {} is not running", backend.host);
            Err(CniError::new(Code::LimitedConnectivity, message).details("start midolman on this host"))
        }
        Err(error) => Err(not_available(error)),
    }
}

fn not_available(error: CniError) -> CniError {
    CniError { code: Code::NotAvailable, ..error }
}

/// Whether the host's agent is running; an error where the API does not know the host.
async fn host_is_alive(
    client: &midoform_reconcile::client::Client,
    dialect: Dialect,
    host: uuid::Uuid,
) -> Result<bool> {
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
                .details("is `host_uuid` right, did its agent ever run?"));
        }
        other => other?,
    };
    let host: Host = serde_json::from_str(&answer.body).map_err(|error| {
        CniError::new(Code::ApiRefused, "the API's answer can't be understood").details(error.to_string())
    })?;
    Ok(host.alive)
}
