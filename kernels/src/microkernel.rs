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
//! depend on the tile. A is read one element at a time and spread over a vector; its strides are
//! free, so it may be the caller's memory or a micropanel. B's rows are contiguous (free on a
//! machine with one lane). The last vector of a row may be partial: a mask keeps its memory untouched.

use core::array::from_fn;

use trine_core::Element;

use crate::vector::Vector;

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
///
/// # Safety
/// With N = (NRV−1)·LANES + `last`: A can be read as MR×`len`, B as `len`×N, the initial matrix
/// as MR×N or MR values; C can be written as MR×N and overlaps none of A and B.
unsafe fn tile<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    t: &Tile<E>,
) {
    v.vectorize(
        #[inline(always)]
        // SAFETY: the contract is the same.
        || unsafe { body::<V, E, MR, NRV, TAIL>(v, t) },
    );
}

#[inline(always)]
unsafe fn body<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    t: &Tile<E>,
) {
    // A copy, which stores to C cannot change.
    let t = &{ *t };
    let tail = v.tail(t.last);
    let is_tail = |j: usize| TAIL && j == NRV - 1;
    // SAFETY: the caller says that these elements can be read; a partial vector reads its own only.
    let load = |p: *const E, j: usize, col: usize| unsafe {
        let p = p.add(j * V::LANES * col);
        if is_tail(j) { v.load_tail(p, tail) } else { v.load_at(p) }
    };
    // With more than one lane the columns are neighbours, and the compiler should know.
    let (b_col, c_col) = if V::LANES == 1 { (t.b_col, t.c_col) } else { (1, 1) };

    let mut acc = [[v.splat(E::ZERO); NRV]; MR];
    let rows: [*const E; MR] = from_fn(|i| t.a.wrapping_add(i * t.a_row));
    let (mut b, mut offset) = (t.b, 0);
    for _ in 0..t.len {
        let row: [V::V; NRV] = from_fn(|j| load(b, j, b_col));
        for i in 0..MR {
            // SAFETY: element (i, k) of A.
            let a = v.splat(unsafe { *rows[i].wrapping_add(offset) });
            for j in 0..NRV {
                acc[i][j] = v.mul_add(a, row[j], acc[i][j]);
            }
        }
        b = b.wrapping_add(t.b_row);
        offset += t.a_col;
    }

    let alpha = v.splat(t.alpha);
    match t.initial {
        Initial::Nothing => each::<MR, NRV>(|i, j| acc[i][j] = v.mul(alpha, acc[i][j])),
        Initial::Rows(p, row) => each::<MR, NRV>(|i, j| {
            let initial = load(p.wrapping_add(i * row), j, c_col);
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
        Initial::Columns(p) => each::<MR, NRV>(|i, j| {
            // SAFETY: one of MR values, as the caller says.
            let initial = v.splat(unsafe { *p.add(i) });
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
        Initial::Spread(p) => each::<MR, NRV>(|i, j| {
            acc[i][j] = v.mul_add(alpha, acc[i][j], load(p, j, 1));
        }),
    }
    if t.relu {
        let zero = v.splat(E::ZERO);
        each::<MR, NRV>(|i, j| acc[i][j] = v.select(v.less(acc[i][j], zero), zero, acc[i][j]));
    }
    each::<MR, NRV>(|i, j| {
        let p = t.c.wrapping_add(i * t.c_row + j * V::LANES * c_col);
        // SAFETY: columns of row i of C; a partial vector writes its own only.
        unsafe { if is_tail(j) { v.store_tail(p, tail, acc[i][j]) } else { v.store_at(p, acc[i][j]) } }
    });
}

#[inline(always)]
fn each<const MR: usize, const NRV: usize>(mut f: impl FnMut(usize, usize)) {
    for i in 0..MR {
        for j in 0..NRV {
            f(i, j);
        }
    }
}

/// The microkernels of one ISA and element type: every tile up to `mr × nrv`.
pub struct Table<V: 'static, E: 'static> {
    /// Most rows.
    pub mr: usize,
    /// Most vectors in a row.
    pub nrv: usize,
    /// In the order of [`Table::get`].
    pub kernels: &'static [Microkernel<V, E>],
}

impl<V: Vector<E>, E: Element> Table<V, E> {
    /// The kernel for a tile of `1..=mr` rows and `1..=nrv` vectors.
    #[inline(always)]
    pub fn get(&self, mr: usize, nrv: usize, tail: bool) -> Microkernel<V, E> {
        self.kernels[((nrv - 1) * self.mr + mr - 1) * 2 + tail as usize]
    }
}

macro_rules! kernels {
    ($name:ident, $mr_max:literal x $nrv_max:literal: [$($nrv:literal)*] $mrs:tt) => {
        impl<V: Vector<E>, E: Element> Table<V, E> {
            #[doc = concat!("All tiles up to ", stringify!($mr_max), " rows of ", stringify!($nrv_max), " vectors.")]
            pub const $name: Self = Table {
                mr: $mr_max,
                nrv: $nrv_max,
                kernels: kernels!(@concat [] [$($nrv)*] $mrs),
            };
        }
    };
    (@concat [$($done:expr,)*] [] $mrs:tt) => { &[$($done,)*] };
    (@concat [$($done:expr,)*] [$nrv:literal $($rest:literal)*] [$($mr:literal)*]) => {
        kernels!(@concat
            [$($done,)* $(tile::<V, E, $mr, $nrv, false>, tile::<V, E, $mr, $nrv, true>,)*]
            [$($rest)*] [$($mr)*])
    };
}

kernels!(T8X3, 8 x 3: [1 2 3] [1 2 3 4 5 6 7 8]);
kernels!(T6X2, 6 x 2: [1 2] [1 2 3 4 5 6]);
kernels!(T4X4, 4 x 4: [1 2 3 4] [1 2 3 4]);
