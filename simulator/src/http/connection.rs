//! One HTTP connection: its time limits, TLS, and the reset that a fault can cause.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::server::Handler;

/// The time limit for a request's head, and for the TLS handshake.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The highest number of headers in a request.
const MOST_HEADERS: usize = 100;

/// Serves one connection until it ends or `stopped` changes.
pub(super) async fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    // Responses are small and clients wait for them, so they are sent at once.
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
            // The connection ends with a reset, not in order: see `ResettableStream`.
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

/// A TCP stream that can end with a reset, as that of a server that died.
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
        // A shutdown in order would be sent before the reset.
        if self.cut.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
