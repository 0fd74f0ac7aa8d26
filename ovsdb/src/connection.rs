//! One connection to a server: requests and their replies in any order, notifications, echoes (RFC 7047 section 4).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connection_error::ConnectionError;
use crate::framing::{Decoder, Limits};
use crate::printable::first_words_of;
use crate::remote::Remote;
use crate::server_error::ServerError;
use crate::subscription::{Queue, Subscription, Update};
use crate::transport::Stream;

/// The number of requests that may wait to be sent, and of other messages.
const MOST_OUTGOING: usize = 64;

/// The number of bytes of a monitor's updates that may wait to be read.
const MOST_WAITING: usize = 32 << 20;

/// The number of bytes that are read at a time.
const READ_AT_ONCE: usize = 64 << 10;

/// The limits and times of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    /// The time of silence after which the server is asked for an echo, and after as long again, the connection ends.
    pub(crate) probe: Option<Duration>,
}

/// A connection. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) remote: Remote,
    shared: Arc<Shared>,
    requests: mpsc::Sender<Outgoing>,
    /// For short messages that don't wait for the requests: replies, cancellations.
    urgent: mpsc::Sender<Vec<u8>>,
    tasks: [AbortHandle; 2],
    limits: Limits,
}

/// A request that waits to be sent.
#[derive(Debug)]
struct Outgoing {
    id: u64,
    message: Vec<u8>,
}

/// The part of a connection that its tasks share.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The id of the next request or monitor.
    next: u64,
    calls: BTreeMap<u64, oneshot::Sender<Result<Json, ServerError>>>,
    monitors: BTreeMap<u64, Queue>,
    /// The reason why the connection takes no new requests. Those that wait may still get their replies.
    retired: Option<ConnectionError>,
    /// The reason why the connection has ended.
    ended: Option<ConnectionError>,
}

/// The failure of a request.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nothing was sent.
    NotSent(ConnectionError),
    /// The request was sent, and there is no reply.
    Lost(ConnectionError),
    /// The server refused it.
    Refused(ServerError),
    /// The request has this many bytes, which is more than the limit.
    TooLarge(usize),
}

/// The effect of dropping a request that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDrop {
    /// The reply is ignored.
    Ignore,
    /// The server is told to cancel the request (RFC 7047 section 4.1.4).
    Cancel,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection for all that wait. The first reason stays.
    fn end(&self, reason: ConnectionError) {
        let mut state = self.state();
        state.ended.get_or_insert(reason);
        state.calls.clear();
        state.monitors.clear();
    }

    /// Lets no new request use the connection, and moves the monitors away from it.
    pub(crate) fn retire(&self, reason: ConnectionError) {
        let mut state = self.state();
        state.retired.get_or_insert(reason);
        state.monitors.clear();
    }
}

impl Connection {
    /// Starts the two tasks of a connection.
    pub(crate) fn start(remote: Remote, stream: Stream, terms: Terms) -> Connection {
        let shared = Arc::new(Shared(Mutex::default()));
        let (requests, waiting) = mpsc::channel(MOST_OUTGOING);
        let (urgent, waiting_urgent) = mpsc::channel(MOST_OUTGOING);
        let reader = Reader {
            shared: shared.clone(),
            urgent: urgent.downgrade(),
            decoder: Decoder::new(terms.limits),
            is_probing: false,
        };
        let read = tokio::spawn(read(reader, stream.input, terms.probe));
        let writer = Writer { shared: shared.clone(), requests: waiting, urgent: waiting_urgent };
        let write = tokio::spawn(write(writer, stream.output));
        let tasks = [read.abort_handle(), write.abort_handle()];
        Connection { remote, shared, requests, urgent, tasks, limits: terms.limits }
    }

    /// Returns true if new requests can be made.
    pub(crate) fn is_usable(&self) -> bool {
        let state = self.shared.state();
        state.ended.is_none() && state.retired.is_none()
    }

    /// Returns the reason why the connection has ended or takes no new requests.
    pub(crate) fn reason(&self) -> ConnectionError {
        let state = self.shared.state();
        state.ended.clone().or_else(|| state.retired.clone()).unwrap_or(ConnectionError::Closed)
    }

    /// Returns the part that the tasks share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Ends the connection because of a message that makes no sense, and returns the reason.
    pub(crate) fn end_with_nonsense(&self, problem: impl Into<String>, words: String) -> ConnectionError {
        let reason = ConnectionError::Nonsense { problem: problem.into(), words };
        self.shared.end(reason.clone());
        reason
    }

