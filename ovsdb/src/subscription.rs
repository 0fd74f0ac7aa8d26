//! The updates of a monitor on their way from the connection to whoever reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value as Json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::column_type::uuid;

/// A notification for a monitor.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) monitor: u64,
    pub(crate) kind: UpdateKind,
    /// The length of the message in bytes.
    length: usize,
}

/// The kinds of notifications.
#[derive(Clone, Debug)]
pub(crate) enum UpdateKind {
    /// `update` (RFC 7047 section 4.1.6): old and new rows.
    Rows(Json),
    /// `update2` and `update3` (ovsdb-server(7) section 4.1.14): differences, and the id of the last transaction, if it is known.
    Differences(Json, Option<Uuid>),
    /// `monitor_canceled`: the server has ended the monitor (section 4.1.7).
    Canceled,
}

impl Update {
    /// Reads a notification; none if it is not for a monitor.
    pub(crate) fn of(method: &str, parameters: Json, length: usize) -> Option<Update> {
        let Json::Array(parameters) = parameters else { return None };
        let mut parameters = parameters.into_iter();
        let monitor = parameters.next()?.as_u64()?;
        let kind = match method {
            "update" => UpdateKind::Rows(parameters.next()?),
            "update2" => UpdateKind::Differences(parameters.next()?, None),
            "update3" => {
                // A server without a history names none.
                let last = parameters.next()?.as_str().and_then(uuid).filter(|last| !last.is_nil());
                UpdateKind::Differences(parameters.next()?, last)
            }
            "monitor_canceled" => UpdateKind::Canceled,
            _ => return None,
        };
        Some(Update { monitor, kind, length })
    }
}

/// The writing end of a queue of updates.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Update>,
    /// The bytes that wait.
    waiting: Arc<AtomicUsize>,
    most: usize,
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Updates {
    receiver: mpsc::UnboundedReceiver<Update>,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    /// Returns the two ends of a queue of at most this many bytes, or one update.
    pub(crate) fn new(most: usize) -> (Queue, Updates) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        (Queue { sender, waiting: waiting.clone(), most }, Updates { receiver, waiting })
    }

    /// Adds an update. Returns false if the queue is full or nobody reads it.
    pub(crate) fn push(&self, update: Update) -> bool {
        let before = self.waiting.fetch_add(update.length, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(update.length) <= self.most;
        fits && self.sender.send(update).is_ok()
    }
}

/// A monitor's id on one connection, and its updates. The server's monitor ends when this is dropped.
pub(crate) struct Subscription {
    pub(crate) id: u64,
    updates: Updates,
    end: End,
    /// True if the server may have the monitor.
    is_on_server: bool,
}

/// Ends a monitor on its connection; the server is told if the argument is true.
pub(crate) type End = Box<dyn Fn(bool) + Send + Sync>;

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) fn new(id: u64, updates: Updates, end: End) -> Subscription {
        Subscription { id, updates, end, is_on_server: true }
    }

    /// Drops the subscription of a monitor that the server has refused.
    pub(crate) fn refused(mut self) {
        self.is_on_server = false;
    }

    /// Returns the next update; none if the connection has ended or the queue was full.
    pub(crate) async fn next(&mut self) -> Option<UpdateKind> {
        let update = self.updates.receiver.recv().await?;
        self.updates.waiting.fetch_sub(update.length, Ordering::Relaxed);
        Some(update.kind)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        (self.end)(self.is_on_server);
    }
}
