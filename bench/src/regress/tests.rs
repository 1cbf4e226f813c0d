//! No clock: the numbers were recorded (`data/regress.json`: AMD EPYC, two shared cores, AVX-512, 2026-11-24, one
//! number of each of 56 processes, in the order in which they ran), or are drawn by a noise that is worse.

use trine_core::Rng;

use super::judge::{Judged, Rule, Samples, Source, Verdict, gather, judge};
use super::process::Ratios;
use super::statistics::{change, error};
use super::*;

/// Ratios that were recorded, played from some process on, and from the beginning again.
struct Recorded<'a> {
    samples: &'a Samples,
    next: usize,
    /// Added to the logarithms of rows of one operation.
    slower: Vec<f64>,
}

impl Source for Recorded<'_> {
    fn measure(&mut self, rows: &[usize]) -> Result<Vec<Ratios>, Failure> {
        self.next += 1;
        let ratio = |row: usize| {
            let of = |(name, all): (&String, &Vec<f64>)| {
                (name.clone(), all[self.next % all.len()] + self.slower[row])
            };
            self.samples[row].iter().map(of).collect()
        };
        Ok(rows.iter().map(|&row| ratio(row)).collect())
    }
}

const RECORDED: &str = include_str!("../../data/regress.json");

/// A run at another time than the baseline, with `op` slower by `share`.
fn run(rows: &[Row], samples: &Samples, start: usize, slower: Option<(Op, f64)>) -> Vec<Judged> {
    let count = rows.len();
    let added = |row: &Row| slower.filter(|(op, _)| *op == row.op).map_or(0.0, |(_, share)| share.ln_1p());
    let mut source = Recorded { samples, next: start, slower: vec![0.0; count] };
    let (least, most) = Rule::DEFAULT.processes;
    let all = (0..count).collect();
    let before = gather(&mut source, count, all, (2 * least, 2 * most), 0.1 * Rule::DEFAULT.least);
    source.slower = rows.iter().map(added).collect();
    judge(&before.expect("recorded"), &mut source, Rule::DEFAULT).expect("recorded")
}

fn recorded() -> (Vec<Row>, Samples) {
    let baseline: Baseline = serde_json::from_str(RECORDED).expect("a file of `trine regress --save`");
    baseline.samples(&[]).expect("rows and ratios")
}

#[test]
fn unchanged_code_gives_no_alarm_in_twenty_runs() {
    let (rows, samples) = recorded();
    for start in 0..20 {
        let judged = run(&rows, &samples, 13 * start, None);
        for (row, judged) in rows.iter().zip(judged) {
            assert_ne!(judged.verdict, Verdict::Slower, "run {start}: {row} {judged:?}");
        }
    }
}

#[test]
fn a_kernel_that_is_five_percent_slower_gives_an_alarm_each_time() {
    let (rows, samples) = recorded();
    for start in 0..20 {
        let op = OPS[start % OPS.len()];
        let judged = run(&rows, &samples, 13 * start, Some((op, 0.05)));
        let slower = |row: usize| judged[row].verdict == Verdict::Slower;
        let found = (0..rows.len()).filter(|&row| rows[row].op == op && slower(row)).count();
        assert!(found > 0, "run {start}: {op:?} {judged:?}");
        assert!((0..rows.len()).all(|row| rows[row].op == op || !slower(row)), "run {start}: {judged:?}");
    }
}

#[test]
fn what_is_faster_is_no_alarm() {
    let (rows, samples) = recorded();
    let judged = run(&rows, &samples, 0, Some((Op::Forward, -0.1)));
    assert!(judged.iter().all(|judged| judged.verdict != Verdict::Slower));
    assert!(judged.iter().any(|judged| judged.verdict == Verdict::Faster));
}

/// Processes that lie 2 % apart, one in eight disturbed by up to a third, the peak's clock drifting away.
struct Drawn {
    rng: Rng,
    rows: usize,
    process: f64,
    slower: f64,
    peak: f64,
}

