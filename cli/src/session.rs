//! A connection to the API: the site's, another one, or the embedded one, started in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::spec;
use midoform_compiler::spec::KeystoneSettings;
use midoform_compiler::topology::observed::Observed;
use midoform_reconcile::client::{Client, Credentials, Settings};
use midoform_reconcile::credentials::Logins;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::keystone;
use midoform_reconcile::keystone::{IdentityVersion, Keystone, base_of};
use midoform_reconcile::observe::{Scope, observe};
use midoform_reconcile::planned::Planned;
use midoform_simulator as simulator;

use crate::args::{Api, Login};
use crate::error::CommandError;
use crate::progress::Progress;
use crate::ui::Ui;

/// An API that can be called.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// The embedded API, where it is used.
    server: Option<simulator::Server>,
}

/// The API that a command uses.
#[derive(Clone)]
pub(crate) enum Target {
    /// The API at this URL.
    Url(String, Identity),
    /// The embedded API in this process, with its state in this folder, and with these hosts.
    Embedded { folder: PathBuf, hosts: Vec<(uuid::Uuid, String)> },
}

impl Target {
    /// Returns the API that the command line names, or else the site file.
    pub(crate) fn of(site: &spec::Site, api: &Api, root: &Path) -> Target {
        match (&api.api, &site.midonet.url) {
            (Some(url), _) => Target::Url(url.clone(), Identity::of(site)),
            (None, Some(url)) if !site.midonet.embedded => Target::Url(url.value.clone(), Identity::of(site)),
            _ => Target::Embedded {
                folder: api.state_dir.clone().unwrap_or_else(|| root.join(".midoform")),
                hosts: site.hosts.iter().map(|host| (host.id.value, host.name.value.clone())).collect(),
            },
        }
    }

    /// Returns the base URL for scripts.
    pub(crate) fn shown_url(&self) -> &str {
        match self {
            Target::Url(url, _) => url,
            Target::Embedded { .. } => "http://127.0.0.1:8181/midonet-api",
        }
    }

    /// Returns true for an embedded API that has never run: there is nothing to observe.
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(self, Target::Embedded { folder, .. } if !folder.exists())
    }
}

impl Session {
    /// Connects to the API, and starts the embedded API if it is that one.
    async fn open(target: Target, dialect: Dialect, api: &Api) -> Result<Session, CommandError> {
        let (base_url, credentials, server) = match target {
            Target::Url(url, identity) => (url, credentials(api, &identity)?, None),
            Target::Embedded { folder, hosts } => {
                let server = start(folder, hosts, dialect).await?;
                (server.base_url().to_owned(), Credentials::None, Some(server))
            }
        };
        let settings = Settings { base_url, credentials, timeout: Duration::from_secs(api.timeout) };
        let client = Client::connect(settings).await?;
        Ok(Session { client, server })
    }

    /// Observes the network.
    pub(crate) async fn observe(&self, ui: &Ui, scope: Scope<'_>) -> Result<Observed, CommandError> {
        let progress = Progress::reading(ui);
        let observed = observe(&self.client, scope, &|event| progress.event(&event)).await;
        progress.finish();
        Ok(observed?)
    }

    /// Observes the network, and plans.
    pub(crate) async fn look<'g, G: Goal<Refusal = CommandError>>(
        &self,
        ui: &Ui,
        goal: &'g G,
        known: &Allocations,
    ) -> Result<Planned<'g, G>, CommandError> {
        let progress = Progress::reading(ui);
        let planned = Planned::look(&self.client, goal, known, &|event| progress.event(&event)).await;
        progress.finish();
        Ok(planned?)
    }

    /// Runs work with a session, and closes the session at the end.
    pub(crate) async fn with<T>(
        target: Target,
        dialect: Dialect,
        api: &Api,
        work: impl AsyncFnOnce(&Session) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let session = Session::open(target, dialect, api).await?;
        let result = work(&session).await;
        session.close().await;
        result
    }

    /// Ends the embedded API, after its state is on the disk.
    async fn close(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

async fn start(
    folder: PathBuf,
    hosts: Vec<(uuid::Uuid, String)>,
    dialect: Dialect,
) -> Result<simulator::Server, CommandError> {
    std::fs::create_dir_all(&folder).map_err(|error| CommandError::file(&folder, error))?;
    let version = match dialect {
        Dialect::V1 => simulator::Version::V1_7,
        Dialect::V5 => simulator::Version::V5_8,
    };
    let options =
        simulator::Options { version, hosts, state_dir: Some(folder), ..simulator::Options::default() };
    simulator::start(options).await.map_err(CommandError::Server)
}

/// Returns the credentials for the API: a login for MidoNet itself, or else one for its Keystone. They are never from a
/// spec, and so never in a plan or a log.
fn credentials(api: &Api, identity: &Identity) -> Result<Credentials, CommandError> {
    let mut logins = logins(&api.login)?;
    if let Some(own) = logins.midonet.take() {
        return Ok(own);
    }
    let keystone = identity.keystone(logins, api.timeout)?;
    Ok(keystone.map_or(Credentials::None, |keystone| Credentials::Keystone(Arc::new(keystone))))
}

/// Finds the logins: in the credentials file, or else in the environment.
pub(crate) fn logins(login: &Login) -> Result<Logins, CommandError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = login.credentials.clone().or_else(|| variable("MIDONET_CREDENTIALS_FILE").map(PathBuf::from));
    Ok(Logins::find(file.as_deref(), &variable)?)
}

/// The Keystone of the API.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// The one that the login names: there is no site file.
    OfTheLogin,
    /// None: the site file names none.
    None,
    /// The site's.
    OfTheSite(KeystoneSettings),
}

impl Identity {
    pub(crate) fn of(site: &spec::Site) -> Identity {
        site.keystone.clone().map_or(Identity::None, Identity::OfTheSite)
    }

    /// Returns a client of it, if there is a login. A login is only sent to its own Keystone.
    pub(crate) fn keystone(&self, logins: Logins, timeout: u64) -> Result<Option<Keystone>, CommandError> {
        let Some(login) = logins.keystone else { return Ok(None) };
        let (url, version, domain) = match self {
            Identity::None => return Ok(None),
            Identity::OfTheLogin => (login.url, None, None),
            Identity::OfTheSite(site) => {
                let named = site.url.as_ref().map(|url| base_of(&url.value)).transpose()?;
                let url = match (named, login.url) {
                    (Some(named), Some(own)) if named != own => {
                        let message = format!(
                            "the site file names the Keystone at {named}, but the login is for {own}, and is not sent elsewhere"
                        );
                        return Err(CommandError::Conflict(message));
                    }
                    (named, own) => named.or(own),
                };
                let version = site.version.map(|version| match version.value {
                    2 => IdentityVersion::V2,
                    _ => IdentityVersion::V3,
                });
                (url, version, site.domain.as_ref().map(|domain| domain.value.clone()))
            }
        };
        let Some(url) = url else { return Ok(None) };
        let settings = keystone::Settings {
            url,
            version: version.or(login.version).unwrap_or(IdentityVersion::V3),
            login: login.login,
            domain,
            timeout: Duration::from_secs(timeout),
        };
        Ok(Some(Keystone::new(settings)?))
    }
}
