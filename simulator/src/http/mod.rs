//! HTTP: servers, connections, requests, and responses.

pub(crate) mod connection;
pub(crate) mod deserialize;
pub(crate) mod handler;
pub(crate) mod jackson;
pub(crate) mod path;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod serialize;
pub(crate) mod server;
pub(crate) mod tls;
