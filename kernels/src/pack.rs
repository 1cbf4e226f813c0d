//! Copies parts of A and B into scratch memory in the order in which the microkernel reads them.
//!
//! ```text
//!     B panel: strips of NR columns        A panel: micropanels of MR rows
//!     each strip k by k:                   each k by k:
//!     [ b00 b01 … b0,NR ]  k = 0           [ a00 a10 … aMR,0 ]  k = 0
//!     [ b10 b11 … b1,NR ]  k = 1           [ a01 a11 … aMR,1 ]  k = 1
//! ```

use core::array::from_fn;
use core::ops::Range;

use trine_core::Element;

use crate::plan::{Order, Pieces};
use crate::vector::Vector;

/// How many values of k are packed at a time.
pub const ROWS: usize = 16;

/// A matrix in memory: its first element and the distances between rows and between columns. These are not
/// neighbours here: a compiler that copies two of a kind as one vector waits for both to be written, some 15 cycles.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Source<E> {
    /// Distance from one row to the next, in elements.
    pub row: usize,
    /// The first element.
    pub ptr: *const E,
    /// Distance from one column to the next, in elements.
    pub col: usize,
}

impl<E> Source<E> {
    /// The transpose.
    #[inline(always)]
    pub fn t(self) -> Self {
        Source { ptr: self.ptr, row: self.col, col: self.row }
    }

    /// How it lies in memory.
    #[inline(always)]
    pub fn order(&self) -> Order {
        match (self.row, self.col) {
            (_, 1) => Order::Rows,
            (1, _) => Order::Columns,
            _ => Order::Scattered,
        }
    }

    /// The part that begins at (i, j).
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        Source { ptr: self.ptr.wrapping_add(offset((i, self.row), (j, self.col))), ..self }
    }
}

/// How far element (i, j) lies from the first. It wraps: where a matrix has no elements, its strides may
/// be anything.
#[inline(always)]
pub fn offset((i, row): (usize, usize), (j, col): (usize, usize)) -> usize {
    i.wrapping_mul(row).wrapping_add(j.wrapping_mul(col))
}

/// One strip of B: `len` rows of `cols` columns to `to`, rows `width` apart. What
/// lies behind the last column is any value.
///
/// # Safety
/// B can be read as `len × cols`; `to` has room for `len · width` elements, `width` a multiple of `LANES` not below
/// `cols`.
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
            if b.row == 1 {
                strip_transposed(v, b, len, cols, to, width);
            } else {
                strip_any(b, len, cols, to, width);
            }
        },
    );
}

/// Columns are contiguous: transposed piece by piece in registers.
#[inline(always)]
unsafe fn strip_transposed<V: Vector<E>, E: Element>(
    v: V,
    b: Source<E>,
    len: usize,
    cols: usize,
    to: *mut E,
    width: usize,
) {
    for j in (0..cols).step_by(V::LANES) {
        // SAFETY: some columns of B, and their place in the strip.
        unsafe {
            turned(
                v,
                b.at(0, j),
                0..len,
                V::LANES.min(cols - j),
                #[inline(always)]
                |k, row| {
                    v.store_at(to.wrapping_add(k * width + j), row);
                },
            );
        }
    }
}

