//! `trine bench`: the speed of each operation at each shape, next to its peers and to the limit
//! of the machine, all measured in turns.

use std::cell::RefCell;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trine_core::{Element, LinearKernels, Reference, Shape, Unfused};

use crate::Failure;
use crate::machine::Machine;
use crate::measure::{Contender, interleave};
use crate::peak::Peak;
use crate::shape;
use crate::stats::{Summary, median_ratio};
use crate::verify;
use crate::workload::{Operands, Results, bytes, flops, op_name, perform, rounding};
use trine_kernels::{Engine, GemmCrate, Isa, Op, Supported};

/// The naive loops take part up to so many floating-point operations a call, about a second.
pub const NAIVE_LIMIT: f64 = 0.6e9;
/// Rounds are measured at least so often, whatever the budget.
const LEAST_ROUNDS: usize = 3;
/// The seed of the operands.
const SEED: u64 = 1;

/// Who is measured next to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// The reference's own loops, multiply-add unfused, one element after the other.
    Naive,
    /// The `gemm` crate, with plain vectorised passes for bias, activation and ∇b.
    Gemm,
}

impl Peer {
    /// As in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Peer::Naive => "naive",
            Peer::Gemm => "gemm",
        }
    }
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The instruction set of the engine.
    pub isa: Isa,
    /// Threads of the engine and of `gemm` (the naive loops have one).
    pub threads: usize,
    /// Who is measured next to the engine.
    pub peers: Vec<Peer>,
    /// How long one operation at one shape is measured.
    pub time: Duration,
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
    pub skipped: Vec<String>,
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

/// Everything a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it ran on.
    pub machine: Machine,
    /// Version of this program.
    pub version: String,
    /// One for each operation, shape, type and instruction set.
    pub rows: Vec<Row>,
}

impl Report {
    /// An empty report of this machine.
    pub fn new() -> Self {
        Report { machine: Machine::this(), version: env!("CARGO_PKG_VERSION").into(), rows: Vec::new() }
    }
}

impl Default for Report {
    fn default() -> Self {
        Report::new()
    }
}

/// Measures one operation at one shape.
///
/// # Errors
/// A wrong result, or an instruction set that cannot be used.
pub fn measure<E: Supported>(setup: &Setup, op: Op, shape: Shape) -> Result<Row, Failure> {
    let given = Operands::<E>::random(shape, SEED);
    let mut engine = Engine::with_isa(setup.isa)?.with_threads(setup.threads);
    let plan = engine.plan::<E>(op, shape.n, shape.d, shape.m).to_string();
    let wrong = |who: &str, why: String| {
        format!("{who} is wrong in {} at {}: {why}", op_name(op), shape::name(shape))
    };

    let mut expected = Results::before(op, &given);
    perform(op, &mut engine, &given, &mut expected)?;
    let rounding = rounding::<E, _>(&mut engine);
    let elements_checked =
        verify::exact(op, &given, &expected, rounding).map_err(|why| wrong("the engine", why))?;

    let flops = flops(op, shape);
    let peak = Peak::new::<E>(setup.isa, setup.threads)?;
    let (mut contenders, mut skipped) = (Vec::new(), Vec::new());
    for &peer in &setup.peers {
        if peer == Peer::Naive && flops > NAIVE_LIMIT {
            skipped.push(format!("naive: more than {:.1} GFLOP a call", NAIVE_LIMIT / 1e9));
            continue;
        }
        let mut out = Results::before(op, &given);
        let mut first = || match peer {
            Peer::Naive => perform(op, &mut Reference(Unfused), &given, &mut out),
            Peer::Gemm => perform(op, &mut GemmCrate::new(setup.threads), &given, &mut out),
        };
        first()?;
        verify::close(shape, &out, &expected).map_err(|why| wrong(peer.name(), why))?;
        contenders.push(match peer {
            Peer::Naive => contender(peer.name(), op, Reference(Unfused), &given, out),
            Peer::Gemm => contender(peer.name(), op, GemmCrate::new(setup.threads), &given, out),
        });
    }
    contenders.insert(0, contender("trine", op, engine, &given, expected));
    contenders.push(Contender::sampled("peak", || 1.0 / peak.sample::<E>()));

    let samples = interleave(&mut contenders, setup.time, LEAST_ROUNDS);
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
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
        skipped,
    })
}

fn contender<'a, E: Element, K: LinearKernels<E> + 'a>(
    name: &'static str,
    op: Op,
    mut kernels: K,
    given: &'a Operands<E>,
    out: Results<E>,
) -> Contender<'a> {
    let out = RefCell::new(out);
    Contender::timed(name, move || {
        let done = perform(op, &mut kernels, given, &mut out.borrow_mut());
        done.expect("the same call has succeeded before");
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
mod tests {
    use super::*;

    fn row() -> Row {
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
            skipped: vec!["naive: too slow".into()],
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
        let report = Report { rows: vec![row()], ..Report::new() };
        let text = serde_json::to_string_pretty(&report).expect("plain data");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("what was written"), report);
        assert!(serde_json::from_str::<Report>(&text[..text.len() / 2]).is_err());
    }
}
