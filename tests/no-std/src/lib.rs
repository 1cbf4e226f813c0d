//! A layer forward and backward, on memory that is all known at compile time, and a hash of all it
//! computed: on the reference and on every engine that this machine can have.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write as Output;

use trine_core::{
    Activation, Backward, Element, Error, Forward, Fused, Gradients, LinearKernels, MatMut, MatRef,
    Reference, Rng, Rounding, Step, Unfused, Write, hash_params,
};
use trine_kernels::{Engine, Isa, Line, Op, Supported, scratch_len};

/// Rows of the batch: one more than any tile has.
const N: usize = 9;
/// Input features: more than one block of a sum.
const D: usize = trine_core::K_BLOCK + 5;
/// Output features: no multiple of a vector.
const M: usize = 5;

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.125 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
];

/// Lines of scratch memory that any engine here needs for any operation.
pub const SCRATCH: usize = {
    let mut most = 0;
    let mut i = 0;
    while i < Isa::ALL.len() {
        let isa = Isa::ALL[i];
        let lengths = [
            scratch_len::<f32>(isa, Op::Forward, N, D, M),
            scratch_len::<f32>(isa, Op::Backward, N, D, M),
            scratch_len::<f64>(isa, Op::Forward, N, D, M),
            scratch_len::<f64>(isa, Op::Backward, N, D, M),
        ];
        let mut j = 0;
        while j < lengths.len() {
            if (isa as usize == Isa::Portable as usize || !cfg!(target_arch = "arm")) && lengths[j] > most {
                most = lengths[j];
            }
            j += 1;
        }
        i += 1;
    }
    most
};

/// The operands of the layer.
struct Layer<E> {
    x: [E; N * D],
    w: [E; D * M],
    bias: [E; M],
    y: [E; N * M],
    z: [E; N * M],
    dy: [E; N * M],
    dx: [E; N * D],
    dw: [E; D * M],
    db: [E; M],
}

impl<E: Element> Layer<E> {
    /// Inputs are random, outputs not a number.
    fn new() -> Self {
        let mut rng = Rng::new(1);
        let mut next = |_| E::from_f64(2.0 * rng.uniform() - 1.0);
        Layer {
            x: core::array::from_fn(&mut next),
            w: core::array::from_fn(&mut next),
            bias: core::array::from_fn(&mut next),
            dy: core::array::from_fn(&mut next),
            y: [E::NAN; N * M],
            z: [E::NAN; N * M],
            dx: [E::NAN; N * D],
            dw: [E::NAN; D * M],
            db: [E::NAN; M],
        }
    }

    /// Forward, backward and a step of SGD.
    fn run<K: LinearKernels<E>>(&mut self, kernels: &mut K, activation: Activation) -> Result<(), Error> {
        kernels.forward_with(Forward {
            x: MatRef::row_major(&self.x, N, D)?,
            w: MatRef::row_major(&self.w, D, M)?,
            bias: Some(&self.bias),
            activation,
            y: MatMut::row_major(&mut self.y, N, M)?,
            z: Some(MatMut::row_major(&mut self.z, N, M)?),
        })?;
        let saved = match activation.saves() {
            trine_core::Saved::PreActivation => &self.z,
            _ => &self.y,
        };
        let (x, dy) = (MatRef::row_major(&self.x, N, D)?, MatRef::row_major(&self.dy, N, M)?);
        let saved = Some(MatRef::row_major(saved, N, M)?);
        let wanted = Gradients {
            dx: Some(MatMut::row_major(&mut self.dx, N, D)?),
            dx_write: Write::REPLACE,
            dw: Some(MatMut::row_major(&mut self.dw, D, M)?),
            db: Some(&mut self.db),
            params_write: Write::REPLACE,
        };
        let w = MatRef::row_major(&self.w, D, M)?;
        kernels.backward(Backward { x, w, dy, activation, saved }, wanted)?;
        let (w, bias) = (MatMut::row_major(&mut self.w, D, M)?, Some(&mut self.bias[..]));
        let lr = E::from_f64(0.03);
        kernels.backward_step(Step { x, w, bias, dy, activation, saved, dx: None, lr })
    }

    /// Of all outputs.
    fn hash(&self) -> u64 {
        let parts: [&[E]; 7] = [&self.w, &self.bias, &self.y, &self.z, &self.dx, &self.dw, &self.db];
        parts.iter().fold(0, |hash: u64, part| hash.rotate_left(7) ^ hash_params(part))
    }
}

/// The layer with each activation.
fn hash<E: Element, K: LinearKernels<E>>(kernels: &mut K) -> Result<u64, Error> {
    let mut layer = Layer::new();
    let mut hash = 0u64;
    for activation in ACTIVATIONS {
        layer.run(kernels, activation)?;
        hash = hash.rotate_left(7) ^ layer.hash();
    }
    Ok(hash)
}

/// Why there is no good report.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// The layer was refused.
    Layer(Error),
    /// An engine's hash is not the reference's.
    Hash,
    /// The report could not be written.
    Output,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Layer(error)
    }
}

impl From<core::fmt::Error> for Failure {
    fn from(_: core::fmt::Error) -> Self {
        Failure::Output
    }
}

fn engines<E: Supported>(out: &mut impl Output, scratch: &mut [Line]) -> Result<(), Failure> {
    let fused = hash::<E, _>(&mut Reference(Fused))?;
    let unfused = hash::<E, _>(&mut Reference(Unfused))?;
    writeln!(out, "{} fused reference {fused:016x}", E::NAME)?;
    writeln!(out, "{} unfused reference {unfused:016x}", E::NAME)?;
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let found = hash::<E, _>(&mut Engine::with_scratch(isa, scratch)?)?;
        let (rounding, expected) = match isa.rounding::<E>() {
            Rounding::Fused => ("fused", fused),
            Rounding::Unfused => ("unfused", unfused),
        };
        writeln!(out, "{} {rounding} {isa} {found:016x}", E::NAME)?;
        if found != expected {
            return Err(Failure::Hash);
        }
    }
    Ok(())
}

/// Writes a line for each reference and each engine: element type, rounding, name, hash.
///
/// # Errors
/// [`Failure`].
pub fn report(out: &mut impl Output, scratch: &mut [Line]) -> Result<(), Failure> {
    engines::<f32>(out, scratch)?;
    engines::<f64>(out, scratch)
}
