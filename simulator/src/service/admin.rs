//! The endpoints beside the API: `/metrics`, `/_topology`, `/_agent`, `/_faults`.

use std::sync::PoisonError;

use hyper::http::request::Parts;
use serde_json::json;

use super::{BASE, Service};
use crate::fault::Fault;
use crate::http::path::query;
use crate::http::reply::{Content, Reply, Representation};
use crate::topology;

const JSON: &str = "application/json";

impl Service {
    /// Responds to a request outside the API's base path.
    pub(crate) fn administer(&self, parts: &Parts, body: &[u8]) -> Reply {
        let path = parts.uri.path();
        match (path, parts.method.as_str()) {
            ("/metrics", "GET" | "HEAD") => self.metrics.reply(&self.api.lock()),
            ("/_agent", "GET" | "HEAD") if self.api.agents.is_some() => self.agents(),
            ("/_topology", "GET" | "HEAD") if self.inspect => self.topology(parts.uri.query()),
            _ if path == "/_faults" || path.starts_with("/_faults/") => self.fault(parts, body),
            ("/metrics", _) => Reply::status(405),
            _ => Reply::status(404),
        }
    }

    fn agents(&self) -> Reply {
        let agents =
            self.api.agents.as_ref().map(|agents| agents.lock().unwrap_or_else(PoisonError::into_inner));
        agents.map_or(Reply::status(404), |agents| Reply::json(200, JSON, &agents.shown()))
    }

    fn topology(&self, parameters: Option<&str>) -> Reply {
        match query(parameters, "format").as_deref() {
            None | Some("json") => {
                let form = Representation { version: self.api.version, older: false };
                let base = format!("{}://{}{BASE}", self.scheme, self.authority);
                Reply::with(200, JSON, topology::json(&self.api.lock(), form, &base))
            }
            Some("dot") => {
                Reply::with(200, "text/vnd.graphviz", topology::dot(&self.api.lock()).into_bytes())
            }
            Some(other) => Reply::json(
                400,
                JSON,
                &json!({ "error": format!("unknown format {other:?}; use json or dot") }),
            ),
        }
    }

    /// Sets, lists and clears faults. Without `--faults`, the path does not exist.
    fn fault(&self, parts: &Parts, body: &[u8]) -> Reply {
        let Some(faults) = &self.faults else { return Reply::status(404) };
        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        let id = parts.uri.path().strip_prefix("/_faults/").filter(|id| !id.is_empty());
        match (parts.method.as_str(), id.map(str::parse::<u64>)) {
            ("GET" | "HEAD", None) => match serde_json::to_vec(faults.all()) {
                Ok(all) => Reply::with(200, JSON, all),
                Err(why) => Reply::json(500, JSON, &json!({ "error": why.to_string() })),
            },
            ("POST", None) => {
                let added = serde_json::from_slice::<Fault>(body).map_err(|why| why.to_string());
                match added.and_then(|fault| faults.add(fault)) {
                    Ok(id) => {
                        let mut created = Reply::json(201, JSON, &json!({ "id": id }));
                        created.location = Some(format!("{}://{}/_faults/{id}", self.scheme, self.authority));
                        created
                    }
                    Err(why) => Reply::json(400, JSON, &json!({ "error": why })),
                }
            }
            ("DELETE", None) => {
                faults.remove(None);
                Reply::status(204)
            }
            ("DELETE", Some(Ok(id))) if faults.remove(Some(id)) => Reply::status(204),
            (_, Some(_)) => Reply { content: Content::Nothing, ..Reply::status(404) },
            _ => Reply { allow: Some("GET, POST, DELETE"), ..Reply::status(405) },
        }
    }
}
