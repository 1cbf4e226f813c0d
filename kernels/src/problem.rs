//! What a product is: the operands as pointers and strides, the initial value, what follows.

use trine_core::{Activation, Element, Write};

use crate::pack::{Source, offset};
use crate::plan::{LINE, Order, Product, SHORT};
use crate::tiles::{Initial, Tiles};
use crate::tuning::Thresholds;
use crate::vector::Vector;

/// A matrix that is written. Its fields lie as those of a [`Source`], for the same reason.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Target<E> {
    /// Distance from one row to the next, in elements.
    pub row: usize,
    /// The first element.
    pub ptr: *mut E,
    /// Distance from one column to the next, in elements.
    pub col: usize,
}

impl<E> Target<E> {
    #[inline(always)]
    fn t(self) -> Self {
        Target { ptr: self.ptr, row: self.col, col: self.row }
    }

    /// The part that begins at (i, j).
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        Target { ptr: self.ptr.wrapping_add(offset((i, self.row), (j, self.col))), ..self }
    }

    /// The same memory, to be read.
    pub fn source(self) -> Source<E> {
        Source { ptr: self.ptr, row: self.row, col: self.col }
    }
}

/// Whether an m×n product is better computed from the other side: vectors lie along the rows of
/// C, so they should be contiguous, and of a single row or column it should be the long side.
#[inline(always)]
pub fn flips<E>(c: &Target<E>, m: usize, n: usize) -> bool {
    c.row == 1 && (c.col != 1 || m > n)
}

/// What a sum begins with.
#[derive(Clone, Copy, Debug)]
pub enum Start<E> {
    /// Nothing; the old content of C is never read.
    Nothing,
    /// The old content of C.
    Old,
    /// One value for each column of C.
    PerColumn(*const E),
    /// One value for each row of C.
    PerRow(*const E),
}

/// `C = start + alpha·A·B`, then `Y = act(C)`.
#[derive(Clone, Copy, Debug)]
pub struct Problem<E> {
    pub k: usize,
    pub m: usize,
    pub n: usize,
    pub a: Source<E>,
    pub b: Source<E>,
    pub c: Target<E>,
    pub start: Start<E>,
    pub alpha: E,
    pub activation: Activation,
    /// Where the activated result goes if not to C.
    pub y: Option<Target<E>>,
    /// Whether it is computed as `Cᵀ = Bᵀ·Aᵀ`. Decided once for the whole product: a part that
    /// decided for itself could need more scratch memory than the whole.
    pub flip: bool,
    /// Elements of the whole product's C, of which this may be a part, and of what is as large and read by the same call:
    /// what the last level of cache would have to hold for C to be found there later.
    pub passing: usize,
    /// Whether its sums go through [`runs`](crate::runs) of a batch, decided once as well (but that a part may have tiles
    /// too low for it), and how many values of k lie between these and those that come next.
    pub in_runs: Option<usize>,
}

impl<E: Element> Problem<E> {
    /// `C = alpha·A·B` or `C += alpha·A·B` as a problem.
    pub fn new(
        (m, n, k): (usize, usize, usize),
        a: Source<E>,
        b: Source<E>,
        c: Target<E>,
        write: Write<E>,
    ) -> Self {
        let start = if write.add { Start::Old } else { Start::Nothing };
        Problem {
            m,
            n,
            k,
            a,
            b,
            c,
            start,
            alpha: write.alpha,
            activation: Activation::Identity,
            y: None,
            flip: flips(&c, m, n),
            passing: m.saturating_mul(n),
            in_runs: None,
        }
    }

    /// The same, being some rows of a product with `m` of them.
    pub fn of_rows(self, m: usize) -> Self {
        Problem { flip: flips(&self.c, m, self.n), passing: m.saturating_mul(self.n), ..self }
    }

    /// The same product seen from the other side: `Cᵀ = Bᵀ·Aᵀ`.
    #[inline(always)]
    fn t(self) -> Self {
        Problem {
            m: self.n,
            n: self.m,
            a: self.b.t(),
            b: self.a.t(),
            c: self.c.t(),
            start: match self.start {
                Start::PerColumn(p) => Start::PerRow(p),
                Start::PerRow(p) => Start::PerColumn(p),
                other => other,
            },
            y: self.y.map(Target::t),
            flip: !self.flip,
            ..self
        }
    }