    /// Makes a request, and returns its result.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        parameters: &[u8],
        deadline: Instant,
        on_drop: OnDrop,
    ) -> Result<Json, CallError> {
        let started = Instant::now();
        let late = || ConnectionError::Late(Instant::now() - started);
        let (id, reply) = self.register()?;
        let mut waiting = Waiting { connection: self, id, on_drop, is_sent: false };
        let message = request(id, method, parameters);
        if message.len() > self.limits.message {
            return Err(CallError::TooLarge(message.len()));
        }
        match timeout_at(deadline, self.requests.send(Outgoing { id, message })).await {
            Err(_) => return Err(CallError::NotSent(late())),
            Ok(Err(_)) => return Err(CallError::NotSent(self.reason())),
            Ok(Ok(())) => waiting.is_sent = true,
        }
        match timeout_at(deadline, reply).await {
            Err(_) => Err(CallError::Lost(late())),
            Ok(Err(_)) => Err(CallError::Lost(self.reason())),
            Ok(Ok(reply)) => reply.map_err(CallError::Refused),
        }
    }

    fn register(&self) -> Result<(u64, oneshot::Receiver<Result<Json, ServerError>>), CallError> {
        let mut state = self.shared.state();
        if let Some(reason) = state.ended.as_ref().or(state.retired.as_ref()) {
            return Err(CallError::NotSent(reason.clone()));
        }
        let (sender, receiver) = oneshot::channel();
        let id = state.next;
        state.next += 1;
        state.calls.insert(id, sender);
        Ok((id, receiver))
    }

    /// Prepares a monitor: updates for its id are queued from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let mut state = self.shared.state();
        let id = state.next;
        state.next += 1;
        let (queue, updates) = Queue::new(self.limits.message.min(MOST_WAITING));
        // Of a connection that has ended, the queue ends at once.
        if state.ended.is_none() && state.retired.is_none() {
            state.monitors.insert(id, queue);
        }
        let connection = Arc::downgrade(self);
        let end = move |is_on_server| {
            if let Some(connection) = connection.upgrade() {
                connection.unsubscribe(id, is_on_server);
            }
        };
        Subscription::new(id, updates, Box::new(end))
    }

    /// Ends a monitor. The reply of the server does not matter.
    fn unsubscribe(&self, monitor: u64, is_on_server: bool) {
        let id = {
            let mut state = self.shared.state();
            state.monitors.remove(&monitor);
            if state.ended.is_some() || !is_on_server {
                return;
            }
            let id = state.next;
            state.next += 1;
            id
        };
        let parameters = json!([monitor]).to_string();
        // If the queue is full, the server does not read: the connection will end.
        let _ = self.urgent.try_send(request(id, "monitor_cancel", parameters.as_bytes()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.end(ConnectionError::Closed);
    }
}

/// Returns the reason for a message that makes no sense.
pub(crate) fn nonsense(problem: impl Into<String>, message: &impl serde::Serialize) -> ConnectionError {
    ConnectionError::Nonsense { problem: problem.into(), words: first_words_of(message) }
}

fn request(id: u64, method: &str, parameters: &[u8]) -> Vec<u8> {
    let head = format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":");
    [head.as_bytes(), parameters, b"}"].concat()
}

/// A request that waits for its reply.
struct Waiting<'a> {
    connection: &'a Connection,
    id: u64,
    on_drop: OnDrop,
    is_sent: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let is_unanswered = self.connection.shared.state().calls.remove(&self.id).is_some();
        if is_unanswered && self.is_sent && self.on_drop == OnDrop::Cancel {
            let message = json!({ "id": null, "method": "cancel", "params": [self.id] });
            let _ = self.connection.urgent.try_send(message.to_string().into_bytes());
        }
    }
}

/// The writing side of a connection.
struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Outgoing>,
    urgent: mpsc::Receiver<Vec<u8>>,
}

impl Writer {
    /// Returns the next message. A request that nobody waits for any more is not sent.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            tokio::select! {
                biased;
                Some(message) = self.urgent.recv() => return Some(message),
                Some(request) = self.requests.recv() => {
                    if self.shared.state().calls.contains_key(&request.id) {
                        return Some(request.message);
                    }
                }
                else => return None,
            }
        }
    }
}

