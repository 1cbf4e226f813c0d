//! A report in the terminal: the same facts as on the page, as tables with bars.

use crate::bench::{NOISE_LIMIT, Report, Row, Settings, Setup};
use crate::limits::{Limits, size};
use crate::machine::Machine;
use crate::overhead::{ASSEMBLED, DETECTED, KEPT, KERNEL, Overhead};
use crate::stats::Summary;
use crate::table::{counted, short};
use crate::{shape, table};

/// Columns of a bar.
const WIDTH: usize = 10;

/// A part of a whole, 0 to 1, as a bar in eighths of a column.
pub fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part.clamp(0.0, 1.0) * (8 * WIDTH) as f64).round() as usize;
    let text = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    let rest = WIDTH - text.chars().count();
    text + &"·".repeat(rest)
}

/// What it runs on and how, and the limits of that.
pub fn machine(machine: &Machine, settings: &Settings, limits: &Limits) {
    let caches: Vec<_> = machine.caches.iter().map(|of| format!("{} {}", of.name, size(of.bytes))).collect();
    println!("{}, {}; {}", machine.line(), caches.join(", "), machine.os);
    let state = if settings.cold { "cold" } else { "warm" };
    let (isas, threads) = (settings.isas.join(", "), counted(settings.threads, "thread"));
    println!("engine: {isas}, {threads}; caches {state}; {} s for each row\n", settings.time);
    limits.lines().iter().for_each(|line| println!("{line}"));
}

/// The line above the rows of a type and a number of threads.
pub fn head(dtype: &str, setup: &Setup) {
    println!("\n{dtype}, {}, {}", setup.isa.name(), counted(setup.threads, "thread"));
    let (time, rate, intensity) = ("time", "GFLOP/s", "FLOP/B");
    let peers: String = setup.peers.iter().map(|peer| format!(" {:>7}", short(peer.name(), 7))).collect();
    println!(
        "{:<14} {:<8} │{time:>9} {:>6} {rate:>8} │{intensity:>7} {:>7} {:<6} │{:<15} │{peers}",
        "n×d×m", "", "±", "bound", "from", "of the bound"
    );
}

/// One row.
pub fn row(row: &Row, setup: &Setup) {
    let names: Vec<_> = setup.peers.iter().map(|peer| peer.name()).collect();
    println!("{}", line(row, &names));
}

fn line(row: &Row, peers: &[&str]) -> String {
    let own = row.timings.first().map_or(String::new(), |own| {
        let (time, noise) = (table::duration(own.seconds.median), 100.0 * own.noise());
        format!("{time:>9} {noise:>5.1}{} {:>8}", if row.noisy { '!' } else { '%' }, table::rate(own.gflops))
    });
    let bound = row.bound.as_ref().map_or(String::new(), |bound| {
        let from = if bound.by_memory { bound.level.as_str() } else { "FMA" };
        let (intensity, limit) = (table::rate(bound.intensity), table::rate(bound.gflops));
        let share = 100.0 * bound.share;
        format!("{intensity:>7} {limit:>7} {from:<6} │{} {share:>3.0}%", bar(bound.share))
    });
    let mut line = format!("{:<14} {:<8} │{own} │{bound} │", shape::name(row.shape()), row.op);
    for name in peers {
        let absent = row.absent.iter().find(|absent| absent.name == *name);
        let cell = match (row.timing(name), absent) {
            (Some(timing), _) => table::marked(timing),
            (None, Some(absent)) if absent.wrong => "wrong".into(),
            _ => "–".into(),
        };
        line += &format!(" {cell:>7}");
    }
    line
}

/// What there is to say when all has been measured.
pub fn end(report: &Report) {
    let peers: Vec<_> = report.settings.peers.iter().map(String::as_str).collect();
    for section in [
        notes(report),
        sizes(report),
        scaling(report),
        steps(report, &peers),
        calls(&report.overheads),
        drift(report),
        means(report, &peers),
    ] {
        if !section.is_empty() {
            println!();
            section.iter().for_each(|line| println!("{line}"));
        }
    }
    println!("\n{} rows in {:.0} s", report.rows.len(), report.settings.took);
}

/// Rows on as many threads as were asked for.
fn usual(report: &Report) -> impl Iterator<Item = &Row> {
    report.rows.iter().filter(|row| row.threads == report.settings.threads)
}

fn notes(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = [
        "bound: the lower one of the peak and of what memory allows, GFLOP/s; from: what sets it (FMA: multiply-adds).",
        "Below each peer: how many times as fast trine is.",
    ]
    .map(String::from)
    .into();
    let noisy = report.rows.iter().filter(|row| row.noisy).count();
    if noisy > 0 {
        let limit = 100.0 * NOISE_LIMIT;
        lines.push(format!("! in place of % or ×: known no better than to {limit} % ({noisy} rows)."));
    }
    for row in &report.rows {
        let at = shape::argument(row.shape());
        let wrong = row.absent.iter().filter(|absent| absent.wrong);
        lines.extend(
            wrong.map(|of| format!("{} is wrong in {} at {at}, not timed: {}", of.name, row.op, of.why)),
        );
    }
    lines
}

