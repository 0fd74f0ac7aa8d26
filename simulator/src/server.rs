//! Starting and stopping.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::Auth;
use crate::http::service::{BASE, Shared, serve};
use crate::journal::{Journal, JournalError};
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::state::State;
use crate::version::Version;

/// How long a client may take to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How many headers a request may have.
const MOST_HEADERS: usize = 100;
/// How long shutting down waits for answers on their way.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The MidoNet version to be.
    pub version: Version,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The hosts that are registered, by id and name.
    pub hosts: Vec<(Uuid, String)>,
    /// Where to keep the state; without one it ends with the server.
    pub state_dir: Option<PathBuf>,
    /// How clients show who they are.
    pub auth: Auth,
    /// Whether faults can be set over the admin endpoint.
    pub faults: bool,
    /// Whether the whole state can be looked at.
    pub inspect: bool,
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
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address can't be listened on.
    #[error("can't listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state can't be used.
    #[error(transparent)]
    Journal(JournalError),
}

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    base_url: String,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Where the API is: `http://127.0.0.1:PORT/midonet-api`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, gives answers on their way a moment to leave, and returns when the state is let go.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        // The task ends by itself; what it could fail with is a panic, which is not ours to raise again.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Starts a server on the caller's runtime.
///
/// # Errors
/// When the address can't be listened on, or the state directory is in use, damaged, or another version's.
pub async fn start(options: Options) -> Result<Server, StartError> {
    let (journal, kept) = match &options.state_dir {
        Some(directory) => Journal::open(directory, options.version).map_err(StartError::Journal)?,
        None => (Journal::Memory, Vec::new()),
    };
    let mut state = State::of(kept);
    register(&mut state, &journal, &options.hosts);
    let unusable = |source| StartError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let api = Api { version: options.version, state: Mutex::new(state), journal };
    let shared = Arc::new(Shared { api, authority: address.to_string() });
    let (stop, stopped) = watch::channel(false);
    let accepting = tokio::spawn(accept(listener, shared, stopped));
    Ok(Server { base_url: format!("http://{address}{BASE}"), address, stop, accepting })
}

/// Registers hosts as agents would: new ones are added, known ones get their name.
fn register(state: &mut State, journal: &Journal, hosts: &[(Uuid, String)]) {
    for (id, name) in hosts {
        let mut change = state.begin();
        if change.state().has(Kind::Host, *id) {
            change.set(Kind::Host, *id, "name", Value::text(name.as_str()));
        } else {
            change.create(Object::new(Kind::Host, *id, vec![("name", Value::text(name.as_str()))]));
        }
        // Nobody waits for it: a host that is not kept is registered again at the next start.
        drop(journal.submit(change.commit()));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared), stopped.clone()));
                }
                Err(why) => {
                    tracing::warn!(%why, "a connection could not be accepted");
                    // Out of descriptors, most likely: some connection has to end first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIME, ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Answers are small and awaited: they should not wait for more to send.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(serve(shared, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(why) = ended {
        tracing::debug!(%why, "a connection ended early");
    }
}
