//! The embedded Keystone: the part of Identity v2.0 and v3 that tenants need.
//!
//! v3 responds as Keystone 30 does, v2.0 as Keystone 12, the last release with v2.0; `tests/keystone.rs` plays the same
//! requests against the real ones. Where the real ones crash (a body without `project`; a PATCH with the name of
//! another project), this one responds with 400 and 409.

mod directory;
mod v2;
mod v3;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Request, Response};
use serde_json::{Value as Json, json};

pub use self::directory::KeystoneStateError;
use self::directory::{BadToken, Directory, Token};
use crate::auth::Users;
use crate::http::path::decode;
use crate::http::reply::Reply;
use crate::http::request::header;
use crate::http::response::{ConnectionReset, ResponseBody, response};
use crate::http::server::{Handler, HttpServer, Listener};
use crate::server::StartError;

/// The size of the largest accepted body, in bytes.
const LARGEST_BODY: usize = 114_688;
/// The time limit for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The options of the embedded Keystone.
#[derive(Debug, Clone)]
pub struct KeystoneOptions {
    /// The address to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The users, with their tenants.
    pub users: Users,
    /// The lifetime of a token.
    pub lifetime: Duration,
    /// The directory for the projects; without one, they end with the server.
    pub state_dir: Option<PathBuf>,
}

/// A running Keystone. Dropping it stops it at once.
#[derive(Debug)]
pub struct KeystoneServer {
    url: String,
    http: HttpServer,
}

impl KeystoneServer {
    /// Returns the URL without an API version: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops accepting connections, and waits a few seconds for the requests in progress.
    pub async fn shutdown(self) {
        self.http.shutdown().await;
    }
}

/// Starts a Keystone on the caller's runtime.
///
/// # Errors
/// When the server can't listen on the address, or the state can't be used.
pub async fn start_keystone(options: KeystoneOptions) -> Result<KeystoneServer, StartError> {
    let directory = Directory::open(options.users, options.lifetime, options.state_dir.as_deref());
    let directory = Mutex::new(directory.map_err(StartError::KeystoneState)?);
    let listener = Listener::bind(options.listen).await?;
    let url = format!("http://{}", listener.address);
    let http = listener.serve(None, Keystone { directory, url: url.clone() });
    Ok(KeystoneServer { url, http })
}

/// The state that all connections share.
#[derive(Debug)]
struct Keystone {
    directory: Mutex<Directory>,
    /// Keystone's own URL, for its service catalog.
    url: String,
}

/// A request that was read.
struct Call<'a> {
    method: &'a str,
    /// The path below the version.
    path: Vec<String>,
    query: Option<&'a str>,
    token: Option<&'a str>,
    subject: Option<&'a str>,
    body: Body,
    /// The base URL as the client sees it.
    base: String,
}

/// A body that was read.
enum Body {
    Object(serde_json::Map<String, Json>),
    NotJson,
    WrongType,
}

impl Handler for Keystone {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        _peer: SocketAddr,
    ) -> Result<Response<ResponseBody>, ConnectionReset> {
        let head = request.method() == hyper::Method::HEAD;
        let (parts, body) = request.into_parts();
        let reply = match read_body(body, &parts.headers).await {
            Ok(body) => self.answer(&parts, body),
            Err(status) => *error(status, "Request is too large, or did not arrive."),
        };
        Ok(response(reply.header("vary", "X-Auth-Token"), head))
    }
}

async fn read_body(body: Incoming, headers: &HeaderMap) -> Result<Body, u16> {
    let bytes = match tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(why)) if why.is::<LengthLimitError>() => return Err(413),
        Ok(Err(_)) => return Err(400),
        Err(_) => return Err(408),
    };
    if bytes.is_empty() {
        return Ok(Body::Object(serde_json::Map::new()));
    }
    let kind = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !matches!(kind, "" | "application/json") {
        return Ok(Body::WrongType);
    }
    Ok(match serde_json::from_slice(&bytes) {
        Ok(Json::Object(map)) => Body::Object(map),
        _ => Body::NotJson,
    })
}

