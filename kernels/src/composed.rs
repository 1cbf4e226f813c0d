//! The layer composed of somebody else's product: a peer for benchmarks and an oracle for tests.
//!
//! The product is theirs; bias, activation, its derivative and ∇b are plain loops over the rows,
//! which the compiler vectorises for the best instruction set of the machine. Written once, so
//! that every peer has the same of them. The order of additions is the product's own: results
//! agree with the engine's within rounding only.

use std::vec::Vec;

use trine_core::{
    Activation, Backward, Element, Error, Forward, Fused, Gradients, Lanes, LinearKernels, MatMut, MatRef,
    Step, Task, Write, linear,
};

use crate::engine::{Engine, Supported};

/// Somebody else's product.
pub trait Multiply<E: Element> {
    /// `C = alpha·A·B`, without a look at the old content, or `C += alpha·A·B`. The shapes fit, and no
    /// side is 0.
    ///
    /// # Errors
    /// [`Error::Value`] for a view that it cannot take. Nothing has been written then.
    fn multiply(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error>;
}

/// The layer on a product. Keeps memory for ∇Z and for the sums of ∇b from call to call; apart from
/// the product it works on one thread.
///
/// Where a product refuses a view, what an earlier product of the same call has written stays.
#[derive(Debug)]
pub struct Composed<P, E> {
    product: P,
    passes: Engine<'static>,
    dz: Vec<E>,
    sums: Vec<E>,
}

impl<P, E> Composed<P, E> {
    /// The layer on this product.
    pub fn of(product: P) -> Self {
        Composed { product, passes: Engine::new(), dz: Vec::new(), sums: Vec::new() }
    }
}

/// A closure as an engine wants it: it is compiled for the engine's unit if it is inlined.
struct Pass<F>(F);

impl<E: Element, F: FnOnce()> Task<E> for Pass<F> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes<E>>(self, _: L) {
        (self.0)();
    }
}

/// Runs a loop on the best unit.
fn pass<E: Supported>(passes: &mut Engine<'_>, work: impl FnOnce()) {
    LinearKernels::<E>::run(passes, Pass(work));
}

/// Evaluates an expression for an activation that is a constant in it, where it is a common one.
macro_rules! with_constant {
    ($activation:ident, $body:expr) => {
        match $activation {
            Activation::Identity => {
                let $activation = Activation::Identity;
                $body
            }
            Activation::Relu => {
                let $activation = Activation::Relu;
                $body
            }
            $activation => $body,
        }
    };
}

/// `Y = act(Y + b)`, and `Z = Y + b` on the way if it is wanted. `y` has no empty side.
#[inline(always)]
fn finish<E: Element>(
    mut y: MatMut<'_, E>,
    mut z: Option<MatMut<'_, E>>,
    bias: Option<&[E]>,
    activation: Activation,
) {
    let (n, m, stride) = (y.nrows(), y.ncols(), y.row_stride());
    if y.col_stride() == 1 && z.is_none() {
        for i in 0..n {
            let row = &mut y.as_mut_slice()[i * stride..][..m];
            // Loops and no `for_each`: what that calls would not be compiled for the unit.
            with_constant!(activation, {
                match bias {
                    Some(bias) => {
                        for (y, &b) in row.iter_mut().zip(bias) {
                            *y = activation.apply(Fused, *y + b);
                        }
                    }
                    None => {
                        for y in row {
                            *y = activation.apply(Fused, *y);
                        }
                    }
                }
            });
        }
        return;
    }
    for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
        let sum = y.at(i, j) + bias.map_or(E::ZERO, |bias| bias[j]);
        if let Some(z) = &mut z {
            z.set(i, j, sum);
        }
        y.set(i, j, activation.apply(Fused, sum));
    }
}

/// `∇Z = ∇Y ⊙ act'`, row-major.
#[inline(always)]
fn derive<E: Element>(dz: &mut [E], dy: MatRef<'_, E>, activation: Activation, saved: Option<MatRef<'_, E>>) {
    for (i, dz) in dz.chunks_exact_mut(dy.ncols()).enumerate() {
        match (row(dy, i), saved.map(|saved| row(saved, i))) {
            (Some(dy), Some(Some(saved))) => with_constant!(
                activation,
                for ((dz, &dy), &saved) in dz.iter_mut().zip(dy).zip(saved) {
                    *dz = activation.backward(Fused, dy, saved);
                }
            ),
            _ => dz.iter_mut().enumerate().for_each(|(j, dz)| {
                let saved = saved.map_or(E::ZERO, |saved| saved.at(i, j));
                *dz = activation.backward(Fused, dy.at(i, j), saved);
            }),
        }
    }
}

