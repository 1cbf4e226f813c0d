//! A layer whose shape is known at compile time, for firmware: arrays instead of views, so that no shape
//! can be wrong and none is checked, and no scratch memory.
//!
//! ```
//! use trine_kernels::fixed::Layer;
//! use trine_kernels::{Activation, Error, Write};
//!
//! // Two inputs, three outputs, a batch of four.
//! let mut layer = Layer::<f32, 2, 3> { w: [[0.5, -0.5, 1.0], [0.25, 0.5, 0.0]], b: [0.0, 0.5, -1.0] };
//! let (x, mut y) = ([[1.0, 2.0]; 4], [[0.0; 3]; 4]);
//! layer.forward(&x, Activation::Relu, &mut y)?;
//! assert_eq!(y[3], [1.0, 1.0, 0.0]);
//!
//! let (mut dy, mut gradient) = ([[1.0; 3]; 4], Layer::ZERO);
//! layer.backward(&x, &y, &mut dy, Activation::Relu, None, &mut gradient, Write::REPLACE)?;
//! assert_eq!(gradient.b, [4.0, 4.0, 0.0]);
//! layer.step(&x, &y, &mut [[1.0; 3]; 4], Activation::Relu, None, 0.125)?;
//! assert_eq!(layer.b, [-0.5, 0.0, -1.0]);
//! # Ok::<(), Error>(())
//! ```
//!
//! Computed one value at a time, as [`Isa::Portable`](crate::Isa) does and with its bits
//! ([`ROUNDING`]); every call is compiled for its shape, where edges that there are not take neither
//! flash nor time. Where there is a vector unit, an [`Engine`](crate::Engine) is what to use.

use trine_core::{Activation, Element, Error, Lanes, Rounding, Write};

use crate::elementwise::derive_inline;
use crate::isa::portable::Portable;
use crate::pack::Source;
use crate::problem::{Problem, Start, Target};
use crate::scalar::product_inline;
use crate::sums::column_sums;

/// How `f32` layers round: the bits are those of all engines of the same rounding.
pub const ROUNDING: Rounding = <Portable as Lanes<f32>>::ROUNDING;

/// W (d×m, row-major) and b of a layer, or their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Layer<E, const D: usize, const M: usize> {
    /// Weights: row i belongs to input i.
    pub w: [[E; M]; D],
    /// Bias.
    pub b: [E; M],
}

impl<E: Element, const D: usize, const M: usize> Layer<E, D, M> {
    /// All zero.
    pub const ZERO: Self = Layer { w: [[E::ZERO; M]; D], b: [E::ZERO; M] };

    /// Number of parameters.
    pub const PARAMS: usize = D * M + M;

    /// The parameters, W and then b: as a [`Network`](trine_core::Network) has them, for an optimizer or a hash.
    #[inline(always)]
    pub fn as_slice(&self) -> &[E] {
        // SAFETY: two arrays of E, and in this order (`repr(C)`): nothing is between or behind them.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), Self::PARAMS) }
    }

