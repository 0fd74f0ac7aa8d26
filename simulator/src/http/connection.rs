//! Listening, TLS, and one connection after the other: the same for MidoNet's API and for Keystone's.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::response::{ConnectionReset, ResponseBody};

/// How long a client may take to send a request's head, or to agree on TLS.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How many headers a request may have.
const MOST_HEADERS: usize = 100;
/// How many connections may be open at a time.
const MOST_CONNECTIONS: usize = 4096;
/// How long shutting down waits for answers on their way.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// A certificate with its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate, and those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be used for TLS: {why}")]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a certificate and its key.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    fn bad(path: &Path, why: impl ToString) -> TlsError {
        TlsError { path: path.to_owned(), why: why.to_string() }
    }
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| bad(&tls.certificate, why))?;
    if chain.is_empty() {
        return Err(bad(&tls.certificate, "there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|why| bad(&tls.key, why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|why| bad(&tls.certificate, why))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What answers requests: the request, from whom.
pub(crate) trait Handler: Send + Sync + 'static {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ConnectionReset>> + Send;
}

/// Accepts connections until `stopped` changes.
pub(crate) async fn accept<H: Handler>(
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
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
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

async fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    // Answers are small and awaited: they should not wait for more to send.
    let _ = stream.set_nodelay(true);
    let cut = Arc::new(AtomicBool::new(false));
    let stream = ResettableStream { stream, cut: Arc::clone(&cut) };
    match tls {
        None => requests(stream, peer, handler, cut, stopped).await,
        Some(tls) => {
            let agreed = tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await;
            requests(agreed.map_err(io::Error::other)??, peer, handler, cut, stopped).await
        }
    }
}

async fn requests<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    handler: Arc<H>,
    cut: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let service = service_fn(move |request| {
        let (handler, cut) = (Arc::clone(&handler), Arc::clone(&cut));
        async move {
            let answer = handler.handle(request, peer).await;
            // A reset, not an orderly end: see `ResettableStream`.
            cut.store(answer.is_err(), Ordering::Release);
            answer
        }
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
    ended.map_err(io::Error::other)
}

/// A stream that ends with a reset when it was cut, as that of a server that died.
#[derive(Debug)]
struct ResettableStream {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl Drop for ResettableStream {
    fn drop(&mut self) {
        if self.cut.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An orderly end would come before the reset.
        if self.cut.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