/// Forward at cubes, from the smallest to the largest.
fn sizes(report: &Report) -> Vec<String> {
    let dtype = report.settings.dtypes.first();
    let mut rows: Vec<_> = usual(report)
        .filter(|row| row.op == "fwd" && row.n == row.d && row.d == row.m && Some(&row.dtype) == dtype)
        .collect();
    rows.sort_by_key(|row| row.n);
    let lines = rows.iter().filter_map(|row| {
        let own = row.timings.first()?;
        let others = row.timings[1..].iter().max_by(|a, b| a.gflops.total_cmp(&b.gflops));
        let best = others.map_or(String::new(), |of| {
            format!("best of the others: {} {}", table::rate(of.gflops), of.name)
        });
        Some(format!(
            "{:>6}³ {:>8} GFLOP/s {} of the peak; {best}",
            row.n,
            table::rate(own.gflops),
            bar(own.share_of_peak)
        ))
    });
    titled("Speed over size, forward", lines)
}

fn titled(title: &str, lines: impl Iterator<Item = String>) -> Vec<String> {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() { lines } else { std::iter::once(title.to_string()).chain(lines).collect() }
}

/// Whether the median is not well known, or the cores had less than 90 % of their peak meanwhile.
fn disturbed(report: &Report, row: &Row) -> bool {
    let mut peaks = report.limits.iter().flat_map(|limits| &limits.peaks);
    let peak = peaks.find(|of| (&of.isa, &of.dtype, of.threads) == (&row.isa, &row.dtype, row.threads));
    row.noisy || peak.is_some_and(|peak| row.peak_gflops < 0.9 * peak.gflops)
}

/// Rows of the same operation at the same shape on one thread and on more.
fn scaling(report: &Report) -> Vec<String> {
    let same =
        |a: &Row, b: &Row| (&a.op, a.shape(), &a.dtype, &a.isa) == (&b.op, b.shape(), &b.dtype, &b.isa);
    let more = report.rows.iter().filter(|row| row.threads > 1);
    let lines = more.filter_map(|row| {
        let one = report.rows.iter().find(|one| one.threads == 1 && same(one, row))?;
        let of = |name: &str| {
            let times = one.timing(name)?.seconds.median / row.timing(name)?.seconds.median;
            Some(format!(" {name} {}", table::times(times)))
        };
        let own = row.timings.first()?;
        let times = one.timings.first()?.seconds.median / own.seconds.median;
        let others: String = row.timings[1..].iter().filter_map(|timing| of(&timing.name)).collect();
        let bar = bar(times / row.threads as f64);
        let sign = if disturbed(report, row) || disturbed(report, one) { "!" } else { "×" };
        let (at, times) = (shape::name(row.shape()), table::times(times).replace('×', sign));
        Some(format!("{at:<14} {:<8} {:>3} threads {times:>6} {bar};{others}", row.op, row.threads))
    });
    titled("Speed over threads, against one thread of the same (!: one of the two was disturbed)", lines)
}

/// Forward and the step that updates the layer, together: of the engine, and how many times as fast it is.
fn steps(report: &Report, peers: &[&str]) -> Vec<String> {
    let steps = usual(report).filter(|row| row.op == "step");
    let lines = steps.filter_map(|step| {
        let same = |row: &&Row| row.op == "fwd" && (row.shape(), &row.dtype) == (step.shape(), &step.dtype);
        let forward = usual(report).find(same)?;
        let seconds =
            |name: &str| Some((forward.timing(name)?.seconds.median, step.timing(name)?.seconds.median));
        let (first, then) = seconds("trine")?;
        let others = peers.iter().filter_map(|name| {
            let (a, b) = seconds(name)?;
            Some(format!(" {name} {}", table::times((a + b) / (first + then))))
        });
        let (at, total) = (shape::name(step.shape()), table::duration(first + then));
        let bar = bar(first / (first + then));
        Some(format!("{at:<14} {:<4} {total:>9} {bar};{}", step.dtype, others.collect::<String>()))
    });
    titled(
        "The layer's whole step: forward (the bar), backward, update; how many times as fast trine is",
        lines,
    )
}

