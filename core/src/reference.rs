//! The textbook loops: the definition of the one answer. Slow, short, and never wrong; the
//! kernels are compared with it bit for bit.

use crate::activation::{Activation, Saved};
use crate::element::Element;
use crate::error::Error;
use crate::lanes::{Fused, Lanes, Task};
use crate::linear::{
    Backward, Forward, Gradients, K_BLOCK, LinearKernels, Step, Write, check_grad_params, check_matmul,
};
use crate::view::{MatMut, MatRef};

/// The layer as plain loops, with the rounding of [`Fused`] (the default) or
/// [`Unfused`](crate::Unfused). No scratch memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference<L = Fused>(pub L);

impl<L> Reference<L> {
    /// The order of additions, in full: see [`linear`](crate::linear).
    fn sum<E: Element>(self, len: usize, term: impl Fn(usize) -> (E, E), initial: Option<E>, alpha: E) -> E
    where
        L: Lanes<E, V = E>,
    {
        let mut out = initial;
        for block in (0..len).step_by(K_BLOCK) {
            let mut p = E::ZERO;
            for k in block..len.min(block + K_BLOCK) {
                let (a, b) = term(k);
                p = self.0.mul_add(a, b, p);
            }
            out = Some(match out {
                None => alpha * p,
                Some(out) => self.0.mul_add(alpha, p, out),
            });
        }
        out.unwrap_or(E::ZERO)
    }

    /// `C = alpha·A·B` or `C += alpha·A·B` on operands that are known to fit.
    fn product<E: Element>(
        self,
        c: &mut MatMut<'_, E>,
        (rows, cols, len): (usize, usize, usize),
        a: impl Fn(usize, usize) -> E,
        b: impl Fn(usize, usize) -> E,
        write: Write<E>,
    ) where
        L: Lanes<E, V = E>,
    {
        for i in rows_of(rows, cols) {
            for j in 0..cols {
                let initial = write.add.then(|| c.at(i, j));
                c.set(i, j, self.sum(len, |k| (a(i, k), b(k, j)), initial, write.alpha));
            }
        }
    }

    fn column_sums<E: Element>(
        self,
        db: &mut [E],
        rows: usize,
        dz: impl Fn(usize, usize) -> E,
        write: Write<E>,
    ) where
        L: Lanes<E, V = E>,
    {
        for (j, db) in db.iter_mut().enumerate() {
            let initial = write.add.then_some(*db);
            *db = self.sum(rows, |k| (E::ONE, dz(k, j)), initial, write.alpha);
        }
    }

    /// ∇Z, one element at a time.
    fn dz<'a, E: Element>(
        self,
        dy: MatRef<'a, E>,
        activation: Activation,
        saved: Option<MatRef<'a, E>>,
    ) -> impl Fn(usize, usize) -> E + Copy
    where
        L: Lanes<E, V = E>,
    {
        // The shape of what is not needed is not checked.
        let saved = saved.filter(|_| activation.saves() != Saved::Nothing);
        move |i, j| {
            let saved = saved.map_or(E::ZERO, |saved| saved.at(i, j));
            activation.backward(self.0, dy.at(i, j), saved)
        }
    }
}

/// The rows of an output: of one without columns there may be any number, and nothing to do in any.
fn rows_of(rows: usize, cols: usize) -> core::ops::Range<usize> {
    0..if cols == 0 { 0 } else { rows }
}

impl<E: Element, L: Lanes<E, V = E>> LinearKernels<E> for Reference<L> {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        let shape = forward.check()?;
        let Forward { x, w, bias, activation, mut y, mut z } = forward;
        for i in rows_of(shape.n, shape.m) {
            for j in 0..shape.m {
                let initial = bias.map(|bias| bias[j]);
                let sum = self.sum(shape.d, |k| (x.at(i, k), w.at(k, j)), initial, E::ONE);
                if let Some(z) = &mut z {
                    z.set(i, j, sum);
                }
                y.set(i, j, activation.apply(self.0, sum));
            }
        }
        Ok(())
    }

    fn matmul(
        &mut self,
        mut c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let s = check_matmul(c.layout(), a.layout(), b.layout())?;
        self.product(&mut c, (s.n, s.m, s.d), |i, k| a.at(i, k), |k, j| b.at(k, j), write);
        Ok(())
    }

    fn grad_params(
        &mut self,
        mut dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let s = check_grad_params(dw.layout(), db.as_ref().map(|db| db.len()), x.layout(), dz.layout())?;
        let dz = |k, j| dz.at(k, j);
        self.product(&mut dw, (s.d, s.m, s.n), |i, k| x.at(k, i), dz, write);
        if let Some(db) = db {
            self.column_sums(db, s.n, dz, write);
        }
        Ok(())
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        let s = given.check(&wanted)?;
        let (x, w) = (given.x, given.w);
        let dz = self.dz(given.dy, given.activation, given.saved);
        if let Some(mut dx) = wanted.dx {
            self.product(&mut dx, (s.n, s.d, s.m), dz, |k, j| w.at(j, k), wanted.dx_write);
        }
        if let Some(mut dw) = wanted.dw {
            self.product(&mut dw, (s.d, s.m, s.n), |i, k| x.at(k, i), dz, wanted.params_write);
        }
        if let Some(db) = wanted.db {
            self.column_sums(db, s.n, dz, wanted.params_write);
        }
        Ok(())
    }

    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        let s = step.check()?;
        let Step { x, mut w, bias, dy, activation, saved, dx, lr } = step;
        let dz = self.dz(dy, activation, saved);
        if let Some(mut dx) = dx {
            self.product(&mut dx, (s.n, s.d, s.m), dz, |k, j| w.at(j, k), Write::REPLACE);
        }
        let write = Write::ADD.times(-lr);
        self.product(&mut w, (s.d, s.m, s.n), |i, k| x.at(k, i), dz, write);
        if let Some(bias) = bias {
            self.column_sums(bias, s.n, dz, write);
        }
        Ok(())
    }

    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        task.run(self.0)
    }
}