/// Row i as a slice, where it is one.
#[inline(always)]
fn row<E>(view: MatRef<'_, E>, i: usize) -> Option<&[E]> {
    (view.col_stride() == 1).then(|| &view.as_slice()[i * view.row_stride()..][..view.ncols()])
}

/// `sums += 1ᵀ·∇Z`, four rows at a time where they are slices.
#[inline(always)]
fn add_rows<E: Element>(sums: &mut [E], dz: MatRef<'_, E>) {
    let mut i = 0;
    while i < dz.nrows() {
        let four = if i + 4 <= dz.nrows() { [0, 1, 2, 3].map(|r| row(dz, i + r)) } else { [None; 4] };
        if let [Some(a), Some(b), Some(c), Some(d)] = four {
            let rows = a.iter().zip(b).zip(c).zip(d);
            for (sum, (((&a, &b), &c), &d)) in sums.iter_mut().zip(rows) {
                *sum = *sum + ((a + b) + (c + d));
            }
            i += 4;
            continue;
        }
        match row(dz, i) {
            Some(dz) => {
                for (sum, &dz) in sums.iter_mut().zip(dz) {
                    *sum = *sum + dz;
                }
            }
            None => sums.iter_mut().enumerate().for_each(|(j, sum)| *sum = *sum + dz.at(i, j)),
        }
        i += 1;
    }
}

/// So many values; what they are does not matter yet.
fn resize<E: Element>(memory: &mut Vec<E>, len: usize, operand: &'static str) -> Result<(), Error> {
    let more = len.saturating_sub(memory.len());
    memory.try_reserve_exact(more).map_err(|_| Error::TooLarge { operand })?;
    memory.resize(len, E::ZERO);
    Ok(())
}

impl<E: Supported, P: Multiply<E>> Composed<P, E> {
    /// A product of any shape: what is empty is not asked of somebody else.
    fn product(
        &mut self,
        mut c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let (m, n, k) = (c.nrows(), c.ncols(), a.ncols());
        if m > 0 && n > 0 && k > 0 {
            return self.product.multiply(c, a, b, write);
        }
        // A sum over nothing is the initial value, or 0.
        if !write.add {
            (0..m).for_each(|i| (0..n).for_each(|j| c.set(i, j, E::ZERO)));
        }
        Ok(())
    }

    /// `db = alpha·1ᵀ·∇Z` or `db += alpha·1ᵀ·∇Z`.
    fn column_sums(&mut self, db: &mut [E], dz: MatRef<'_, E>, write: Write<E>) -> Result<(), Error> {
        if db.is_empty() {
            return Ok(());
        }
        let Self { sums, passes, .. } = self;
        resize(sums, db.len(), "db")?;
        pass::<E>(
            passes,
            #[inline(always)]
            || {
                sums.fill(E::ZERO);
                add_rows(sums, dz);
                for (db, &sum) in db.iter_mut().zip(&*sums) {
                    let sum = write.alpha * sum;
                    *db = if write.add { *db + sum } else { sum };
                }
            },
        );
        Ok(())
    }

    /// ∇Z as a matrix of its own, in memory that is to be given back.
    fn dz(
        &mut self,
        dy: MatRef<'_, E>,
        activation: Activation,
        saved: Option<MatRef<'_, E>>,
    ) -> Result<Vec<E>, Error> {
        resize(&mut self.dz, dy.nrows().saturating_mul(dy.ncols()), "dz")?;
        let mut dz = core::mem::take(&mut self.dz);
        if !dz.is_empty() {
            pass::<E>(
                &mut self.passes,
                #[inline(always)]
                || derive(&mut dz, dy, activation, saved),
            );
        }
        Ok(dz)
    }
}

