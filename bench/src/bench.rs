//! `trine bench`: the speed of each operation at each shape, next to its peers and to the limit
//! of the machine, all measured in turns. Its JSON is also what `trine report` writes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trine_core::Shape;
use trine_kernels::{Isa, Op, Tuning};

use crate::Failure;
use crate::bootstrap::median_interval;
use crate::contest::{Peers, Trial};
use crate::files;
use crate::limits::Limits;
use crate::machine::Machine;
use crate::measure::{Contender, Stopped, interleave};
use crate::overhead::Overhead;
use crate::peak::Peak;
use crate::peer::Peer;
use crate::products::Scalar;
use crate::roofline::{Bound, Roof};
use crate::shape;
use crate::stats::{Summary, median_ratio, ratios};
use crate::tune;
use crate::verify;
use crate::workload::{bytes, flops, op_name, rounding};

/// Rounds are measured at least so often, whatever the budget.
const LEAST_ROUNDS: usize = 3;
/// The version of the JSON. What was added since the first has a default where it is read.
pub const FORMAT: u32 = 2;
/// A median that is known no better than this, as a part of itself, is marked.
pub const NOISE_LIMIT: f64 = 0.05;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The instruction set of the engine.
    pub isa: Isa,
    /// Threads of the engine and of its peers (the naive loops have one).
    pub threads: usize,
    /// Who is measured next to the engine.
    pub peers: Vec<Peer>,
    /// How long one operation at one shape is measured.
    pub time: Duration,
    /// Whether operands and results are taken out of the caches before each call.
    pub cold: bool,
    /// What memory allows, if that was measured.
    pub roof: Option<Roof>,
    /// When the run began.
    pub start: Instant,
    /// What the engine is given of `trine tune`.
    pub tuning: Option<Tuning>,
}

impl Setup {
    /// With warm caches and no look at memory, nothing tuned; the run begins now.
    pub fn new(isa: Isa, threads: usize, peers: Vec<Peer>, time: Duration) -> Self {
        Setup { isa, threads, peers, time, cold: false, roof: None, start: Instant::now(), tuning: None }
    }
}

/// A peer that did not take part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Absent {
    /// The name of the peer.
    pub name: String,
    /// Whether it was not timed because its results are wrong.
    pub wrong: bool,
    /// What is wrong, or the reason.
    pub why: String,
}

/// One contender's share of a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// `trine`, or the name of a peer.
    pub name: String,
    /// Seconds of one call.
    pub seconds: Summary,
    /// Where the median of the seconds lies, with 95 % of confidence (bootstrap).
    #[serde(default)]
    pub interval: [f64; 2],
    /// At the median.
    pub gflops: f64,
    /// Of the peak: the median over the rounds, each with the peak of the same round.
    pub share_of_peak: f64,
    /// How many times as fast the engine was, round by round.
    pub engine_times_as_fast: f64,
    /// Where that median lies, with 95 % of confidence.
    #[serde(default)]
    pub ratio_interval: [f64; 2],
}

impl Timing {
    /// Half of the interval as a part of the median.
    pub fn noise(&self) -> f64 {
        (self.interval[1] - self.interval[0]) / 2.0 / self.seconds.median
    }

    /// The same of how many times as fast the engine was.
    pub fn ratio_noise(&self) -> f64 {
        (self.ratio_interval[1] - self.ratio_interval[0]) / 2.0 / self.engine_times_as_fast
    }
}