    /// Whether C has no elements. The sum, and the other side, may be without end then.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.m == 0 || self.n == 0
    }

    /// As it is computed.
    #[inline(always)]
    pub fn oriented(self) -> Self {
        if self.flip { self.t() } else { self }
    }

    /// The same without a copy in the usual case: `turned` is a place for the other.
    #[inline(always)]
    pub fn orient<'p>(&'p self, turned: &'p mut Option<Self>) -> &'p Self {
        if self.flip { turned.insert(self.t()) } else { self }
    }

    /// What the sums at (i, j) begin with, in the first block of k and in later ones, if they are written to `c`.
    #[inline(always)]
    pub fn initial(&self, first: bool, (i, j): (usize, usize), c: Target<E>) -> Initial<E> {
        let old = Initial::Rows(c.ptr, c.row);
        if !first {
            return old;
        }
        match &self.start {
            Start::Nothing => Initial::Nothing,
            Start::Old => old,
            Start::PerColumn(bias) if self.c.col == 1 => Initial::Rows(bias.wrapping_add(j), 0),
            // Columns of C that are no neighbours: with one lane, or on the way to their places.
            Start::PerColumn(bias) => Initial::Spread(bias.wrapping_add(j)),
            Start::PerRow(bias) => Initial::Columns(bias.wrapping_add(i)),
        }
    }

    /// What a kernel has to know of all rows, from column `j` on, in the block of `len` values of k from `pc` on.
    #[inline(always)]
    pub fn columns(&self, (pc, len): (usize, usize), j: usize) -> Tiles<'_, E> {
        let c = self.c.at(0, j);
        Tiles {
            c: c.ptr,
            c_row: c.row,
            alpha: self.alpha,
            initial: self.initial(pc == 0, (0, j), c),
            relu: pc + len == self.k && self.is_relu(),
            ..Tiles::new(self.a.at(0, pc), self.b.at(pc, j), len)
        }
    }

    /// Whether columns of B are contiguous, and rows of A and C.
    #[inline(always)]
    pub fn is_times_columns(&self) -> bool {
        self.b.row == 1 && self.b.col != 1 && self.a.col == 1 && self.c.col == 1
    }

    /// Whether a kernel can apply the activation itself: ReLU, in place.
    #[inline(always)]
    pub fn is_relu(&self) -> bool {
        self.y.is_none() && self.activation == Activation::Relu
    }

    /// Whether there is something to do when the sums are complete: an activation, or Y to be written.
    #[inline(always)]
    pub fn activates(&self) -> bool {
        self.activation != Activation::Identity || self.y.is_some()
    }

    /// The same in a call that reads something as large as C, or not.
    pub fn beside(self, is: bool) -> Self {
        Problem { passing: if is { self.passing.saturating_mul(2) } else { self.passing }, ..self }
    }

    /// Whether what passes with C is too much for the last level of cache.
    #[inline(always)]
    pub fn is_large(&self, thresholds: &Thresholds) -> bool {
        self.passing.saturating_mul(E::BYTES) > thresholds.past_bytes
    }

    /// Whether C is written past the caches, in which nobody would find it later: it is only written, once and in whole
    /// cache lines, and the sums are too short to hide that it is read before.
    #[inline(always)]
    pub fn goes_past<V: Vector<E>>(&self, thresholds: &Thresholds) -> bool {
        V::HINTS
            && self.is_large(thresholds)
            && self.k <= SHORT
            && !matches!(self.start, Start::Old)
            && (self.is_relu() || !self.activates())
            && self.c.col == 1
            && (self.m == 1 || self.c.row.wrapping_mul(E::BYTES).is_multiple_of(LINE))
            && self.c.ptr.addr().is_multiple_of(LINE)
    }

    /// K = 0: every element of C is its initial value, or +0.
    ///
    /// # Safety
    /// C can be written, and what its sums begin with can be read.
    // Rare: it should not take registers from the loops of who calls it.
    #[inline(never)]
    pub unsafe fn write_empty_sums(&self) {
        for i in 0..self.m {
            for j in 0..self.n {
                let to = self.c.at(i, j).ptr;
                // SAFETY: element (i, j) of C, and its initial value.
                unsafe {
                    match self.start {
                        Start::Nothing => *to = E::ZERO,
                        Start::Old => {}
                        Start::PerColumn(bias) => *to = *bias.add(j),
                        Start::PerRow(bias) => *to = *bias.add(i),
                    }
                }
            }
        }
    }

    /// What the planner has to know.
    #[inline(always)]
    pub fn product(&self) -> Product {
        Product {
            m: self.m,
            n: self.n,
            k: self.k,
            // Of a single row only the distance along k counts.
            a: if self.m == 1 && self.a.col != 1 { Order::Columns } else { self.a.order() },
            b: self.b.order(),
            b_row: self.b.row,
        }
    }

    /// Rows from..to of the problem, all columns.
    pub fn rows(self, from: usize, to: usize) -> Self {
        Problem {
            m: to - from,
            a: self.a.at(from, 0),
            c: self.c.at(from, 0),
            start: match self.start {
                Start::PerRow(p) => Start::PerRow(p.wrapping_add(from)),
                other => other,
            },
            y: self.y.map(|y| y.at(from, 0)),
            ..self
        }
    }

    /// Columns from..to of the problem, all rows.
    pub fn cols(self, from: usize, to: usize) -> Self {
        self.t().rows(from, to).t()
    }
}
