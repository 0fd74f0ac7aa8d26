//! HTTP: servers, connections, requests, and responses.

pub(crate) mod admin;
pub(crate) mod connection;
pub(crate) mod deserialize;
pub(crate) mod jackson;
pub(crate) mod media_type;
pub(crate) mod path;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod serialize;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod tls;
