//! A connection to the API: the site's, another one, or the embedded one, started in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::source::Spanned;
use midoform_compiler::spec;
use midoform_compiler::spec::KeystoneSettings;
use midoform_compiler::spec::url::base_url;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::values::Engine;
use midoform_reconcile::client::{Client, Credentials, Settings};
use midoform_reconcile::connection::Connection;
use midoform_reconcile::credentials::Logins;
use midoform_reconcile::goal::Goal;
use midoform_reconcile::keystone;
use midoform_reconcile::keystone::{IdentityVersion, Keystone, base_of};
use midoform_reconcile::northbound::{Northbound, Servers};
use midoform_reconcile::observe::Scope;
use midoform_reconcile::planned::Planned;
use midoform_simulator as simulator;
use midoform_store::private_folder;

use crate::args::{Api, Login, Spec};
use crate::error::CommandError;
use crate::progress::Progress;
use crate::project::Project;
use crate::ui::Ui;

/// An API that can be called.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// The embedded API, where it is used.
    server: Option<simulator::Server>,
}

/// The API that a command uses.
#[derive(Clone)]
pub(crate) enum Target {
    /// The API at this URL, with its Keystone, and with the file of the CAs that sign its certificate.
    Url(String, Identity, Option<PathBuf>),
    /// OVN's northbound database.
    Northbound(Servers),
    /// The embedded API in this process, with its state in this folder, and with these hosts.
    Embedded { folder: PathBuf, hosts: Vec<(uuid::Uuid, String)> },
}

impl Target {
    /// Returns the API that the command line names, or else the site file.
    ///
    /// # Errors
    /// When the command line names one that is no URL, or holds a login.
    pub(crate) fn of(site: &spec::Site, api: &Api, root: &Path) -> Result<Target, CommandError> {
        if let Some(url) = &api.api {
            return Target::at(url, site, site.engine, Identity::of(site, root), api, root);
        }
        if let (Engine::Ovn, Some(ovn)) = (site.engine, &site.ovn) {
            return Ok(Target::Northbound(Servers::of(ovn, root, Duration::from_secs(api.timeout))));
        }
        let url = site.midonet.as_ref().filter(|midonet| !midonet.embedded);
        Ok(match url.and_then(|midonet| midonet.url.as_ref()) {
            Some(url) => Target::Url(url.value.clone(), Identity::of(site, root), ca_of(site, root)),
            None => Target::Embedded {
                folder: api.state_dir.clone().unwrap_or_else(|| root.join(".midoform")),
                hosts: site.hosts.iter().map(|host| (host.id.value, host.name.value.clone())).collect(),
            },
        })
    }

    /// Returns the API at this URL, or the northbound database at these servers.
    ///
    /// # Errors
    /// When it is no URL, or holds a login.
    pub(crate) fn at(
        url: &str,
        site: &spec::Site,
        engine: Engine,
        identity: Identity,
        api: &Api,
        root: &Path,
    ) -> Result<Target, CommandError> {
        Ok(match (engine, &site.ovn) {
            (Engine::Ovn, Some(ovn)) => {
                let servers = Servers::of(ovn, root, Duration::from_secs(api.timeout));
                Target::Northbound(Servers { remotes: url.to_owned(), ..servers })
            }
            _ => Target::Url(checked("the API's URL", url)?, identity, ca_of(site, root)),
        })
    }

    /// Returns the base URL for scripts.
    pub(crate) fn shown_url(&self) -> &str {
        match self {
            Target::Url(url, ..) => url,
            Target::Northbound(servers) => &servers.remotes,
            Target::Embedded { .. } => "http://127.0.0.1:8181/midonet-api",
        }
    }

    /// Returns true for an embedded API that has never run: there is nothing to observe.
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(self, Target::Embedded { folder, .. } if !folder.exists())
    }
}

/// Begins to read the northbound database of a project, while the project is compiled. Returns none for another engine, and if something
/// is wrong: who needs the connection reports it.
pub(crate) fn read_early(project: &Project, spec: &Spec, api: &Api) -> Option<Northbound> {
    let site = project.site_for(spec)?;
    match Target::of(&site, api, &project.sources.root).ok()? {
        Target::Northbound(servers) => Northbound::ahead(servers).ok(),
        Target::Url(..) | Target::Embedded { .. } => None,
    }
}

impl Session {
    /// Connects to the engine, and starts the embedded API if it is that one. `early` is the connection that was begun before.
    async fn open(
        target: Target,
        engine: Engine,
        api: &Api,
        early: Option<Northbound>,
    ) -> Result<Session, CommandError> {
        let dialect = Dialect::of(engine).unwrap_or(Dialect::V5);
        let (base_url, credentials, ca, server) = match target {
            Target::Northbound(servers) => {
                let northbound = match early {
                    // It is connecting: the first observation has the error, if there is one.
                    Some(early) => early,
                    None => Northbound::connect(servers).await?,
                };
                return Ok(Session { connection: Connection::Ovn(northbound), server: None });
            }
            Target::Url(url, identity, ca) => (url, credentials(api, &identity)?, ca, None),
            Target::Embedded { folder, hosts } => {
                let server = start(folder, hosts, dialect).await?;
                (server.base_url().to_owned(), Credentials::None, None, Some(server))
            }
        };
        let timeout = Duration::from_secs(api.timeout);
        let settings = Settings { base_url, credentials, timeout, dialect, ca };
        let client = Client::connect(settings).await?;
        Ok(Session { connection: client.into(), server })
    }

