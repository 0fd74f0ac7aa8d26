//! What stands behind a run: the store and the API, each opened when it is first needed.

mod waiting_store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_reconcile::client::{Client, Credentials, Settings};
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::Etcd;
use midoform_store::ipam::{Owner, Pods};
use midoform_store::open::{Around, Place};
use midoform_store::{SharedStore, StoreError, open};
use uuid::Uuid;

use crate::config::Config;
use crate::endpoint::midonet::Site;
use crate::protocol::error::{CniError, Code, Result};
use crate::protocol::request::Endpoint;
use crate::state::token;
use waiting_store::WaitingStore;

/// How often one call is tried: a runtime tries the whole again anyway.
const TRIES: u32 = 3;

/// What a run works with.
pub(crate) struct Backend<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: Uuid,
    store: Option<SharedStore>,
    client: Option<Client>,
    /// The token that was read from the file, if one was.
    token: Option<String>,
}

impl<'a> Backend<'a> {
    pub(crate) fn new(config: &'a Config) -> Result<Backend<'a>> {
        Ok(Backend { config, host: config.host()?, store: None, client: None, token: None })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::from_number(self.config.site.midonet.version.value).unwrap_or(Dialect::V5)
    }

    pub(crate) fn site(&self) -> Site<'a> {
        Site { name: &self.config.site.name.value, dialect: self.dialect() }
    }

    pub(crate) fn owner(&self, endpoint: &Endpoint) -> Owner {
        Owner {
            network: self.config.name.clone(),
            container: endpoint.container.clone(),
            interface: endpoint.interface.clone(),
        }
    }

    /// The store: etcd where the site names it, else a file of this host's.
    pub(crate) async fn store(&mut self) -> Result<SharedStore> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let patience = self.config.timeouts.add;
        let store: SharedStore = match open::place_of(&self.config.site, &self.around()) {
            Place::Etcd(settings, tls) => Arc::new(Etcd::open_tls(settings, &tls)?),
            place => {
                let file = self.store_file(place);
                if let Some(folder) = file.parent() {
                    std::fs::create_dir_all(folder).map_err(|error| CniError::file(folder, &error))?;
                }
                Arc::new(WaitingStore::open(patience, || Embedded::open_briefly(&file)).await?)
            }
        };
        Ok(self.store.insert(store).clone())
    }

    /// Relative paths of the site are from the plugin's own folder on.
    fn around(&self) -> Around {
        let login = &self.config.etcd_login;
        Around {
            folder: self.config.state_folder.clone(),
            login: login.username.clone().zip(login.password.clone()),
            timeout: Some(self.config.timeouts.call),
        }
    }

    /// The file of the embedded store: what the network configuration names, else what the site does.
    fn store_file(&self, place: Place) -> PathBuf {
        match (&self.config.store, place) {
            (Some(file), _) => file.clone(),
            (None, Place::Embedded(file)) => file,
            (None, _) => self.config.state_folder.join("store.db"),
        }
    }

    pub(crate) async fn pods(&mut self) -> Result<Pods> {
        Ok(Pods::new(self.store().await?))
    }

    /// The API, with the token of an earlier run where there is one.
    pub(crate) async fn client(&mut self) -> Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let url = self.config.site.midonet.url.as_ref().map(|url| url.value.clone()).unwrap_or_default();
        let login = &self.config.login;
        let credentials = match (&login.token, &login.username, &login.password) {
            (Some(token), ..) => Credentials::Token(token.clone()),
            (None, Some(username), Some(password)) => Credentials::Password {
                username: username.clone(),
                password: password.clone(),
                project: login.project.clone(),
            },
            _ => Credentials::None,
        };
        if matches!(credentials, Credentials::Password { .. }) {
            self.token = token::read(&self.config.state_folder, &url, login);
        }
        let settings = Settings { base_url: url, credentials, timeout: self.config.timeouts.call };
        let client = Client::resume(settings, self.token.as_deref())?.with_most_tries(TRIES);
        Ok(self.client.insert(client).clone())
    }

    /// Keeps the token for the next run, if it is another one now.
    pub(crate) fn keep_token(&self) {
        let Some(token) = self.client.as_ref().and_then(Client::token_text) else { return };
        let login = &self.config.login;
        if login.username.is_none() || self.token.as_ref() == Some(&token) {
            return;
        }
        let url = self.config.site.midonet.url.as_ref().map(|url| url.value.as_str()).unwrap_or_default();
        if let Err(error) = token::write(&self.config.state_folder, url, login, &token) {
            tracing::warn!(%error, "the token can't be kept: the next run logs in again");
        }
    }
}

impl From<StoreError> for CniError {
    fn from(error: StoreError) -> CniError {
        let (code, message) = match error.is_passing() {
            true => (Code::TryAgainLater, "the store can't be used now"),
            false => (Code::Store, "the store can't be used"),
        };
        CniError::new(code, message).details(error.to_string())
    }
}

/// Waits for a future, but no longer than this.
pub(crate) async fn within<T>(
    time: Duration,
    what: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(time, future).await.unwrap_or_else(|_| {
        let message = format!("{what} did not end within {} s", time.as_secs());
        Err(CniError::new(Code::TryAgainLater, message)
            .details("the API, the store or the kernel does not answer"))
    })
}
