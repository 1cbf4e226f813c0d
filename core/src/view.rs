//! Views of the caller's memory as matrices. Everything is checked here, once, when a view is
//! made; whoever holds a view may rely on it.

use crate::error::{Dim, Error};

/// Shape and strides of a view, already checked against its slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance in elements from one row to the next.
    pub row_stride: usize,
    /// Distance in elements from one column to the next.
    pub col_stride: usize,
}

impl Layout {
    /// Elements a slice needs for this layout: `(rows−1)·row_stride + (cols−1)·col_stride + 1`,
    /// or 0 where a side is 0. `None` if that overflows.
    #[inline]
    pub const fn span(&self) -> Option<usize> {
        if self.rows == 0 || self.cols == 0 {
            return Some(0);
        }
        let (Some(r), Some(c)) =
            ((self.rows - 1).checked_mul(self.row_stride), (self.cols - 1).checked_mul(self.col_stride))
        else {
            return None;
        };
        match r.checked_add(c) {
            Some(last) => last.checked_add(1),
            None => None,
        }
    }

    /// Whether two different elements share a place. Exact: `i·rs = j·cs` has its smallest
    /// solution at `i = cs/g, j = rs/g` with `g = gcd(rs, cs)`.
    #[inline]
    pub const fn overlaps(&self) -> bool {
        if self.rows == 0 || self.cols == 0 {
            return false;
        }
        let (rs, cs) = (self.row_stride, self.col_stride);
        if (self.rows > 1 && rs == 0) || (self.cols > 1 && cs == 0) {
            return true;
        }
        if self.rows == 1 || self.cols == 1 {
            return false;
        }
        let (mut g, mut r) = (rs, cs);
        while r != 0 {
            (g, r) = (r, g % r);
        }
        // g is not 0; a division that may panic would be in every firmware that has a view.
        match (cs.checked_div(g), rs.checked_div(g)) {
            (Some(i), Some(j)) => i < self.rows && j < self.cols,
            _ => true,
        }
    }

    #[inline]
    fn check(&self, len: usize) -> Result<(), Error> {
        match self.span() {
            // A slice never has more than isize::MAX bytes, so a span that it covers is safe to address.
            None => Err(Error::TooLarge { operand: "matrix" }),
            Some(expected) if expected > len => {
                Err(Error::TooShort { operand: "matrix", expected, found: len })
            }
            Some(_) => Ok(()),
        }
    }

    #[inline]
    const fn t(self) -> Self {
        Layout { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    /// The layout of some of the rows, and how far into the slice it begins. An error calls them `dim`.
    #[inline]
    fn rows(self, range: core::ops::Range<usize>, dim: Dim) -> Result<(Self, usize), Error> {
        if range.start > range.end || range.end > self.rows {
            let found = range.end.max(range.start);
            return Err(Error::Range { dim, found, expected: self.rows });
        }
        let part = Layout { rows: range.end - range.start, ..self };
        let empty = part.rows == 0 || part.cols == 0;
        Ok((part, if empty { 0 } else { range.start * self.row_stride }))
    }

    fn at(&self, i: usize, j: usize) -> usize {
        assert!(i < self.rows && j < self.cols, "element ({i}, {j}) of a {}×{} matrix", self.rows, self.cols);
        i * self.row_stride + j * self.col_stride
    }
}

/// A matrix that is read. Strides are in elements, the row stride first; a stride of 0 repeats
/// a row or column.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, E> {
    data: &'a [E],
    layout: Layout,
}

/// A matrix that is written. No two of its elements share a place.
#[derive(Debug)]
pub struct MatMut<'a, E> {
    data: &'a mut [E],
    layout: Layout,
}

impl<'a, E> MatRef<'a, E> {
    /// `rows × cols`, each row contiguous and following the one before.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLarge`].
    #[inline]
    pub fn row_major(data: &'a [E], rows: usize, cols: usize) -> Result<Self, Error> {
        Self::with_strides(data, rows, cols, cols, 1)
    }

    /// Any strides: element (i, j) is `data[i·row_stride + j·col_stride]`.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLarge`].
    #[inline]
    pub fn with_strides(
        data: &'a [E],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, Error> {
        let layout = Layout { rows, cols, row_stride, col_stride };
        layout.check(data.len())?;
        Ok(MatRef { data, layout })
    }

