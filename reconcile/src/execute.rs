//! Executes the steps of a plan: as many at a time as its dependencies and the limit allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use midoform_compiler::midonet::dialect::{Dialect, confirmation, created, written_ports};
use midoform_compiler::plan::placeholder::{self, Part};
use midoform_compiler::plan::{Action, HttpCall, Method, Plan, Step};
use midoform_compiler::topology::key::Key;
use midoform_store::locks::Tenure;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::{self, JoinSet};
use uuid::Uuid;

use crate::client::{Client, ClientError, Done, Request};
use crate::concurrency::Concurrency;
use crate::event::Event;

/// The reason why an execution stops before the end of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An operator interrupted it.
    Interrupted,
    /// Its time limit is over.
    Deadline,
    /// The lock on the tenants was lost: another run may be changing them.
    LockLost,
    /// The network differed from the plan's result between two batches.
    Drift,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Stop::Interrupted => "interrupted",
            Stop::Deadline => "the deadline has passed",
            Stop::LockLost => "the lock on the tenants was lost",
            Stop::Drift => "paused: the network differs from the plan",
        })
    }
}

/// Stops an execution. The execution shares it with the tasks that may stop it.
#[derive(Clone, Default)]
pub struct Control {
    stopped: Arc<OnceLock<Stop>>,
    /// The lock whose loss stops the execution as well.
    tenure: Option<Tenure>,
}

impl Control {
    /// Returns this control, which the loss of a lock stops as well.
    pub(crate) fn under(&self, tenure: Tenure) -> Control {
        Control { stopped: self.stopped.clone(), tenure: Some(tenure) }
    }

    /// Stops the execution: calls in progress end, and no other step begins. The first reason is kept.
    pub fn stop(&self, reason: Stop) {
        let _ = self.stopped.set(reason);
    }

    /// Returns the reason why the execution must stop, if there is one.
    pub fn reason(&self) -> Option<Stop> {
        if self.tenure.as_ref().is_some_and(|tenure| !tenure.is_current()) {
            self.stop(Stop::LockLost);
        }
        self.stopped.get().copied()
    }
}

/// The result of an execution.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The number of steps that succeeded, by action.
    pub done: BTreeMap<Action, usize>,
    /// The steps that succeeded, in the order in which they ended.
    pub steps: Vec<(Key, Action)>,
    /// The number of steps that did not succeed.
    pub left: usize,
    /// The ids of the created objects.
    pub ids: BTreeMap<Key, Uuid>,
    /// The step that failed, if one did.
    pub failure: Option<StepError>,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{key} could not be {}", participle(*.action))]
pub struct StepError {
    /// The object.
    pub key: Key,
    /// The action that failed.
    pub action: Action,
    /// The error of the call.
    pub source: ClientError,
}

fn participle(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::Keep => "kept",
    }
}

/// The ids of created objects.
#[derive(Default)]
struct Created {
    /// The ids that are known so far, for `${KEY}` in later calls.
    by_key: BTreeMap<Key, Uuid>,
    /// The ids that no new object can have: those of objects that existed before, and of objects that were created since.
    taken: BTreeSet<Uuid>,
}

impl Created {
    /// Takes the id of a new object. Returns false if another object has it.
    fn take(&mut self, key: &Key, id: Uuid) -> bool {
        let is_new = self.taken.insert(id);
        if is_new {
            self.by_key.insert(key.clone(), id);
        }
        is_new
    }
}

type Bindings = Arc<Mutex<Created>>;

