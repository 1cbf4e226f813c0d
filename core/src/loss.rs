//! Losses with their gradients, and the count of right answers.
//!
//! With n rows in hand out of a batch of B, m columns, outputs y and targets t:
//!
//! ```text
//!     mean squared error        L = 1/(B·m)·Σᵢⱼ (yᵢⱼ − tᵢⱼ)²       ∂L/∂yᵢⱼ = 2/(B·m)·(yᵢⱼ − tᵢⱼ)
//!     softmax cross-entropy     L = −1/B·Σᵢⱼ tᵢⱼ·ln pᵢⱼ             ∂L/∂yᵢⱼ = 1/B·(Tᵢ·pᵢⱼ − tᵢⱼ)
//!                               pᵢⱼ = e^(yᵢⱼ − maxᵢ)/sᵢ,  sᵢ = Σⱼ e^(yᵢⱼ − maxᵢ),  Tᵢ = Σⱼ tᵢⱼ
//! ```
//!
//! The divisor is the whole batch, so the losses and gradients of its parts (microbatches, or
//! shares of several processes) add up to those of the whole.
//!
//! # The one answer
//!
//! Every sum runs over a row in increasing j, one rounding for each product and each sum, and the
//! rows' sums are added in increasing i. The lane width has no say in it.

use crate::element::Element;
use crate::error::{Dim, Error};
use crate::lanes::{Lanes, Task};
use crate::linear::{LinearKernels, same, same_shape};
use crate::math;
use crate::view::{MatMut, MatRef};

/// Values worked on at a time: a few vectors, on the stack.
const STAGE: usize = 64;

/// What the outputs should have been.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a, E> {
    /// For each row the column of the right answer: t is 1 there and 0 elsewhere.
    Classes(&'a [u32]),
    /// All values, n×m. For cross-entropy, probabilities; rows that do not sum to 1 are taken
    /// as weights.
    Rows(MatRef<'a, E>),
}

/// How far outputs are from their targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Mean squared error.
    MeanSquared,
    /// Cross-entropy of the softmax of the outputs. A target of 0 adds nothing, even where the
    /// output is −∞.
    SoftmaxCrossEntropy,
}

impl Loss {
    /// The loss of the rows of `y` (n×m), and into `dy` (n×m) its gradient. `batch` is the number
    /// of rows of the whole batch, of which these are a part. 0 where there is no row or no column.
    ///
    /// Infinities and NaN in `y` give a loss and gradients of NaN in their rows where the formula
    /// has no value.
    ///
    /// Cost: about n·m exponentials for cross-entropy, with three passes over `y`; one pass for
    /// mean squared error.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Class`], [`Error::Value`] if `batch` is less than n.
    pub fn evaluate<E: Element, K: LinearKernels<E>>(
        self,
        kernels: &mut K,
        y: MatRef<'_, E>,
        target: Target<'_, E>,
        batch: usize,
        dy: Option<MatMut<'_, E>>,
    ) -> Result<E, Error> {
        check(y, target)?;
        if let Some(dy) = &dy {
            same_shape("dy", dy.layout(), "y", y.layout())?;
        }
        if batch < y.nrows() {
            return Err(Error::Value { operand: "batch", expected: "at least the number of rows" });
        }
        if y.nrows() == 0 || y.ncols() == 0 {
            return Ok(E::ZERO);
        }
        Ok(kernels.run(Evaluate { loss: self, y, target, batch, dy }))
    }
}

fn check<E: Element>(y: MatRef<'_, E>, target: Target<'_, E>) -> Result<(), Error> {
    match target {
        Target::Rows(rows) => same_shape("target", rows.layout(), "y", y.layout()),
        Target::Classes(classes) => {
            same(("target", Dim::Values, classes.len()), ("y", Dim::Rows, y.nrows()))?;
            for (row, &class) in classes.iter().enumerate() {
                if class as usize >= y.ncols() {
                    return Err(Error::Class { row, found: class, expected: y.ncols() });
                }
            }
            Ok(())
        }
    }
}