/// What calls of tiny layers cost.
fn calls(overheads: &[Overhead]) -> Vec<String> {
    let mut lines = Vec::new();
    if !overheads.is_empty() {
        lines.push("One call of a tiny product X·W, ns".into());
        let names = ["at peak", KERNEL, KEPT, ASSEMBLED, DETECTED].map(|name| short(name, 19));
        lines.push(format!("{:<10} {}", "n×d×m", names.map(|name| format!("{name:>20}")).concat()));
    }
    for of in overheads {
        let seconds = [
            Some(of.at_peak),
            of.seconds(KERNEL),
            of.seconds(KEPT),
            of.seconds(ASSEMBLED),
            of.seconds(DETECTED),
        ];
        let cells = seconds
            .map(|seconds| format!("{:>20}", seconds.map_or("–".into(), |s| format!("{:.1}", s * 1e9))));
        lines.push(format!("{:<10} {}", shape::name(of.shape()), cells.concat()));
    }
    lines
}

/// The peak as it was measured again with each row: how the clock moved.
fn drift(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for dtype in &report.settings.dtypes {
        let peaks: Vec<_> =
            usual(report).filter(|row| row.dtype == *dtype).map(|row| row.peak_gflops).collect();
        let Some(all) = Summary::of(&peaks) else { continue };
        let highest = peaks.iter().copied().fold(all.median, f64::max);
        let percent = |rate: f64| 100.0 * (rate / all.median - 1.0);
        lines.push(format!(
            "Clock, {dtype}: the peak of multiply-adds was {} GFLOP/s, from {:+.1} % to {:+.1} % in {} rows",
            table::rate(all.median),
            percent(all.min),
            percent(highest),
            peaks.len()
        ));
    }
    lines
}

fn means(report: &Report, peers: &[&str]) -> Vec<String> {
    let rows: Vec<_> = usual(report).cloned().collect();
    table::means(&rows, peers).lines().skip(1).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tests::row as any_row;
    use crate::limits::PeakRate;
    use crate::roofline::Bound;

    #[test]
    fn bars_are_as_wide_as_each_other() {
        assert_eq!(bar(0.0), "··········");
        assert_eq!(bar(0.5), "█████·····");
        assert_eq!(bar(0.56), "█████▋····");
        assert_eq!((bar(1.0), bar(7.0)), ("██████████".into(), "██████████".into()));
        assert!((0..200).all(|i| bar(f64::from(i) / 150.0).chars().count() == WIDTH));
        assert_eq!(bar(f64::NAN).chars().count(), WIDTH);
    }

    fn report() -> Report {
        let bound = Bound { intensity: 0.5, level: "L2".into(), gflops: 100.0, by_memory: true, share: 0.5 };
        let row = |op: &str, threads: usize| {
            let mut row = any_row();
            (row.op, row.threads, row.bound) = (op.into(), threads, Some(bound.clone()));
            (row.n, row.d, row.m) = (8, 8, 8);
            row.timings.iter_mut().for_each(|timing| timing.seconds.median /= threads as f64);
            row
        };
        let mut report = Report::new();
        report.rows = vec![row("fwd", 1), row("step", 1), row("fwd", 2)];
        (report.settings.threads, report.settings.dtypes) = (1, vec!["f32".into()]);
        report
    }

    fn limits(gflops: f64) -> Limits {
        let peak = |threads| PeakRate { isa: "avx2".into(), dtype: "f32".into(), threads, gflops };
        Limits { peaks: vec![PeakRate { gflops: 0.0, ..peak(1) }, peak(2)], bandwidths: Vec::new() }
    }

    #[test]
    fn a_row_has_its_bound_and_a_mark() {
        let line = line(&report().rows[0], &["gemm", "naive", "nobody"]);
        assert!(line.contains("0.50     100 L2     │█████·····  50% │"), "{line}");
        assert!(line.ends_with("   2.00!       –       –"), "{line}");
    }

    #[test]
    fn every_section_has_its_facts() {
        let report = report();
        assert!(sizes(&report)[1].starts_with("     8³     50.0 GFLOP/s"), "{:?}", sizes(&report));
        let lines = scaling(&report);
        assert!(
            lines.len() == 2 && lines[1].contains("2 threads  2.00× ██████████; gemm 2.00×"),
            "{lines:?}"
        );
        let mut busy = report.clone();
        (busy.limits, busy.rows[2].peak_gflops) = (Some(limits(100.0)), 89.0);
        assert!(scaling(&busy)[1].contains("2 threads  2.00! "), "{:?}", scaling(&busy));
        let lines = steps(&report, &["gemm"]);
        assert!(lines.len() == 2 && lines[1].ends_with("2.00 µs █████·····; gemm 3.00×"), "{lines:?}");
        assert!(
            drift(&report)[0].contains("50.0 GFLOP/s, from +0.0 % to +0.0 % in 2 rows"),
            "{:?}",
            drift(&report)
        );
        assert_eq!(means(&report, &["gemm"]).len(), 3);
        assert!(calls(&[]).is_empty());
    }
}