impl Source for Drawn {
    fn measure(&mut self, rows: &[usize]) -> Result<Vec<Ratios>, Failure> {
        assert!(rows.iter().all(|&row| row < self.rows));
        self.process += 1.0;
        let mut even = || self.rng.next_u64() as f64 / u64::MAX as f64;
        let ratios = rows.iter().map(|_| {
            let own = 0.02 * ((0..12).map(|_| even()).sum::<f64>() - 6.0);
            let disturbed = if even() < 0.125 { even() / 3.0 } else { 0.0 };
            let engine = own + disturbed + self.slower;
            [("gemm".to_string(), engine), ("peak".to_string(), engine + self.peak * self.process)].into()
        });
        Ok(ratios.collect())
    }
}

#[test]
fn a_worse_noise_and_a_reference_that_drifts_give_no_alarm_either() {
    let rows = 5;
    let mut alarms = [0, 0];
    for seed in 0..20 {
        // A percent in ten processes: by the end of a run the peak alone would be an alarm.
        let drawn = |slower, process| Drawn {
            rng: Rng::keyed(seed, &[process as u64]),
            rows,
            process,
            slower,
            peak: 1e-3,
        };
        let all = (0..rows).collect();
        let before = gather(&mut drawn(0.0, 0.0), rows, all, (16, 64), 0.0025).expect("drawn");
        for (alarms, slower) in alarms.iter_mut().zip([0.0, 0.05]) {
            let judged = judge(&before, &mut drawn(slower, 100.0), Rule::DEFAULT).expect("drawn");
            *alarms += usize::from(judged.iter().any(|judged| judged.verdict == Verdict::Slower));
        }
    }
    assert_eq!(alarms, [0, 20]);
}

/// Seen with ∇W at 16×64×10: an hour later the naive loops took 6 % longer than before, and were the reference
/// with the narrowest interval. What they say must not clear a row that is slower against both others.
#[test]
fn a_reference_with_a_bad_day_clears_nobody() {
    struct BadDay(Rng, f64, f64);
    impl Source for BadDay {
        fn measure(&mut self, rows: &[usize]) -> Result<Vec<Ratios>, Failure> {
            let BadDay(rng, slower, naive) = self;
            let mut noise = |size: f64| size * (rng.next_u64() as f64 / u64::MAX as f64 - 0.5);
            let ratios = rows.iter().map(|_| {
                let engine = *slower + noise(0.06);
                let ratio = |name: &str, of: f64| (name.to_string(), of);
                let (gemm, peak) = (engine + noise(0.06), engine + noise(0.06));
                [ratio("gemm", gemm), ratio("peak", peak), ratio("naive", *slower - *naive + noise(0.02))]
                    .into()
            });
            Ok(ratios.collect())
        }
    }
    for seed in 0..5 {
        let mut usual = BadDay(Rng::keyed(seed, &[1]), 0.0, 0.0);
        let before = gather(&mut usual, 1, vec![0], (16, 64), 0.0025).expect("drawn");
        for (slower, alarm) in [(0.05, true), (0.0, false)] {
            let mut later = BadDay(Rng::keyed(seed, &[2]), slower, 0.06);
            let judged = judge(&before, &mut later, Rule::DEFAULT).expect("drawn");
            assert_eq!(judged[0].verdict == Verdict::Slower, alarm, "seed {seed}: {judged:?}");
        }
    }
}

/// More processes where a row is not known well enough, and only there.
#[test]
fn rows_are_measured_until_they_are_known() {
    struct Counted(Vec<usize>);
    impl Source for Counted {
        fn measure(&mut self, rows: &[usize]) -> Result<Vec<Ratios>, Failure> {
            let ratio = |row: usize, n: usize| if row == 0 { 0.0 } else { [0.0, 1.0, 2.0, 3.0][n % 4] };
            Ok(rows
                .iter()
                .map(|&row| {
                    self.0[row] += 1;
                    [("gemm".to_string(), ratio(row, self.0[row]))].into()
                })
                .collect())
        }
    }
    let mut source = Counted(vec![0; 2]);
    let samples = gather(&mut source, 2, vec![0, 1], (4, 40), 0.01).expect("counted");
    assert_eq!(source.0, [4, 40]);
    assert!(error(&samples[0]["gemm"]) <= 0.01 && error(&samples[1]["gemm"]) > 0.01);
    assert_eq!(change(&samples[0]["gemm"], &samples[0]["gemm"]).estimate, 0.0);
}