/// Rows `ks` of at most LANES contiguous columns of B, one vector after the other: `put(k, row)`.
/// What lies behind the last column is any value.
///
/// # Safety
/// `cols` columns of B can be read up to the end of `ks`.
#[inline(always)]
pub unsafe fn turned<V: Vector<E>, E: Element>(
    v: V,
    b: Source<E>,
    ks: Range<usize>,
    cols: usize,
    mut put: impl FnMut(usize, V::V),
) {
    let piece = 16 / E::BYTES;
    let mut k = ks.start;
    // SAFETY: LANES columns of B, or the last one again where there are fewer.
    unsafe {
        if cols == V::LANES {
            // Few pointers, so that the rest is in the addresses of the loads.
            let first: [*const E; 4] = from_fn(|l| b.ptr.wrapping_add(l * piece * b.col));
            while ks.end - k >= V::LANES {
                v.turn(
                    #[inline(always)]
                    |l, q| first[l].wrapping_add(k).wrapping_add(q * b.col),
                    #[inline(always)]
                    |i, row| put(k + i, row),
                );
                k += V::LANES;
            }
        }
        let column = |l: usize, q: usize| b.ptr.wrapping_add((l * piece + q).min(cols - 1) * b.col);
        while ks.end - k >= piece {
            v.turn_piece(
                #[inline(always)]
                |l, q| column(l, q).wrapping_add(k),
                #[inline(always)]
                |i, row| put(k + i, row),
            );
            k += piece;
        }
        if k < ks.end && ks.end >= piece {
            // The last piece begins before what is still missing.
            let from = ks.end - piece;
            v.turn_piece(
                #[inline(always)]
                |l, q| column(l, q).wrapping_add(from),
                #[inline(always)]
                |i, row| {
                    if from + i >= k {
                        put(from + i, row);
                    }
                },
            );
            k = ks.end;
        }
        for k in k..ks.end {
            let mut row = [E::ZERO; MOST_LANES];
            for (j, to) in row.iter_mut().enumerate().take(cols) {
                *to = *b.at(k, j).ptr;
            }
            put(k, v.load_at(row.as_ptr()));
        }
    }
}

/// The most lanes of a vector.
pub const MOST_LANES: usize = 16;

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
/// A can be read as `rows × len`; `to` has room for as many elements.
pub unsafe fn micropanel<E: Element>(a: Source<E>, rows: usize, len: usize, to: *mut E) {
    for k in 0..len {
        for i in 0..rows {
            // SAFETY: element (i, k) of A, and its place in the micropanel.
            unsafe { *to.add(k * rows + i) = *a.at(i, k).ptr };
        }
    }
}

/// Values of k that are packed of all micropanels before the next: as many cache lines that lie a power of two apart
/// as L1 has room for, which the next micropanel finds there.
const CHUNK: usize = 8;

/// All micropanels of a block of A whose columns are contiguous: micropanel `at`, which begins with row `ir`, to
/// `ir·len + at·LANES` behind `to`.
///
/// # Safety
/// A can be read as the rows of all tiles × len, its row stride is 1; `to` has room for as many elements and a vector
/// behind each micropanel.
pub unsafe fn columns<V: Vector<E>, E: Element>(v: V, a: Source<E>, tiles: Pieces, len: usize, to: *mut E) {
    v.vectorize(
        #[inline(always)]
        || {
            for from in (0..len).step_by(CHUNK) {
                for (at, (ir, mr)) in tiles.iter().enumerate() {
                    let mut column = a.at(ir, from).ptr;
                    let mut to = to.wrapping_add(ir * len + at * V::LANES + from * mr);
                    let whole = mr - mr % V::LANES;
                    let tail = v.tail(if whole < mr { mr - whole } else { V::LANES });
                    for _ in from..len.min(from + CHUNK) {
                        // The next values of k: a processor does not find out by itself where columns go on.
                        if V::RUNS {
                            v.prefetch(column.wrapping_add(CHUNK.wrapping_mul(a.col)));
                        }
                        // SAFETY: mr elements of A; what is written beyond them is overwritten by the next column, or
                        // lies in the room behind the last.
                        unsafe {
                            for i in (0..whole).step_by(V::LANES) {
                                v.store_at(to.wrapping_add(i), v.load_at(column.wrapping_add(i)));
                            }
                            if whole < mr {
                                v.store_at(
                                    to.wrapping_add(whole),
                                    v.load_tail(column.wrapping_add(whole), tail),
                                );
                            }
                        }
                        column = column.wrapping_add(a.col);
                        to = to.wrapping_add(mr);
                    }
                }
            }
        },
    );
}