    /// The transpose; nothing is copied.
    #[inline]
    pub fn t(self) -> Self {
        MatRef { data: self.data, layout: self.layout.t() }
    }

    /// Some of the rows.
    ///
    /// # Errors
    /// [`Error::Range`].
    #[inline]
    pub fn rows(self, range: core::ops::Range<usize>) -> Result<Self, Error> {
        let (layout, start) = self.layout.rows(range, Dim::Rows)?;
        Ok(MatRef { data: &self.data[start..], layout })
    }

    /// Some of the columns.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn cols(self, range: core::ops::Range<usize>) -> Result<Self, Error> {
        let (layout, start) = self.layout.t().rows(range, Dim::Columns)?;
        Ok(MatRef { data: &self.data[start..], layout: layout.t() })
    }

    /// The slice from the first element on.
    #[inline]
    pub fn as_slice(&self) -> &'a [E] {
        self.data
    }
}

impl<'a, E> MatMut<'a, E> {
    /// `rows × cols`, each row contiguous and following the one before.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLarge`].
    #[inline]
    pub fn row_major(data: &'a mut [E], rows: usize, cols: usize) -> Result<Self, Error> {
        Self::with_strides(data, rows, cols, cols, 1)
    }

    /// Any strides under which no two elements share a place.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLarge`], [`Error::Overlap`].
    #[inline]
    pub fn with_strides(
        data: &'a mut [E],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, Error> {
        let layout = Layout { rows, cols, row_stride, col_stride };
        layout.check(data.len())?;
        if layout.overlaps() {
            return Err(Error::Overlap { rows, cols, row_stride, col_stride });
        }
        Ok(MatMut { data, layout })
    }

    /// The transpose; nothing is copied.
    #[inline]
    pub fn t(self) -> Self {
        MatMut { data: self.data, layout: self.layout.t() }
    }

    /// Some of the rows.
    ///
    /// # Errors
    /// [`Error::Range`].
    #[inline]
    pub fn rows(self, range: core::ops::Range<usize>) -> Result<Self, Error> {
        let (layout, start) = self.layout.rows(range, Dim::Rows)?;
        Ok(MatMut { data: &mut self.data[start..], layout })
    }

    /// Some of the columns.
    ///
    /// # Errors
    /// [`Error::Range`].
    pub fn cols(self, range: core::ops::Range<usize>) -> Result<Self, Error> {
        let (layout, start) = self.layout.t().rows(range, Dim::Columns)?;
        Ok(MatMut { data: &mut self.data[start..], layout: layout.t() })
    }

    /// A view of the same matrix with a shorter life.
    #[inline]
    pub fn reborrow(&mut self) -> MatMut<'_, E> {
        MatMut { data: self.data, layout: self.layout }
    }

    /// The same matrix, to be read.
    #[inline]
    pub fn as_ref(&self) -> MatRef<'_, E> {
        MatRef { data: self.data, layout: self.layout }
    }

    /// The slice from the first element on.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [E] {
        self.data
    }
}

macro_rules! accessors {
    ($view:ident) => {
        impl<E> $view<'_, E> {
            /// Number of rows.
            pub fn nrows(&self) -> usize {
                self.layout.rows
            }

            /// Number of columns.
            pub fn ncols(&self) -> usize {
                self.layout.cols
            }

            /// Distance in elements from one row to the next.
            pub fn row_stride(&self) -> usize {
                self.layout.row_stride
            }

            /// Distance in elements from one column to the next.
            pub fn col_stride(&self) -> usize {
                self.layout.col_stride
            }

            /// Shape and strides.
            pub fn layout(&self) -> Layout {
                self.layout
            }
        }

        impl<E: Copy> $view<'_, E> {
            /// Element (i, j).
            ///
            /// # Panics
            /// Where there is no such element, as indexing a slice does.
            pub fn at(&self, i: usize, j: usize) -> E {
                self.data[self.layout.at(i, j)]
            }
        }
    };
}

accessors!(MatRef);
accessors!(MatMut);

impl<E> MatMut<'_, E> {
    /// Sets element (i, j).
    ///
    /// # Panics
    /// Where there is no such element, as indexing a slice does.
    pub fn set(&mut self, i: usize, j: usize, value: E) {
        self.data[self.layout.at(i, j)] = value;
    }
}
