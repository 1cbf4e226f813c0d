//! What a microkernel is told: which part of a product it computes, and what else it does on the way.

use trine_core::Element;

use crate::pack::{Source, offset};
use crate::upcoming::Ahead;

/// What a sum begins with, after the first block of k (see `trine_core::linear`).
#[derive(Clone, Copy, Debug)]
pub enum Initial<E> {
    /// Nothing: `alpha·p`.
    Nothing,
    /// A matrix with this row stride, columns as in C: the old content, or a bias for each column (row stride 0).
    Rows(*const E, usize),
    /// One value for each row: the bias of a transposed problem.
    Columns(*const E),
    /// One value for each column, neighbours in memory where C's columns are not: only with one lane.
    Spread(*const E),
}

impl<E: Element> Initial<E> {
    /// That of the part which begins `i` rows and `j` columns later, where columns are neighbours.
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> Self {
        match self {
            Initial::Nothing => Initial::Nothing,
            Initial::Rows(p, row) => Initial::Rows(p.wrapping_add(offset((i, row), (j, 1))), row),
            Initial::Columns(p) => Initial::Columns(p.wrapping_add(i)),
            Initial::Spread(p) => Initial::Spread(p.wrapping_add(j)),
        }
    }
}

/// Rows of microtiles: `C[MR×N] = initial + alpha·A[MR×len]·B[len×N]`, strip after strip, row after row.
/// Only with a single row B may be copied.
#[derive(Clone, Copy)]
pub struct Tiles<'u, E> {
    /// Length of the sum, at most `K_BLOCK`.
    pub len: usize,
    /// Number of strips of B, of microtiles of rows of A: for each of these, all strips.
    pub strips: usize,
    pub rows: usize,
    /// A, and the distances between its rows, its columns, its microtiles.
    pub a: *const E,
    pub a_row: usize,
    pub a_col: usize,
    pub a_tile: usize,
    /// B, and the distances between its rows and between its strips.
    pub b: *const E,
    pub b_row: usize,
    pub b_strip: usize,
    /// Distance between columns of B, of C: only where a vector has one lane, else they are 1.
    pub b_col: usize,
    pub c_col: usize,
    /// Where the rows of B go, NRV vectors apart, if they are copied.
    pub copy_b: *mut E,
    /// C, and the distance between its rows.
    pub c: *mut E,
    pub c_row: usize,
    /// Lanes of the last vector, `1..=LANES`.
    pub last: usize,
    pub alpha: E,
    pub initial: Initial<E>,
    /// Whether ReLU is applied to the result.
    pub relu: bool,
    /// Whether C is written past the caches, by kernels that can. Its rows are aligned then.
    pub past: bool,
    /// Where sums wait for further values of k, tile after tile in whole vectors: in slabs, and in microkernels only of an A
    /// by columns that fetch, in units with [`RUNS`](crate::vector::Vector::RUNS).
    pub sums: *mut E,
    /// Whether they come from there in place of 0, and go there in place of C.
    pub resumes: bool,
    pub stays: bool,
    /// How far ahead of a tile C is fetched into the first level, if it is.
    pub fetch: Option<usize>,
    /// How far ahead of a tile A is fetched during its first strip, if its rows are contiguous and it is.
    pub fetch_a: Option<usize>,
    /// What else is fetched on the way.
    pub ahead: Ahead<'u, E>,
}

impl<E: Element> Tiles<'_, E> {
    /// One strip of sums of `len` products as they are, to nowhere yet.
    #[inline(always)]
    pub fn new(a: Source<E>, b: Source<E>, len: usize) -> Self {
        Tiles {
            len,
            strips: 1,
            rows: 1,
            a: a.ptr,
            a_row: a.row,
            a_col: a.col,
            a_tile: 0,
            b: b.ptr,
            b_row: b.row,
            b_strip: 0,
            b_col: b.col,
            c_col: 1,
            copy_b: core::ptr::null_mut(),
            c: core::ptr::null_mut(),
            c_row: 0,
            last: 0,
            alpha: E::ONE,
            initial: Initial::Nothing,
            relu: false,
            past: false,
            sums: core::ptr::null_mut(),
            resumes: false,
            stays: false,
            fetch: None,
            fetch_a: None,
            ahead: None,
        }
    }
}
