//! Files to a rendered JSON plan, in memory. `scripts/measure.sh` measures the whole process.
#![allow(missing_docs, reason = "criterion's macros make the items")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use midoform_compiler::plan::canonical;
use midoform_compiler::source::Source;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::{Allocated, Input, compile};

fn fleet(count: usize) -> (Source, Vec<Source>) {
    let site = "name = \"fleet\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/12\"\nbridges = \"10.0.0.0/8\"\n";
    let tenant = |number: usize| {
        let text = format!(
            "name = \"tenant-{number:05}\"\n\n[[bridge]]\nname = \"web\"\n\n[[bridge]]\nname = \"db\"\n"
        );
        Source::new(format!("tenants/tenant-{number:05}.toml"), text)
    };
    (Source::new("site.toml", site), (0..count).map(tenant).collect())
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("files to JSON plan");
    group.sample_size(10);
    for count in [1, 250, 1000, 10_000] {
        let (site, tenants) = fleet(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("tenants of two bridges", count), &count, |bencher, _| {
            bencher.iter(|| {
                let Ok(compiled) =
                    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants })
                else {
                    return;
                };
                let plan = compiled.plan(&compiled.topology, &Observed::default());
                let _ = canonical::write(&plan, std::io::sink());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
