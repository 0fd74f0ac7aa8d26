//! Requests become calls, replies become answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use hyper::{Request, Response};

use super::path;
use super::reply::{Content, Form, Reply};
use super::write;
use crate::api::{Api, Call, Method};
use crate::auth;
use crate::failure::Failure;
use crate::http::path::Target;
use crate::object::Object;

/// Where the API is on the server.
pub(crate) const BASE: &str = "/midonet-api";
/// The largest body that is read.
const LARGEST_BODY: usize = 16 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How much of a list is written at a time.
const PIECE: usize = 64 << 10;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Api,
    /// The server's own address, for clients that do not say where they think it is.
    pub(crate) authority: String,
}

/// Answers one request.
pub(crate) async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    let reply = match read_body(body).await {
        Ok(body) => answer(&shared, &parts, &body).await,
        Err(status) => Reply::error(status, "The body is too large, or did not arrive."),
    };
    response(reply, parts.method == hyper::Method::HEAD)
}

async fn read_body(body: Incoming) -> Result<Bytes, u16> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(why)) if why.is::<LengthLimitError>() => Err(413),
        Ok(Err(_)) => Err(400),
        Err(_) => Err(408),
    }
}

async fn answer(shared: &Shared, parts: &hyper::http::request::Parts, body: &[u8]) -> Reply {
    let whole = parts.uri.path();
    let below = whole.strip_prefix(BASE).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let Some(below) = below else { return Reply::status(404) };
    let base: Arc<str> = format!("http://{}{BASE}", authority(&parts.headers, &shared.authority)).into();
    let version = shared.api.version;
    let Some(target) = path::read(below) else {
        let root = below.trim_matches('/');
        let root = (!root.contains('/')).then(|| path::decode(root));
        return Failure::Nowhere { uri: format!("{base}{below}"), root }.reply(version, whole);
    };
    if target == Target::Login {
        return auth::login(version, header(&parts.headers, AUTHORIZATION));
    }
    let call = Call {
        method: method(&parts.method),
        target,
        query: parts.uri.query(),
        accept: header(&parts.headers, ACCEPT),
        content_type: header(&parts.headers, CONTENT_TYPE),
        body,
        base,
    };
    if call.method != Method::Get && shared.api.journal.is_broken() {
        return Reply::error(503, "The state can't be written any more.");
    }
    match shared.api.answer(&call) {
        Err(failure) => failure.reply(version, whole),
        Ok((reply, None)) => reply,
        Ok((reply, Some(ticket))) => match ticket.wait().await {
            Ok(()) => reply,
            Err(why) => Reply::error(503, &format!("The change could not be kept: {why}.")),
        },
    }
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

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The server's name in links: what the client called it by, if that is a name at all.
fn authority<'a>(headers: &'a HeaderMap, own: &'a str) -> &'a str {
    let sane = |name: &&str| {
        !name.is_empty()
            && name.len() <= 255
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    };
    header(headers, HOST).filter(sane).unwrap_or(own)
}

fn response(reply: Reply, head: bool) -> Response<Answer> {
    let mut response = Response::new(match reply.content {
        Content::Nothing => Answer::whole(Vec::new()),
        Content::Whole(body) => Answer::whole(body),
        Content::List { objects, form, base } => {
            Answer::List(List { objects, next: 0, form, base, ended: false })
        }
    });
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: Option<&str>| {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, reply.content_type.as_deref());
    set(LOCATION, reply.location.as_deref());
    set(ALLOW, reply.allow);
    if head {
        *response.body_mut() = Answer::whole(Vec::new());
    }
    response
}

/// An answer's body: whole, or a list that is written as the client takes it.
#[derive(Debug)]
pub(crate) enum Answer {
    Whole(Full<Bytes>),
    List(List),
}

impl Answer {
    fn whole(body: Vec<u8>) -> Answer {
        Answer::Whole(Full::new(body.into()))
    }
}

/// A list of objects on its way out.
#[derive(Debug)]
pub(crate) struct List {
    objects: Vec<Arc<Object>>,
    next: usize,
    form: Form,
    base: Arc<str>,
    ended: bool,
}

impl List {
    fn piece(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE + 4096);
        if self.next == 0 {
            out.push(b'[');
        }
        while out.len() < PIECE {
            let Some(object) = self.objects.get(self.next) else {
                out.push(b']');
                self.ended = true;
                break;
            };
            if self.next > 0 {
                out.push(b',');
            }
            write::object(&mut out, object, self.form, &self.base);
            self.next += 1;
        }
        Some(out.into())
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(whole) => Pin::new(whole).poll_frame(context),
            Answer::List(list) => Poll::Ready(list.piece().map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(whole) => whole.is_end_stream(),
            Answer::List(list) => list.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(whole) => whole.size_hint(),
            Answer::List(_) => SizeHint::default(),
        }
    }
}
