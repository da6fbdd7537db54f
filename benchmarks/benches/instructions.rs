//! Instructions of both directions, counted by valgrind: equal on every run, so that small changes
//! show.
//!
//! Needs `valgrind` and the `gungraun-runner` of the same version as the crate.

#![allow(missing_docs)]

use std::env;

fn main() {
    // With an argument it is the process under valgrind, in an empty environment.
    let is_counted = env::args().any(|argument| argument == "--gungraun-run");
    let missing = ["valgrind", "gungraun-runner"]
        .into_iter()
        .find(|program| !is_on_path(program));
    match missing {
        Some(program) if !is_counted => {
            println!("skipped: there is no {program} on the path");
            println!("(the runner: cargo install gungraun-runner --version 0.20.0)");
        }
        _ => counted::run(),
    }
}

fn is_on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// In a module, because the macro defines a `main`.
#[allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark may panic; the generated `main` exits"
)]
mod counted {
    use std::hint::black_box;

    use benchmarks::corpus::{self, ORDER, REPORT, Sample};
    use gungraun::{library_benchmark, library_benchmark_group};
    use transcoder::Schema;

    /// Prepared outside of the count.
    pub(super) struct Ready {
        schema: Schema,
        sample: &'static Sample,
        wire: Vec<u8>,
        json: Vec<u8>,
    }

    /// Grown buffers, as a server reuses them.
    fn ready(sample: &'static Sample) -> Ready {
        let schema = corpus::schema().unwrap();
        let (mut wire, mut json) = (Vec::new(), Vec::new());
        let found = sample.route(&schema).unwrap();
        found
            .encode_request(None, sample.json.as_bytes(), &mut wire)
            .unwrap();
        found.route().write_response(&wire, &mut json).unwrap();
        json.clear();
        Ready {
            schema,
            sample,
            wire,
            json,
        }
    }

    fn ready_to_read(sample: &'static Sample) -> Ready {
        let mut ready = ready(sample);
        ready.wire.clear();
        ready
    }

    #[library_benchmark]
    #[bench::order(args = (&ORDER,), setup = ready_to_read)]
    #[bench::report(args = (&REPORT,), setup = ready_to_read)]
    fn json_to_wire(mut ready: Ready) -> Ready {
        let found = ready.sample.route(&ready.schema).unwrap();
        found
            .encode_request(
                None,
                black_box(ready.sample.json.as_bytes()),
                &mut ready.wire,
            )
            .unwrap();
        ready
    }

    #[library_benchmark]
    #[bench::order(args = (&ORDER,), setup = ready)]
    #[bench::report(args = (&REPORT,), setup = ready)]
    fn wire_to_json(mut ready: Ready) -> Ready {
        let found = ready.sample.route(&ready.schema).unwrap();
        found
            .route()
            .write_response(black_box(&ready.wire), &mut ready.json)
            .unwrap();
        ready
    }

    library_benchmark_group!(
        name = transcoder_group,
        benchmarks = [json_to_wire, wire_to_json]
    );

    gungraun::main!(library_benchmark_groups = transcoder_group);

    pub(super) fn run() {
        main();
    }
}
