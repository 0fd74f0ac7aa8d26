//! etcd (v3): the store of a cluster.
//!
//! Every read is one transaction of ranges, so as of one moment; every commit is one transaction of compares and
//! writes. One member is called at a time; if it does not reply, the next one is called. Each call has a time limit.

mod errors;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use etcd_client::{
    Client, ConnectOptions, DeleteOptions, Error, GetOptions, KeyValue, KvClient, PutOptions, Txn, TxnOp,
    TxnOpResponse,
};
use midoform_compiler::spec::url::etcd_endpoint;
use tokio::sync::OnceCell;

use errors::{Call, is_ended_lease, is_of_connection, store_error, unanswered};
pub use tls::Tls;

use crate::{Commit, Entry, Lease, Range, Revision, Store, StoreError, Transaction, Write};

/// The shortest interval of keepalive pings on a connection. Members close a connection that pings more often than every
/// 5 s (`--grpc-keepalive-min-time`).
const LEAST_PING: Duration = Duration::from_secs(10);

/// The longest reply, in bytes.
const LARGEST_ANSWER: usize = 1 << 30;

/// The settings for an etcd cluster.
#[derive(Clone)]
pub struct Settings {
    /// The client URLs of the members.
    pub endpoints: Vec<String>,
    /// User and password, if etcd requires a login.
    pub login: Option<(String, String)>,
    /// The prefix of all keys: one for each site.
    pub prefix: String,
    /// The time limit of a call.
    pub timeout: Duration,
}

/// An etcd cluster. Clones share connections.
#[derive(Clone)]
pub struct Etcd {
    members: Arc<[Member]>,
    /// The member that is called first.
    current: Arc<AtomicUsize>,
    name: String,
    prefix: String,
    timeout: Duration,
    has_identity: bool,
}

struct Member {
    endpoint: String,
    options: ConnectOptions,
    client: OnceCell<Client>,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Etcd").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Etcd {
    /// Returns the prefix of a site's keys.
    pub fn prefix_of(site: &str) -> String {
        format!("/midoform/{site}/")
    }