/// A loss on operands that are known to fit, none of them empty.
struct Evaluate<'a, E> {
    loss: Loss,
    y: MatRef<'a, E>,
    target: Target<'a, E>,
    batch: usize,
    dy: Option<MatMut<'a, E>>,
}

impl<E: Element> Task<E> for Evaluate<'_, E> {
    type Output = E;

    #[inline(always)]
    fn run<L: Lanes<E>>(mut self, lanes: L) -> E {
        let mut total = E::ZERO;
        let divisor = match self.loss {
            Loss::MeanSquared => E::from_f64(self.batch as f64 * self.y.ncols() as f64),
            Loss::SoftmaxCrossEntropy => E::from_f64(self.batch as f64),
        };
        for i in 0..self.y.nrows() {
            total = total
                + match self.loss {
                    Loss::MeanSquared => self.squares(lanes, i, divisor),
                    Loss::SoftmaxCrossEntropy => self.cross_entropy(lanes, i, divisor),
                };
        }
        total / divisor
    }
}

impl<E: Element> Evaluate<'_, E> {
    /// The sum of squares of row i; its gradient.
    #[inline(always)]
    fn squares<L: Lanes<E>>(&mut self, lanes: L, i: usize, divisor: E) -> E {
        let factor = lanes.splat((E::ONE + E::ONE) / divisor);
        let (mut y, mut t) = ([E::ZERO; STAGE], [E::ZERO; STAGE]);
        let mut sum = E::ZERO;
        for start in (0..self.y.ncols()).step_by(STAGE) {
            let len = STAGE.min(self.y.ncols() - start);
            let (y, t) = (&mut y[..len], &mut t[..len]);
            load(self.y, i, start, y);
            self.load_target(i, start, t);
            for (y, t) in y.chunks_mut(L::LANES).zip(t.chunks(L::LANES)) {
                let difference = lanes.sub(lanes.load(y), lanes.load(t));
                lanes.store(y, difference);
            }
            for &difference in y.iter() {
                sum = sum + difference * difference;
            }
            if let Some(dy) = &mut self.dy {
                for y in y.chunks_mut(L::LANES) {
                    let gradient = lanes.mul(lanes.load(y), factor);
                    lanes.store(y, gradient);
                }
                store(dy, i, start, y);
            }
        }
        sum
    }

    /// `Σⱼ tⱼ·(ln s − (yⱼ − max))` of row i; its gradient. The exponentials wait in dy, so they
    /// are computed once.
    #[inline(always)]
    fn cross_entropy<L: Lanes<E>>(&mut self, lanes: L, i: usize, divisor: E) -> E {
        let (max, sum, weight) = self.exponentials(lanes, i);
        let mut log_sum = [E::ZERO];
        lanes.store(&mut log_sum, math::log(lanes, lanes.splat(sum)));
        let log_sum = log_sum[0];
        let (factor, sum, weight) = (lanes.splat(E::ONE / divisor), lanes.splat(sum), lanes.splat(weight));

        let (mut y, mut t) = ([E::ZERO; STAGE], [E::ZERO; STAGE]);
        let mut loss = E::ZERO;
        for start in (0..self.y.ncols()).step_by(STAGE) {
            let len = STAGE.min(self.y.ncols() - start);
            let (y, t) = (&mut y[..len], &mut t[..len]);
            load(self.y, i, start, y);
            self.load_target(i, start, t);
            for (&y, &t) in y.iter().zip(t.iter()) {
                if t != E::ZERO {
                    loss = loss + t * (log_sum - (y - max));
                }
            }
            if let Some(dy) = &mut self.dy {
                load(dy.as_ref(), i, start, y);
                for (e, t) in y.chunks_mut(L::LANES).zip(t.chunks(L::LANES)) {
                    let p = lanes.mul(lanes.div(lanes.load(e), sum), weight);
                    let gradient = lanes.mul(lanes.sub(p, lanes.load(t)), factor);
                    lanes.store(e, gradient);
                }
                store(dy, i, start, y);
            }
        }
        loss
    }

    /// Of row i: the maximum, `Σⱼ e^(yⱼ − max)` and `Σⱼ tⱼ`. The exponentials go to dy.
    #[inline(always)]
    fn exponentials<L: Lanes<E>>(&mut self, lanes: L, i: usize) -> (E, E, E) {
        let (mut y, mut t) = ([E::ZERO; STAGE], [E::ZERO; STAGE]);
        let mut max = -E::INFINITY;
        for start in (0..self.y.ncols()).step_by(STAGE) {
            let len = STAGE.min(self.y.ncols() - start);
            load(self.y, i, start, &mut y[..len]);
            for &y in &y[..len] {
                max = if max < y { y } else { max };
            }
        }
        let shift = lanes.splat(max);
        let (mut sum, mut weight) = (E::ZERO, E::ZERO);
        for start in (0..self.y.ncols()).step_by(STAGE) {
            let len = STAGE.min(self.y.ncols() - start);
            let (y, t) = (&mut y[..len], &mut t[..len]);
            load(self.y, i, start, y);
            self.load_target(i, start, t);
            for y in y.chunks_mut(L::LANES) {
                let e = math::exp(lanes, lanes.sub(lanes.load(y), shift));
                lanes.store(y, e);
            }
            for (&e, &t) in y.iter().zip(t.iter()) {
                sum = sum + e;
                weight = weight + t;
            }
            if let Some(dy) = &mut self.dy {
                store(dy, i, start, y);
            }
        }
        (max, sum, weight)
    }

    #[inline(always)]
    fn load_target(&self, i: usize, start: usize, to: &mut [E]) {
        match self.target {
            Target::Rows(rows) => load(rows, i, start, to),
            Target::Classes(classes) => {
                to.fill(E::ZERO);
                let class = classes.get(i).map_or(usize::MAX, |&class| (class as usize).wrapping_sub(start));
                if let Some(hot) = to.get_mut(class) {
                    *hot = E::ONE;
                }
            }
        }
    }
}

