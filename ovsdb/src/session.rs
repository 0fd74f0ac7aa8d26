//! The connection of a client: made when it is needed, kept while it can be used, and made again after it was lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::Backoff;
use crate::cluster::{Member, Memory, Requirements, ServerState, join};
use crate::connection::{CallError, Connection, OnDrop, Terms};
use crate::connection_error::ConnectionError;
use crate::error::{Attempt, Error};
use crate::framing::Limits;
use crate::remote::{Remote, parse_remotes};
use crate::schema::DatabaseSchema;
use crate::tls::Tls;
use crate::transport;

/// A connection that ends sooner than this counts as a failed attempt.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers: one, or the members of a cluster.
    pub remotes: Vec<Remote>,
    /// The database, such as `OVN_Northbound`.
    pub database: String,
    /// The files for TLS, which `ssl:` remotes need.
    pub tls: Option<Tls>,
    /// The members of a cluster that are used.
    pub member: Member,
    /// The time limit of a request, from its beginning: the connection, with as many attempts as are needed, and the reply.
    pub timeout: Duration,
    /// The time limit of one attempt to connect, with TLS and the check that the server can be used.
    pub connect_timeout: Duration,
    /// The time of silence after which the server is asked for an echo; after as long again, the connection ends. None or 0:
    /// never. A server is silent while it executes a transaction, so twice this time has to be longer than that.
    pub probe: Option<Duration>,
    /// The pauses between rounds of attempts.
    pub backoff: Backoff,
    /// The limits of messages.
    pub limits: Limits,
    /// The schema, if the caller declares it; none: that of the server.
    pub schema: Option<Arc<DatabaseSchema>>,
}

impl Settings {
    /// Returns settings with the default values: the leader alone, 30 s for a request, 5 s for an attempt to connect, 10 s for a
    /// probe.
    pub fn new(remotes: Vec<Remote>, database: &str) -> Settings {
        Settings {
            remotes,
            database: database.to_owned(),
            tls: None,
            member: Member::Leader,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            probe: Some(Duration::from_secs(10)),
            backoff: Backoff::default(),
            limits: Limits::default(),
            schema: None,
        }
    }

    /// Returns the default settings for a comma-separated list of remotes.
    ///
    /// # Errors
    /// When a remote is wrong.
    pub fn parse(remotes: &str, database: &str) -> Result<Settings, Error> {
        Ok(Settings::new(parse_remotes(remotes)?, database))
    }
}

/// A connection to a server that can be used, with what is known of the server.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Arc<Connection>,
    pub(crate) server: Option<ServerState>,
    schema: OnceCell<Arc<DatabaseSchema>>,
}

/// The part of a client that its clones share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Settings,
    memory: Arc<Memory>,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    link: Option<(Arc<Link>, Instant)>,
    /// The index of the remote that is tried next.
    next: usize,
    /// The number of rounds that failed one after another.
    failures: u32,
}

impl Session {
    pub(crate) fn new(settings: Settings) -> Result<Session, Error> {
        if settings.remotes.is_empty() {
            return Err(Error::NoRemote);
        }
        let is_secured = |remote: &&Remote| matches!(remote, Remote::Ssl(_));
        if let Some(remote) = settings.remotes.iter().find(is_secured) {
            let tls = settings.tls.as_ref().ok_or_else(|| Error::NoTls { remote: remote.clone() })?;
            // The files are read again for each connection; a mistake is reported now.
            tls.config()?;
        }
        // Not all clients call the first one.
        let next = fastrand::usize(..settings.remotes.len());
        let current = Mutex::new(Current { next, ..Current::default() });
        Ok(Session { settings, memory: Arc::default(), current })
    }

    /// Returns the connection; makes one if there is none that can be used.
    pub(crate) async fn link(&self, deadline: Instant) -> Result<Arc<Link>, Error> {
        let started = Instant::now();
        let unreachable = |attempts: BTreeMap<usize, Attempt>| Error::Unreachable {
            waited: Instant::now() - started,
            attempts: attempts.into_values().collect(),
        };
        let locked = timeout_at(deadline, self.current.lock()).await;
        let mut current = locked.map_err(|_| unreachable(BTreeMap::new()))?;
        let mut attempts = BTreeMap::new();
        match current.usable(&self.settings) {
            Some(Ok(link)) => return Ok(link),
            Some(Err((at, lost))) => drop(attempts.insert(at, lost)),
            None => {}
        }
        loop {
            let pause = self.settings.backoff.pause(current.failures, fastrand::f64());
            let begin = Instant::now() + pause;
            if begin >= deadline {
                sleep_until(deadline).await;
                return Err(unreachable(attempts));
            }
            sleep_until(begin).await;
            for _ in 0..self.settings.remotes.len() {
                let at = current.next % self.settings.remotes.len();
                let remote = self.settings.remotes.get(at).filter(|_| Instant::now() < deadline);
                let Some(remote) = remote else { break };
                match self.attempt(remote, deadline).await {
                    Ok(link) => {
                        current.link = Some((link.clone(), Instant::now()));
                        return Ok(link);
                    }
                    // An attempt that the end of the time cut off says less than the one before.
                    Err(ConnectionError::Late(_))
                        if Instant::now() >= deadline && attempts.contains_key(&at) => {}
                    Err(reason) => drop(attempts.insert(at, Attempt { remote: remote.clone(), reason })),
                }
                current.next = (at + 1) % self.settings.remotes.len();
            }
            current.failures = current.failures.saturating_add(1);
            if attempts.values().all(|attempt: &Attempt| attempt.reason.is_permanent()) {
                return Err(unreachable(attempts));
            }
        }
    }

