//! The function of a server: a request in, a response out.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::response::{ConnectionReset, ResponseBody};

/// Answers the requests of all connections of a server.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request from `peer`.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ConnectionReset>> + Send;
}
