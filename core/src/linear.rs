//! The linear layer as a trait, and the rules for its shapes in one place.
//!
//! ```text
//!     Y  = act(X·W + b)          X n×d   W d×m   b m   Y n×m
//!     ∇Z = ∇Y ⊙ act'(·)          n×m
//!     ∇X = ∇Z·Wᵀ                 n×d, sums over m
//!     ∇W = Xᵀ·∇Z                 d×m, sums over n
//!     ∇b = 1ᵀ·∇Z                 m,   sums over n
//! ```
//!
//! # The one answer
//!
//! Every output element is a sum over k = 0..K, and it has one defined value. With F(a, b, c) for
//! the multiply-add a·b + c ([`Rounding`](crate::Rounding) says how it is rounded):
//!
//! ```text
//!     for each block of K_BLOCK consecutive k's (the last may be short):
//!         p = F(a[k0], b[k0], 0), then p = F(a[k], b[k], p) for the following k's, in order
//!         out = alpha·p              in the first block, if there is no initial value
//!         out = F(alpha, p, out)     otherwise
//!     K = 0: out = the initial value, or +0
//! ```
//!
//! The initial value is nothing ([`Write::REPLACE`]: the old content is never read), the old
//! content ([`Write::ADD`]) or the bias. ∇b is the same sum with a = 1. The activation is applied
//! last. Neither the other rows of the batch, nor strides, nor threads, nor the instruction set
//! have a say in it.

use crate::activation::{Activation, Saved};
use crate::element::Element;
use crate::error::{Dim, Error};
use crate::lanes::Task;
use crate::view::{Layout, MatMut, MatRef};

/// How many products are added before a partial sum is closed. Part of the contract: changing
/// it changes results.
#[cfg(not(trine_free_order))]
pub const K_BLOCK: usize = 512;

/// Another length of blocks, `TRINE_K_BLOCK` at compile time: only to measure what the fixed one costs. Results
/// have other bits.
#[cfg(trine_free_order)]
pub const K_BLOCK: usize = match usize::from_str_radix(env!("TRINE_K_BLOCK"), 10) {
    Ok(length) => length,
    Err(_) => panic!("TRINE_K_BLOCK is no number"),
};

/// How a product meets what is already there: `out = alpha·product` or `out += alpha·product`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Write<E> {
    /// Whether the old content is the initial value of the sum. If not, it is never read.
    pub add: bool,
    /// Factor of every partial sum.
    pub alpha: E,
}

impl<E: Element> Write<E> {
    /// The product takes the place of the old content.
    pub const REPLACE: Self = Write { add: false, alpha: E::ONE };
    /// The product is added to the old content: gradient accumulation.
    pub const ADD: Self = Write { add: true, alpha: E::ONE };

    /// The same with another factor. `Write::ADD.times(-lr)` into W and b is a step of SGD.
    #[must_use]
    pub const fn times(self, alpha: E) -> Self {
        Write { alpha, ..self }
    }
}

/// Operands of a forward pass: `Y = act(X·W + b)`.
#[derive(Debug)]
pub struct Forward<'a, E> {
    /// Input, n×d.
    pub x: MatRef<'a, E>,
    /// Weights, d×m. Whoever stores them as (out, in) passes `w.t()`.
    pub w: MatRef<'a, E>,
    /// Bias, m values.
    pub bias: Option<&'a [E]>,
    /// Applied to every element of the sum.
    pub activation: Activation,
    /// Output, n×m.
    pub y: MatMut<'a, E>,
    /// Where Z goes, n×m, if the backward pass will need it ([`Activation::saves`]).
    pub z: Option<MatMut<'a, E>>,
}

/// What a backward pass starts from.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a, E> {
    /// Input of the layer, n×d.
    pub x: MatRef<'a, E>,
    /// Weights, d×m.
    pub w: MatRef<'a, E>,
    /// Gradient of the output, n×m.
    pub dy: MatRef<'a, E>,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// Y or Z of the forward pass, n×m, as [`Activation::saves`] says; not needed for the identity.
    pub saved: Option<MatRef<'a, E>>,
}

