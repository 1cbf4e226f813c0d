//! The microkernel: one body for every ISA, element type and tile.
//!
//! ```text
//!            B  b_row →   [ NRV vectors ]            for k in 0..len:
//!                             ↓                          b[0..NRV] = row k of B
//!     A   a0 ┐   ┌─────┬─────┬─────┐                     for i in 0..MR:
//!         a1 │   │ acc │ acc │ acc │                         acc[i][·] += A[i][k] · b[·]
//!         ⋮  │   │     MR × NRV    │                 then, once:
//!     col k  ┘   └─────┴─────┴─────┘                     C = alpha·acc (+ initial)
//! ```
//!
//! A sum over k stays in one lane of one accumulator and is never split, so its order does not
//! depend on the tile. A is read one element at a time and spread over a vector: from rows that
//! are contiguous along k (`BY_ROWS`), or from columns whose elements are neighbours, as in a
//! micropanel. B's rows are contiguous. On a machine with one lane all strides are free. The last
//! vector of a row may be partial (`TAIL`): a mask keeps its memory untouched.
//!
//! Four values of k go into one turn of the loop: the integer instructions of a turn compete with
//! the multiply-adds for the same ports, and cost a tenth of the speed if they are not spread out.

use core::array::from_fn;
use core::sync::atomic::{Ordering, compiler_fence};

use trine_core::Element;

use crate::vector::Vector;

/// Sums from this length on leave time to fetch C before it is needed.
const LONG: usize = 64;

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

/// One microtile: `C[MR×N] = initial + alpha·A[MR×len]·B[len×N]`.
#[derive(Clone, Copy, Debug)]
pub struct Tile<E> {
    /// Length of the sum, at most `K_BLOCK`.
    pub len: usize,
    /// A, and the distances between its rows and columns.
    pub a: *const E,
    pub a_row: usize,
    pub a_col: usize,
    /// B, and the distance between its rows.
    pub b: *const E,
    pub b_row: usize,
    /// Distance between columns of B, of C: only where a vector has one lane, else they are 1.
    pub b_col: usize,
    pub c_col: usize,
    /// C, and the distance between its rows.
    pub c: *mut E,
    pub c_row: usize,
    /// Lanes of the last vector, `1..=LANES`.
    pub last: usize,
    pub alpha: E,
    pub initial: Initial<E>,
    /// Whether ReLU is applied to the result.
    pub relu: bool,
}

/// A microkernel for one tile shape.
pub type Microkernel<V, E> = unsafe fn(V, &Tile<E>);

/// The body as a function that is compiled for `V`. `TAIL`: the last vector is partial.
/// `BY_ROWS`: A's rows are contiguous, otherwise its columns are.
///
/// # Safety
/// With N = (NRV−1)·LANES + `last`: A can be read as MR×`len`, B as `len`×N, the initial matrix
/// as MR×N or MR values; C can be written as MR×N and overlaps none of A and B.
unsafe fn tile<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const BY_ROWS: bool,
>(
    v: V,
    t: &Tile<E>,
) {
    v.vectorize(
        #[inline(always)]
        // SAFETY: the contract is the same.
        || unsafe { body::<V, E, MR, NRV, TAIL, BY_ROWS>(v, t) },
    );
}

