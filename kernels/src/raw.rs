//! Operands as pointers and strides, for who has no slices: a C interface, where an output may lie between
//! the columns of an input, and may hold nothing yet. Nothing is checked here. The safe interface checks
//! its views, and ends in these functions too.

use trine_core::{Activation, Error, Shape, Write};

pub use crate::backward::Sweep as Backward;
use crate::engine::{Engine, Supported, Work};
pub use crate::pack::Source;
pub use crate::problem::Target;
use crate::problem::{Problem, Start, flips};

/// Operands of a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Forward<E> {
    /// The sides of the layer.
    pub shape: Shape,
    /// Input, n×d.
    pub x: Source<E>,
    /// Weights, d×m.
    pub w: Source<E>,
    /// Bias, m values.
    pub bias: Option<*const E>,
    /// Applied to every element of the sum.
    pub activation: Activation,
    /// Output, n×m.
    pub y: Target<E>,
    /// Where Z goes, n×m.
    pub z: Option<Target<E>>,
}

impl Engine<'_> {
    /// `Y = act(X·W + b)`, as [`forward_with`](crate::LinearKernels::forward_with).
    ///
    /// # Errors
    /// [`Error::Scratch`], [`Error::TooLarge`]; nothing has been written then.
    ///
    /// # Safety
    /// The operands can be accessed as their shapes and strides say. The elements of an output share no place
    /// with each other or with those of another operand.
    #[inline(always)]
    pub unsafe fn forward_raw<E: Supported>(&mut self, forward: Forward<E>) -> Result<(), Error> {
        let Forward { shape, x, w, bias, activation, y, z } = forward;
        let c = z.unwrap_or(y);
        let problem = Problem {
            m: shape.n,
            n: shape.m,
            k: shape.d,
            a: x,
            b: w,
            start: bias.map_or(Start::Nothing, Start::PerColumn),
            alpha: E::ONE,
            activation,
            y: z.is_some().then_some(y),
            c,
            flip: flips(&c, shape.n, shape.m),
            passing: shape.n.saturating_mul(shape.m),
            in_runs: None,
        };
        // SAFETY: the contract is the same.
        unsafe { self.execute(Work::Product(&problem)) }
    }

    /// `C = alpha·A·B` or `C += alpha·A·B`, A n×d, B d×m, as [`matmul`](crate::LinearKernels::matmul).
    ///
    /// # Errors
    /// As for [`forward_raw`](Self::forward_raw).
    ///
    /// # Safety
    /// As for [`forward_raw`](Self::forward_raw).
    #[inline(always)]
    pub unsafe fn matmul_raw<E: Supported>(
        &mut self,
        Shape { n, d, m }: Shape,
        c: Target<E>,
        a: Source<E>,
        b: Source<E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        // SAFETY: the contract is the same.
        unsafe { self.execute(Work::Product(&Problem::new((n, m, d), a, b, c, write))) }
    }

    /// ∇X, ∇W and ∇b from ∇Y, as [`backward`](crate::LinearKernels::backward).
    ///
    /// # Errors
    /// As for [`forward_raw`](Self::forward_raw).
    ///
    /// # Safety
    /// As for [`forward_raw`](Self::forward_raw).
    #[inline(always)]
    pub unsafe fn backward_raw<E: Supported>(&mut self, backward: &Backward<E>) -> Result<(), Error> {
        // SAFETY: the contract is the same.
        unsafe { self.execute(Work::Sweep(backward)) }
    }

    /// ∇X, and a step of SGD into `dw` and `db`, which are W and b themselves; as
    /// [`backward_step`](crate::LinearKernels::backward_step). How they are written is given by `lr` alone.
    ///
    /// # Errors
    /// As for [`forward_raw`](Self::forward_raw).
    ///
    /// # Safety
    /// As for [`forward_raw`](Self::forward_raw), except that `w` and `dw` are the same.
    #[inline(always)]
    pub unsafe fn step_raw<E: Supported>(&mut self, step: &Backward<E>, lr: E) -> Result<(), Error> {
        let write = Write::ADD.times(-lr);
        let update = Backward { dx: None, params_write: write, ..*step };
        // All of ∇X first: it is taken from W as it was.
        let gradient = step.dx.map(|_| Backward { dx_write: Write::REPLACE, dw: None, db: None, ..*step });
        // SAFETY: the contract is the same.
        unsafe { self.execute(Work::Step(gradient.as_ref(), &update)) }
    }
}
