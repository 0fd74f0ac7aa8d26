//! The metrics of the embedded API: requests by method, resource and status, their duration, the number of objects, the
//! faults.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::fault::FaultKind;
use crate::http::reply::Reply;
use crate::metrics_server::open_metrics;
use crate::schema::Kind;
use crate::state::State;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    resource: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    fault: String,
}

/// The metrics and their registry.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<MethodLabels, Histogram, fn() -> Histogram>,
    objects: Family<KindLabels, Gauge<i64>>,
    faults: Family<FaultLabels, Counter>,
    in_flight: Gauge<i64>,
    logins_refused: Counter<u64, AtomicU64>,
}

/// A request in progress. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge<i64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("midonet_api");
        let requests = Family::default();
        let durations: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.5, 12)));
        let objects = Family::default();
        let faults = Family::default();
        let in_flight = Gauge::default();
        let logins_refused = Counter::default();
        registry.register("requests", "Requests by method, resource and status", requests.clone());
        registry.register("request_duration_seconds", "Durations of requests", durations.clone());
        registry.register("objects", "Objects in the state", objects.clone());
        registry.register("faults", "Requests that a fault struck", faults.clone());
        registry.register("requests_in_flight", "Requests in progress", in_flight.clone());
        registry.register("logins_refused", "Refused logins", logins_refused.clone());
        Metrics { registry, requests, durations, objects, faults, in_flight, logins_refused }
    }
}

impl Metrics {
    /// Counts a request as in progress until the returned value is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn end(&self, method: &str, path: &str, status: u16, took: Duration) {
        let method = known_method(method).to_owned();
        let labels = RequestLabels { method: method.clone(), resource: resource(path).to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&MethodLabels { method }).observe(took.as_secs_f64());
    }

    pub(crate) fn fault(&self, fault: FaultKind) {
        self.faults.get_or_create(&FaultLabels { fault: format!("{fault:?}") }).inc();
    }

    pub(crate) fn login_refused(&self) {
        self.logins_refused.inc();
    }

    /// Returns all metrics in the OpenMetrics format, with the number of objects in `state`.
    pub(crate) fn reply(&self, state: &State) -> Reply {
        for kind in Kind::ALL {
            let count = i64::try_from(state.count(kind)).unwrap_or(i64::MAX);
            self.objects.get_or_create(&KindLabels { kind: kind.class().to_owned() }).set(count);
        }
        open_metrics(&self.registry)
    }
}

/// Returns the method's label. Unknown methods share one label, so that a client can't fill the memory with invented
/// names.
fn known_method(method: &str) -> &str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    if KNOWN.contains(&method) { method } else { "other" }
}

fn resource(path: &str) -> &'static str {
    let first = path.split('/').find(|segment| !segment.is_empty());
    match first {
        None => "root",
        Some("login") => "login",
        Some("tenants") => "tenants",
        Some("system_state") => "system_state",
        Some(first) => Kind::ALL.into_iter().map(Kind::path).find(|known| *known == first).unwrap_or("other"),
    }
}