    /// Returns the client of MidoNet's API.
    ///
    /// # Errors
    /// When the engine is another one: the command can't do its work there.
    pub(crate) fn midonet(&self) -> Result<&Client, CommandError> {
        let other = || {
            CommandError::Usage(
                "this command works on MidoNet alone, and the site's engine is OVN".to_owned(),
            )
        };
        self.connection.midonet().ok_or_else(other)
    }

    /// Observes the network.
    pub(crate) async fn observe(&self, ui: &Ui, scope: Scope<'_>) -> Result<Observed, CommandError> {
        let progress = Progress::reading(ui);
        let observed = self.connection.observe(scope, &|event| progress.event(&event)).await;
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
        let planned = Planned::look(&self.connection, goal, known, &|event| progress.event(&event)).await;
        progress.finish();
        Ok(planned?)
    }

    /// Runs work with a session, and closes the session at the end.
    pub(crate) async fn with<T>(
        target: Target,
        engine: Engine,
        api: &Api,
        work: impl AsyncFnOnce(&Session) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        Session::with_early(target, engine, api, None, work).await
    }

    /// Runs work with a session whose connection was begun before, if it was, and closes the session at the end.
    pub(crate) async fn with_early<T>(
        target: Target,
        engine: Engine,
        api: &Api,
        early: Option<Northbound>,
        work: impl AsyncFnOnce(&Session) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let session = Session::open(target, engine, api, early).await?;
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

/// Returns the file of the CAs that sign the certificate of the site's API.
fn ca_of(site: &spec::Site, root: &Path) -> Option<PathBuf> {
    path_from(root, site.midonet.as_ref().and_then(|midonet| midonet.ca.as_ref()))
}

/// Returns a URL of the command line or of a saved plan. An error does not repeat it, as it may hold a password.
pub(crate) fn checked(what: &str, url: &str) -> Result<String, CommandError> {
    base_url(url).map_err(|problem| CommandError::Usage(format!("{what} {problem}: {}", problem.help())))
}

/// Returns a path of a site file, which starts at the file's folder.
pub(crate) fn path_from(folder: &Path, path: Option<&Spanned<String>>) -> Option<PathBuf> {
    path.map(|path| folder.join(&path.value))
}

async fn start(
    folder: PathBuf,
    hosts: Vec<(uuid::Uuid, String)>,
    dialect: Dialect,
) -> Result<simulator::Server, CommandError> {
    // The name `.midoform` is midoform's own.
    let created = match folder.file_name().is_some_and(|name| name == ".midoform") {
        true => private_folder::make_private(&folder),
        false => private_folder::create(&folder),
    };
    created.map_err(|error| CommandError::file(&folder, error))?;
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
    Ok(Logins::find(credentials_file(login).as_deref(), &variable)?)
}

/// Returns the credentials file, if the command line or the environment names one.
pub(crate) fn credentials_file(login: &Login) -> Option<PathBuf> {
    login.credentials.clone().or_else(|| variable("MIDONET_CREDENTIALS_FILE").map(PathBuf::from))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The Keystone of the API.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// The one that the login names: there is no site file.
    OfTheLogin,
    /// None: the site file names none.
    None,
    /// The site's, with the file of the CAs that sign its certificate.
    OfTheSite(KeystoneSettings, Option<PathBuf>),
}

impl Identity {
    /// Returns the Keystone of a site whose file is in this folder.
    pub(crate) fn of(site: &spec::Site, root: &Path) -> Identity {
        let Some(keystone) = site.keystone.clone() else { return Identity::None };
        let ca = path_from(root, keystone.ca.as_ref());
        Identity::OfTheSite(keystone, ca)
    }

    /// Returns a client of it, if there is a login. A login is only sent to its own Keystone.
    pub(crate) fn keystone(&self, logins: Logins, timeout: u64) -> Result<Option<Keystone>, CommandError> {
        let Some(login) = logins.keystone else { return Ok(None) };
        let (url, version, domain, ca) = match self {
            Identity::None => return Ok(None),
            Identity::OfTheLogin => (login.url, None, None, None),
            Identity::OfTheSite(site, ca) => {
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
                (url, version, site.domain.as_ref().map(|domain| domain.value.clone()), ca.clone())
            }
        };
        let Some(url) = url else { return Ok(None) };
        let settings = keystone::Settings {
            url,
            version: version.or(login.version).unwrap_or(IdentityVersion::V3),
            login: login.login,
            domain,
            timeout: Duration::from_secs(timeout),
            ca,
        };
        Ok(Some(Keystone::new(settings)?))
    }
}
