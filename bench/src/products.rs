//! The product of `matrixmultiply`, as the layer is composed of it.

use trine_core::{Error, MatMut, MatRef, Write, linear};
use trine_kernels::{Multiply, Supported};

#[cfg(feature = "faer")]
use faer::traits::ComplexField as Faers;

/// What `faer` asks of an element type: nothing, without it.
#[cfg(not(feature = "faer"))]
#[doc(hidden)]
pub trait Faers {}
#[cfg(not(feature = "faer"))]
impl<E> Faers for E {}

/// An element type that every peer has a product for: `f32`, `f64`.
pub trait Scalar: Supported + Faers {
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