/// What a backward pass computes. What is `None` is skipped.
#[derive(Debug)]
pub struct Gradients<'a, E> {
    /// ∇X, n×d. The first layer skips it.
    pub dx: Option<MatMut<'a, E>>,
    /// How ∇X is written.
    pub dx_write: Write<E>,
    /// ∇W, d×m. A frozen layer skips it.
    pub dw: Option<MatMut<'a, E>>,
    /// ∇b, m values.
    pub db: Option<&'a mut [E]>,
    /// How ∇W and ∇b are written.
    pub params_write: Write<E>,
}

/// A backward pass that steps at once: `W += −lr·∇W`, `b += −lr·∇b`, without memory for ∇W.
/// ∇X is taken from W as it was before.
#[derive(Debug)]
pub struct Step<'a, E> {
    /// Input of the layer, n×d.
    pub x: MatRef<'a, E>,
    /// Weights, d×m, updated.
    pub w: MatMut<'a, E>,
    /// Bias, m values, updated.
    pub bias: Option<&'a mut [E]>,
    /// Gradient of the output, n×m.
    pub dy: MatRef<'a, E>,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// Y or Z of the forward pass, n×m, as [`Activation::saves`] says.
    pub saved: Option<MatRef<'a, E>>,
    /// ∇X, n×d, replaced; `None` skips it.
    pub dx: Option<MatMut<'a, E>>,
    /// Learning rate.
    pub lr: E,
}

/// The sides of a layer: batch, in, out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the batch.
    pub n: usize,
    /// Input features.
    pub d: usize,
    /// Output features.
    pub m: usize,
}

/// An implementation of the layer: [`Reference`](crate::Reference), or an engine of the kernels crate.
///
/// Every method checks its operands first; on an error nothing has been written. Cost: 2·n·d·m
/// floating-point operations for each product.
pub trait LinearKernels<E: Element> {
    /// `Y = act(X·W + b)`: the short form of [`forward_with`](LinearKernels::forward_with).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`], [`Error::Scratch`].
    fn forward(
        &mut self,
        y: MatMut<'_, E>,
        x: MatRef<'_, E>,
        w: MatRef<'_, E>,
        bias: Option<&[E]>,
        activation: Activation,
    ) -> Result<(), Error> {
        self.forward_with(Forward { x, w, bias, activation, y, z: None })
    }

    /// `Z = X·W + b`, `Y = act(Z)`; Z is written only if asked for.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`], [`Error::Scratch`].
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error>;

    /// `C = alpha·A·B` or `C += alpha·A·B`: the product underneath everything. A is n×d, B is d×m.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Scratch`].
    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error>;

    /// `∇X = ∇Z·Wᵀ`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Scratch`].
    fn grad_input(
        &mut self,
        dx: MatMut<'_, E>,
        dz: MatRef<'_, E>,
        w: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        check_grad_input(dx.layout(), dz.layout(), w.layout())?;
        self.matmul(dx, dz, w.t(), write)
    }

    /// `∇W = Xᵀ·∇Z` and `∇b = 1ᵀ·∇Z`, in one pass over ∇Z.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Scratch`].
    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error>;

    /// ∇X, ∇W and ∇b from ∇Y, in one sweep over it.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Missing`], [`Error::Value`], [`Error::Scratch`].
    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error>;

    /// ∇X, and a step of SGD straight into W and b.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Missing`], [`Error::Value`], [`Error::Scratch`].
    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error>;

    /// Does elementwise work with the lanes of this implementation.
    fn run<T: Task<E>>(&mut self, task: T) -> T::Output;
}