    /// Connects to a server, and checks that it can be used.
    async fn attempt(&self, remote: &Remote, deadline: Instant) -> Result<Arc<Link>, ConnectionError> {
        let started = Instant::now();
        let deadline = deadline.min(deadline_in(self.settings.connect_timeout));
        let late = |_| ConnectionError::Late(Instant::now() - started);
        let connected = timeout_at(deadline, transport::connect(remote, self.settings.tls.as_ref()));
        let stream = connected.await.map_err(late)?.map_err(ConnectionError::from_io)?;
        let probe = self.settings.probe.filter(|probe| !probe.is_zero());
        let terms = Terms { limits: self.settings.limits, probe };
        let connection = Arc::new(Connection::start(remote.clone(), stream, terms));
        let requirements = Requirements {
            database: self.settings.database.clone(),
            member: self.settings.member,
            memory: self.memory.clone(),
        };
        let server = join(&connection, requirements, deadline).await?;
        Ok(Arc::new(Link { connection, server, schema: OnceCell::new() }))
    }

    /// Returns the schema: the declared one, or that of the server.
    pub(crate) async fn schema(&self, link: &Link, deadline: Instant) -> Result<Arc<DatabaseSchema>, Error> {
        match &self.settings.schema {
            Some(schema) => Ok(schema.clone()),
            None => self.schema_of_server(link, deadline).await,
        }
    }

    /// Returns the schema of the server.
    pub(crate) async fn schema_of_server(
        &self,
        link: &Link,
        deadline: Instant,
    ) -> Result<Arc<DatabaseSchema>, Error> {
        let read = async {
            let parameters = json!([self.settings.database]).to_string();
            let called = link.connection.call("get_schema", parameters.as_bytes(), deadline, OnDrop::Ignore);
            let reply = called.await.map_err(|error| self.read_error(link, "get_schema", error))?;
            let read = DatabaseSchema::read(&reply);
            let remote = link.connection.remote.clone();
            read.map(Arc::new).map_err(|mistake| Error::Schema { remote, mistake })
        };
        link.schema.get_or_try_init(|| read).await.cloned()
    }

    /// Returns the error of a request that changes nothing.
    pub(crate) fn read_error(&self, link: &Link, method: &'static str, error: CallError) -> Error {
        let remote = link.connection.remote.clone();
        match error {
            CallError::NotSent(reason) | CallError::Lost(reason) => Error::NoReply { remote, method, reason },
            CallError::Refused(error) => Error::Refused { remote, method, error: Box::new(error) },
            CallError::TooLarge(bytes) => Error::TooLarge { bytes, limit: self.settings.limits.message },
        }
    }
}

impl Current {
    /// Returns the connection if it can be used. Otherwise forgets it, goes on to the next remote, and returns the reason.
    fn usable(&mut self, settings: &Settings) -> Option<Result<Arc<Link>, (usize, Attempt)>> {
        let (link, since) = self.link.take()?;
        if link.connection.is_usable() {
            self.link = Some((link.clone(), since));
            return Some(Ok(link));
        }
        self.failures = match since.elapsed() < SHORT_LIFE {
            true => self.failures.saturating_add(1),
            false => 0,
        };
        let at = self.next;
        self.next = (at + 1) % settings.remotes.len();
        let (remote, reason) = (link.connection.remote.clone(), link.connection.reason());
        Some(Err((at, Attempt { remote, reason })))
    }
}

/// Returns the end of a time that begins now; of a very long time, a moment that is far away.
pub(crate) fn deadline_in(time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365);
    Instant::now() + time.min(FAR)
}

/// Returns true if a request that failed is repeated on another connection. The time is over, or the same nonsense would come
/// again, in the other cases.
pub(crate) fn is_repeated(error: &Error) -> bool {
    match error {
        Error::NoReply { reason, .. } => !matches!(
            reason,
            ConnectionError::Late(_) | ConnectionError::Nonsense { .. } | ConnectionError::Framing(_)
        ),
        _ => false,
    }
}
