//! The layer on the `gemm` crate: a peer for benchmarks and an oracle for tests.
//!
//! The crate computes `dst = alpha·dst + beta·lhs·rhs` and takes the column stride before the row
//! stride; nothing outside this file has to know.

use gemm::Parallelism;
use trine_core::{Element, Error, MatMut, MatRef, Write};

use crate::composed::{Composed, Multiply};

/// The `gemm` crate's product, on views of any strides.
#[derive(Clone, Debug)]
pub struct GemmProduct {
    threads: usize,
}

/// The layer composed of the `gemm` crate's products.
pub type GemmCrate<E> = Composed<GemmProduct, E>;

impl<E> GemmCrate<E> {
    /// On at most this many threads of rayon's.
    pub fn new(threads: usize) -> Self {
        Composed::of(GemmProduct { threads: threads.max(1) })
    }
}

impl<E: Element> Multiply<E> for GemmProduct {
    fn multiply(
        &mut self,
        mut c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
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
        Ok(())
    }
}
