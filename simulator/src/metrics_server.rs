//! An HTTP server for the metrics of any registry: `GET /metrics` in the OpenMetrics format, which Prometheus reads.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::http::reply::Reply;
use crate::http::response::{ConnectionReset, ResponseBody, response};
use crate::http::server::{Handler, HttpServer, Listener};
use crate::server::StartError;

/// The media type of the OpenMetrics text format, version 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A running server for metrics. Dropping it stops it at once.
#[derive(Debug)]
pub struct MetricsServer {
    url: String,
    http: HttpServer,
}

impl MetricsServer {
    /// Returns the URL of the metrics: `http://127.0.0.1:PORT/metrics`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops accepting connections, and waits a few seconds for the requests in progress.
    pub async fn shutdown(self) {
        self.http.shutdown().await;
    }
}

/// Starts a server for the metrics of `registry` on the caller's runtime. Each request reads the current values.
///
/// # Errors
/// When the address can't be listened on.
pub async fn start_metrics(listen: SocketAddr, registry: Arc<Registry>) -> Result<MetricsServer, StartError> {
    let listener = Listener::bind(listen).await?;
    let url = format!("http://{}/metrics", listener.address);
    Ok(MetricsServer { url, http: listener.serve(None, Endpoint(registry)) })
}

/// The one path that the server has.
struct Endpoint(Arc<Registry>);

impl Handler for Endpoint {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        _peer: SocketAddr,
    ) -> Result<Response<ResponseBody>, ConnectionReset> {
        let reply = match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET | &Method::HEAD) => open_metrics(&self.0),
            ("/metrics", _) => Reply { allow: Some("GET, HEAD"), ..Reply::status(405) },
            _ => Reply::status(404),
        };
        Ok(response(reply, request.method() == Method::HEAD))
    }
}

/// Returns the metrics of a registry in the OpenMetrics format.
pub(crate) fn open_metrics(registry: &Registry) -> Reply {
    let mut text = String::new();
    // Writing into a string can't fail.
    let _ = encode(&mut text, registry);
    Reply::with(200, OPEN_METRICS, text.into_bytes())
}
