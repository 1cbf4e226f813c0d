//! Peers as the program has them: in processes of their own, with errors that say who and why. No
//! library of the system is needed.

use std::path::Path;
use std::process::{Command, Output};

use trine_bench::bench::Report;
use trine_bench::worker::Worker;
use trine_core::Shape;
use trine_kernels::{Isa, Op};

const SHAPE: Shape = Shape { n: 5, d: 9, m: 7 };

fn trine(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    command.args(arguments).env_remove("TRINE_ISA").env_remove("TRINE_THREADS");
    command
}

fn bench(peers: &str, more: &[&str]) -> Output {
    let mut command = trine(&["bench", "--shape", "5x9x7", "--time", "0", "--peers", peers]);
    command.args(more).output().expect("the program runs")
}

fn error_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn worker() -> Worker {
    let command = trine(&["worker", "--peer", "matrixmultiply", "--dtype", "f32"]);
    Worker::launch("someone", command, 1).expect("a worker")
}

#[test]
fn peers_without_a_library_take_part() {
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers.json");
    let peers =
        if cfg!(feature = "faer") { "naive,gemm,matrixmultiply,faer" } else { "naive,gemm,matrixmultiply" };
    let output = bench(peers, &["--dtype", "f32,f64", "--json", json.to_str().expect("a plain name")]);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(json).expect("a report");
    let report: Report = serde_json::from_str(&text).expect("a report");
    assert_eq!(report.rows.len(), 2 * 5);
    for row in &report.rows {
        assert_eq!(row.absent, []);
        let names: Vec<_> = row.timings.iter().map(|timing| timing.name.as_str()).collect();
        assert_eq!(names[0], "trine");
        assert_eq!(names[1..], peers.split(',').collect::<Vec<_>>());
        assert!(row.timings.iter().all(|timing| timing.seconds.median > 0.0 && timing.seconds.samples >= 3));
    }
    let table = String::from_utf8_lossy(&output.stdout);
    for peer in peers.split(',') {
        let means =
            table.lines().filter(|line| line.contains(&format!(" {peer} ")) && line.contains("lowest"));
        assert_eq!(means.count(), 2 * 5, "{table}");
    }
}

#[cfg(not(feature = "faer"))]
#[test]
fn a_peer_that_was_left_out_says_how_to_get_it() {
    let error = error_of(&bench("faer", &[]));
    assert!(error.contains("--features faer"), "{error}");
}

#[test]
fn a_library_that_cannot_be_used_is_named() {
    let output = bench("gemm,cblas=/no/such/libx.so:mine", &[]);
    let error = error_of(&output);
    assert!(error.starts_with("trine: peer mine: /no/such/libx.so: cannot be opened: "), "{error}");
    assert!(output.stdout.is_empty(), "found out before anything is measured: {output:?}");
}

#[test]
fn names_that_meet_are_refused() {
    let error = error_of(&bench("cblas=/a/libx.so,cblas=/b/libx.so", &[]));
    assert!(error.contains("`x`"), "{error}");
    let unknown = bench("gemm,eigen", &[]);
    assert_eq!(unknown.status.code(), Some(2), "a wrong command line");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("cblas=PATH:NAME"));
}

#[test]
fn a_worker_takes_samples_of_what_is_prepared() {
    let mut worker = worker();
    for op in [Op::Forward, Op::Step] {
        worker.prepare(op, false, SHAPE, Isa::best()).expect("an answer").expect("right results");
        for _ in 0..2 {
            assert!(worker.sample().expect("a sample") > 0.0);
        }
    }
}

#[test]
fn a_sample_of_nothing_is_an_error() {
    let error = worker().sample().expect_err("nothing is prepared");
    assert_eq!(error.to_string(), "peer someone: a sample of nothing");
}

#[test]
fn a_process_that_ends_is_told() {
    let mut worker = worker();
    worker.prepare(Op::Forward, false, SHAPE, Isa::best()).expect("an answer").expect("right results");
    worker.stop();
    for error in [worker.sample().err(), worker.prepare(Op::Forward, false, SHAPE, Isa::best()).err()] {
        let error = error.expect("nobody is there").to_string();
        assert!(error.starts_with("peer someone: its process has ended before it answered ("), "{error}");
    }
}

#[test]
fn a_process_that_does_not_begin_is_told() {
    let launch = |arguments: &[&str]| Worker::launch("someone", trine(arguments), 1).expect_err("no worker");
    let ended = launch(&["worker", "--peer", "nobody"]).to_string();
    assert!(ended.starts_with("peer someone: its process has ended before it answered ("), "{ended}");
    let strange = launch(&["plan", "1", "2", "3"]).to_string();
    assert!(strange.contains("which is no answer"), "{strange}");
}
