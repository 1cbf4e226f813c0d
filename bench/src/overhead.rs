//! What a call costs besides its arithmetic: one product of a tiny layer, called in several ways.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trine_core::{Error, LinearKernels, MatMut, MatRef, Shape};
use trine_kernels::{Engine, Isa, Line, Op, Supported, Token, scratch_len};

use crate::Failure;
use crate::bootstrap::median_interval;
use crate::measure::{Contender, interleave};
use crate::peak::Peak;
use crate::stats::Summary;
use crate::verify;
use crate::workload::{Buffer, Operands, Results, flops};

/// From one multiply-add to a layer that fills some vectors.
pub const SHAPES: [Shape; 5] = [
    Shape { n: 1, d: 1, m: 1 },
    Shape { n: 4, d: 4, m: 4 },
    Shape { n: 8, d: 8, m: 8 },
    Shape { n: 16, d: 16, m: 16 },
    Shape { n: 1, d: 64, m: 32 },
];

/// The product alone, again and again: neither views, nor checks, nor dispatch.
pub const KERNEL: &str = "kernel alone";
/// What users do: views, checks, dispatch, product.
pub const KEPT: &str = "engine kept";
/// The same with an engine that is assembled for each call, of a proof of the instruction set and of
/// the caller's scratch memory.
pub const ASSEMBLED: &str = "engine from a token, each call";
/// The same with an engine that asks the processor what it has, for each call.
pub const DETECTED: &str = "Engine::new, each call";

/// Calls in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// In words.
    pub name: String,
    /// The median of one call.
    pub seconds: f64,
    /// Where it lies, with 95 % of confidence.
    pub interval: [f64; 2],
}

/// One product X·W, called in several ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// Rows of the batch.
    pub n: usize,
    /// Input features.
    pub d: usize,
    /// Output features.
    pub m: usize,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Of the engine.
    pub isa: String,
    /// Seconds of its multiply-adds at the peak.
    pub at_peak: f64,
    /// From the shortest way to the longest.
    pub ways: Vec<Way>,
}

impl Overhead {
    /// The shape.
    pub const fn shape(&self) -> Shape {
        Shape { n: self.n, d: self.d, m: self.m }
    }

    /// Seconds of a call in one way.
    pub fn seconds(&self, way: &str) -> Option<f64> {
        self.ways.iter().find(|of| of.name == way).map(|of| of.seconds)
    }
}

/// The product alone is computed so often for each check and dispatch.
const TIMES: u64 = 16;

/// Measures all ways in turns, for so long.
///
/// # Errors
/// An instruction set that this machine does not have, or a product that is not the reference's.
pub fn measure<E: Supported>(isa: Isa, shape: Shape, time: Duration) -> Result<Overhead, Failure> {
    let Shape { n, d, m } = shape;
    let given = Operands::<E>::random(shape, 1);
    let token = Token::detect(isa)
        .ok_or(Error::Isa { wanted: isa.name(), reason: "this machine does not have it" })?;
    let mut lines = vec![Line::UNINIT; scratch_len::<E>(isa, Op::Forward, n, d, m)];
    let (mut first, mut kept) = (Engine::with_isa(isa)?, Engine::with_isa(isa)?);
    check(&mut first, &given)?;

    let fresh = || Buffer::filled(n * m, E::ZERO);
    let mut outs = [fresh(), fresh(), fresh(), fresh()];
    let [alone, to_kept, to_assembled, to_detected] = &mut outs;
    let mut contenders = [
        Contender::timed(KERNEL, || {
            let done = views(&given, alone).and_then(|(c, a, b)| first.matmul_repeatedly(c, a, b, TIMES));
            done.expect("the same call has succeeded before");
        }),
        Contender::timed(KEPT, || call(&mut kept, &given, to_kept)),
        Contender::timed(ASSEMBLED, || {
            call(&mut Engine::with_token(token, &mut lines), &given, to_assembled)
        }),
        Contender::timed(DETECTED, || {
            let mut engine = Engine::with_isa(isa).expect("detected before");
            call(&mut engine, &given, to_detected);
        }),
    ];
    let samples = interleave(&mut contenders, time, 3)?;
    let ways = contenders.iter().zip(&samples).map(|(contender, own)| {
        let calls = if contender.name == KERNEL { TIMES as f64 } else { 1.0 };
        let own: Vec<_> = own.iter().map(|seconds| seconds / calls).collect();
        let (seconds, interval) = (Summary::of(&own)?.median, median_interval(&own)?);
        Some(Way { name: contender.name.clone(), seconds, interval })
    });
    let ways = ways.collect::<Option<_>>().ok_or("no sample was taken")?;
    let at_peak = flops(Op::Forward, shape) / (Peak::new::<E>(isa, 1)?.gflops::<E>(5) * 1e9);
    Ok(Overhead { n, d, m, dtype: E::NAME.into(), isa: isa.name().into(), at_peak, ways })
}

type Views<'a, E> = (MatMut<'a, E>, MatRef<'a, E>, MatRef<'a, E>);

/// C, A and B of C = X·W.
fn views<'a, E: Supported>(given: &'a Operands<E>, out: &'a mut [E]) -> Result<Views<'a, E>, Error> {
    let Shape { n, d, m } = given.shape;
    let (x, w) = (MatRef::row_major(&given.x, n, d)?, MatRef::row_major(&given.w, d, m)?);
    Ok((MatMut::row_major(out, n, m)?, x, w))
}

/// As a user calls it.
fn call<E: Supported>(engine: &mut Engine<'_>, given: &Operands<E>, out: &mut [E]) {
    let done = views(given, out).and_then(|(c, a, b)| engine.matmul(c, a, b, trine_core::Write::REPLACE));
    done.expect("the same call has succeeded before");
}

/// Both functions have to give the reference's forward pass, with a bias of −0 that changes no bit.
fn check<E: Supported>(engine: &mut Engine<'_>, given: &Operands<E>) -> Result<(), Failure> {
    let Shape { n, m, .. } = given.shape;
    let rounding = crate::workload::rounding::<E, _>(engine);
    let no_bias = Operands { bias: Buffer::filled(m, -E::ZERO), ..Operands::random(given.shape, 1) };
    let mut out = Results::before(Op::Forward, &no_bias);
    for repeatedly in [false, true] {
        out.y = Buffer::filled(n * m, E::NAN);
        let (c, a, b) = views(given, &mut out.y)?;
        if repeatedly {
            engine.matmul_repeatedly(c, a, b, 2)?;
        } else {
            engine.matmul(c, a, b, trine_core::Write::REPLACE)?;
        }
        // The forward pass of reports has a ReLU.
        out.y.iter_mut().filter(|y| **y < E::ZERO).for_each(|y| *y = E::ZERO);
        verify::exact(Op::Forward, &no_bias, &out, rounding)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_measured() {
        for shape in SHAPES {
            let found = measure::<f32>(Isa::best(), shape, Duration::ZERO).expect("available");
            let names: Vec<_> = found.ways.iter().map(|way| way.name.as_str()).collect();
            assert_eq!((names, found.shape()), (vec![KERNEL, KEPT, ASSEMBLED, DETECTED], shape));
            assert!(
                found.ways.iter().all(|way| way.seconds > 0.0 && way.interval[0] <= way.seconds),
                "{found:?}"
            );
            assert!(found.at_peak > 0.0 && found.seconds("another way").is_none());
        }
    }
}