#[inline(always)]
pub(crate) const fn same(
    (operand, dim, found): (&'static str, Dim, usize),
    (other, other_dim, expected): (&'static str, Dim, usize),
) -> Result<(), Error> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::Shape { operand, dim, found, other, other_dim, expected })
    }
}

/// `operand` has to be n×m like Y.
#[inline(always)]
pub(crate) fn same_shape(
    operand: &'static str,
    found: Layout,
    other: &'static str,
    expected: Layout,
) -> Result<(), Error> {
    same((operand, Dim::Rows, found.rows), (other, Dim::Rows, expected.rows))?;
    same((operand, Dim::Columns, found.cols), (other, Dim::Columns, expected.cols))
}

#[inline(always)]
fn check_grad_input(dx: Layout, dz: Layout, w: Layout) -> Result<(), Error> {
    same(("dz", Dim::Columns, dz.cols), ("w", Dim::Columns, w.cols))?;
    same(("dx", Dim::Rows, dx.rows), ("dz", Dim::Rows, dz.rows))?;
    same(("dx", Dim::Columns, dx.cols), ("w", Dim::Rows, w.rows))
}

/// The shape rule of [`LinearKernels::matmul`].
///
/// # Errors
/// [`Error::Shape`].
#[inline(always)]
pub fn check_matmul(c: Layout, a: Layout, b: Layout) -> Result<Shape, Error> {
    same(("b", Dim::Rows, b.rows), ("a", Dim::Columns, a.cols))?;
    same(("c", Dim::Rows, c.rows), ("a", Dim::Rows, a.rows))?;
    same(("c", Dim::Columns, c.cols), ("b", Dim::Columns, b.cols))?;
    Ok(Shape { n: a.rows, d: a.cols, m: b.cols })
}

/// The shape rule of [`LinearKernels::grad_params`].
///
/// # Errors
/// [`Error::Shape`].
#[inline(always)]
pub fn check_grad_params(dw: Layout, db: Option<usize>, x: Layout, dz: Layout) -> Result<Shape, Error> {
    same(("dz", Dim::Rows, dz.rows), ("x", Dim::Rows, x.rows))?;
    same(("dw", Dim::Rows, dw.rows), ("x", Dim::Columns, x.cols))?;
    same(("dw", Dim::Columns, dw.cols), ("dz", Dim::Columns, dz.cols))?;
    if let Some(db) = db {
        same(("db", Dim::Values, db), ("dz", Dim::Columns, dz.cols))?;
    }
    Ok(Shape { n: x.rows, d: x.cols, m: dz.cols })
}

/// The shape rule of a forward pass: X, W, Y, values of the bias, Z.
///
/// # Errors
/// [`Error::Shape`], [`Error::Value`].
// Inline, here and below: a call would wait for copies of layouts that have only just been written.
#[inline(always)]
pub fn check_forward(
    (x, w, y): (Layout, Layout, Layout),
    bias: Option<usize>,
    z: Option<Layout>,
    activation: Activation,
) -> Result<Shape, Error> {
    activation.check()?;
    same(("w", Dim::Rows, w.rows), ("x", Dim::Columns, x.cols))?;
    same(("y", Dim::Rows, y.rows), ("x", Dim::Rows, x.rows))?;
    same(("y", Dim::Columns, y.cols), ("w", Dim::Columns, w.cols))?;
    if let Some(bias) = bias {
        same(("bias", Dim::Values, bias), ("w", Dim::Columns, w.cols))?;
    }
    if let Some(z) = z {
        same_shape("z", z, "y", y)?;
    }
    Ok(Shape { n: x.rows, d: x.cols, m: w.cols })
}

impl<E: Element> Forward<'_, E> {
    /// The shape rule of a forward pass.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`].
    #[inline(always)]
    pub fn check(&self) -> Result<Shape, Error> {
        let given = (self.x.layout(), self.w.layout(), self.y.layout());
        let (bias, z) = (self.bias.map(<[E]>::len), self.z.as_ref().map(MatMut::layout));
        check_forward(given, bias, z, self.activation)
    }
}