    /// Prepares the connections; the first call makes one.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn open(settings: Settings) -> Result<Etcd, StoreError> {
        Etcd::open_tls(settings, &Tls::default())
    }

    /// Prepares the connections, with files for TLS, which `https://` endpoints use.
    ///
    /// # Errors
    /// When the settings are wrong, or a file can't be read.
    pub fn open_tls(mut settings: Settings, tls: &Tls) -> Result<Etcd, StoreError> {
        // Names and errors of the store repeat the endpoints, so these hold no login.
        let plain = settings.endpoints.iter().map(|endpoint| etcd_endpoint(endpoint));
        settings.endpoints = plain.collect::<Result<_, _>>().map_err(|problem| StoreError::Failed {
            store: format!("etcd ({})", settings.prefix),
            cause: format!("an endpoint {problem}: {}", problem.help()),
        })?;
        let name = format!("etcd at {} ({})", settings.endpoints.join(", "), settings.prefix);
        let wrong = |cause: String| StoreError::Failed { store: name.clone(), cause };
        if settings.endpoints.is_empty() {
            return Err(wrong("no endpoint is named".to_owned()));
        }
        let base = ConnectOptions::new()
            .with_connect_timeout(settings.timeout)
            .with_tcp_keepalive(settings.timeout)
            // So a member that hangs is noticed.
            .with_keep_alive(settings.timeout.max(LEAST_PING), settings.timeout)
            .with_auto_token_refresh(true);
        let base = match &settings.login {
            Some((user, password)) => base.with_user(user, password),
            None => base,
        };
        let secured = tls::options(tls).map_err(wrong)?;
        let member = |endpoint: String| {
            let options = match endpoint.starts_with("https://") {
                true => base.clone().with_tls(secured.clone()),
                false => base.clone(),
            };
            Member { endpoint, options, client: OnceCell::new() }
        };
        let members: Vec<Member> = settings.endpoints.into_iter().map(member).collect();
        // Not all hosts call the first one.
        let current = Arc::new(AtomicUsize::new(fastrand::usize(..members.len())));
        Ok(Etcd {
            members: members.into(),
            current,
            name,
            prefix: settings.prefix,
            timeout: settings.timeout,
            has_identity: tls.identity.is_some(),
        })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Calls one member after another until one replies or the time limit is over. A commit whose reply is lost is not
    /// sent again.
    async fn call<T, F: Future<Output = Result<T, Error>> + Send>(
        &self,
        kind: Call,
        call: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T, StoreError> {
        let end = Instant::now() + self.timeout;
        let share = self.timeout / u32::try_from(self.members.len().min(3)).unwrap_or(1);
        let mut last = None;
        for _ in 0..self.members.len().max(2) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let at = self.current.load(Ordering::Relaxed);
            let Some(member) = self.members.get(at % self.members.len()) else { break };
            let time = share.min(left);
            let silent = || format!("{} does not answer", member.endpoint);
            let error = match tokio::time::timeout(time, connected(member)).await {
                Err(_) => unanswered(&self.name, Call::Read, silent()),
                Ok(Err(error)) => self.hinted(Call::Read, &error, member),
                Ok(Ok(client)) => match tokio::time::timeout(time, call(client)).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => self.hinted(kind, &error, member),
                    Err(_) => unanswered(&self.name, kind, silent()),
                },
            };
            if !error.is_passing() {
                return Err(error);
            }
            // Of several calls that fail at once, one switches to the next member.
            let next = (at + 1) % self.members.len();
            let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
            if matches!(error, StoreError::Uncertain { .. }) {
                return Err(error);
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| unanswered(&self.name, Call::Read, "no reply in time".to_owned())))
    }

    /// Returns the store's error. A member that requires a certificate closes the connection, and the reason may be
    /// lost. Then the error names a missing certificate as a possible reason.
    fn hinted(&self, kind: Call, error: &Error, member: &Member) -> StoreError {
        let mut told = store_error(&self.name, kind, error);
        if let StoreError::Unreachable { cause, .. } | StoreError::Uncertain { cause, .. } = &mut told
            && member.endpoint.starts_with("https://")
            && is_of_connection(error)
        {
            let hint = match self.has_identity {
                true => "it may not accept this side's certificate",
                false => "it may want a certificate of this side: `cert` and `key` of `[etcd]`",
            };
            *cause = format!("{cause} ({hint})");
        }
        told
    }

    /// Reads ranges as of one moment.
    async fn ranges(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        let get = |range: &Range| {
            let mut options = GetOptions::new().with_range(self.key(&range.to));
            if let Some(limit) = range.limit {
                options = options.with_limit(limit.into());
            }
            TxnOp::get(self.key(&range.from), Some(options))
        };
        // etcd refuses a range that ends before it begins: it is empty.
        let is_asked = |range: &&Range| range.from < range.to;
        let asked: Vec<TxnOp> = ranges.iter().filter(is_asked).map(get).collect();
        if asked.is_empty() {
            return Ok(vec![Vec::new(); ranges.len()]);
        }
        let transaction = Txn::new().and_then(asked);
        let read = |client: Client| {
            let transaction = transaction.clone();
            async move { keys_of(&client).txn(transaction).await }
        };
        let answer = self.call(Call::Read, read).await?;
        let mut answers = answer.op_responses().into_iter();
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let answer = if is_asked(&range) { answers.next() } else { None };
            let entries: Result<Vec<Entry>, StoreError> = match &answer {
                Some(TxnOpResponse::Get(got)) => got.kvs().iter().map(|found| self.entry(found)).collect(),
                _ => Ok(Vec::new()),
            };
            found.push(entries?);
        }
        Ok(found)
    }

    fn entry(&self, found: &KeyValue) -> Result<Entry, StoreError> {
        let wrong = |key: &str, cause: &str| StoreError::Value {
            store: self.name.clone(),
            key: key.to_owned(),
            cause: cause.to_owned(),
        };
        let key = found.key_str().map_err(|_| wrong("?", "its key is not UTF-8"))?;
        let key = key.strip_prefix(&self.prefix).unwrap_or(key).to_owned();
        let value = found.value_str().map_err(|_| wrong(&key, "it is not UTF-8"))?.to_owned();
        let lease = Some(found.lease()).filter(|lease| *lease != 0).map(Lease);
        Ok(Entry { key, value, revision: revision_of(found.mod_revision()), lease })
    }
}

