//! Takes a plan's steps: as many at a time as its dependencies and the limit allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use midoform_compiler::midonet::dialect::{Dialect, confirmation};
use midoform_compiler::plan::{Action, Call, Method, Plan, Step};
use midoform_compiler::topology::key::Key;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::client::{Client, ClientError, Done, Request};
use crate::concurrency::Concurrency;
use crate::event::Event;

/// How an execution goes.
#[derive(Clone, Default)]
pub struct Control {
    stopped: Arc<OnceLock<&'static str>>,
}

impl Control {
    /// Lets the calls in flight end, and begins no other step, for this reason.
    pub fn stop(&self, why: &'static str) {
        // Whoever was first said why.
        let _ = self.stopped.set(why);
    }

    /// Why it was asked to stop, if it was.
    pub fn why(&self) -> Option<&'static str> {
        self.stopped.get().copied()
    }
}

/// What an execution did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many steps were done, by action.
    pub done: BTreeMap<Action, usize>,
    /// How many steps were not begun.
    pub left: usize,
    /// The ids that the server chose.
    pub ids: BTreeMap<Key, Uuid>,
    /// The step that failed, if one did.
    pub failure: Option<StepError>,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action:?} of {key} failed: {source}")]
pub struct StepError {
    /// The object.
    pub key: Key,
    /// What should have happened to it.
    pub action: Action,
    /// Why not.
    pub source: ClientError,
}

/// The ids that are known by now, for `${KEY}` in later calls.
type Bindings = Arc<Mutex<BTreeMap<String, String>>>;

/// Carries a plan out. The first failure stops it: steps under way end, no other begins.
pub async fn execute(
    client: &Client,
    plan: &Plan,
    parallel: usize,
    control: &Control,
    events: &(dyn Fn(Event) + Sync),
) -> Outcome {
    let steps: Vec<Arc<Step>> = plan.changes().map(|step| Arc::new(step.clone())).collect();
    let mut graph = Graph::new(&steps);
    let bindings: Bindings = Arc::default();
    let mut outcome = Outcome::default();
    let mut limit = Concurrency::new(parallel);
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.len() < limit.limit() && outcome.failure.is_none() && control.why().is_none() {
            let Some((at, step)) = graph.next_ready().and_then(|at| Some((at, steps.get(at)?.clone())))
            else {
                break;
            };
            events(Event::Started { key: step.key.clone(), action: step.action });
            let (client, bindings) = (client.clone(), bindings.clone());
            let dialect = plan.dialect;
            tasks.spawn(async move {
                let (started, before) = (Instant::now(), client.statistics().counts().turned_away);
                let result = take(&client, dialect, &step, &bindings).await;
                let calls = u32::try_from(step.calls.len().max(1)).unwrap_or(1);
                let turned_away = client.statistics().counts().turned_away > before;
                (at, result, started.elapsed() / calls, turned_away)
            });
        }
        let Some(result) = tasks.join_next().await else { break };
        let Ok((at, result, took, turned_away)) = result else { continue };
        limit.ended(took, turned_away);
        let Some(step) = steps.get(at) else { continue };
        match result {
            Ok(()) => {
                graph.done(at);
                *outcome.done.entry(step.action).or_default() += 1;
                events(Event::Done { key: step.key.clone(), action: step.action });
            }
            Err(source) => {
                let (key, action) = (step.key.clone(), step.action);
                events(Event::Failed { key: key.clone(), action, error: source.to_string() });
                outcome.failure.get_or_insert(StepError { key, action, source });
            }
        }
    }
    outcome.left = steps.len() - outcome.done.values().sum::<usize>();
    let ids = bindings.lock().await;
    outcome.ids =
        ids.iter().filter_map(|(key, id)| Some((Key::from(key.as_str()), id.parse().ok()?))).collect();
    outcome
}

/// Which steps wait for which.
struct Graph {
    /// By step: how many it still waits for.
    waits: Vec<usize>,
    /// By step: who waits for it.
    waiters: Vec<Vec<usize>>,
    ready: BTreeSet<usize>,
}

impl Graph {
    fn new(steps: &[Arc<Step>]) -> Self {
        let mut by_key: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        let mut graph = Graph {
            waits: vec![0; steps.len()],
            waiters: vec![Vec::new(); steps.len()],
            ready: BTreeSet::new(),
        };
        for (at, step) in steps.iter().enumerate() {
            let needed = step.needs.iter().chain([&step.key]).filter_map(|key| by_key.get(key)).flatten();
            let needed: BTreeSet<usize> = needed.copied().collect();
            if let Some(waits) = graph.waits.get_mut(at) {
                *waits = needed.len();
            }
            if needed.is_empty() {
                graph.ready.insert(at);
            }
            for before in needed {
                if let Some(waiters) = graph.waiters.get_mut(before) {
                    waiters.push(at);
                }
            }
            by_key.entry(&step.key).or_default().push(at);
        }
        graph
    }

    /// The first step that waits for nothing.
    fn next_ready(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    fn done(&mut self, at: usize) {
        for waiter in self.waiters.get(at).cloned().unwrap_or_default() {
            if let Some(waits) = self.waits.get_mut(waiter) {
                *waits -= 1;
                if *waits == 0 {
                    self.ready.insert(waiter);
                }
            }
        }
    }
}

async fn take(
    client: &Client,
    dialect: Dialect,
    step: &Step,
    bindings: &Bindings,
) -> Result<(), ClientError> {
    for call in &step.calls {
        make(client, dialect, step, call, bindings).await?;
    }
    Ok(())
}

async fn make(
    client: &Client,
    dialect: Dialect,
    step: &Step,
    call: &Call,
    bindings: &Bindings,
) -> Result<(), ClientError> {
    let (path, body) = {
        let bindings = bindings.lock().await;
        let body = call.body.as_ref().map(|body| substitute(body.get(), &bindings));
        (substitute(&call.path, &bindings), body)
    };
    let confirmation = match (call.method, &body) {
        (Method::Post, Some(body)) => confirmation(dialect, step.kind, &path, body),
        _ => None,
    };
    let (content_type, accept) = (call.content_type.as_deref(), call.accept.as_deref());
    let request = Request { path: &path, content_type, accept, body, confirmation };
    // What was confirmed has the id that was offered.
    let Done::Answered(answer) = client.call(call.method, request).await? else { return Ok(()) };
    if call.method != Method::Post {
        return Ok(());
    }
    let id = answer.location.as_deref().and_then(|location| location.rsplit('/').next()).unwrap_or_default();
    if call.binds {
        if Uuid::try_parse(id).is_err() {
            let cause = format!("`Location` says no id: {:?}", answer.location);
            let url = format!("{}{path}", client.base_url());
            return Err(ClientError::Nonsense { method: "POST", url, cause });
        }
        bindings.lock().await.insert(step.key.to_string(), id.to_owned());
    }
    Ok(())
}

/// Puts the ids that are known by now in the place of `${KEY}`.
fn substitute(text: &str, bindings: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let found = behind.split_once('}').and_then(|(key, after)| Some((bindings.get(key)?, after)));
        result.push_str(before);
        match found {
            Some((id, after)) => {
                result.push_str(id);
                rest = after;
            }
            None => {
                result.push_str("${");
                rest = behind;
            }
        }
    }
    result.push_str(rest);
    result
}
