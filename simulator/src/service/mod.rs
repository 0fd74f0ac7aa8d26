//! Handles a request to the MidoNet API: reads the body, applies faults, authenticates, and executes the call.

mod admin;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Request, Response};

use crate::api::{Api, Call, Method, WRITING};
use crate::auth::{Authenticator, not_admin};
use crate::failure::Failure;
use crate::fault::{Fault, FaultKind, Faults};
use crate::http::handler::Handler;
use crate::http::path;
use crate::http::path::Target;
use crate::http::reply::{Content, Reply};
use crate::http::request::header;
use crate::http::response::{ConnectionReset, ResponseBody, response};
use crate::http::serialize;
use crate::metrics::Metrics;

/// The base path of the API.
pub(crate) const BASE: &str = "/midonet-api";
/// The size of the largest accepted body, in bytes.
const LARGEST_BODY: usize = 16 << 20;
/// The size of the largest body that is read to its end, so that the client gets a 413; in bytes.
const LARGEST_DRAINED: usize = 256 << 20;
/// The time limit for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) api: Api,
    pub(crate) authenticator: Authenticator,
    /// The faults that are set; none if clients can't set any.
    pub(crate) faults: Option<Mutex<Faults>>,
    pub(crate) metrics: Metrics,
    /// True if `/_topology` is served.
    pub(crate) inspect: bool,
    pub(crate) scheme: &'static str,
    /// The server's own address, for requests without a `Host` header.
    pub(crate) authority: String,
}

impl Handler for Service {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<ResponseBody>, ConnectionReset> {
        let started = Instant::now();
        let in_flight = self.metrics.begin();
        let (parts, body) = request.into_parts();
        let mut struck = None;
        let outcome = self.reply(&parts, body, &mut struck).await;
        drop(in_flight);
        let took = started.elapsed();
        // A reset connection has no status; 0 stands for it.
        let status = outcome.as_ref().map_or(0, |reply| reply.status);
        let below = parts.uri.path().strip_prefix(BASE).unwrap_or(parts.uri.path());
        self.metrics.end(parts.method.as_str(), below, status, took);
        if let Some(fault) = struck {
            self.metrics.fault(fault);
        }
        tracing::info!(
            target: "midoform_simulator::request",
            %peer,
            method = %parts.method,
            path = parts.uri.path_and_query().map_or("", |path| path.as_str()),
            status,
            milliseconds = took.as_secs_f64() * 1000.0,
            fault = struck.map(|fault| format!("{fault:?}")),
        );
        outcome.map(|reply| response(reply, parts.method == hyper::Method::HEAD))
    }
}

async fn read_body(mut body: Incoming) -> Result<Bytes, u16> {
    let read = async {
        let mut whole = BytesMut::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| 400_u16)?.into_data() else { continue };
            length += data.len();
            if length <= LARGEST_BODY {
                whole.extend_from_slice(&data);
            } else if length > LARGEST_DRAINED {
                break;
            } else {
                // The rest is read and dropped, so that a client that sends the whole body first gets the 413.
                whole = BytesMut::new();
            }
        }
        if length > LARGEST_BODY { Err(413) } else { Ok(whole.freeze()) }
    };
    tokio::time::timeout(BODY_TIME, read).await.unwrap_or(Err(408))
}

impl Service {
    async fn reply(
        &self,
        parts: &Parts,
        body: Incoming,
        struck: &mut Option<FaultKind>,
    ) -> Result<Reply, ConnectionReset> {
        let body = match read_body(body).await {
            Ok(body) => body,
            // The rest of the body is not read: the connection ends after the response.
            Err(status) => {
                let refusal = Reply::error(status, "The body is too large, or did not arrive.");
                return Ok(refusal.header("connection", "close"));
            }
        };
        let whole = parts.uri.path();
        let below = whole.strip_prefix(BASE).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(below) = below else { return Ok(self.administer(parts, &body)) };
        let fault = self.faults.as_ref().and_then(|faults| {
            faults.lock().unwrap_or_else(PoisonError::into_inner).strike(parts.method.as_str(), below)
        });
        let Some(fault) = fault else { return Ok(self.answer(parts, below, &body, Duration::ZERO).await) };
        *struck = Some(fault.fault);
        self.spoiled(&fault, parts, below, &body).await
    }

    /// Responds to a request that a fault strikes.
    async fn spoiled(
        &self,
        fault: &Fault,
        parts: &Parts,
        below: &str,
        body: &[u8],
    ) -> Result<Reply, ConnectionReset> {
        match fault.fault {
            FaultKind::UnavailableBefore => return Ok(unavailable()),
            FaultKind::ResetBefore => return Err(ConnectionReset),
            FaultKind::InternalError => {
                // As recorded: Jetty's page on 5.x (10-bad-input, step 0), a message on 1.7.
                let crash = Failure::Crash("java.lang.NullPointerException".to_owned());
                return Ok(crash.reply(self.api.version, parts.uri.path()));
            }
            FaultKind::TokenDies => {
                if let Some(token) = header(&parts.headers, "x-auth-token") {
                    self.authenticator.invalidate(token);
                }
            }
            _ => {}
        }
        let delay = match fault.fault {
            FaultKind::Delay => Duration::from_millis(fault.milliseconds),
            _ => Duration::ZERO,
        };
        let reply = self.answer(parts, below, body, delay).await;
        match fault.fault {
            FaultKind::UnavailableAfter => Ok(unavailable()),
            FaultKind::ResetAfter => Err(ConnectionReset),
            FaultKind::StalledBody => Ok(half(reply, true)),
            FaultKind::TruncatedBody => Ok(half(reply, false)),
            _ => Ok(reply),
        }
    }

