//! How a view lies in memory, for products that know row-major and column-major matrices only.

use trine_core::{Error, Layout};

/// Row-major or column-major, and how far rows (or columns) are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether it is the rows whose elements are neighbours.
    pub by_rows: bool,
    /// From one row (or column) to the next, at least its length and at least 1: the leading
    /// dimension of BLAS.
    pub leading: usize,
}

impl Stored {
    /// Row-major where a layout is both, as a vector may be.
    ///
    /// # Errors
    /// [`Error::Value`] where it is neither.
    pub fn of(operand: &'static str, layout: Layout) -> Result<Self, Error> {
        let Layout { rows, cols, row_stride, col_stride } = layout;
        let by_rows = leading(cols, col_stride, rows, row_stride);
        let by_cols = || leading(rows, row_stride, cols, col_stride);
        match by_rows {
            Some(leading) => Ok(Stored { by_rows: true, leading }),
            None => match by_cols() {
                Some(leading) => Ok(Stored { by_rows: false, leading }),
                None => Err(Error::Value { operand, expected: "row-major or column-major" }),
            },
        }
    }
}

/// The distance between `lines` of `len` neighbours each, where they are neighbours and do not
/// reach into each other. A stride that is never taken says nothing.
fn leading(len: usize, stride: usize, lines: usize, distance: usize) -> Option<usize> {
    let neighbours = len <= 1 || stride == 1;
    let distance = if lines <= 1 { len.max(1) } else { distance };
    (neighbours && distance >= len.max(1)).then_some(distance)
}

#[cfg(test)]
mod tests {
    use trine_core::MatRef;

    use super::*;

    fn stored(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Result<Stored, Error> {
        let data = [0f32; 64];
        let view =
            MatRef::with_strides(&data, rows, cols, row_stride, col_stride).expect("inside of the data");
        Stored::of("a", view.layout())
    }

    #[test]
    fn both_orders_with_gaps() {
        assert_eq!(stored(3, 4, 4, 1), Ok(Stored { by_rows: true, leading: 4 }));
        assert_eq!(stored(3, 4, 9, 1), Ok(Stored { by_rows: true, leading: 9 }));
        assert_eq!(stored(3, 4, 1, 3), Ok(Stored { by_rows: false, leading: 3 }));
        assert_eq!(stored(3, 4, 1, 7), Ok(Stored { by_rows: false, leading: 7 }));
    }

    #[test]
    fn vectors_and_nothing() {
        assert_eq!(stored(1, 4, 0, 1), Ok(Stored { by_rows: true, leading: 4 }));
        assert_eq!(stored(1, 4, 0, 5), Ok(Stored { by_rows: false, leading: 5 }));
        assert_eq!(stored(4, 1, 5, 0), Ok(Stored { by_rows: true, leading: 5 }));
        assert_eq!(stored(1, 1, 0, 0), Ok(Stored { by_rows: true, leading: 1 }));
        assert_eq!(stored(0, 4, 4, 1), Ok(Stored { by_rows: true, leading: 4 }));
        assert_eq!(stored(4, 0, 1, 1), Ok(Stored { by_rows: true, leading: 1 }));
    }

    #[test]
    fn neither_is_an_error() {
        // Strides in both directions; rows that repeat; rows that reach into each other.
        for (row_stride, col_stride) in [(20, 2), (0, 1), (2, 1)] {
            let error = stored(3, 4, row_stride, col_stride).expect_err("neither");
            assert_eq!(error.to_string(), "a must be row-major or column-major");
        }
    }
}
