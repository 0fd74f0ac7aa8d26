//! The servers that a run talks to: the store and the MidoNet API. Each is opened when it is first needed.

mod errors;
mod time;
mod waiting_store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::spec::MidonetSettings;
use midoform_reconcile::client::{Client, Credentials, Settings};
use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::etcd::Etcd;
use midoform_store::ipam::{Ipam, Owner};
use midoform_store::open::{Location, OpenOptions};
use midoform_store::{SharedStore, open, private_folder};
use uuid::Uuid;

use crate::config::{Config, STATE_FOLDER};
use crate::protocol::error::{CniError, Result};
use crate::protocol::request::Endpoint;
use crate::state::token;

pub(crate) use time::{remaining, unix_milliseconds, within};

use waiting_store::WaitingStore;

/// The number of tries of one call. The runtime repeats the whole verb anyway.
const TRIES: u32 = 3;

/// The configuration of a run, its host, and its connections.
pub(crate) struct Backend<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: Uuid,
    store: Option<SharedStore>,
    client: Option<Client>,
    /// The token that an earlier run kept.
    kept_token: Option<String>,
}

impl<'a> Backend<'a> {
    /// Opens nothing yet. Fails if the host's id is not known.
    pub(crate) fn new(config: &'a Config) -> Result<Backend<'a>> {
        if config.state_folder == Path::new(STATE_FOLDER) {
            // Who needs the folder reports that it can't be created.
            let _ = private_folder::make_private(&config.state_folder);
        }
        Ok(Backend { config, host: config.host()?, store: None, client: None, kept_token: None })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::of(self.config.site.engine).unwrap_or(Dialect::V5)
    }

    pub(crate) fn site_name(&self) -> &'a str {
        &self.config.site.name.value
    }

    /// Returns the owner under which the store keeps an endpoint's attachment.
    pub(crate) fn owner(&self, endpoint: &Endpoint) -> Owner {
        Owner {
            network: self.config.name.clone(),
            container: endpoint.container.clone(),
            interface: endpoint.interface.clone(),
        }
    }

    /// Returns the store: etcd if the site names it, otherwise a file on this host.
    pub(crate) async fn store(&mut self) -> Result<SharedStore> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let longest = self.config.timeouts.add;
        let store: SharedStore = match open::location_of(&self.config.site, &self.around()) {
            Location::Etcd(settings, tls) => Arc::new(Etcd::open_tls(settings, &tls)?),
            location => {
                let file = self.store_file(location);
                if let Some(folder) = file.parent() {
                    private_folder::create(folder).map_err(|error| CniError::file(folder, error))?;
                }
                Arc::new(WaitingStore::open(longest, || Embedded::open_briefly(&file)).await?)
            }
        };
        Ok(self.store.insert(store).clone())
    }

    /// Returns the options for opening the site's store. Relative paths in the site file start at the plugin's state
    /// folder.
    fn around(&self) -> OpenOptions {
        let login = &self.config.etcd_login;
        OpenOptions {
            folder: self.config.state_folder.clone(),
            login: login.username.clone().zip(login.password.clone()),
            timeout: Some(self.config.timeouts.call),
        }
    }

    /// Returns the file of the embedded store: the network configuration's, otherwise the site's.
    fn store_file(&self, location: Location) -> PathBuf {
        match (&self.config.store, location) {
            (Some(file), _) => file.clone(),
            (None, Location::Embedded(file)) => file,
            (None, _) => self.config.state_folder.join("store.db"),
        }
    }

    pub(crate) async fn pods(&mut self) -> Result<Ipam> {
        Ok(Ipam::new(self.store().await?))
    }

    /// Returns the API's client. It starts with the token of an earlier run, if there is one.
    pub(crate) async fn client(&mut self) -> Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
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
            self.kept_token = token::read(&self.config.state_folder, self.api_url(), login);
        }
        let base_url = self.api_url().to_owned();
        let settings = Settings {
            base_url,
            credentials,
            timeout: self.config.timeouts.call,
            dialect: self.dialect(),
            ca: self
                .midonet()
                .and_then(|midonet| midonet.ca.as_ref())
                .map(|ca| self.config.state_folder.join(&ca.value)),
        };
        let client = Client::resume(settings, self.kept_token.as_deref())?.with_most_tries(TRIES);
        Ok(self.client.insert(client).clone())
    }

    /// Keeps the token for the next run, if it is a new one.
    pub(crate) fn keep_token(&self) {
        let Some(token) = self.client.as_ref().and_then(Client::token_text) else { return };
        let login = &self.config.login;
        if login.username.is_none() || self.kept_token.as_ref() == Some(&token) {
            return;
        }
        if let Err(error) = token::write(&self.config.state_folder, self.api_url(), login, &token) {
            tracing::warn!(%error, "the API token can't be kept: the next run logs in again");
        }
    }

    fn midonet(&self) -> Option<&'a MidonetSettings> {
        self.config.site.midonet.as_ref()
    }

    fn api_url(&self) -> &'a str {
        self.midonet().and_then(|midonet| midonet.url.as_ref()).map_or("", |url| url.value.as_str())
    }
}
