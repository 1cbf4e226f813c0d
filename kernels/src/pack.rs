//! Copies parts of A and B into scratch memory in the order in which the microkernel reads them.
//!
//! ```text
//!     B panel: strips of NR columns        A panel: micropanels of MR rows
//!     each strip k by k:                   each k by k:
//!     [ b00 b01 … b0,NR ]  k = 0           [ a00 a10 … aMR,0 ]  k = 0
//!     [ b10 b11 … b1,NR ]  k = 1           [ a01 a11 … aMR,1 ]  k = 1
//! ```

use trine_core::Element;

use crate::vector::Vector;

/// How many values of k are packed at a time.
pub const ROWS: usize = 16;

/// A matrix in memory: its first element and the distances between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct Source<E> {
    pub ptr: *const E,
    pub row: usize,
    pub col: usize,
}

impl<E> Source<E> {
    /// The transpose.
    #[inline(always)]
    pub fn t(self) -> Self {
        Source { ptr: self.ptr, row: self.col, col: self.row }
    }

    /// The part that begins at (i, j).
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        Source { ptr: self.ptr.wrapping_add(i * self.row + j * self.col), ..self }
    }
}

/// One strip of B: `len` rows of `cols` columns to `to`, rows `width` apart, filled up with zeros.
///
/// # Safety
/// B can be read as `len × cols`; `to` has room for `len · width` elements, `width` a multiple of `LANES` not below `cols`.
pub unsafe fn strip<V: Vector<E>, E: Element>(
    v: V,
    b: Source<E>,
    len: usize,
    cols: usize,
    to: *mut E,
    width: usize,
) {
    v.vectorize(
        #[inline(always)]
        // SAFETY: the contract is the same.
        || unsafe {
            if b.col == 1 {
                strip_rows(v, b, len, cols, to, width);
            } else if b.row == 1 {
                strip_transposed(v, b, len, cols, to, width);
            } else {
                strip_any(b, len, cols, to, width);
            }
        },
    );
}

/// Rows are contiguous: copied.
#[inline(always)]
unsafe fn strip_rows<V: Vector<E>, E: Element>(
    v: V,
    b: Source<E>,
    len: usize,
    cols: usize,
    to: *mut E,
    width: usize,
) {
    let (whole, rest) = (cols / V::LANES, cols % V::LANES);
    let tail = v.tail(rest.max(1));
    for k in 0..len {
        let (from, to) = (b.at(k, 0).ptr, to.wrapping_add(k * width));
        // SAFETY: row k of B, and row k of the strip.
        unsafe {
            for j in 0..whole {
                v.store_at(to.add(j * V::LANES), v.load_at(from.add(j * V::LANES)));
            }
            if rest > 0 {
                v.store_at(to.add(whole * V::LANES), v.load_tail(from.add(whole * V::LANES), tail));
            }
        }
    }
}

/// Columns are contiguous: transposed block by block in registers.
#[inline(always)]
unsafe fn strip_transposed<V: Vector<E>, E: Element>(
    v: V,
    b: Source<E>,
    len: usize,
    cols: usize,
    to: *mut E,
    width: usize,
) {
    let lanes = V::LANES;
    for j in (0..cols).step_by(lanes) {
        for k in (0..len).step_by(lanes) {
            let (from, to) = (b.at(k, j).ptr, to.wrapping_add(k * width + j));
            let (ks, js) = (lanes.min(len - k), lanes.min(cols - j));
            // SAFETY: a block of B of js columns and ks rows, and its place in the strip.
            unsafe {
                if ks == lanes && js == lanes {
                    v.transpose(from, b.col, to, width);
                } else {
                    partial_block(v, (from, b.col), (ks, js), to, width);
                }
            }
        }
    }
}

/// A block that is not whole: through a block in memory that is.
#[inline(always)]
unsafe fn partial_block<V: Vector<E>, E: Element>(
    v: V,
    (from, from_row): (*const E, usize),
    (ks, js): (usize, usize),
    to: *mut E,
    width: usize,
) {
    let mut block = [[E::ZERO; MOST_LANES]; MOST_LANES];
    let mut turned = [[E::ZERO; MOST_LANES]; MOST_LANES];
    let tail = v.tail(ks);
    // SAFETY: js contiguous pieces of ks elements are read, ks rows of LANES elements written; a
    // vector has at most MOST_LANES lanes.
    unsafe {
        for (j, row) in block.iter_mut().enumerate().take(js) {
            v.store_at(row.as_mut_ptr(), v.load_tail(from.add(j * from_row), tail));
        }
        v.transpose(block.as_ptr().cast(), MOST_LANES, turned.as_mut_ptr().cast(), MOST_LANES);
        for (k, row) in turned.iter().enumerate().take(ks) {
            v.store_at(to.add(k * width), v.load_at(row.as_ptr()));
        }
    }
}

/// The widest vector there is.
const MOST_LANES: usize = 16;

/// Any strides.
unsafe fn strip_any<E: Element>(b: Source<E>, len: usize, cols: usize, to: *mut E, width: usize) {
    for k in 0..len {
        for j in 0..width {
            // SAFETY: element (k, j) of B where there is one, and its place in the strip.
            unsafe { *to.add(k * width + j) = if j < cols { *b.at(k, j).ptr } else { E::ZERO } };
        }
    }
}

/// One micropanel of A: `rows × len` to `to`, columns `rows` apart.
///
/// # Safety
/// A can be read as `rows × len`; `to` has room for `rows · len + LANES` elements.
pub unsafe fn micropanel<V: Vector<E>, E: Element>(v: V, a: Source<E>, rows: usize, len: usize, to: *mut E) {
    if a.row == 1 {
        v.vectorize(
            #[inline(always)]
            // SAFETY: the contract is the same.
            || unsafe { micropanel_columns(v, a, rows, len, to) },
        );
    } else {
        for k in 0..len {
            for i in 0..rows {
                // SAFETY: element (i, k) of A, and its place in the micropanel.
                unsafe { *to.add(k * rows + i) = *a.at(i, k).ptr };
            }
        }
    }
}

/// Columns are contiguous: copied.
#[inline(always)]
unsafe fn micropanel_columns<V: Vector<E>, E: Element>(
    v: V,
    a: Source<E>,
    rows: usize,
    len: usize,
    to: *mut E,
) {
    let (whole, rest) = ((rows - 1) / V::LANES, (rows - 1) % V::LANES + 1);
    let tail = v.tail(rest);
    for k in 0..len {
        let (from, to) = (a.at(0, k).ptr, to.wrapping_add(k * rows));
        // SAFETY: `rows` elements of column k. What the last vector writes beyond them is
        // overwritten by the next column, or lies in the room behind the last.
        unsafe {
            for i in 0..whole {
                v.store_at(to.add(i * V::LANES), v.load_at(from.add(i * V::LANES)));
            }
            v.store_at(to.add(whole * V::LANES), v.load_tail(from.add(whole * V::LANES), tail));
        }
    }
}
