//! The verbs of CNI, one file each. No verb uses another.

mod add;
mod check;
mod del;
mod gc;
mod status;

use crate::config::Config;
use crate::protocol::error::{CniError, Result};
use crate::protocol::request::{Request, Verb};

/// Runs a verb. ADD, DEL and CHECK need a request. Returns the document for standard output, which only ADD has.
pub(crate) async fn run(verb: Verb, request: Option<&Request>, config: &Config) -> Result<String> {
    match (verb, request) {
        (Verb::Add, Some(request)) => {
            return Ok(add::add(config, request).await?.document(config.version)? + "\n");
        }
        (Verb::Del, Some(request)) => del::del(config, request).await?,
        (Verb::Check, Some(request)) => check::check(config, request).await?,
        (Verb::Gc, _) => gc::gc(config).await?,
        (Verb::Status, _) => status::status(config).await?,
        _ => return Err(CniError::internal("a verb was called without its parameters")),
    }
    Ok(String::new())
}