/// One operation at one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Rows of the batch.
    pub n: usize,
    /// Input features.
    pub d: usize,
    /// Output features.
    pub m: usize,
    /// `fwd`, `dx`, `dw`, `backward` or `step`.
    pub op: String,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Of the engine.
    pub isa: String,
    /// Of the engine.
    pub threads: usize,
    /// The engine's plan, in words.
    pub plan: String,
    /// Useful floating-point operations of one call.
    pub flops: f64,
    /// Bytes of the operands.
    pub bytes: usize,
    /// Elements found to equal the reference, bit for bit, before the measurement.
    pub elements_checked: usize,
    /// GFLOP/s of multiply-adds in registers, the median of the same rounds.
    pub peak_gflops: f64,
    /// What the peak and memory allow, if memory was measured.
    #[serde(default)]
    pub bound: Option<Bound>,
    /// Whether operands and results were taken out of the caches before each call.
    #[serde(default)]
    pub cold: bool,
    /// Whether the engine's median is known no better than [`NOISE_LIMIT`].
    #[serde(default)]
    pub noisy: bool,
    /// Seconds since the run began.
    #[serde(default)]
    pub at: f64,
    /// The engine first, then the peers.
    pub timings: Vec<Timing>,
    /// Peers that did not take part, and why.
    pub absent: Vec<Absent>,
}

impl Row {
    /// The shape.
    pub const fn shape(&self) -> Shape {
        Shape { n: self.n, d: self.d, m: self.m }
    }

    /// A contender's timing.
    pub fn timing(&self, name: &str) -> Option<&Timing> {
        self.timings.iter().find(|timing| timing.name == name)
    }
}

/// A peer's library, as a table of one element type uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// The name of the peer.
    pub name: String,
    /// In words.
    pub how: String,
}

/// How a run was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Instruction sets of the engine.
    pub isas: Vec<String>,
    /// Element types.
    pub dtypes: Vec<String>,
    /// Threads of the engine and of its peers.
    pub threads: usize,
    /// Peers, in the order of the columns.
    pub peers: Vec<String>,
    /// Whether caches were cold.
    pub cold: bool,
    /// Seconds for each operation at each shape.
    pub time: f64,
    /// [`NOISE_LIMIT`].
    pub noise_limit: f64,
    /// n, d, m of each shape that every operation was measured at.
    pub shapes: Vec<[usize; 3]>,
    /// n, d, m of shapes at which speed over the number of threads was measured.
    pub scaling: Vec<[usize; 3]>,
    /// When the run began, in seconds since 1970.
    pub started: u64,
    /// How many seconds it took.
    pub took: f64,
}

impl Settings {
    /// Nothing but the time, and the limit of noise.
    pub fn now() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let started = now.map_or(0, |now| now.as_secs());
        Settings { noise_limit: NOISE_LIMIT, started, ..Settings::default() }
    }
}

/// Everything a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`]; 1 where it is missing.
    #[serde(default = "first_format")]
    pub format: u32,
    /// What it ran on.
    pub machine: Machine,
    /// Version of this program.
    pub version: String,
    /// How it was asked for.
    #[serde(default)]
    pub settings: Settings,
    /// The limits of the machine.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// The libraries that were opened: the function, the size of its integers, the file.
    pub libraries: Vec<Library>,
    /// One for each operation, shape, type, instruction set and number of threads.
    pub rows: Vec<Row>,
    /// What a call costs besides its arithmetic, at tiny shapes.
    #[serde(default)]
    pub overheads: Vec<Overhead>,
}

const fn first_format() -> u32 {
    1
}

impl Report {
    /// An empty report of this machine, now.
    pub fn new() -> Self {
        Report {
            format: FORMAT,
            machine: Machine::this(),
            version: env!("CARGO_PKG_VERSION").into(),
            settings: Settings::now(),
            limits: None,
            libraries: Vec::new(),
            rows: Vec::new(),
            overheads: Vec::new(),
        }
    }

    /// As JSON, into a file if one is named.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = path else { return Ok(()) };
        let text = serde_json::to_string_pretty(self)?;
        files::write(path, &(text + "\n"))
    }

    /// Reads what [`write`](Report::write) of this version or an earlier one wrote.
    ///
    /// # Errors
    /// What is no report, or one of a later version.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let report: Report = serde_json::from_str(text)?;
        match report.format {
            1..=FORMAT => Ok(report),
            other => Err(format!("a report of format {other}: this program reads up to {FORMAT}").into()),
        }
    }
}

