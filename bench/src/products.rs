//! Products of other crates, as the layer is composed of them.

use std::num::NonZeroUsize;

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, Par};
use trine_core::{Error, MatMut, MatRef, Write, linear};
use trine_kernels::{Multiply, Supported};

use crate::stored::Stored;

/// An element type that every peer has a product for: `f32`, `f64`.
pub trait Scalar: Supported + ComplexField {
    /// The product of `matrixmultiply`.
    #[doc(hidden)]
    const MATRIX_MULTIPLY: MatrixGemm<Self>;
}

/// `C = alpha·A·B + beta·C` with m, k, n, and a row and a column stride after each matrix.
type MatrixGemm<E> = unsafe fn(
    usize,
    usize,
    usize,
    E,
    *const E,
    isize,
    isize,
    *const E,
    isize,
    isize,
    E,
    *mut E,
    isize,
    isize,
);

impl Scalar for f32 {
    const MATRIX_MULTIPLY: MatrixGemm<f32> = matrixmultiply::sgemm;
}

impl Scalar for f64 {
    const MATRIX_MULTIPLY: MatrixGemm<f64> = matrixmultiply::dgemm;
}

/// The `matrixmultiply` crate, on views of any strides. Takes the number of its threads from the
/// environment, `MATMUL_NUM_THREADS`.
#[derive(Clone, Copy, Debug)]
pub struct MatrixMultiply;

impl<E: Scalar> Multiply<E> for MatrixMultiply {
    fn multiply(
        &mut self,
        mut c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let shape = linear::check_matmul(c.layout(), a.layout(), b.layout())?;
        let beta = if write.add { E::ONE } else { E::ZERO };
        let stride = |s: usize| s as isize;
        let (c_row, c_col) = (stride(c.row_stride()), stride(c.col_stride()));
        // SAFETY: the views are checked and fit each other, and the output is borrowed alone.
        unsafe {
            E::MATRIX_MULTIPLY(
                shape.n,
                shape.d,
                shape.m,
                write.alpha,
                a.as_slice().as_ptr(),
                stride(a.row_stride()),
                stride(a.col_stride()),
                b.as_slice().as_ptr(),
                stride(b.row_stride()),
                stride(b.col_stride()),
                beta,
                c.as_mut_slice().as_mut_ptr(),
                c_row,
                c_col,
            );
        }
        Ok(())
    }
}

/// The `faer` crate.
#[derive(Clone, Copy, Debug)]
pub struct Faer {
    par: Par,
}

impl Faer {
    /// On at most this many threads of rayon's.
    pub fn new(threads: usize) -> Self {
        let several = NonZeroUsize::new(threads).filter(|threads| threads.get() > 1);
        Faer { par: several.map_or(Par::Seq, Par::Rayon) }
    }
}

fn faer_ref<'a, E: Scalar>(operand: &'static str, view: MatRef<'a, E>) -> Result<faer::MatRef<'a, E>, Error> {
    let Stored { by_rows, leading } = Stored::of(operand, view.layout())?;
    let (data, rows, cols) = (view.as_slice(), view.nrows(), view.ncols());
    Ok(if by_rows {
        faer::MatRef::from_row_major_slice_with_stride(data, rows, cols, leading)
    } else {
        faer::MatRef::from_column_major_slice_with_stride(data, rows, cols, leading)
    })
}

impl<E: Scalar> Multiply<E> for Faer {
    fn multiply(
        &mut self,
        mut c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        linear::check_matmul(c.layout(), a.layout(), b.layout())?;
        let Stored { by_rows, leading } = Stored::of("c", c.layout())?;
        let (a, b) = (faer_ref("a", a)?, faer_ref("b", b)?);
        let (rows, cols) = (c.nrows(), c.ncols());
        let c = if by_rows {
            // Not `from_row_major_slice_with_stride_mut`: in 0.24.4 it takes the rows for columns.
            faer::MatMut::from_column_major_slice_with_stride_mut(c.as_mut_slice(), cols, rows, leading)
                .transpose_mut()
        } else {
            faer::MatMut::from_column_major_slice_with_stride_mut(c.as_mut_slice(), rows, cols, leading)
        };
        let accum = if write.add { Accum::Add } else { Accum::Replace };
        matmul(c, accum, a, b, write.alpha, self.par);
        Ok(())
    }
}
