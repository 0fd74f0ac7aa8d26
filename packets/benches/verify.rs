//! Proofs about many tenants, and one trace.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make the items; a benchmark that can't go on has failed"
)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use midoform_compiler::source::Source;
use midoform_compiler::{Allocated, Compiled, Input, compile};
use midoform_packets::trace::{Endpoint, TraceNetwork};
use midoform_packets::verify::{Subject, check_all, compare};

const RULES: &str = "\n[[rule]]\nname = \"web-to-db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n\n[[rule]]\nname = \"nothing-else-to-db\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";

fn fleet(count: usize, rules: &str) -> Compiled {
    let site = "name = \"fleet\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/12\"\nbridges = \"10.0.0.0/8\"\n";
    let tenant = |number: usize| {
        let text = format!(
            "name = \"tenant-{number:05}\"\n\n[[bridge]]\nname = \"web\"\n\n[[bridge]]\nname = \"db\"\n{rules}"
        );
        Source::new(format!("tenants/tenant-{number:05}.toml"), text)
    };
    let tenants: Vec<Source> = (0..count).map(tenant).collect();
    compile(Input { site: &Source::new("site.toml", site), allocated: Allocated::Nothing, tenants: &tenants })
        .unwrap()
}

/// Runs all checks of all tenants, on two threads.
fn verify(compiled: &Compiled) {
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let subject = Subject { topology: &compiled.topology, tenants: &compiled.tenants, links: &links };
    assert!(check_all(subject, 2, &|_| ()).violations.is_empty());
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    group.sample_size(10);
    for count in [1000, 10_000] {
        let compiled = fleet(count, RULES);
        group.bench_with_input(
            BenchmarkId::new("all questions, tenants", count),
            &compiled,
            |bencher, compiled| {
                bencher.iter(|| verify(compiled));
            },
        );
    }
    let (before, after) = (fleet(250, ""), fleet(250, RULES));
    group.bench_function("what a change in 250 tenants opens", |bencher| {
        bencher.iter(|| compare(&before.topology, &after.topology));
    });
    let compiled = fleet(1000, RULES);
    let bridge = "tenant-00500/bridge/web";
    let pods = compiled.tenants.iter().find(|tenant| &*tenant.name == "tenant-00500").unwrap();
    let address = pods.bridges[0].cidr.hosts().next().unwrap();
    let mut network = TraceNetwork::new(&compiled.topology);
    let from = network.attach(&Endpoint::Pod(bridge.into(), address)).unwrap();
    let packet = network.packet(&from, address, [8, 8, 8, 8].into(), (6, 40_000, 443));
    group.bench_function("one trace with its answer among 1000 tenants", |bencher| {
        bencher.iter(|| network.trace(&from, packet));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
