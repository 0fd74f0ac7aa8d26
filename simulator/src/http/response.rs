//! Turns a reply into an HTTP response. The body is sent whole, as a list that is serialised while it is sent, or only
//! in part because of a fault.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use tokio::time::Sleep;

use super::reply::{Content, Reply, Representation};
use super::serialize;
use crate::object::Object;

/// The size in bytes of a part of a list that is serialised at a time.
const PIECE: usize = 64 << 10;

/// The time between the sent part of a body and the end of the connection.
const PAUSE: Duration = Duration::from_millis(20);

/// A fault resets the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection is reset by a fault")]
pub(crate) struct ConnectionReset;

/// Turns a reply into a response; without the body for a HEAD request.
pub(crate) fn response(reply: Reply, head: bool) -> Response<ResponseBody> {
    let mut response = Response::new(match reply.content {
        Content::Nothing => ResponseBody::whole(Vec::new()),
        Content::Whole(body) => ResponseBody::whole(body),
        Content::List { objects, form, base } => {
            ResponseBody::List(List { objects, next: 0, form, base, ended: false })
        }
        Content::Partial { sent, length, stalls } => {
            let pause = Box::pin(tokio::time::sleep(PAUSE));
            ResponseBody::Partial(Partial { sent, length, stalls, pause })
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
    for (name, value) in &reply.headers {
        set(HeaderName::from_static(name), Some(value));
    }
    if head {
        *response.body_mut() = ResponseBody::whole(Vec::new());
    }
    response
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    Whole(Full<Bytes>),
    List(List),
    Partial(Partial),
}

impl ResponseBody {
    fn whole(body: Vec<u8>) -> ResponseBody {
        ResponseBody::Whole(Full::new(body.into()))
    }
}

/// A list of objects that is being sent.
#[derive(Debug)]
pub(crate) struct List {
    objects: Vec<Arc<Object>>,
    next: usize,
    form: Representation,
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
            serialize::object(&mut out, object, self.form, &self.base);
            self.next += 1;
        }
        Some(out.into())
    }
}

/// A body of which only a part is sent; the connection then stalls or ends.
#[derive(Debug)]
pub(crate) struct Partial {
    sent: Bytes,
    length: u64,
    stalls: bool,
    pause: Pin<Box<Sleep>>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ConnectionReset;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionReset>>> {
        match self.get_mut() {
            ResponseBody::Whole(whole) => {
                let frame = Pin::new(whole).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            ResponseBody::List(list) => Poll::Ready(list.piece().map(|piece| Ok(Frame::data(piece)))),
            ResponseBody::Partial(spoiled) if !spoiled.sent.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut spoiled.sent)))))
            }
            // Nothing wakes this task: it ends when the client closes the connection.
            ResponseBody::Partial(spoiled) if spoiled.stalls => Poll::Pending,
            ResponseBody::Partial(spoiled) => {
                spoiled.pause.as_mut().poll(context).map(|()| Some(Err(ConnectionReset)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Whole(whole) => whole.is_end_stream(),
            ResponseBody::List(list) => list.ended,
            ResponseBody::Partial(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(whole) => whole.size_hint(),
            ResponseBody::List(_) => SizeHint::default(),
            ResponseBody::Partial(spoiled) => SizeHint::with_exact(spoiled.length),
        }
    }
}
