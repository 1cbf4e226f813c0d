//! `trine report`, `trine limits` and `--cold` as they are typed.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use trine_bench::bench::{FORMAT, Report};
use trine_bench::limits::thread_counts;
use trine_kernels::memory::CAN_EVICT;

fn trine(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    command.env_remove("TRINE_ISA").env_remove("TRINE_THREADS");
    command.args(words.split(' ')).output().expect("it can be started")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(words: &str, expected: &str) {
    let Output { status, stderr, .. } = trine(words);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(matches!(status.code(), Some(1 | 2)), "{words}: {status}, {stderr}");
    assert!(stderr.contains(expected) && !stderr.contains("panicked"), "{words}: {stderr}");
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trine-report-{}-{name}", std::process::id()))
}

fn read(path: &PathBuf) -> String {
    let text = std::fs::read_to_string(path).expect("it was written");
    std::fs::remove_file(path).expect("it was written");
    text
}

#[test]
fn a_report_has_every_row_on_the_page_and_in_the_terminal() {
    let (page, json) = (file("page.html"), file("data.json"));
    let peers = "gemm,matrixmultiply";
    let text = stdout(&trine(&format!(
        "report --shape 5x9x7 --shape 8x8x8 --time 0 --cubes 16 --peers {peers} --out {} --json {}",
        page.display(),
        json.display()
    )));
    let (page, report) = (read(&page), Report::read(&read(&json)).expect("a report"));
    assert_eq!(report.format, FORMAT);
    let usual: Vec<_> = report.rows.iter().filter(|row| row.threads == 1).collect();
    // Five operations at two shapes; forward at 4³ and 16³, for 8³ is there; two operations at three shapes.
    let scaled = if report.machine.cores > 1 { 6 } else { 0 };
    assert_eq!(usual.len(), 10 + 2 + scaled);
    for row in &report.rows {
        let bound = row.bound.as_ref().expect("memory was measured");
        assert!(bound.gflops > 0.0 && bound.gflops <= row.peak_gflops && bound.share > 0.0, "{row:?}");
        assert_eq!(row.timings.len(), 3);
        for timing in &row.timings {
            let ([low, high], median) = (timing.interval, timing.seconds.median);
            assert!(low <= median && median <= high, "{timing:?}");
        }
    }
    let limits = report.limits.expect("measured");
    let counts = thread_counts(report.machine.cores).len();
    assert_eq!(limits.peaks.iter().filter(|peak| peak.isa == "portable").count(), 2 * counts);
    assert_eq!(limits.bandwidths.iter().filter(|of| of.level == "memory").count(), counts);
    assert!(report.overheads.len() == 5 && report.overheads.iter().all(|of| of.ways.len() == 4));
    assert!(page.starts_with("<!doctype html>") && page.contains(r#""n":5,"d":9,"m":7"#));
    for title in
        ["of the bound", "Speed over size", "whole step", "One call of a tiny product", "Clock, f32", "gemm"]
    {
        assert!(text.contains(title), "{title}: {text}");
    }
    assert!(
        text.lines().filter(|line| line.starts_with("5×9×7") && line.contains('│')).count() == 5,
        "{text}"
    );
}

#[test]
fn a_page_is_drawn_from_what_bench_wrote() {
    let (page, json) = (file("of-bench.html"), file("of-bench.json"));
    stdout(&trine(&format!("bench --shape 3x4x5 --time 0 --dtype f32,f64 --json {}", json.display())));
    stdout(&trine(&format!("report --from {} --out {}", json.display(), page.display())));
    assert!(read(&page).contains(r#""dtype":"f64""#));
    read(&json);
}

/// The least of many samples, and yet: a machine that is not quiet may have no cold and no warm caches.
#[test]
#[ignore = "takes time by the clock"]
fn cold_caches_are_slower_for_everybody() {
    let json = file("cold.json");
    let run = |more: &str| {
        let peers = "gemm,matrixmultiply";
        let words = format!(
            "bench --shape 64x256x256 --op fwd --time 0.05 --peers {peers}{more} --json {}",
            json.display()
        );
        let output = trine(&words);
        if more.is_empty() || CAN_EVICT {
            stdout(&output);
            return Some(Report::read(&read(&json)).expect("a report").rows.remove(0));
        }
        assert!(String::from_utf8_lossy(&output.stderr).contains("--cold"), "{output:?}");
        None
    };
    let warm = run("").expect("a row");
    let Some(cold) = run(" --cold") else { return };
    assert!(!warm.cold && cold.cold);
    assert_eq!(cold.bound.as_ref().map(|bound| bound.level.as_str()), Some("memory"));
    // The peer in a process of its own is asked for the same.
    let names: Vec<_> = cold.timings.iter().map(|timing| timing.name.as_str()).collect();
    assert_eq!(names, ["trine", "gemm", "matrixmultiply"]);
    if cfg!(target_arch = "x86_64") {
        for (warm, cold) in warm.timings.iter().zip(&cold.timings) {
            // 400 KB from memory in place of the second level; the least of many samples.
            assert!(cold.seconds.min > 1.05 * warm.seconds.min, "{warm:?} {cold:?}");
        }
    }
}

#[test]
fn limits_are_printed_and_written() {
    let json = file("limits.json");
    let text = stdout(&trine(&format!("limits --json {}", json.display())));
    let report = Report::read(&read(&json)).expect("a report");
    assert!(report.rows.is_empty() && report.limits.is_some_and(|limits| !limits.bandwidths.is_empty()));
    assert!(text.contains("portable f32") && text.contains(" L1 (") && text.contains(" memory ("), "{text}");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_measured() {
    let nowhere = "/nowhere/at/all cannot be written: there is no such directory";
    refused("report --out /nowhere/at/all", nowhere);
    for command in ["report", "bench --shape 8x8x8", "limits"] {
        refused(&format!("{command} --json /nowhere/at/all"), nowhere);
    }
    refused("tune -o /nowhere/at/all", nowhere);
    for command in ["regress", "counts"] {
        refused(&format!("{command} --save --baseline /nowhere/at/all"), nowhere);
    }
    refused("report --from x.json --quick", "cannot be used with");
    refused("regress --baseline x.json --threads 2", "regress measures one");
    for command in ["bench", "report", "regress --baseline x.json --save"] {
        refused(&format!("{command} --shape 0x4x3"), "`0x4x3` has no multiply-add to measure");
    }
    for command in ["bench", "report"] {
        let huge = "4000000000×9×4000000000: operands and results take ";
        refused(&format!("{command} --shape 8x8x8 --shape 4000000000x9x4000000000"), huge);
    }
    refused("report --from /nowhere/at/all.json", "/nowhere/at/all.json: ");
    refused("report --isa portable,avx2", "give --isa a single name");
    refused("report --peers gemm,gemm", "`gemm`");
    refused("report --shape 1x2", "1x2");
    refused("limits --isa sse9", "sse9");
    let json = file("other.json");
    std::fs::write(&json, "{}").expect("a file");
    let (page, from) = (file("other.html"), json.display().to_string());
    refused(&format!("report --from {from} --out {}", page.display()), &from);
    assert!(!page.exists(), "nothing was written");
    // What was there before a run that fails is there afterwards.
    std::fs::write(&page, "kept").expect("a file");
    refused(&format!("report --from {from} --out {}", page.display()), &from);
    assert_eq!(read(&page), "kept");
    read(&json);
}

#[test]
fn what_is_asked_for_twice_is_measured_once() {
    let json = file("once.json");
    let twice = "--isa portable,portable --dtype f32,f32 --op fwd,dx,fwd";
    stdout(&trine(&format!("bench --shape 3x4x5 --time 0 --peers gemm {twice} --json {}", json.display())));
    let report = Report::read(&read(&json)).expect("a report");
    let ops: Vec<_> = report.rows.iter().map(|row| row.op.as_str()).collect();
    assert_eq!((ops, report.settings.isas.len(), report.settings.dtypes.len()), (vec!["fwd", "dx"], 1, 1));
}

/// `println!` panics where nobody reads.
#[cfg(unix)]
#[test]
fn a_reader_who_has_seen_enough_ends_the_run_quietly() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    command.args(["plan", "64", "784", "512"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Bytes of a plan fit a pipe: the reader goes before the first.
    let mut child = command.spawn().expect("it can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!error.contains("panicked") && error.is_empty(), "{error}");
    assert!(matches!(output.status.code(), Some(0 | 141)), "{:?}", output.status);
}
