//! Monitors: the contents of tables, and their changes, across connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::column_type::uuid;
use crate::connection::{CallError, OnDrop};
use crate::contents::{Change, Columns, Contents, Form, UpdateReader, changes_between, make};
use crate::error::Error;
use crate::monitor_request::{MonitorRequest, conditions_json};
use crate::operation::Condition;
use crate::printable::first_words_of;
use crate::row::RowError;
use crate::schema::DatabaseSchema;
use crate::server_error::ErrorCode;
use crate::session::{Link, Session, deadline_in, is_repeated};
use crate::subscription::{Subscription, UpdateKind};

/// The methods for monitors, the best first, with the form of their updates.
const METHODS: [(&str, Form); 3] =
    [("monitor_cond_since", Form::Differences), ("monitor_cond", Form::Differences), ("monitor", Form::Rows)];

/// Changes that belong together: those of one notification, or all that happened while there was no connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes in the order of tables and uuids.
    pub changes: Vec<Change>,
    /// The id of the last transaction, if the server names one: the members of a cluster do.
    pub last_transaction: Option<Uuid>,
    /// True if they are the difference between the contents before a lost connection and those after it.
    pub is_resumption: bool,
}

/// A monitor of tables. It stays when the connection is lost: then it is resumed on another one, from the last transaction if the
/// server still knows it, otherwise by reading everything again; either way [`Monitor::next`] returns just the differences.
#[derive(Debug)]
pub struct Monitor {
    session: Arc<Session>,
    timeout: Duration,
    request: MonitorRequest,
    contents: Contents,
    /// The id of the last transaction whose changes the contents have.
    last: Option<Uuid>,
    feed: Option<Feed>,
}

/// The source of a monitor's updates on one connection.
#[derive(Debug)]
struct Feed {
    link: Arc<Link>,
    subscription: Subscription,
    schema: Arc<DatabaseSchema>,
    columns: Columns,
    form: Form,
}

/// The reply to a request for a monitor.
struct Initial {
    /// True if the updates are the changes since the last transaction, not the whole contents.
    is_continued: bool,
    last: Option<Uuid>,
    updates: Json,
}

impl Monitor {
    /// Starts a monitor, and reads the contents.
    pub(crate) async fn start(
        session: Arc<Session>,
        timeout: Duration,
        request: MonitorRequest,
    ) -> Result<Monitor, Error> {
        let contents = Contents::new();
        let mut monitor = Monitor { session, timeout, request, contents, last: None, feed: None };
        monitor.resume().await?;
        Ok(monitor)
    }

    /// Returns the contents: those after the changes that were returned last.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Returns the id of the last transaction whose changes the contents have, if the server names it.
    pub fn last_transaction(&self) -> Option<Uuid> {
        self.last
    }

