//! How requests come in and answers go out.

pub(crate) mod admin;
pub(crate) mod answer;
pub(crate) mod bind;
pub(crate) mod connection;
pub(crate) mod json;
pub(crate) mod media;
pub(crate) mod path;
pub(crate) mod reply;
pub(crate) mod service;
pub(crate) mod write;
