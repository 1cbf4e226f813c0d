//! The layer on the `gemm` crate: a peer for benchmarks and an oracle for tests. Its order of
//! additions is its own, so results agree within rounding only.
//!
//! The crate computes `dst = alpha·dst + beta·lhs·rhs` and takes the column stride before the row
//! stride; nothing outside this file has to know.

use gemm::Parallelism;
use trine_core::{
    Activation, Backward, Element, Error, Forward, Fused, Gradients, LinearKernels, MatMut, MatRef, Step,
    Task, Write, linear,
};

/// The layer composed of the `gemm` crate's products and plain passes over the rows, which the
/// compiler vectorises. Allocates memory for ∇Z.
#[derive(Clone, Debug)]
pub struct GemmCrate {
    threads: usize,
}

impl GemmCrate {
    /// On at most this many threads of rayon's.
    pub fn new(threads: usize) -> Self {
        GemmCrate { threads: threads.max(1) }
    }

    fn product<E: Element>(&self, mut c: MatMut<'_, E>, a: MatRef<'_, E>, b: MatRef<'_, E>, write: Write<E>) {
        let (m, n, k) = (c.nrows(), c.ncols(), a.ncols());
        let threads = match self.threads {
            #[cfg(feature = "rayon")]
            2.. => Parallelism::Rayon(self.threads),
            _ => Parallelism::None,
        };
        let stride = |s: usize| s as isize;
        let (c_col, c_row) = (stride(c.col_stride()), stride(c.row_stride()));
        // SAFETY: the views are checked, fit each other (the caller has asked the shape rules), and
        // the output is borrowed alone.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_slice().as_mut_ptr(),
                c_col,
                c_row,
                write.add,
                a.as_slice().as_ptr(),
                stride(a.col_stride()),
                stride(a.row_stride()),
                b.as_slice().as_ptr(),
                stride(b.col_stride()),
                stride(b.row_stride()),
                E::ONE,
                write.alpha,
                false,
                false,
                false,
                threads,
            );
        }
    }

    /// ∇Z as a matrix of its own.
    fn dz<E: Element>(
        dy: MatRef<'_, E>,
        activation: Activation,
        saved: Option<MatRef<'_, E>>,
    ) -> Result<std::vec::Vec<E>, Error> {
        let (n, m) = (dy.nrows(), dy.ncols());
        let mut dz = std::vec::Vec::new();
        dz.try_reserve_exact(n.saturating_mul(m)).map_err(|_| Error::TooLarge { operand: "dz" })?;
        for i in 0..n {
            match (row(dy, i, m), saved.and_then(|saved| row(saved, i, m))) {
                (Some(dy), Some(y)) if activation == Activation::Relu => {
                    dz.extend(dy.iter().zip(y).map(|(&dy, &y)| if y > E::ZERO { dy } else { E::ZERO }));
                }
                _ => dz.extend((0..m).map(|j| {
                    let saved = saved.map_or(E::ZERO, |saved| saved.at(i, j));
                    activation.backward(Fused, dy.at(i, j), saved)
                })),
            }
        }
        Ok(dz)
    }

    fn column_sums<E: Element>(db: &mut [E], dz: MatRef<'_, E>, write: Write<E>) {
        let mut sums = std::vec![E::ZERO; db.len()];
        for i in 0..dz.nrows() {
            match row(dz, i, db.len()) {
                Some(dz) => sums.iter_mut().zip(dz).for_each(|(sum, &dz)| *sum = *sum + dz),
                None => sums.iter_mut().enumerate().for_each(|(j, sum)| *sum = *sum + dz.at(i, j)),
            }
        }
        for (db, sum) in db.iter_mut().zip(sums) {
            let sum = write.alpha * sum;
            *db = if write.add { *db + sum } else { sum };
        }
    }
}

/// Row i as a slice, where it is one.
fn row<E>(view: MatRef<'_, E>, i: usize, m: usize) -> Option<&[E]> {
    (view.col_stride() == 1 && m > 0).then(|| &view.as_slice()[i * view.row_stride()..][..m])
}

impl<E: Element> LinearKernels<E> for GemmCrate {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        let shape = forward.check()?;
        let Forward { x, w, bias, activation, mut y, mut z } = forward;
        self.product(y.reborrow(), x, w, Write::REPLACE);
        if bias.is_none() && z.is_none() && activation == Activation::Identity {
            return Ok(());
        }
        let stride = y.row_stride();
        let contiguous = y.col_stride() == 1 && z.is_none() && shape.m > 0;
        for i in 0..shape.n {
            if contiguous && activation == Activation::Relu {
                let row = &mut y.as_mut_slice()[i * stride..][..shape.m];
                match bias {
                    Some(bias) => row.iter_mut().zip(bias).for_each(|(y, &b)| *y = relu(*y + b)),
                    None => row.iter_mut().for_each(|y| *y = relu(*y)),
                }
                continue;
            }
            for j in 0..shape.m {
                let sum = y.at(i, j) + bias.map_or(E::ZERO, |bias| bias[j]);
                if let Some(z) = &mut z {
                    z.set(i, j, sum);
                }
                y.set(i, j, activation.apply(Fused, sum));
            }
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
        self.product(c, a, b, write);
        Ok(())
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
        self.product(dw, x.t(), dz, write);
        if let Some(db) = db {
            Self::column_sums(db, dz, write);
        }
        Ok(())
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        let shape = given.check(&wanted)?;
        let owned;
        let dz = if given.activation == Activation::Identity {
            given.dy
        } else {
            owned = Self::dz(given.dy, given.activation, given.saved)?;
            MatRef::row_major(&owned, shape.n, shape.m)?
        };
        if let Some(dx) = wanted.dx {
            self.product(dx, dz, given.w.t(), wanted.dx_write);
        }
        if let Some(dw) = wanted.dw {
            self.product(dw, given.x.t(), dz, wanted.params_write);
        }
        if let Some(db) = wanted.db {
            Self::column_sums(db, dz, wanted.params_write);
        }
        Ok(())
    }

    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        let shape = step.check()?;
        let Step { x, w, bias, dy, activation, saved, dx, lr } = step;
        let dz = Self::dz(dy, activation, saved)?;
        let dz = MatRef::row_major(&dz, shape.n, shape.m)?;
        if let Some(dx) = dx {
            self.product(dx, dz, w.as_ref().t(), Write::REPLACE);
        }
        self.grad_params(w, bias, x, dz, Write::ADD.times(-lr))
    }

    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        task.run(Fused)
    }
}

fn relu<E: Element>(z: E) -> E {
    if z < E::ZERO { E::ZERO } else { z }
}
