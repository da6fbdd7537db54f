//! Both directions of both messages, repeatedly, for work on the hot paths and for profilers
//! (`cargo bench -p benchmarks --bench profile -- --profile-time 10 order`).

#![allow(missing_docs, clippy::unwrap_used)]

use benchmarks::corpus;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn transcoder(criterion: &mut Criterion) {
    let schema = corpus::schema().unwrap();
    let mut group = criterion.benchmark_group("transcoder");
    for sample in corpus::SAMPLES {
        let found = sample.route(&schema).unwrap();
        let json = sample.json.as_bytes();
        group.throughput(Throughput::Bytes(json.len() as u64));
        let (mut wire, mut out) = (Vec::new(), Vec::new());
        group.bench_function(BenchmarkId::new("json_to_wire", sample.name), |bencher| {
            bencher.iter(|| {
                wire.clear();
                found.encode_request(None, json, &mut wire).unwrap();
            });
        });
        wire.clear();
        found.encode_request(None, json, &mut wire).unwrap();
        group.bench_function(BenchmarkId::new("wire_to_json", sample.name), |bencher| {
            bencher.iter(|| {
                out.clear();
                found.route().write_response(&wire, &mut out).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, transcoder);
criterion_main!(benches);
