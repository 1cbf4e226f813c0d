//! The same matrix stored in different ways, with guards around its elements.

use trine_core::{Element, Error, MatMut, MatRef};

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Rows contiguous, one after the other.
    Rows,
    /// Columns contiguous, one after the other: the transpose of [`Layout::Rows`].
    Columns,
    /// Rows contiguous, with a gap between them.
    PaddedRows,
    /// Columns contiguous, with a gap between them.
    PaddedColumns,
    /// No two elements side by side.
    Scattered,
}

impl Layout {
    /// All of them.
    pub const ALL: [Layout; 5] =
        [Layout::Rows, Layout::Columns, Layout::PaddedRows, Layout::PaddedColumns, Layout::Scattered];

    const fn strides(self, rows: usize, cols: usize) -> (usize, usize) {
        match self {
            Layout::Rows => (cols, 1),
            Layout::Columns => (1, rows),
            Layout::PaddedRows => (cols + 3, 1),
            Layout::PaddedColumns => (1, rows + 5),
            Layout::Scattered => (2 * cols + 1, 2),
        }
    }
}

/// A matrix that owns its memory. Between and behind its elements is NaN, which would spread if
/// it were read, and is missed if it is written.
#[derive(Clone, Debug)]
pub struct Matrix<E> {
    memory: Vec<E>,
    rows: usize,
    cols: usize,
    strides: (usize, usize),
}

impl<E: Element> Matrix<E> {
    /// Stores the row-major `values`.
    pub fn new(values: &[E], rows: usize, cols: usize, layout: Layout) -> Self {
        let strides = layout.strides(rows, cols);
        let span = rows.saturating_sub(1) * strides.0 + cols.saturating_sub(1) * strides.1 + 1;
        let mut matrix = Matrix { memory: vec![E::NAN; span + 7], rows, cols, strides };
        for (i, row) in values.chunks_exact(cols.max(1)).take(rows).enumerate() {
            let places = matrix.memory[i * strides.0..].iter_mut().step_by(strides.1.max(1));
            places.zip(row).for_each(|(place, value)| *place = *value);
        }
        matrix
    }

    /// To be read.
    ///
    /// # Errors
    /// None, as the memory fits; those of [`MatRef::with_strides`].
    pub fn view(&self) -> Result<MatRef<'_, E>, Error> {
        MatRef::with_strides(&self.memory, self.rows, self.cols, self.strides.0, self.strides.1)
    }

    /// To be written.
    ///
    /// # Errors
    /// None, as the memory fits; those of [`MatMut::with_strides`].
    pub fn view_mut(&mut self) -> Result<MatMut<'_, E>, Error> {
        MatMut::with_strides(&mut self.memory, self.rows, self.cols, self.strides.0, self.strides.1)
    }

    /// The elements, row after row.
    pub fn values(&self) -> Vec<E> {
        let mut values = Vec::with_capacity(self.rows * self.cols);
        for i in (0..self.rows).filter(|_| self.cols > 0) {
            values.extend(self.memory[i * self.strides.0..].iter().step_by(self.strides.1).take(self.cols));
        }
        values
    }

    /// Whether everything that is not an element is as it was.
    pub fn guards_hold(&self) -> bool {
        let mut rest = vec![true; self.memory.len()];
        for i in 0..self.rows {
            for j in 0..self.cols {
                rest[i * self.strides.0 + j * self.strides.1] = false;
            }
        }
        let guard = E::NAN.bits();
        self.memory.iter().zip(rest).all(|(value, rest)| !rest || value.bits() == guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_holds_the_same_matrix() {
        let values: Vec<f32> = (0..12u8).map(f32::from).collect();
        for layout in Layout::ALL {
            let mut matrix = Matrix::new(&values, 3, 4, layout);
            assert_eq!(matrix.values(), values, "{layout:?}");
            assert_eq!(matrix.view().expect("fits").at(2, 1), 9.0);
            matrix.view_mut().expect("fits").set(2, 1, -1.0);
            assert_eq!(matrix.values()[9], -1.0);
            assert!(matrix.guards_hold());
            *matrix.memory.last_mut().expect("a guard") = 0.0;
            assert!(!matrix.guards_hold());
            for (rows, cols) in [(0, 0), (0, 4), (3, 0)] {
                let empty = Matrix::<f32>::new(&[], rows, cols, layout);
                assert!(empty.view().is_ok() && empty.values().is_empty() && empty.guards_hold());
            }
        }
    }
}