/// The shape rule of what a backward pass starts from: X, W, ∇Y, and what was saved.
///
/// # Errors
/// [`Error::Shape`], [`Error::Missing`], [`Error::Value`].
#[inline(always)]
pub fn check_backward(
    (x, w, dy): (Layout, Layout, Layout),
    activation: Activation,
    saved: Option<Layout>,
) -> Result<Shape, Error> {
    activation.check()?;
    same(("w", Dim::Rows, w.rows), ("x", Dim::Columns, x.cols))?;
    same(("dy", Dim::Rows, dy.rows), ("x", Dim::Rows, x.rows))?;
    same(("dy", Dim::Columns, dy.cols), ("w", Dim::Columns, w.cols))?;
    match (activation.saves(), saved) {
        (Saved::Nothing, _) => {}
        (_, Some(saved)) => same_shape("saved", saved, "dy", dy)?,
        (Saved::Output, None) => {
            return Err(Error::Missing { operand: "y", needed_by: activation.name() });
        }
        (Saved::PreActivation, None) => {
            return Err(Error::Missing { operand: "z", needed_by: activation.name() });
        }
    }
    Ok(Shape { n: x.rows, d: x.cols, m: w.cols })
}

/// The shape rule of gradients, of which each may be left out: ∇X, ∇W, values of ∇b.
///
/// # Errors
/// [`Error::Shape`].
#[inline(always)]
pub fn check_gradients(
    (x, w): (Layout, Layout),
    (dx, dw): (Option<Layout>, Option<Layout>),
    db: Option<usize>,
) -> Result<(), Error> {
    if let Some(dx) = dx {
        same_shape("dx", dx, "x", x)?;
    }
    if let Some(dw) = dw {
        same_shape("dw", dw, "w", w)?;
    }
    if let Some(db) = db {
        same(("db", Dim::Values, db), ("w", Dim::Columns, w.cols))?;
    }
    Ok(())
}

impl<E: Element> Backward<'_, E> {
    /// The shape rule of a backward pass.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Missing`], [`Error::Value`].
    #[inline(always)]
    pub fn check(&self, wanted: &Gradients<'_, E>) -> Result<Shape, Error> {
        let (x, w) = (self.x.layout(), self.w.layout());
        let saved = self.saved.map(|saved| saved.layout());
        let shape = check_backward((x, w, self.dy.layout()), self.activation, saved)?;
        let (dx, dw) = (wanted.dx.as_ref().map(MatMut::layout), wanted.dw.as_ref().map(MatMut::layout));
        check_gradients((x, w), (dx, dw), wanted.db.as_ref().map(|db| db.len()))?;
        Ok(shape)
    }
}

/// The shape rule of what a step writes: X, W, ∇X, values of the bias.
///
/// # Errors
/// [`Error::Shape`].
#[inline(always)]
pub fn check_step((x, w): (Layout, Layout), dx: Option<Layout>, bias: Option<usize>) -> Result<(), Error> {
    if let Some(dx) = dx {
        same_shape("dx", dx, "x", x)?;
    }
    if let Some(bias) = bias {
        same(("bias", Dim::Values, bias), ("w", Dim::Columns, w.cols))?;
    }
    Ok(())
}

impl<E: Element> Step<'_, E> {
    /// The shape rule of a backward pass with a step.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Missing`], [`Error::Value`].
    #[inline(always)]
    pub fn check(&self) -> Result<Shape, Error> {
        let (x, w) = (self.x.layout(), self.w.layout());
        let saved = self.saved.map(|saved| saved.layout());
        let shape = check_backward((x, w, self.dy.layout()), self.activation, saved)?;
        let (dx, bias) = (self.dx.as_ref().map(MatMut::layout), self.bias.as_ref().map(|bias| bias.len()));
        check_step((x, w), dx, bias)?;
        Ok(shape)
    }
}