#[inline(always)]
unsafe fn body<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const BY_ROWS: bool,
>(
    v: V,
    t: &Tile<E>,
) {
    // A copy, which stores to C cannot change.
    let t = &{ *t };
    let tail = v.tail(t.last);
    // Strides of 1 that the compiler should know; with one lane all of them are free.
    let one_lane = V::LANES == 1;
    let (b_col, c_col) = if one_lane { (t.b_col, t.c_col) } else { (1, 1) };
    let a_row = if one_lane || BY_ROWS { t.a_row } else { 1 };
    let a_col = if one_lane || !BY_ROWS { t.a_col } else { 1 };

    let mut acc = [[v.splat(E::ZERO); NRV]; MR];
    if t.len >= LONG {
        each::<MR, NRV>(|i, j| v.prefetch(t.c.wrapping_add(i * t.c_row + j * V::LANES * c_col)));
    }
    let (mut a, mut b) = (t.a, t.b);
    let unroll = if one_lane { 1 } else { 4 };
    for _ in 0..t.len / unroll {
        for u in 0..unroll {
            let (a, b) = (a.wrapping_add(u * a_col), b.wrapping_add(u * t.b_row));
            // SAFETY: column k of A and row k of B, as the caller says.
            unsafe { step::<V, E, MR, NRV, TAIL>(v, &mut acc, a, a_row, b, b_col, tail) };
            // Keeps the loads of one k from moving up to those of another, where they would spill.
            compiler_fence(Ordering::SeqCst);
        }
        a = a.wrapping_add(unroll * a_col);
        b = b.wrapping_add(unroll * t.b_row);
    }
    for _ in 0..t.len % unroll {
        // SAFETY: as above.
        unsafe { step::<V, E, MR, NRV, TAIL>(v, &mut acc, a, a_row, b, b_col, tail) };
        a = a.wrapping_add(a_col);
        b = b.wrapping_add(t.b_row);
    }

    let alpha = v.splat(t.alpha);
    match t.initial {
        Initial::Nothing => each::<MR, NRV>(|i, j| acc[i][j] = v.mul(alpha, acc[i][j])),
        Initial::Rows(p, row) => each::<MR, NRV>(|i, j| {
            // SAFETY: row i of the initial matrix.
            let initial = unsafe { load::<V, E, NRV, TAIL>(v, p.wrapping_add(i * row), j, c_col, tail) };
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
        Initial::Columns(p) => each::<MR, NRV>(|i, j| {
            // SAFETY: one of MR values, as the caller says.
            let initial = v.splat(unsafe { *p.add(i) });
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
        Initial::Spread(p) => each::<MR, NRV>(|i, j| {
            // SAFETY: one value for each column.
            let initial = unsafe { load::<V, E, NRV, TAIL>(v, p, j, 1, tail) };
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
    }
    if t.relu {
        each::<MR, NRV>(|i, j| acc[i][j] = v.relu(acc[i][j]));
    }
    each::<MR, NRV>(|i, j| {
        let p = t.c.wrapping_add(i * t.c_row + j * V::LANES * c_col);
        // SAFETY: columns of row i of C; a partial vector writes its own only.
        unsafe {
            if TAIL && j == NRV - 1 { v.store_tail(p, tail, acc[i][j]) } else { v.store_at(p, acc[i][j]) }
        }
    });
}

/// One value of k: a column of A times a row of B.
#[inline(always)]
unsafe fn step<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    acc: &mut [[V::V; NRV]; MR],
    a: *const E,
    a_row: usize,
    b: *const E,
    b_col: usize,
    tail: V::Tail,
) {
    // SAFETY: NRV vectors of B, the last one partial, and MR elements of A, as the caller says.
    unsafe {
        let row: [V::V; NRV] = from_fn(|j| load::<V, E, NRV, TAIL>(v, b, j, b_col, tail));
        for (i, acc) in acc.iter_mut().enumerate() {
            let a = v.splat(*a.wrapping_add(i * a_row));
            for j in 0..NRV {
                acc[j] = v.mul_add(a, row[j], acc[j]);
            }
        }
    }
}

/// Vector j of a row; the last one reads its own elements only.
#[inline(always)]
unsafe fn load<V: Vector<E>, E: Element, const NRV: usize, const TAIL: bool>(
    v: V,
    row: *const E,
    j: usize,
    col: usize,
    tail: V::Tail,
) -> V::V {
    let p = row.wrapping_add(j * V::LANES * col);
    // SAFETY: the caller says that these elements can be read.
    unsafe { if TAIL && j == NRV - 1 { v.load_tail(p, tail) } else { v.load_at(p) } }
}

#[inline(always)]
fn each<const MR: usize, const NRV: usize>(mut f: impl FnMut(usize, usize)) {
    for i in 0..MR {
        for j in 0..NRV {
            f(i, j);
        }
    }
}

/// The kernels of one tile: for A by columns and by rows, the whole one and the one with a partial vector.
pub type Variants<V, E> = [[Microkernel<V, E>; 2]; 2];

/// The microkernels of one ISA and element type.
pub struct Table<V: 'static, E: 'static> {
    /// For 1, 2 … vectors in a row, for 1, 2 … rows.
    pub kernels: &'static [&'static [Variants<V, E>]],
}

/// A table by its tiles: for each number of vectors the numbers of rows.
macro_rules! table {
    ($name:ident, $doc:literal, $by_rows:literal, $($nrv:literal: $($mr:literal)*;)*) => {
        impl<V: Vector<E>, E: Element> Table<V, E> {
            #[doc = $doc]
            pub const $name: Self = Table { kernels: &[$(table!(@row $by_rows, $nrv: $($mr)*)),*] };
        }
    };
    (@row $by_rows:literal, $nrv:literal: $($mr:literal)*) => {
        &[$([
            [tile::<V, E, $mr, $nrv, false, false>, tile::<V, E, $mr, $nrv, true, false>],
            [tile::<V, E, $mr, $nrv, false, $by_rows>, tile::<V, E, $mr, $nrv, true, $by_rows>],
        ]),*]
    };
}

table!(WIDE, "For 32 registers.", true,
    1: 1 2 3 4 5 6 7 8;
    2: 1 2 3 4 5 6 7 8;
    3: 1 2 3 4 5 6 7 8;
);
table!(NARROW, "For 16 registers.", true,
    1: 1 2 3 4 5 6;
    2: 1 2 3 4 5 6;
);
// With one lane strides are free: one kernel serves both orders of A.
table!(SCALAR, "For one lane.", false,
    1: 1 2 3 4;
    2: 1 2 3 4;
    3: 1 2 3 4;
    4: 1 2 3 4;
);