    /// The same, to be written.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [E] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts_mut(core::ptr::from_mut(self).cast(), Self::PARAMS) }
    }

    /// `Y = act(X·W + b)`. Cost: 2·n·d·m floating-point operations.
    ///
    /// # Errors
    /// [`Error::Value`] if a parameter of the activation is outside its domain; none where that is a constant
    /// that is not.
    #[inline(always)]
    pub fn forward<const N: usize>(
        &self,
        x: &[[E; D]; N],
        activation: Activation,
        y: &mut [[E; M]; N],
    ) -> Result<(), Error> {
        activation.check()?;
        let p = Problem {
            start: Start::PerColumn(self.b.as_ptr()),
            activation,
            ..Problem::new((N, M, D), source(x), source(&self.w), target(y), Write::REPLACE)
        };
        // SAFETY: arrays of these shapes, the output in none of the others.
        unsafe { product_inline(&Problem { flip: false, ..p }) };
        Ok(())
    }

    /// ∇X, ∇W and ∇b from ∇Y, which becomes ∇Z. `saved` is Y, or for an activation that
    /// [saves](Activation::saves) its argument Z: a forward pass with [`Activation::Identity`].
    /// Cost: 4·n·d·m floating-point operations, 2·n·d·m without ∇X.
    ///
    /// # Errors
    /// As [`forward`](Layer::forward); nothing is written then.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn backward<const N: usize>(
        &self,
        x: &[[E; D]; N],
        saved: &[[E; M]; N],
        dy: &mut [[E; M]; N],
        activation: Activation,
        dx: Option<&mut [[E; D]; N]>,
        gradient: &mut Self,
        write: Write<E>,
    ) -> Result<(), Error> {
        activation.check()?;
        let dz = derivative(dy, saved, activation);
        if let Some(dx) = dx {
            self.grad_input(dz, dx);
        }
        gradient.add_gradient(x, dz, write);
        Ok(())
    }

    /// The same with a step of gradient descent at once: `W += −lr·∇W`, `b += −lr·∇b`, without memory for
    /// gradients. ∇X is taken from W as it was before.
    ///
    /// # Errors
    /// As [`forward`](Layer::forward); nothing is written then.
    #[inline(always)]
    pub fn step<const N: usize>(
        &mut self,
        x: &[[E; D]; N],
        saved: &[[E; M]; N],
        dy: &mut [[E; M]; N],
        activation: Activation,
        dx: Option<&mut [[E; D]; N]>,
        lr: E,
    ) -> Result<(), Error> {
        activation.check()?;
        let dz = derivative(dy, saved, activation);
        if let Some(dx) = dx {
            self.grad_input(dz, dx);
        }
        self.add_gradient(x, dz, Write::ADD.times(-lr));
        Ok(())
    }

    /// `∇X = ∇Z·Wᵀ`. Cost: 2·n·d·m floating-point operations.
    #[inline(always)]
    pub fn grad_input<const N: usize>(&self, dz: &[[E; M]; N], dx: &mut [[E; D]; N]) {
        // SAFETY: arrays of these shapes, the output in none of the others.
        unsafe {
            product_inline(&Problem {
                flip: false,
                ..Problem::new((N, D, M), source(dz), source(&self.w).t(), target(dx), Write::REPLACE)
            });
        }
    }

    /// `Xᵀ·∇Z` and `1ᵀ·∇Z`, written into W and b: a gradient, or a step. Cost: 2·n·d·m floating-point
    /// operations.
    #[inline(always)]
    pub fn add_gradient<const N: usize>(&mut self, x: &[[E; D]; N], dz: &[[E; M]; N], write: Write<E>) {
        let db = self.b.as_mut_ptr();
        // SAFETY: arrays of these shapes, the outputs in none of the others.
        unsafe {
            product_inline(&Problem {
                flip: false,
                ..Problem::new((D, M, N), source(x).t(), source(dz), target(&mut self.w), write)
            });
            column_sums(Portable, source(dz), (N, M), db, write);
        }
    }
}

/// `∇Z = ∇Y ⊙ act'`, in the place of ∇Y.
#[inline(always)]
fn derivative<'z, E: Element, const N: usize, const M: usize>(
    dy: &'z mut [[E; M]; N],
    saved: &[[E; M]; N],
    activation: Activation,
) -> &'z [[E; M]; N] {
    if activation != Activation::Identity {
        let dz = target(dy);
        // SAFETY: arrays of these shapes; each element is read before it is written.
        unsafe { derive_inline(Portable, activation, [dz.source(), source(saved)], dz, N, M) };
    }
    dy
}

#[inline(always)]
fn source<E, const R: usize, const C: usize>(matrix: &[[E; C]; R]) -> Source<E> {
    Source { ptr: matrix.as_ptr().cast(), row: C, col: 1 }
}

#[inline(always)]
fn target<E, const R: usize, const C: usize>(matrix: &mut [[E; C]; R]) -> Target<E> {
    Target { ptr: matrix.as_mut_ptr().cast(), row: C, col: 1 }
}
