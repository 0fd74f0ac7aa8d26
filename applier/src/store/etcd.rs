//! etcd (v3): the store of a cluster.
//!
//! Every read is one transaction of ranges, so as of one moment; every commit is one transaction of compares and writes.
//! The client goes on with another member when one does not answer; each call ends after a time limit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Client, ConnectOptions, DeleteOptions, Error, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse,
};

use super::polling::Polling;
use super::{Commit, Entry, Lease, Range, Revision, Store, StoreError, Transaction, Watch, Write};

/// Where etcd is, and who asks.
#[derive(Clone)]
pub struct Settings {
    /// The members' client URLs.
    pub endpoints: Vec<String>,
    /// User and password, where etcd wants them.
    pub login: Option<(String, String)>,
    /// What all keys begin with: one for each site.
    pub prefix: String,
    /// How long one call may take.
    pub timeout: Duration,
}

/// An etcd cluster. Clones share connections.
#[derive(Clone)]
pub struct Etcd {
    client: Client,
    name: String,
    prefix: String,
    timeout: Duration,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Etcd").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a call that did not end well means.
enum Sort {
    Read,
    Commit,
}

impl Etcd {
    /// The prefix of a site's keys.
    pub fn prefix_of(site: &str) -> String {
        format!("/midoform/{site}/")
    }

    /// Sets the connection up. Where etcd wants no login, nothing is sent yet.
    ///
    /// # Errors
    /// When the settings are wrong, or the login is refused.
    pub async fn open(settings: Settings) -> Result<Etcd, StoreError> {
        let name = format!("etcd at {} ({})", settings.endpoints.join(", "), settings.prefix);
        let mut options = ConnectOptions::new()
            .with_connect_timeout(settings.timeout)
            .with_timeout(settings.timeout)
            .with_tcp_keepalive(settings.timeout);
        if let Some((user, password)) = &settings.login {
            options = options.with_user(user, password);
        }
        let connecting = Client::connect(&settings.endpoints, Some(options));
        let client = match tokio::time::timeout(settings.timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| sorted(&name, &Sort::Read, &error))?,
            Err(_) => {
                return Err(StoreError::Unreachable { store: name, cause: "no answer in time".to_owned() });
            }
        };
        Ok(Etcd { client, name, prefix: settings.prefix, timeout: settings.timeout })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Makes a call, for as long as it may take.
    async fn call<T>(
        &self,
        sort: Sort,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(sorted(&self.name, &sort, &error)),
            Err(_) => Err(away(&self.name, &sort, format!("no answer within {:?}", self.timeout))),
        }
    }

    fn entry(&self, found: &KeyValue) -> Result<Entry, StoreError> {
        let wrong = |key: &str, cause: &str| StoreError::Value {
            store: self.name.clone(),
            key: key.to_owned(),
            cause: cause.to_owned(),
        };
        let key = found.key_str().map_err(|_| wrong("?", "its key is no text"))?;
        let key = key.strip_prefix(&self.prefix).unwrap_or(key).to_owned();
        let value = found.value_str().map_err(|_| wrong(&key, "it is no text"))?.to_owned();
        let lease = Some(found.lease()).filter(|lease| *lease != 0).map(Lease);
        Ok(Entry { key, value, revision: revision_of(found.mod_revision()), lease })
    }
}

fn revision_of(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or_default())
}

fn number_of(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// An end of which nobody knows whether anything happened.
fn away(name: &str, sort: &Sort, cause: String) -> StoreError {
    let store = name.to_owned();
    match sort {
        Sort::Read => StoreError::Unreachable { store, cause },
        Sort::Commit => StoreError::Uncertain { store, cause },
    }
}

fn sorted(name: &str, sort: &Sort, error: &Error) -> StoreError {
    let store = name.to_owned();
    let Error::GRpcStatus(status) = error else {
        return match error {
            Error::TransportError(cause) => away(name, sort, cause.to_string()),
            Error::IoError(cause) => away(name, sort, cause.to_string()),
            other => StoreError::Failed { store, cause: other.to_string() },
        };
    };
    let cause = status.message().to_owned();
    // The numbers of gRPC: unauthenticated, permission denied; invalid argument is how etcd refuses a login.
    let code = i32::from(status.code());
    match code {
        16 | 7 => StoreError::Refused { store, cause },
        3 if cause.contains("auth") => StoreError::Refused { store, cause },
        // Cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal, unavailable.
        1 | 2 | 4 | 10 | 13 | 14 => away(name, sort, cause),
        _ => StoreError::Failed { store, cause },
    }
}

#[async_trait]
impl Store for Etcd {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
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
        let mut answers = Vec::new().into_iter();
        if !asked.is_empty() {
            let mut client = self.client.kv_client();
            let answer = self.call(Sort::Read, client.txn(Txn::new().and_then(asked))).await?;
            answers = answer.op_responses().into_iter();
        }
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
        let mut client = self.client.kv_client();
        let answer =
            match self.call(Sort::Commit, client.txn(Txn::new().when(compares).and_then(writes))).await {
                // A lease that ended: what goes with it can't be put.
                Err(StoreError::Failed { cause, .. }) if cause.contains("lease not found") => {
                    return Ok(Commit::Conflict);
                }
                other => other?,
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

    async fn watch(&self, range: &Range) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(Polling::new(Arc::new(self.clone()), range.clone())))
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        let seconds = i64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
        let mut client = self.client.lease_client();
        let granted = self.call(Sort::Read, client.grant(seconds, None)).await?;
        Ok(Lease(granted.id()))
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        let mut client = self.client.lease_client();
        let kept = async {
            let (mut keeper, mut answers) = client.keep_alive(lease.0).await?;
            keeper.keep_alive().await?;
            Ok(answers.message().await?.is_some_and(|answer| answer.ttl() > 0))
        };
        match self.call(Sort::Read, kept).await {
            // That is how the client tells of a lease that ended.
            Err(StoreError::Failed { cause, .. }) if cause.contains("lease") => Ok(false),
            other => other,
        }
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        let mut client = self.client.lease_client();
        match self.call(Sort::Read, client.revoke(lease.0)).await {
            Err(StoreError::Failed { cause, .. }) if cause.contains("lease not found") => Ok(()),
            other => other.map(drop),
        }
    }
}
