//! The product of `faer`, as the layer is composed of it.

use std::num::NonZeroUsize;

use faer::linalg::matmul::matmul;
use faer::{Accum, Par};
use trine_core::{Error, MatMut, MatRef, Write, linear};
use trine_kernels::Multiply;

use crate::products::Scalar;
use crate::stored::Stored;

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
