//! The metrics of `midoform drift --watch --metrics`, for Prometheus.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use midoform_compiler::names::TenantName;
use midoform_simulator::{ListenError, MetricsServer, start_metrics};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::drift_report::{DIFFERENCES, Difference};

/// One label: its name and its value.
type Label = [(&'static str, String); 1];

/// The result of the last comparison, and the number of comparisons.
#[derive(Default)]
pub(crate) struct DriftMetrics {
    objects: Family<Label, Gauge>,
    tenant_objects: Family<Label, Gauge>,
    foreign: Gauge,
    looks: Counter,
    failures: Counter,
    last_look: Gauge,
    /// The tenants that have a value.
    tenants: Vec<TenantName>,
}

impl DriftMetrics {
    /// Starts a server for the metrics at an address.
    pub(crate) async fn serve(&self, address: SocketAddr) -> Result<MetricsServer, ListenError> {
        let mut registry = Registry::with_prefix("midoform");
        let differing = "Objects that differ from the spec";
        registry.register("drift_objects", differing, self.objects.clone());
        let of_tenant = "Objects of a tenant that differ from its spec";
        registry.register("drift_tenant_objects", of_tenant, self.tenant_objects.clone());
        let foreign = "Objects in the reach of a tenant that midoform did not create";
        registry.register("foreign_objects", foreign, self.foreign.clone());
        let looks = "Comparisons of the spec with the network";
        registry.register("drift_looks", looks, self.looks.clone());
        registry.register("drift_failures", "Comparisons that failed", self.failures.clone());
        let last = "Time of the last comparison, in Unix time";
        registry.register("drift_last_look_seconds", last, self.last_look.clone());
        self.set_differences(&[]);
        start_metrics(address, Arc::new(registry)).await
    }

    /// Takes over the result of a comparison.
    pub(crate) fn found(
        &mut self,
        differences: &[Difference],
        tenants: &BTreeMap<TenantName, u64>,
        foreign: usize,
    ) {
        self.looked();
        self.set_differences(differences);
        for gone in self.tenants.iter().filter(|tenant| !tenants.contains_key(*tenant)) {
            self.tenant_objects.remove(&[("tenant", gone.to_string())]);
        }
        for (tenant, count) in tenants {
            self.tenant_objects.get_or_create(&[("tenant", tenant.to_string())]).set(number(*count));
        }
        self.tenants = tenants.keys().cloned().collect();
        self.foreign.set(number(foreign));
    }

    /// Counts a comparison that failed. The last result stays.
    pub(crate) fn failed(&self) {
        self.looked();
        self.failures.inc();
    }

    fn looked(&self) {
        self.looks.inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last_look.set(now.map_or(0, |now| number(now.as_secs())));
    }

    fn set_differences(&self, differences: &[Difference]) {
        for is in DIFFERENCES {
            let count = differences.iter().filter(|difference| difference.is == is).count();
            self.objects.get_or_create(&[("is", is.to_owned())]).set(number(count));
        }
    }
}

/// Returns a count as the number of a gauge.
fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
