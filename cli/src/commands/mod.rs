//! One file for each command. Commands use the modules below them, and never each other.

pub(crate) mod adopt;
pub(crate) mod apply;
pub(crate) mod attachments;
pub(crate) mod bind;
pub(crate) mod completions;
pub(crate) mod destroy;
pub(crate) mod doctor;
pub(crate) mod drift;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod lab;
pub(crate) mod lock;
pub(crate) mod manual;
pub(crate) mod plan;
pub(crate) mod push;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod store;
pub(crate) mod templates;
pub(crate) mod trace;
pub(crate) mod undo;
pub(crate) mod validate;
pub(crate) mod verify;
