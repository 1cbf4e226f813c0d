//! `trine bench`: the speed of each operation at each shape, next to its peers and to the limit
//! of the machine, all measured in turns.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trine_core::Shape;
use trine_kernels::{Isa, Op, Tuning};

use crate::Failure;
use crate::contest::{Peers, Trial};
use crate::machine::Machine;
use crate::measure::{Contender, interleave};
use crate::peak::Peak;
use crate::peer::Peer;
use crate::products::Scalar;
use crate::shape;
use crate::stats::{Summary, median_ratio};
use crate::tune;
use crate::verify;
use crate::workload::{bytes, flops, op_name, rounding};

/// Rounds are measured at least so often, whatever the budget.
const LEAST_ROUNDS: usize = 3;

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
    /// What the engine is given of `trine tune`.
    pub tuning: Option<Tuning>,
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
    /// At the median.
    pub gflops: f64,
    /// Of the peak: the median over the rounds, each with the peak of the same round.
    pub share_of_peak: f64,
    /// How many times as fast the engine was, round by round.
    pub engine_times_as_fast: f64,
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

/// Everything a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it ran on.
    pub machine: Machine,
    /// Version of this program.
    pub version: String,
    /// The libraries that were opened: the function, the size of its integers, the file.
    pub libraries: Vec<Library>,
    /// One for each operation, shape, type and instruction set.
    pub rows: Vec<Row>,
}

impl Report {
    /// An empty report of this machine.
    pub fn new() -> Self {
        let version = env!("CARGO_PKG_VERSION").into();
        Report { machine: Machine::this(), version, libraries: Vec::new(), rows: Vec::new() }
    }
}

impl Default for Report {
    fn default() -> Self {
        Report::new()
    }
}

/// Measures one operation at one shape. A peer whose results are wrong is not timed.
///
/// # Errors
/// A wrong result of the engine, an instruction set that cannot be used, or a peer whose process has
/// ended.
pub fn measure<E: Scalar>(setup: &Setup, peers: &mut Peers<E>, op: Op, shape: Shape) -> Result<Row, Failure> {
    let mut engine = tune::engine(setup.isa, setup.threads, setup.tuning.as_ref())?;
    let plan = engine.plan::<E>(op, shape.n, shape.d, shape.m).to_string();
    let trial = Trial::new(op, shape, &mut engine)?;
    let rounding = rounding::<E, _>(&mut engine);
    let elements_checked = verify::exact(op, &trial.given, &trial.expected, rounding)
        .map_err(|why| format!("the engine is wrong in {} at {}: {why}", op_name(op), shape::name(shape)))?;

    let peak = Peak::new::<E>(setup.isa, setup.threads)?;
    let (mut contenders, absent) = peers.contenders(&trial, setup.isa)?;
    contenders.insert(0, trial.timed("trine", engine));
    contenders.push(Contender::sampled("peak", || Ok(1.0 / peak.sample::<E>())));

    let samples = interleave(&mut contenders, setup.time, LEAST_ROUNDS)?;
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    let flops = flops(op, shape);
    let (timings, peak_gflops) = summarise(&names, &samples, flops).ok_or("no sample was taken")?;
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
        bytes: bytes::<E>(op, shape),
        elements_checked,
        peak_gflops,
        timings,
        absent,
    })
}

/// The last contender is the peak: seconds of one floating-point operation.
fn summarise(names: &[&str], samples: &[Vec<f64>], flops: f64) -> Option<(Vec<Timing>, f64)> {
    let ((_, names), (peak, samples)) = (names.split_last()?, samples.split_last()?);
    let limit: Vec<f64> = peak.iter().map(|seconds| seconds * flops).collect();
    let timings = names.iter().zip(samples).map(|(name, own)| {
        let seconds = Summary::of(own)?;
        let gflops = flops / seconds.median / 1e9;
        Some(Timing {
            name: (*name).into(),
            seconds,
            gflops,
            share_of_peak: median_ratio(&limit, own)?,
            engine_times_as_fast: median_ratio(own, samples.first()?)?,
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
        assert!(summarise(&["peak"], &[vec![]], 1.0).is_none());
    }

    #[test]
    fn json_round_trip() {
        let libraries = vec![Library { name: "blas".into(), how: "cblas_sgemm".into() }];
        let report = Report { libraries, rows: vec![row()], ..Report::new() };
        let text = serde_json::to_string_pretty(&report).expect("plain data");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("what was written"), report);
        assert!(serde_json::from_str::<Report>(&text[..text.len() / 2]).is_err());
    }
}