impl Keystone {
    fn answer(&self, parts: &hyper::http::request::Parts, body: Body) -> Reply {
        let own = self.url.split_once("://").map_or("", |(_, authority)| authority);
        let authority = header(&parts.headers, HOST.as_str()).unwrap_or(own);
        let mut path: Vec<String> =
            parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let version = if path.is_empty() { String::new() } else { path.remove(0) };
        let call = Call {
            method: if parts.method == hyper::Method::HEAD { "GET" } else { parts.method.as_str() },
            path,
            query: parts.uri.query(),
            token: header(&parts.headers, "X-Auth-Token"),
            subject: header(&parts.headers, "X-Subject-Token"),
            body,
            base: format!("http://{authority}"),
        };
        match version.as_str() {
            "" => {
                let versions =
                    json!({ "versions": { "values": [v3::version(&call.base), v2::version(&call.base)] } });
                Reply::json(300, "application/json", &versions)
                    .header("location", format!("{}/v3/", call.base))
            }
            "v3" => self.v3(&call),
            "v2.0" => self.v2(&call),
            _ => *v3::nowhere(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call<'_> {
    /// Returns the body, which has to be a JSON object.
    fn object(&self) -> Outcome<&serde_json::Map<String, Json>> {
        match &self.body {
            Body::Object(map) => Ok(map),
            Body::NotJson => Err(missing("valid JSON", "request body")),
            Body::WrongType => Err(missing("application/json", "Content-Type header")),
        }
    }
}

/// A reply, or a refusal.
type Outcome<T = Reply> = Result<T, Box<Reply>>;

/// The sender of a request.
enum Caller {
    /// A client with the admin token.
    Admin,
    Bearer(Token),
}

/// Returns the sender of a request with a valid token.
fn caller(directory: &Directory, token: Option<&str>) -> Option<Caller> {
    let token = token?;
    if directory.is_admin_token(token) {
        return Some(Caller::Admin);
    }
    directory.token(token).ok().cloned().map(Caller::Bearer)
}

/// Returns true if the sender is an administrator.
fn is_admin(directory: &Directory, caller: &Caller) -> bool {
    match caller {
        Caller::Admin => true,
        Caller::Bearer(token) => {
            let project = token.project.as_deref().and_then(|id| directory.project(id));
            let roles = project.map_or(&[][..], |project| directory.roles(&token.user, project));
            roles.iter().any(|role| role == "admin")
        }
    }
}

/// Returns a reply with a JSON body.
fn reply(status: u16, body: &Json) -> Reply {
    Reply::json(status, "application/json", body)
}

/// Returns an error as Keystone words it.
fn error(status: u16, message: &str) -> Box<Reply> {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        _ => "Internal Server Error",
    };
    let body = json!({ "error": { "code": status, "message": message, "title": title } });
    Box::new(reply(status, &body))
}

/// Returns the error for a body that lacks a field.
fn missing(what: &str, target: &str) -> Box<Reply> {
    let message = format!(
        "Expecting to find {what} in {target}. The server could not comply with the request since it is either \
         malformed or otherwise incorrect. The client is assumed to be in error."
    );
    error(400, &message)
}

fn unauthorized(uri: &str) -> Box<Reply> {
    let refusal = error(401, "The request you have made requires authentication.");
    Box::new(refusal.header("www-authenticate", format!("Keystone uri=\"{uri}\"")))
}

fn forbidden(action: &str) -> Box<Reply> {
    error(403, &format!("You are not authorized to perform the requested action: {action}."))
}

fn no_project(id: &str) -> Box<Reply> {
    error(404, &format!("Could not find project: {id}."))
}

fn bad_token(bad: BadToken, unknown: &str) -> Box<Reply> {
    error(404, if bad == BadToken::Unknown { unknown } else { "Failed to validate token" })
}
