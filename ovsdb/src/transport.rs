//! Streams of bytes to servers: Unix domain sockets, TCP, and TLS over it.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::remote::{Endpoint, Remote};
use crate::tls::Tls;

/// The two directions of a stream.
pub(crate) struct Stream {
    pub(crate) input: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) output: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Connects to a server. The caller limits the time.
pub(crate) async fn connect(remote: &Remote, tls: Option<&Tls>) -> io::Result<Stream> {
    match (remote, tls) {
        (Remote::Unix(path), _) => connect_unix(path).await,
        (Remote::Tcp(endpoint), _) => {
            let (input, output) = connect_tcp(endpoint).await?.into_split();
            Ok(Stream { input: Box::new(input), output: Box::new(output) })
        }
        (Remote::Ssl(endpoint), Some(tls)) => {
            let config = tls.config().map_err(io::Error::other)?;
            let name = tls.server_name(&endpoint.host).map_err(io::Error::other)?;
            let stream = connect_tcp(endpoint).await?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            let (input, output) = tokio::io::split(stream);
            Ok(Stream { input: Box::new(input), output: Box::new(output) })
        }
        (Remote::Ssl(_), None) => Err(io::Error::other("files for TLS are missing")),
    }
}

async fn connect_tcp(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    // A request is one write; it shall not wait for more.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(unix)]
async fn connect_unix(path: &std::path::Path) -> io::Result<Stream> {
    let (input, output) = tokio::net::UnixStream::connect(path).await?.into_split();
    Ok(Stream { input: Box::new(input), output: Box::new(output) })
}

#[cfg(not(unix))]
async fn connect_unix(_path: &std::path::Path) -> io::Result<Stream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix domain sockets"))
}