async fn write(mut writer: Writer, mut output: Box<dyn tokio::io::AsyncWrite + Send + Unpin>) {
    while let Some(message) = writer.next().await {
        let written = async {
            output.write_all(&message).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            // The reader may find out more: what the server sent before it closed the connection.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return writer.shared.end(ConnectionError::from_io(error));
        }
    }
}

/// The reading side of a connection.
struct Reader {
    shared: Arc<Shared>,
    /// For the replies to the server's own requests.
    urgent: mpsc::WeakSender<Vec<u8>>,
    decoder: Decoder,
    /// True if an echo was sent, and nothing has come since then.
    is_probing: bool,
}

async fn read(
    mut reader: Reader,
    mut input: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    probe: Option<Duration>,
) {
    let mut part = vec![0; READ_AT_ONCE];
    loop {
        let found = match probe {
            None => Some(input.read(&mut part).await),
            Some(probe) => timeout(probe, input.read(&mut part)).await.ok(),
        };
        let went_on = match found {
            Some(Ok(0)) if reader.decoder.is_between_messages() => Err(ConnectionError::Closed),
            Some(Ok(0)) => Err(ConnectionError::Cut),
            Some(Ok(length)) => reader.take(part.get(..length).unwrap_or_default()),
            Some(Err(error)) => Err(ConnectionError::from_io(error)),
            None => reader.probe(probe.unwrap_or_default()),
        };
        if let Err(reason) = went_on {
            return reader.shared.end(reason);
        }
    }
}

impl Reader {
    /// Asks the server for an echo; or ends the connection, if it was asked before.
    fn probe(&mut self, interval: Duration) -> Result<(), ConnectionError> {
        if self.is_probing {
            return Err(ConnectionError::Silent(interval.saturating_mul(2)));
        }
        self.is_probing = true;
        let id = {
            let mut state = self.shared.state();
            state.next += 1;
            state.next - 1
        };
        self.send(request(id, "echo", b"[]"))
    }

    fn send(&self, message: Vec<u8>) -> Result<(), ConnectionError> {
        let Some(urgent) = self.urgent.upgrade() else { return Err(ConnectionError::Closed) };
        urgent.try_send(message).map_err(|_| ConnectionError::Stalled)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.is_probing = false;
        self.decoder.push(bytes);
        while let Some((message, length)) = self.decoder.next_message()? {
            match message.get("method") {
                Some(Json::String(_)) => self.serve(message, length)?,
                None => self.deliver(message)?,
                Some(_) => return Err(nonsense("a method that is no string", &message)),
            }
        }
        Ok(())
    }

    /// Handles a request or a notification of the server. Unknown notifications are ignored.
    fn serve(&self, mut message: Map<String, Json>, length: usize) -> Result<(), ConnectionError> {
        let id = message.get("id").cloned().unwrap_or_default();
        let parameters = message.remove("params").unwrap_or_default();
        let method = message.get("method").and_then(Json::as_str).unwrap_or_default();
        if !id.is_null() {
            let reply = match method {
                "echo" => json!({ "id": id, "result": parameters, "error": null }),
                _ => json!({ "id": id, "result": null, "error": "unknown method" }),
            };
            return self.send(reply.to_string().into_bytes());
        }
        let Some(update) = Update::of(method, parameters, length) else { return Ok(()) };
        let mut state = self.shared.state();
        let monitor = update.monitor;
        // A monitor whose updates nobody reads is cut off. It can be resumed.
        if state.monitors.get(&monitor).is_some_and(|queue| !queue.push(update)) {
            state.monitors.remove(&monitor);
        }
        Ok(())
    }

    /// Delivers the reply to a request.
    fn deliver(&self, mut message: Map<String, Json>) -> Result<(), ConnectionError> {
        let mut state = self.shared.state();
        let id = message.get("id").and_then(Json::as_u64).filter(|id| *id < state.next);
        let Some(id) = id else {
            return Err(nonsense("a reply to no request", &message));
        };
        let reply = match (message.remove("error").unwrap_or_default(), message.remove("result")) {
            (Json::Null, Some(result)) => Ok(result),
            (Json::Null, None) => return Err(nonsense("a reply without a result", &message)),
            (error, _) => match ServerError::read(&error) {
                Some(error) => Err(error),
                None => return Err(nonsense("an error without words", &error)),
            },
        };
        // The reply to a request that was dropped is ignored.
        if let Some(call) = state.calls.remove(&id) {
            let _ = call.send(reply);
        }
        Ok(())
    }
}
