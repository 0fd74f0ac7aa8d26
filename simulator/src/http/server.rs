//! An HTTP server on a TCP address: the same one for MidoNet's API, for Keystone and for metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::connection::connection;
use super::response::{ConnectionReset, ResponseBody};
use crate::server::StartError;

/// The highest number of open connections.
const MAX_CONNECTIONS: usize = 4096;
/// The time that requests in progress get to finish on shutdown.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// A listening socket on which nothing is served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Listens on an address; port 0 takes any free port.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Listener, StartError> {
        let unusable = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        Ok(Listener { listener, address })
    }

    /// Serves requests on the caller's runtime.
    pub(crate) fn serve<H: Handler>(self, tls: Option<TlsAcceptor>, handler: H) -> HttpServer {
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(self.listener, tls, Arc::new(handler), stopped));
        HttpServer { stop, accepting }
    }
}

/// A running HTTP server. Dropping it stops it at once.
#[derive(Debug)]
pub(crate) struct HttpServer {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl HttpServer {
    /// Stops accepting connections, and waits a few seconds for the requests in progress.
    pub(crate) async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        // The task can only fail with a panic, which is not raised a second time here.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers the requests of all connections of a server.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request from `peer`.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ConnectionReset>> + Send;
}

/// Accepts connections until `stopped` changes.
async fn accept<H: Handler>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let (tls, handler, stopped) = (tls.clone(), Arc::clone(&handler), stopped.clone());
                    connections.spawn(async move {
                        if let Err(why) = connection(stream, peer, tls, handler, stopped).await {
                            tracing::debug!(%peer, %why, "a connection ended early");
                        }
                    });
                }
                Err(why) => {
                    tracing::warn!(%why, "a connection could not be accepted");
                    // The usual cause is a lack of file descriptors: wait for a connection to end.
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