    /// Waits for the next changes. It connects again if that is needed; only this has a time limit. Can be canceled by
    /// dropping the future: no change is lost.
    ///
    /// # Errors
    /// When no server can be used in time, or a server sends nonsense. The next call tries again.
    pub async fn next(&mut self) -> Result<Changes, Error> {
        loop {
            let changes = match &mut self.feed {
                None => self.resume().await?,
                Some(feed) => match feed.subscription.next().await {
                    Some(UpdateKind::Rows(updates)) => self.take(updates, Form::Rows, None)?,
                    Some(UpdateKind::Differences(updates, last)) => {
                        self.take(updates, Form::Differences, last)?
                    }
                    None | Some(UpdateKind::Canceled) => {
                        self.feed = None;
                        continue;
                    }
                },
            };
            if !changes.changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    /// Changes the conditions of tables (ovsdb-server(7) section 4.1.13). The rows that come or go by it are returned as changes.
    /// If the connection is lost meanwhile, the next one has the new conditions.
    ///
    /// # Errors
    /// When a table or a column is unknown, or the server can't change conditions.
    pub async fn change_conditions(
        &mut self,
        conditions: BTreeMap<String, Vec<Condition>>,
    ) -> Result<(), Error> {
        const METHOD: &str = "monitor_cond_change";
        let deadline = deadline_in(self.timeout);
        let mut request = self.request.clone();
        for (table, conditions) in &conditions {
            let unknown = || Error::Monitor(RowError::Table { table: table.clone() });
            request.tables.get_mut(table).ok_or_else(unknown)?.conditions.clone_from(conditions);
        }
        if let Some(feed) = &self.feed {
            request.columns(&feed.schema).map_err(Error::Monitor)?;
            if feed.form == Form::Rows {
                let remote = feed.link.connection.remote.clone();
                return Err(Error::Unsupported { remote, what: "change the conditions of a monitor" });
            }
        }
        // Until the server has replied, it is unknown which conditions it uses: the contents would have to be read again.
        let before = std::mem::replace(&mut self.request, request);
        let (Some(feed), last) = (self.feed.take(), self.last.take()) else { return Ok(()) };
        let tables: BTreeMap<&String, Json> = conditions
            .iter()
            .map(|(table, conditions)| (table, json!([{ "where": conditions_json(conditions) }])))
            .collect();
        let parameters = json!([feed.subscription.id, feed.subscription.id, tables]).to_string();
        match feed.link.connection.call(METHOD, parameters.as_bytes(), deadline, OnDrop::Ignore).await {
            Ok(_) => (self.feed, self.last) = (Some(feed), last),
            Err(CallError::NotSent(_) | CallError::Lost(_)) => {}
            Err(error) => {
                let refused = self.session.read_error(&feed.link, METHOD, error);
                (self.request, self.feed, self.last) = (before, Some(feed), last);
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Takes updates that the server sent. If they make no sense, everything is read again on another connection.
    fn take(&mut self, updates: Json, form: Form, last: Option<Uuid>) -> Result<Changes, Error> {
        let Some(feed) = &self.feed else { return Ok(Changes::default()) };
        let words = first_words_of(&updates);
        let reader = UpdateReader { schema: &feed.schema, columns: &feed.columns, form };
        match reader.changes(&self.contents, updates) {
            Ok(changes) => {
                make(&changes, &mut self.contents);
                self.last = last;
                Ok(Changes { changes, last_transaction: last, is_resumption: false })
            }
            Err(problem) => {
                let lost = nonsense(&feed.link, problem, words);
                (self.feed, self.last) = (None, None);
                Err(lost)
            }
        }
    }

    /// Connects, starts the monitor on the connection, and brings the contents up to date.
    async fn resume(&mut self) -> Result<Changes, Error> {
        let deadline = deadline_in(self.timeout);
        loop {
            let link = self.session.link(deadline).await?;
            match self.resume_on(link, deadline).await {
                Err(error) if is_repeated(&error) => {}
                other => return other,
            }
        }
    }

    async fn resume_on(&mut self, link: Arc<Link>, deadline: Instant) -> Result<Changes, Error> {
        let schema = self.session.schema(&link, deadline).await?;
        let columns = self.request.columns(&schema).map_err(Error::Monitor)?;
        let (subscription, form, initial) = self.subscribe(&link, &columns, deadline).await?;
        let words = first_words_of(&initial.updates);
        let reader = UpdateReader { schema: &schema, columns: &columns, form };
        let none = Contents::new();
        let known = if initial.is_continued { &self.contents } else { &none };
        let changes = reader.changes(known, initial.updates).map_err(|problem| {
            // With the whole contents, the next attempt may succeed.
            self.last = None;
            nonsense(&link, problem, words)
        })?;
        let changes = match initial.is_continued {
            true => changes,
            false => {
                let mut contents = Contents::new();
                make(&changes, &mut contents);
                changes_between(&self.contents, &contents)
            }
        };
        make(&changes, &mut self.contents);
        self.last = initial.last;
        self.feed = Some(Feed { link, subscription, schema, columns, form });
        Ok(Changes { changes, last_transaction: initial.last, is_resumption: true })
    }

    /// Starts the monitor on a connection, by the best method that the server knows.
    async fn subscribe(
        &self,
        link: &Link,
        columns: &Columns,
        deadline: Instant,
    ) -> Result<(Subscription, Form, Initial), Error> {
        for (method, form) in METHODS {
            if form == Form::Rows && self.request.has_conditions() {
                break;
            }
            let subscription = link.connection.subscribe();
            let mut parameters = vec![
                json!(self.session.settings.database),
                json!(subscription.id),
                self.request.tables(columns),
            ];
            if method == "monitor_cond_since" {
                parameters.push(json!(self.last.unwrap_or_default()));
            }
            let parameters = Json::Array(parameters).to_string();
            let called = link.connection.call(method, parameters.as_bytes(), deadline, OnDrop::Ignore);
            let reply = match called.await {
                Ok(reply) => reply,
                Err(CallError::Refused(error)) => {
                    subscription.refused();
                    if error.code == ErrorCode::UnknownMethod {
                        continue;
                    }
                    return Err(self.session.read_error(link, method, CallError::Refused(error)));
                }
                Err(error) => return Err(self.session.read_error(link, method, error)),
            };
            let initial = match method {
                "monitor_cond_since" => continued(reply),
                _ => Ok(Initial { is_continued: false, last: None, updates: reply }),
            };
            let no_reply = |reply: Json| {
                nonsense(link, "no reply to monitor_cond_since".to_owned(), first_words_of(&reply))
            };
            return Ok((subscription, form, initial.map_err(no_reply)?));
        }
        let remote = link.connection.remote.clone();
        Err(Error::Unsupported { remote, what: "monitor the rows that meet conditions" })
    }
}

/// Ends a connection whose server sent wrong updates.
fn nonsense(link: &Link, problem: String, words: String) -> Error {
    let reason = link.connection.end_with_nonsense(problem, words);
    Error::NoReply { remote: link.connection.remote.clone(), method: "monitor", reason }
}

/// Reads the reply to `monitor_cond_since`: `[found, last transaction, updates]`.
fn continued(reply: Json) -> Result<Initial, Json> {
    let parts = match &reply {
        Json::Array(parts) => parts.as_slice(),
        _ => return Err(reply),
    };
    let [Json::Bool(is_continued), Json::String(last), _] = parts else { return Err(reply) };
    let (is_continued, last) = (*is_continued, uuid(last).filter(|last| !last.is_nil()));
    match reply {
        Json::Array(mut parts) => {
            let updates = parts.pop().unwrap_or_default();
            Ok(Initial { is_continued, last, updates })
        }
        other => Err(other),
    }
}