/// Returns a member's client, logged in if there is a login.
async fn connected(member: &Member) -> Result<Client, Error> {
    let connect = || Client::connect([&member.endpoint], Some(member.options.clone()));
    member.client.get_or_try_init(connect).await.cloned()
}

fn revision_of(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or_default())
}

fn number_of(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for Etcd {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Returns 100. etcd accepts 128 operations in one transaction.
    fn most_writes(&self) -> usize {
        100
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.ranges(ranges).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        let compares: Vec<etcd_client::Compare> = transaction
            .compares
            .iter()
            .map(|compare| {
                let (key, revision) = (self.key(&compare.key), number_of(compare.revision));
                etcd_client::Compare::mod_revision(key, etcd_client::CompareOp::Equal, revision)
            })
            .collect();
        let writes: Vec<TxnOp> = transaction
            .writes
            .iter()
            .map(|write| match write {
                Write::Put { key, value, lease } => {
                    let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                    TxnOp::put(self.key(key), value.as_str(), options)
                }
                Write::Delete { key } => TxnOp::delete(self.key(key), None::<DeleteOptions>),
            })
            .collect();
        let length = transaction.writes.iter().map(length).sum();
        let asked = Txn::new().when(compares).and_then(writes);
        let commit = |client: Client| {
            let asked = asked.clone();
            async move {
                match keys_of(&client).txn(asked).await {
                    // A key can't be put under a lease that has ended.
                    Err(error) if is_ended_lease(&error) => Ok(None),
                    other => other.map(Some),
                }
            }
        };
        let Some(answer) = self.call(Call::Commit(length), commit).await? else {
            return Ok(Commit::Conflict);
        };
        if !answer.succeeded() {
            return Ok(Commit::Conflict);
        }
        let now = revision_of(answer.header().map_or(0, |header| header.revision()));
        let revision = |write: &Write| match write {
            Write::Put { .. } => now,
            Write::Delete { .. } => Revision::ABSENT,
        };
        Ok(Commit::Done(transaction.writes.iter().map(revision).collect()))
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        let seconds = i64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
        let grant = move |client: Client| async move { client.lease_client().grant(seconds, None).await };
        Ok(Lease(self.call(Call::Read, grant).await?.id()))
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        let kept = move |client: Client| async move {
            let mut leases = client.lease_client();
            match leases.keep_alive(lease.0).await {
                Ok((mut keeper, mut answers)) => {
                    keeper.keep_alive().await?;
                    Ok(answers.message().await?.is_some_and(|answer| answer.ttl() > 0))
                }
                // The lease or the connection has ended: the time to live shows which one.
                Err(error @ Error::LeaseKeepAliveError(_)) => {
                    match leases.time_to_live(lease.0, None).await?.ttl() > 0 {
                        true => Err(error),
                        false => Ok(false),
                    }
                }
                Err(error) => Err(error),
            }
        };
        self.call(Call::Read, kept).await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        let revoke = move |client: Client| async move {
            match client.lease_client().revoke(lease.0).await {
                Err(error) if is_ended_lease(&error) => Ok(()),
                other => other.map(drop),
            }
        };
        self.call(Call::Read, revoke).await
    }
}

/// Returns the length of a write's key and value, in bytes.
fn length(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => key.len() + value.len(),
        Write::Delete { key } => key.len(),
    }
}

/// Returns the client for keys. With some 20,000 addresses a read of everything exceeds gRPC's default limit of 4 MB.
fn keys_of(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(LARGEST_ANSWER)
}