    /// Executes a request after a delay. The delay of a call that writes the records of ports lies between the reading
    /// and the writing.
    async fn answer(&self, parts: &Parts, below: &str, body: &[u8], delay: Duration) -> Reply {
        let version = self.api.version;
        let authority = authority(&parts.headers, &self.authority);
        let base: Arc<str> = format!("{}://{authority}{BASE}", self.scheme).into();
        let target = path::read(below, version);
        let (method, writing) = (method(&parts.method), WRITING.max(delay));
        let writes_records =
            target.as_ref().is_some_and(|target| self.api.writes_port_records(method, target));
        if !writes_records && !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if target == Some(Target::Login) {
            let authorization = header(&parts.headers, AUTHORIZATION.as_str());
            let project = header(&parts.headers, "x-auth-project");
            let reply = self.authenticator.login(version, authorization, project).await;
            if reply.status != 200 {
                self.metrics.login_refused();
            }
            return reply;
        }
        match self.authenticator.identify(header(&parts.headers, "x-auth-token")).await {
            Err(refusal) => return refusal.reply(version),
            Ok(identity) if !identity.admin => return not_admin(version),
            Ok(_) => {}
        }
        let Some(target) = target else {
            let root = below.trim_matches('/');
            let root = (!root.contains('/')).then(|| path::decode(root));
            return Failure::NoSuchPath { uri: format!("{base}{below}"), root }
                .reply(version, parts.uri.path());
        };
        let tenants = match &target {
            Target::Tenants | Target::Tenant(_) => match self.authenticator.tenants().await {
                Ok(tenants) => tenants,
                Err(why) => return Reply::error(503, &why),
            },
            _ => None,
        };
        let mut call = Call {
            method,
            target,
            query: parts.uri.query(),
            accept: header(&parts.headers, ACCEPT.as_str()),
            content_type: header(&parts.headers, CONTENT_TYPE.as_str()),
            body,
            base,
            port_records: Vec::new(),
            tenants,
        };
        if writes_records {
            call.port_records = self.api.read_port_records(&call);
            tokio::time::sleep(writing).await;
        }
        self.execute(&call, parts.uri.path()).await
    }

    async fn execute(&self, call: &Call<'_>, whole: &str) -> Reply {
        if call.method != Method::Get && self.api.journal.is_broken() {
            return Reply::error(503, "The state can't be written: an earlier write failed.");
        }
        match self.api.execute(call) {
            Err(failure) => failure.reply(self.api.version, whole),
            Ok((reply, None)) => reply,
            Ok((reply, Some(ticket))) => match ticket.wait().await {
                Ok(()) => reply,
                Err(why) => Reply::error(503, &format!("The change could not be written: {why}.")),
            },
        }
    }
}

fn unavailable() -> Reply {
    Reply::error(503, "The service is unavailable: a fault is set for this request.")
        .header("retry-after", "1")
}

/// Turns a reply into one of which half the body is sent.
fn half(mut reply: Reply, stalls: bool) -> Reply {
    let body = match reply.content {
        Content::Nothing | Content::Partial { .. } => Vec::new(),
        Content::Whole(body) => body,
        Content::List { objects, form, base } => {
            let mut body = vec![b'['];
            for (index, object) in objects.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                serialize::object(&mut body, object, form, &base);
            }
            body.push(b']');
            body
        }
    };
    // A reply without a body, such as a 201, announces a body that is never sent. A 204 can't have a body.
    if reply.status == 204 {
        reply.status = 200;
    }
    let length = (body.len() as u64).max(2);
    let sent = Bytes::from(body.get(..body.len() / 2).unwrap_or_default().to_vec());
    Reply { content: Content::Partial { sent, length, stalls }, ..reply }
}

fn method(method: &hyper::Method) -> Method {
    match *method {
        hyper::Method::GET | hyper::Method::HEAD => Method::Get,
        hyper::Method::POST => Method::Post,
        hyper::Method::PUT => Method::Put,
        hyper::Method::DELETE => Method::Delete,
        _ => Method::Other,
    }
}

/// Returns the server's name for links: the `Host` header if it is a valid name, else `own`.
fn authority<'a>(headers: &'a HeaderMap, own: &'a str) -> &'a str {
    let is_safe = |name: &&str| {
        !name.is_empty()
            && name.len() <= 255
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    };
    header(headers, HOST.as_str()).filter(is_safe).unwrap_or(own)
}