impl<E: Supported, P: Multiply<E>> LinearKernels<E> for Composed<P, E> {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        let shape = forward.check()?;
        let Forward { x, w, bias, activation, mut y, z } = forward;
        self.product(y.reborrow(), x, w, Write::REPLACE)?;
        let plain = bias.is_none() && z.is_none() && activation == Activation::Identity;
        if !plain && shape.n > 0 && shape.m > 0 {
            pass::<E>(
                &mut self.passes,
                #[inline(always)]
                || finish(y, z, bias, activation),
            );
        }
        Ok(())
    }

    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        linear::check_matmul(c.layout(), a.layout(), b.layout())?;
        self.product(c, a, b, write)
    }

    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        linear::check_grad_params(dw.layout(), db.as_ref().map(|db| db.len()), x.layout(), dz.layout())?;
        self.product(dw, x.t(), dz, write)?;
        db.map_or(Ok(()), |db| self.column_sums(db, dz, write))
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        let shape = given.check(&wanted)?;
        let Gradients { dx, dx_write, dw, db, params_write } = wanted;
        let mut memory = Vec::new();
        let dz = if given.activation == Activation::Identity {
            given.dy
        } else {
            memory = self.dz(given.dy, given.activation, given.saved)?;
            MatRef::row_major(&memory, shape.n, shape.m)?
        };
        if let Some(dx) = dx {
            self.product(dx, dz, given.w.t(), dx_write)?;
        }
        if let Some(dw) = dw {
            self.product(dw, given.x.t(), dz, params_write)?;
        }
        if let Some(db) = db {
            self.column_sums(db, dz, params_write)?;
        }
        self.dz = memory;
        Ok(())
    }

    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        let shape = step.check()?;
        let Step { x, w, bias, dy, activation, saved, dx, lr } = step;
        let memory = self.dz(dy, activation, saved)?;
        let dz = MatRef::row_major(&memory, shape.n, shape.m)?;
        if let Some(dx) = dx {
            self.product(dx, dz, w.as_ref().t(), Write::REPLACE)?;
        }
        self.grad_params(w, bias, x, dz, Write::ADD.times(-lr))?;
        self.dz = memory;
        Ok(())
    }

    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        self.passes.run(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm_crate::GemmCrate;

    /// What a product is asked for, one after the other.
    #[derive(Default)]
    struct Asked(Vec<(usize, usize, usize)>);

    impl<E: Element> Multiply<E> for Asked {
        fn multiply(
            &mut self,
            c: MatMut<'_, E>,
            a: MatRef<'_, E>,
            b: MatRef<'_, E>,
            _: Write<E>,
        ) -> Result<(), Error> {
            self.0.push((c.nrows(), a.ncols(), b.ncols()));
            Ok(())
        }
    }

    #[test]
    fn a_product_is_never_asked_for_nothing() {
        let mut layer = Composed::<_, f32>::of(Asked::default());
        for (n, d, m) in [(0, 2, 3), (2, 0, 3), (2, 3, 0), (2, 3, 4)] {
            let (x, w) = (std::vec![1.0; n * d], std::vec![1.0; d * m]);
            let mut y = std::vec![f32::NAN; n * m];
            let (x, w) = (MatRef::row_major(&x, n, d).unwrap(), MatRef::row_major(&w, d, m).unwrap());
            layer.matmul(MatMut::row_major(&mut y, n, m).unwrap(), x, w, Write::REPLACE).unwrap();
            assert!(d > 0 || y.iter().all(|&y| y == 0.0), "a sum over nothing is 0");
        }
        assert_eq!(layer.product.0, [(2, 3, 4)]);
    }

    #[test]
    fn memory_of_a_larger_layer_serves_a_smaller_one() {
        let mut layer = GemmCrate::new(1);
        for n in [9, 2, 5] {
            let (dy, saved, mut db) = (std::vec![1.0f64; n * 3], std::vec![2.0; n * 3], [f64::NAN; 3]);
            let (x, w) = (std::vec![0.5; n], [1.0; 3]);
            let given = Backward {
                x: MatRef::row_major(&x, n, 1).unwrap(),
                w: MatRef::row_major(&w, 1, 3).unwrap(),
                dy: MatRef::row_major(&dy, n, 3).unwrap(),
                activation: Activation::Relu,
                saved: Some(MatRef::row_major(&saved, n, 3).unwrap()),
            };
            let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
            let wanted = Gradients { dx: None, dx_write, dw: None, db: Some(&mut db), params_write };
            layer.backward(given, wanted).unwrap();
            assert_eq!(db, [n as f64; 3]);
        }
    }
}
