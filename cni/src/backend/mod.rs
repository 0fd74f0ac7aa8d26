//! The servers that a run talks to: the store, and those of the engine. Each is opened when it is first needed.

mod chassis;
mod errors;
mod time;
mod waiting_store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::spec::{MidonetSettings, OvnSettings};
use midoform_compiler::values::Engine;
use midoform_reconcile::client::{Client, Credentials, Settings};
use midoform_reconcile::connection::Connection;
use midoform_reconcile::northbound::{Northbound, Servers};
use midoform_reconcile::open_vswitch::{self, OpenVswitch, PlugError};
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

/// The time limit of the first look at the host's own database: it is on this host, or it is not running.
const LOCAL: Duration = Duration::from_secs(1);

/// The configuration of a run, its host, and its connections.
pub(crate) struct Backend<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: Uuid,
    store: Option<SharedStore>,
    client: Option<Client>,
    northbound: Option<Northbound>,
    open_vswitch: Option<OpenVswitch>,
    /// The facts of this host, as they were read.
    facts: Option<open_vswitch::Host>,
    /// The token that an earlier run kept.
    kept_token: Option<String>,
}

impl<'a> Backend<'a> {
    /// Learns which host this is; opens nothing else yet. Fails if that is not known.
    pub(crate) async fn open(config: &'a Config) -> Result<Backend<'a>> {
        if config.state_folder == Path::new(STATE_FOLDER) {
            // Who needs the folder reports that it can't be created.
            let _ = private_folder::make_private(&config.state_folder);
        }
        let mut backend = Backend {
            config,
            host: Uuid::nil(),
            store: None,
            client: None,
            northbound: None,
            open_vswitch: None,
            facts: None,
            kept_token: None,
        };
        backend.host = match (config.host_uuid, backend.engine()) {
            (Some(host), _) => host,
            (None, Engine::Ovn) => {
                let facts = backend.open_vswitch_host().await;
                chassis::host_of(config, facts)?
            }
            (None, Engine::Midonet1 | Engine::Midonet5) => config.host_of_agent()?,
        };
        Ok(backend)
    }

    pub(crate) fn engine(&self) -> Engine {
        self.config.site.engine
    }

    /// Returns MidoNet's version, if the site is on MidoNet as well.
    pub(crate) fn midonet_engine(&self) -> Option<Engine> {
        self.midonet().map(|midonet| match midonet.version.value {
            1 => Engine::Midonet1,
            _ => Engine::Midonet5,
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.midonet_engine().and_then(Dialect::of).unwrap_or(Dialect::V5)
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

    /// Returns the connection to the site's engine.
    pub(crate) async fn connection(&mut self) -> Result<Connection> {
        Ok(match self.engine() {
            Engine::Ovn => Connection::Ovn(self.northbound()?),
            Engine::Midonet1 | Engine::Midonet5 => self.client().await?.into(),
        })
    }

    /// Returns the northbound database. It is connected to when it is first used.
    pub(crate) fn northbound(&mut self) -> Result<Northbound> {
        if let Some(northbound) = &self.northbound {
            return Ok(northbound.clone());
        }
        let servers = Servers::of(self.ovn()?, &self.config.state_folder, self.config.timeouts.call);
        Ok(self.northbound.insert(Northbound::new(servers)?).clone())
    }

    /// Returns the host's own Open vSwitch database. It is connected to when it is first used.
    pub(crate) fn open_vswitch(&mut self) -> Result<OpenVswitch> {
        if let Some(known) = &self.open_vswitch {
            return Ok(known.clone());
        }
        let of_site = self.ovn()?.open_vswitch.as_ref().map(|address| address.value.as_str());
        let address = self.config.open_vswitch.as_deref().or(of_site).unwrap_or(open_vswitch::USUAL);
        let new = OpenVswitch::new(address, self.config.timeouts.call).map_err(PlugError::from)?;
        Ok(self.open_vswitch.insert(new).clone())
    }

    /// Returns the facts of this host.
    pub(crate) async fn open_vswitch_host(&mut self) -> Result<open_vswitch::Host> {
        if let Some(facts) = &self.facts {
            return Ok(facts.clone());
        }
        let facts = self.open_vswitch()?.with_timeout(LOCAL).host().await.map_err(PlugError::from)?;
        Ok(self.facts.insert(facts).clone())
    }

    fn ovn(&self) -> Result<&'a OvnSettings> {
        let missing = || CniError::configuration("site", "has no [ovn], and the attachment is on OVN");
        self.config.site.ovn.as_ref().ok_or_else(missing)
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
