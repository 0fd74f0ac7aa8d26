//! Starts and stops the embedded MidoNet API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Mutex;

use uuid::Uuid;

use crate::agent::Agents;
use crate::api::Api;
use crate::auth::{Auth, Authenticator};
use crate::fault::Faults;
use crate::http::server::{HttpServer, ListenError, Listener};
use crate::http::tls::{Tls, TlsError, acceptor};
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::service::{BASE, Service};
use crate::state::State;
use crate::version::Version;

/// The options of the embedded MidoNet API.
#[derive(Debug, Clone)]
pub struct Options {
    /// The MidoNet version that the server answers as.
    pub version: Version,
    /// The address to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The hosts to register, by id and name.
    pub hosts: Vec<(Uuid, String)>,
    /// The directory for the state; without one, the state ends with the server.
    pub state_dir: Option<PathBuf>,
    /// The authentication of clients.
    pub auth: Auth,
    /// True to let clients set faults over `/_faults`.
    pub faults: bool,
    /// True to serve the whole state at `/_topology`.
    pub inspect: bool,
    /// True to play the part of the hosts' agents: hosts are alive, bound ports are active, and `/_agent` lists the ids and the
    /// names of interfaces that came back, which an agent does not cope with.
    pub agent: bool,
    /// The certificate for TLS; without one, the server speaks plain HTTP.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V5_8,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            hosts: Vec::new(),
            state_dir: None,
            auth: Auth::None,
            faults: false,
            inspect: false,
            agent: false,
            tls: None,
        }
    }
}

/// The error when a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The server can't listen on the address.
    #[error(transparent)]
    Listen(ListenError),
    /// The state can't be used.
    #[error(transparent)]
    Journal(JournalError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(TlsError),
    /// The HTTP client for Keystone can't be set up.
    #[error("the HTTP client for Keystone can't be set up")]
    KeystoneClient(#[source] reqwest::Error),
}

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    base_url: String,
    address: SocketAddr,
    http: HttpServer,
}

impl Server {
    /// Returns the base URL of the API: `http://127.0.0.1:PORT/midonet-api`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting connections, waits a few seconds for the requests in progress, and releases the state.
    pub async fn shutdown(self) {
        self.http.shutdown().await;
    }
}

/// Starts a server on the caller's runtime.
///
/// # Errors
/// When the server can't listen on the address, the state directory is in use, damaged, or of another version, the
/// certificate can't be used, or the HTTP client for Keystone can't be set up.
pub async fn start(options: Options) -> Result<Server, StartError> {
    let tls = options.tls.as_ref().map(acceptor).transpose().map_err(StartError::Tls)?;
    let authenticator = Authenticator::new(options.auth).map_err(StartError::KeystoneClient)?;
    let (journal, kept) = match &options.state_dir {
        Some(directory) => Journal::open(directory, options.version).map_err(StartError::Journal)?,
        None => (Journal::Memory, Vec::new()),
    };
    let mut state = State::from_objects(kept);
    register(&mut state, &journal, &options.hosts);
    let agents = options.agent.then(Agents::default);
    show_agents(&mut state, options.version, agents.as_ref());
    let listener = Listener::bind(options.listen).await.map_err(StartError::Listen)?;
    let address = listener.address;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let service = Service {
        api: Api {
            version: options.version,
            state: Mutex::new(state),
            journal,
            agents: agents.map(Mutex::new),
        },
        authenticator,
        faults: options.faults.then(|| Mutex::new(Faults::default())),
        metrics: Metrics::default(),
        inspect: options.inspect,
        scheme,
        authority: address.to_string(),
    };
    let http = listener.serve(tls, service);
    Ok(Server { base_url: format!("{scheme}://{address}{BASE}"), address, http })
}

/// Registers hosts as agents would: adds new hosts, and updates the name of known hosts.
fn register(state: &mut State, journal: &Journal, hosts: &[(Uuid, String)]) {
    for (id, name) in hosts {
        let mut change = state.begin();
        if change.state().has(Kind::Host, *id) {
            change.set(Kind::Host, *id, "name", Value::text(name.as_str()));
        } else {
            change.create(Object::new(Kind::Host, *id, vec![("name", Value::text(name.as_str()))]));
        }
        // It need not be durable: a lost host is registered again at the next start.
        drop(journal.submit(change.commit()));
    }
}

/// Sets the flags that agents keep up to date: of living hosts and of active ports. They are no part of what is durable.
fn show_agents(state: &mut State, version: Version, agents: Option<&Agents>) {
    if version.traits().is_1x {
        return;
    }
    let hosts: Vec<Uuid> = state.all(Kind::Host).map(|host| host.id).collect();
    let ports: Vec<(Uuid, bool)> = state
        .all(Kind::Port)
        .map(|port| (port.id, agents.is_some_and(|agents| agents.is_active(port))))
        .collect();
    let flag = |is_set: bool| if is_set { Value::Flag(true) } else { Value::Null };
    let mut change = state.begin();
    for host in hosts {
        change.set(Kind::Host, host, "alive", flag(agents.is_some()));
    }
    for (port, is_active) in ports {
        change.set(Kind::Port, port, "active", flag(is_active));
    }
    change.commit();
}
