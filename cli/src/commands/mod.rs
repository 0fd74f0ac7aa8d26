//! One file for each command.

pub(crate) mod adopt;
pub(crate) mod apply;
pub(crate) mod attachments;
pub(crate) mod carry_out;
pub(crate) mod completions;
pub(crate) mod destroy;
pub(crate) mod drift;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod lock;
pub(crate) mod plan;
pub(crate) mod pods;
pub(crate) mod saved;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod store;
pub(crate) mod templates;
pub(crate) mod trace;
pub(crate) mod validate;
pub(crate) mod verify;
