//! How requests come in and answers go out.

pub(crate) mod bind;
pub(crate) mod json;
pub(crate) mod media;
pub(crate) mod path;
pub(crate) mod reply;
pub(crate) mod service;
pub(crate) mod write;