/// Executes a plan. The first failure stops it: steps in progress end, and no other step begins. `there` has the ids of the
/// objects that exist already.
pub(crate) async fn execute(
    client: &Client,
    plan: &Plan,
    there: &BTreeSet<Uuid>,
    parallel: usize,
    control: &Control,
    events: &(dyn Fn(Event) + Sync),
) -> Outcome {
    let dialect = client.dialect();
    let steps: Vec<Arc<Step>> = plan.changes().map(|step| Arc::new(step.clone())).collect();
    let mut graph = Graph::new(&steps, dialect);
    let bindings: Bindings = Arc::new(Mutex::new(Created { taken: there.clone(), ..Created::default() }));
    let mut outcome = Outcome::default();
    let mut limit = Concurrency::new(parallel);
    let mut running = Running::default();
    loop {
        while running.len() < limit.limit() && outcome.failure.is_none() && control.reason().is_none() {
            let Some((at, step)) = graph.next_ready().and_then(|at| Some((at, steps.get(at)?.clone())))
            else {
                break;
            };
            events(Event::Started { key: step.key.clone(), action: step.action });
            let (client, bindings) = (client.clone(), bindings.clone());
            running.begin(at, async move {
                let (started, before) = (Instant::now(), client.statistics().counts().turned_away);
                let result = take(&client, dialect, &step, &bindings).await;
                let calls = u32::try_from(step.calls.len().max(1)).unwrap_or(1);
                let turned_away = client.statistics().counts().turned_away > before;
                (result, started.elapsed() / calls, turned_away)
            });
        }
        let Some((at, ended)) = running.next().await else { break };
        graph.ended(at);
        let result = ended.and_then(|(result, took, turned_away)| {
            limit.ended(took, turned_away);
            result
        });
        let Some(step) = steps.get(at) else { continue };
        match result {
            // No other step begins; the calls in progress end.
            Err(ClientError::LockLost { .. }) => control.stop(Stop::LockLost),
            Ok(()) => {
                graph.done(at);
                *outcome.done.entry(step.action).or_default() += 1;
                outcome.steps.push((step.key.clone(), step.action));
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
    outcome.ids = std::mem::take(&mut bindings.lock().await.by_key);
    outcome
}

/// The steps in progress, each in a task of its own.
struct Running<T> {
    tasks: JoinSet<T>,
    /// The step of each task, by its position in the plan.
    steps: BTreeMap<task::Id, usize>,
}

impl<T> Default for Running<T> {
    fn default() -> Self {
        Running { tasks: JoinSet::new(), steps: BTreeMap::new() }
    }
}

impl<T: Send + 'static> Running<T> {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Begins a step.
    fn begin(&mut self, at: usize, work: impl Future<Output = T> + Send + 'static) {
        let task = self.tasks.spawn(work);
        self.steps.insert(task.id(), at);
    }

    /// Waits until a step ends. If its task ends without a result, the step failed.
    async fn next(&mut self) -> Option<(usize, Result<T, ClientError>)> {
        loop {
            let (task, result) = match self.tasks.join_next_with_id().await? {
                Ok((task, result)) => (task, Ok(result)),
                Err(error) => (error.id(), Err(ClientError::Defect(error.to_string()))),
            };
            if let Some(at) = self.steps.remove(&task) {
                return Some((at, result));
            }
        }
    }
}

/// The order of the steps: each waits for others.
struct Graph {
    /// By step: the number of steps that it still waits for.
    waits: Vec<usize>,
    /// By step: the steps that wait for it.
    waiters: Vec<Vec<usize>>,
    ready: BTreeSet<usize>,
    /// By step, the ports that it writes to, where only one call at a time may do so.
    ports: Vec<Vec<String>>,
    /// The ports that the steps in progress write to.
    busy: BTreeSet<String>,
}

impl Graph {
    fn new(steps: &[Arc<Step>], dialect: Dialect) -> Self {
        let mut by_key: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        let mut graph = Graph {
            waits: vec![0; steps.len()],
            waiters: vec![Vec::new(); steps.len()],
            ready: BTreeSet::new(),
            ports: Vec::new(),
            busy: BTreeSet::new(),
        };
        if dialect == Dialect::V1 {
            let ports = |step: &Arc<Step>| step.http_calls().flat_map(written_ports).collect();
            graph.ports = steps.iter().map(ports).collect();
        }
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

    /// Takes the first step that waits for no other, and that writes to no port that a step in progress writes to.
    fn next_ready(&mut self) -> Option<usize> {
        let is_free = |at: &&usize| {
            let mut ports = self.ports.get(**at).into_iter().flatten();
            ports.all(|port| !self.busy.contains(port))
        };
        let at = self.ready.iter().find(is_free).copied()?;
        self.ready.remove(&at);
        self.busy.extend(self.ports.get(at).into_iter().flatten().cloned());
        Some(at)
    }

    /// Frees the ports of a step that ended.
    fn ended(&mut self, at: usize) {
        for port in self.ports.get(at).into_iter().flatten() {
            self.busy.remove(port);
        }
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

/// Makes the calls of a step.
async fn take(
    client: &Client,
    dialect: Dialect,
    step: &Step,
    bindings: &Bindings,
) -> Result<(), ClientError> {
    for call in step.http_calls() {
        make(client, dialect, step, call, bindings).await?;
    }
    if let Some(id) = offered_id(step) {
        bindings.lock().await.by_key.insert(step.key.clone(), id);
    }
    Ok(())
}

/// Returns the id that a step offers for the object that it creates.
fn offered_id(step: &Step) -> Option<Uuid> {
    #[derive(serde::Deserialize)]
    struct Offered {
        id: Option<Uuid>,
    }
    let call = step.http_calls().find(|call| call.method == Method::Post && !call.binds)?;
    serde_json::from_str::<Offered>(call.body.as_ref()?.get()).ok()?.id
}

async fn make(
    client: &Client,
    dialect: Dialect,
    step: &Step,
    call: &HttpCall,
    bindings: &Bindings,
) -> Result<(), ClientError> {
    let (path, body) = {
        let bindings = bindings.lock().await;
        let body = call.body.as_ref().map(|body| substitute(body.get(), &bindings.by_key));
        (substitute(&call.path, &bindings.by_key), body)
    };
    let (confirmation, created) = match (call.method, &body) {
        (Method::Post, Some(body)) => {
            (confirmation(dialect, step.kind, &path, body), created(dialect, step.kind, &path, body))
        }
        _ => (None, None),
    };
    let (content_type, accept) = (call.content_type.as_deref(), call.accept.as_deref());
    let body = match body {
        Some(fields) if call.merges => Some(merged(client, &path, accept.or(content_type), &fields).await?),
        other => other,
    };
    let request = Request { path: &path, content_type, accept, body, confirmation, created };
    // A confirmed object has the offered id.
    let Done::Answered(answer) = client.call(call.method, request).await? else { return Ok(()) };
    if call.method != Method::Post {
        return Ok(());
    }
    // The client checked that the location ends with an id.
    let location = answer.location.as_deref().map(|location| location.trim_end_matches('/'));
    let last = location.and_then(|location| location.rsplit('/').next()).filter(|_| call.binds);
    match last.and_then(|id| Uuid::try_parse(id).ok()) {
        Some(id) if !bindings.lock().await.take(&step.key, id) => Err(answer
            .unexpected(&format!("201 with the Location of a new object, and {id} is another object's"))),
        _ => Ok(()),
    }
}

/// Reads an object, and returns it with these fields set. A PUT of the fields alone would clear all others.
async fn merged(
    client: &Client,
    path: &str,
    media_type: Option<&str>,
    fields: &str,
) -> Result<String, ClientError> {
    let answer = client.get(path, media_type.unwrap_or_default()).await?;
    let mut object: serde_json::Map<String, Value> = answer.json()?;
    let fields: serde_json::Map<String, Value> =
        serde_json::from_str(fields).map_err(|error| ClientError::Setup(format!("{path}: {error}")))?;
    object.extend(fields);
    Ok(Value::Object(object).to_string())
}

/// Replaces each placeholder with its id, if that is known.
fn substitute(text: &str, bindings: &BTreeMap<Key, Uuid>) -> String {
    let mut result = String::with_capacity(text.len());
    for part in placeholder::parts(text, |key| bindings.get(key)) {
        match part {
            Part::Text(text) => result.push_str(text),
            Part::Value(id) => result.push_str(&id.to_string()),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_fails_its_step() {
        let mut running: Running<u8> = Running::default();
        running.begin(3, async { panic!("a defect") });
        let (at, result) = running.next().await.unwrap();
        let error = result.unwrap_err();
        assert_eq!(at, 3);
        assert!(matches!(&error, ClientError::Defect(text) if text.contains("a defect")), "{error}");
        assert!(error.is_uncertain(), "its call may have happened");
        running.begin(4, async { 7 });
        assert!(matches!(running.next().await, Some((4, Ok(7)))));
        assert!(running.next().await.is_none());
    }
}