/// Values (i, start..) of a matrix.
#[inline(always)]
fn load<E: Element>(from: MatRef<'_, E>, i: usize, start: usize, to: &mut [E]) {
    let stride = from.col_stride();
    // All of them are there; firmware has no room for an index that is out of bounds.
    let from = from.as_slice().get(i * from.row_stride() + start * stride..).unwrap_or_default();
    for (j, to) in to.iter_mut().enumerate() {
        if let Some(&from) = from.get(j * stride) {
            *to = from;
        }
    }
}

/// Sets values (i, start..) of a matrix.
#[inline(always)]
fn store<E: Element>(to: &mut MatMut<'_, E>, i: usize, start: usize, from: &[E]) {
    let stride = to.col_stride();
    let first = i * to.row_stride() + start * stride;
    let to = to.as_mut_slice().get_mut(first..).unwrap_or_default();
    for (j, &from) in from.iter().enumerate() {
        if let Some(to) = to.get_mut(j * stride) {
            *to = from;
        }
    }
}

/// The column of the largest value of row i; of equal ones the first. NaN is never the largest;
/// `None` where there is nothing else.
///
/// # Panics
/// Where there is no such row, as indexing a slice does.
pub fn argmax<E: Element>(y: MatRef<'_, E>, i: usize) -> Option<usize> {
    assert!(i < y.nrows(), "row {i} of {}", y.nrows());
    let mut best: Option<(usize, E)> = None;
    for j in 0..y.ncols() {
        let value = y.at(i, j);
        let better = match best {
            None => value.partial_cmp(&value).is_some(),
            Some((_, best)) => best < value,
        };
        if better {
            best = Some((j, value));
        }
    }
    best.map(|(j, _)| j)
}

/// How many rows of `y` are right: have their [`argmax`] where the target has its own. Rows
/// without one are wrong.
///
/// # Errors
/// [`Error::Shape`], [`Error::Class`].
pub fn correct<E: Element>(y: MatRef<'_, E>, target: Target<'_, E>) -> Result<usize, Error> {
    check(y, target)?;
    let right = |&i: &usize| {
        let wanted = match target {
            Target::Classes(classes) => Some(classes[i] as usize),
            Target::Rows(rows) => argmax(rows, i),
        };
        wanted.is_some() && argmax(y, i) == wanted
    };
    Ok((0..y.nrows()).filter(right).count())
}