impl Default for Report {
    fn default() -> Self {
        Report::new()
    }
}

/// Measures one operation at one shape. A peer whose results are wrong, or whose process has ended, is not timed.
///
/// # Errors
/// A wrong result of the engine, or an instruction set that cannot be used.
pub fn measure<E: Scalar>(setup: &Setup, peers: &mut Peers<E>, op: Op, shape: Shape) -> Result<Row, Failure> {
    let mut engine = tune::engine(setup.isa, setup.threads, setup.tuning.as_ref())?;
    let plan = engine.plan::<E>(op, shape.n, shape.d, shape.m).to_string();
    let trial = Trial::new(op, shape, &mut engine)?.cold(setup.cold);
    let rounding = rounding::<E, _>(&mut engine);
    let elements_checked = verify::exact(op, &trial.given, &trial.expected, rounding)
        .map_err(|why| format!("the engine is wrong in {} at {}: {why}", op_name(op), shape::name(shape)))?;

    let at = setup.start.elapsed().as_secs_f64();
    let peak = Peak::new::<E>(setup.isa, setup.threads)?;
    let (mut contenders, mut absent) = peers.contenders(&trial, setup.isa);
    contenders.insert(0, trial.timed("trine", engine));
    contenders.push(Contender::sampled("peak", || Ok(1.0 / peak.sample::<E>())));

    let samples = take_turns(&mut contenders, setup.time, &mut absent)?;
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    let (flops, bytes) = (flops(op, shape), bytes::<E>(op, shape));
    let (timings, peak_gflops) = summarise(&names, &samples, flops).ok_or("no sample was taken")?;
    // The share of a round's own peak, times the peak that the bound is made of.
    let reached = timings.first().map_or(f64::NAN, |own| own.share_of_peak * peak_gflops);
    let roof = setup.roof.as_ref();
    let bound = roof.map(|roof| roof.bound(flops, bytes, setup.cold, peak_gflops, reached));
    Ok(Row {
        n: shape.n,
        d: shape.d,
        m: shape.m,
        op: op_name(op).into(),
        dtype: E::NAME.into(),
        isa: setup.isa.name().into(),
        threads: setup.threads,
        plan,
        flops,
        bytes,
        elements_checked,
        peak_gflops,
        bound,
        cold: setup.cold,
        noisy: timings.first().is_some_and(|own| own.noise() > NOISE_LIMIT),
        at,
        timings,
        absent,
    })
}

/// Samples of all who stay to the end: a peer that fails in its turn is absent, and the others begin again.
fn take_turns(
    contenders: &mut Vec<Contender<'_>>,
    time: Duration,
    absent: &mut Vec<Absent>,
) -> Result<Vec<Vec<f64>>, Failure> {
    loop {
        match interleave(contenders, time, LEAST_ROUNDS) {
            Err(Stopped { who, why }) if who > 0 && who + 1 < contenders.len() => {
                let Contender { name, .. } = contenders.remove(who);
                absent.push(Absent { name, wrong: true, why: why.to_string() });
            }
            samples => return Ok(samples?),
        }
    }
}

/// The last contender is the peak: seconds of one floating-point operation.
fn summarise(names: &[&str], samples: &[Vec<f64>], flops: f64) -> Option<(Vec<Timing>, f64)> {
    let ((_, names), (peak, samples)) = (names.split_last()?, samples.split_last()?);
    let limit: Vec<f64> = peak.iter().map(|seconds| seconds * flops).collect();
    let timings = names.iter().zip(samples).map(|(name, own)| {
        let seconds = Summary::of(own)?;
        let gflops = flops / seconds.median / 1e9;
        let against = ratios(own, samples.first()?);
        Some(Timing {
            name: (*name).into(),
            seconds,
            interval: median_interval(own)?,
            gflops,
            share_of_peak: median_ratio(&limit, own)?,
            engine_times_as_fast: Summary::of(&against)?.median,
            ratio_interval: median_interval(&against)?,
        })
    });
    Some((timings.collect::<Option<_>>()?, 1e-9 / Summary::of(peak)?.median))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row() -> Row {
        let samples = [vec![1e-6, 1e-6, 2e-6], vec![2e-6, 3e-6, 4e-6], vec![2e-11, 1e-11, 3e-11]];
        let (timings, peak_gflops) = summarise(&["trine", "gemm", "peak"], &samples, 5e4).expect("samples");
        Row {
            n: 1,
            d: 2,
            m: 3,
            op: "fwd".into(),
            dtype: "f32".into(),
            isa: "avx2".into(),
            threads: 1,
            plan: "direct".into(),
            flops: 5e4,
            bytes: 44,
            elements_checked: 3,
            peak_gflops,
            bound: None,
            cold: false,
            noisy: false,
            at: 0.0,
            timings,
            absent: vec![Absent { name: "naive".into(), wrong: false, why: "too slow".into() }],
        }
    }

    #[test]
    fn ratios_and_shares() {
        let row = row();
        let (trine, gemm) = (row.timing("trine").expect("trine"), row.timing("gemm").expect("gemm"));
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        assert!(near(row.peak_gflops, 50.0) && near(trine.gflops, 50.0));
        assert!(near(trine.share_of_peak, 0.75) && near(trine.engine_times_as_fast, 1.0));
        assert!(near(gemm.engine_times_as_fast, 2.0) && near(gemm.share_of_peak, 0.375));
        assert!(row.timing("peak").is_none());
        assert_eq!((trine.interval, gemm.ratio_interval), ([1e-6, 2e-6], [2.0, 3.0]));
        assert!(near(trine.noise(), 0.5) && near(gemm.ratio_noise(), 0.25));
        assert!(summarise(&["peak"], &[vec![]], 1.0).is_none());
    }

    #[test]
    fn json_round_trip() {
        let libraries = vec![Library { name: "blas".into(), how: "cblas_sgemm".into() }];
        let bound =
            Bound { intensity: 0.5, level: "L1".into(), gflops: 1.0, by_memory: true, share: 0.1 + 0.2 };
        let rows = vec![Row { bound: Some(bound), noisy: true, at: 1.5, ..row() }];
        let report = Report { libraries, rows, limits: Some(Limits::default()), ..Report::new() };
        let text = serde_json::to_string_pretty(&report).expect("plain data");
        assert_eq!(Report::read(&text).expect("what was written"), report);
        assert!(Report::read(&text[..text.len() / 2]).is_err());
    }

    /// What the first version did not have is not asked for.
    #[test]
    fn an_earlier_format_is_read_and_a_later_one_refused() {
        let report = Report { rows: vec![row()], ..Report::new() };
        let mut json = serde_json::to_value(&report).expect("plain data");
        let without = |value: &mut serde_json::Value, names: &[&str]| {
            let map = value.as_object_mut().expect("a structure");
            names.iter().for_each(|name| assert!(map.remove(*name).is_some(), "{name}"));
        };
        without(&mut json, &["format", "settings", "limits", "overheads"]);
        without(&mut json["machine"], &["os", "caches"]);
        without(&mut json["rows"][0], &["bound", "cold", "noisy", "at"]);
        without(&mut json["rows"][0]["timings"][0], &["interval", "ratio_interval"]);
        let old = Report::read(&json.to_string()).expect("the first format");
        assert_eq!((old.format, old.rows[0].timings[0].seconds), (1, report.rows[0].timings[0].seconds));
        json["format"] = 99.into();
        let error = Report::read(&json.to_string()).expect_err("not yet known").to_string();
        assert!(error.contains("format 99"), "{error}");
    }
}
