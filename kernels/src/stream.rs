//! Few rows times a B whose rows are contiguous, and larger than twice L1: the forward pass of one sample or two, ∇W of
//! one output or two.
//!
//! ```text
//!     for each run of columns                   as many as have their sums in L1
//!         for each block of the sum
//!             for k in 0..len, TOGETHER at a time   rows of B, read from end to end
//!                 for each vector of columns
//!                     sums[i][·] += A[i][k] · B[k][·]   of these k, for each row of A
//!             C = initial + alpha·sums
//! ```
//!
//! Here B is what costs: each element is used once for each row of A. A tile would read a few cache lines of each row
//! of B at a time, and each row from a place of its own; the sums, which wait in L1 instead of registers, cost a load
//! and a store for each TOGETHER vectors of B. Each sum still adds its products one after the other.

use core::array::from_fn;
use core::mem::MaybeUninit;

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate;
use crate::isa::Kernels;
use crate::microkernel::end;
use crate::plan::{Blocking, Packing};
use crate::problem::Problem;
use crate::scratch::Line;
use crate::tiles::{Initial, Tiles};
use crate::vector::Vector;

/// Rows of B that are read together: as many streams.
const TOGETHER: usize = 4;

/// Vectors of columns that follow each other without a branch.
const UNROLL: usize = 4;

/// Bytes of the sums: half of a small L1.
const ROOM: usize = 16 << 10;

/// Sums of each of MR rows that have room: a whole number of vectors.
const fn stride<E: Element, const MR: usize>() -> usize {
    ROOM / MR / E::BYTES
}

/// The most rows: with three a tile does as much for each vector of B that it loads.
const MOST_ROWS: usize = 2;

/// Whether an output of m×n sums over k is computed like this.
pub const fn pays((m, n, k): (usize, usize, usize), lanes: usize, bytes: usize, blocking: &Blocking) -> bool {
    let wide = lanes > 1 && m >= 1 && m <= MOST_ROWS && k > 0 && n >= 2 * UNROLL * lanes;
    wide && match blocking.packing {
        Packing::Always => false,
        Packing::Never => true,
        Packing::Auto => n.saturating_mul(k).saturating_mul(bytes) > blocking.thresholds.stream_bytes,
    }
}

/// Whether this is for a problem in its best orientation.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    p.b.col == 1 && p.c.col == 1 && pays((p.m, p.n, p.k), V::LANES, E::BYTES, blocking)
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>) {
    // SAFETY: the contract is the same, and the last parameter is the number of rows.
    unsafe { if p.m == 1 { rows::<V, E, 1>(v, p) } else { rows::<V, E, 2>(v, p) } }
}

/// # Safety
/// As for [`run`], and MR is the number of rows.
unsafe fn rows<V: Kernels<E>, E: Element, const MR: usize>(v: V, p: &Problem<E>) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut room = MaybeUninit::<[Line; ROOM / size_of::<Line>()]>::uninit();
            let sums: *mut E = room.as_mut_ptr().cast();
            let mut j = 0;
            while j < p.n {
                let cols = (p.n - j).min(const { stride::<E, MR>() });
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let len = K_BLOCK.min(p.k - pc);
                    // SAFETY: some columns of B and of C, and room for their sums.
                    unsafe { block::<V, E, MR>(v, p.columns((pc, len), j), cols, sums) };
                }
                j += cols;
            }
            if !p.is_relu() && p.activates() {
                // SAFETY: all of C.
                unsafe { activate(v, p.activation, p.c.source(), p.y.unwrap_or(p.c), p.m, p.n) };
            }
        },
    );
}

/// `C = initial + alpha·A·B` for some columns, as many as have room for their sums.
///
/// # Safety
/// The operands can be accessed like that, rows of B and of C are contiguous; C overlaps no other, except that it may
/// be the initial matrix. `sums` has MR rows of [`stride`] elements.
#[inline(always)]
unsafe fn block<V: Vector<E>, E: Element, const MR: usize>(v: V, mut t: Tiles<E>, cols: usize, sums: *mut E) {
    let row = const { stride::<E, MR>() };
    // SAFETY: all vectors that have a column; each sweep adds the values of k that it is told.
    unsafe {
        for j in (0..cols).step_by(V::LANES) {
            for i in 0..MR {
                v.store_at(sums.wrapping_add(i * row + j), v.splat(E::ZERO));
            }
        }
        let mut k = 0;
        while k + TOGETHER <= t.len {
            sweep::<V, E, MR, TOGETHER>(v, &t, k, cols, sums);
            k += TOGETHER;
        }
        while k < t.len {
            sweep::<V, E, MR, 1>(v, &t, k, cols, sums);
            k += 1;
        }
        let whole = cols - cols % V::LANES;
        for j in (0..whole).step_by(V::LANES) {
            finish::<V, E, MR, false>(v, &t, j, sums);
        }
        if whole < cols {
            t.last = cols - whole;
            finish::<V, E, MR, true>(v, &t, whole, sums);
        }
    }
}

/// Adds K products to each sum, those from `k` on.
///
/// # Safety
/// As for [`block`], and there are so many values of k.
#[inline(always)]
unsafe fn sweep<V: Vector<E>, E: Element, const MR: usize, const K: usize>(
    v: V,
    t: &Tiles<E>,
    k: usize,
    cols: usize,
    sums: *mut E,
) {
    // SAFETY: elements of A, vectors of rows of B, and their sums.
    unsafe {
        let a: [[V::V; MR]; K] =
            from_fn(|u| from_fn(|i| v.splat(*t.a.wrapping_add(i * t.a_row + (k + u) * t.a_col))));
        let b: [*const E; K] = from_fn(|u| t.b.wrapping_add((k + u) * t.b_row));
        let mut j = 0;
        while j + UNROLL * V::LANES <= cols {
            for q in 0..UNROLL {
                let j = j + q * V::LANES;
                add(v, &a, |u| v.load_at(b[u].wrapping_add(j)), sums.wrapping_add(j));
            }
            j += UNROLL * V::LANES;
        }
        while j + V::LANES <= cols {
            add(v, &a, |u| v.load_at(b[u].wrapping_add(j)), sums.wrapping_add(j));
            j += V::LANES;
        }
        if j < cols {
            let tail = v.tail(cols - j);
            add(v, &a, |u| v.load_tail(b[u].wrapping_add(j), tail), sums.wrapping_add(j));
        }
    }
}

/// Adds K products to a vector of sums of each row.
///
/// # Safety
/// `sums` has MR rows of [`stride`] elements that begin at or before it, and a vector in each.
#[inline(always)]
unsafe fn add<V: Vector<E>, E: Element, const MR: usize, const K: usize>(
    v: V,
    a: &[[V::V; MR]; K],
    row: impl Fn(usize) -> V::V,
    sums: *mut E,
) {
    let at = |i| sums.wrapping_add(i * const { stride::<E, MR>() });
    // SAFETY: as the caller says.
    unsafe {
        let mut acc: [V::V; MR] = from_fn(|i| v.load_at(at(i)));
        for (u, a) in a.iter().enumerate() {
            let row = row(u);
            for (acc, &a) in acc.iter_mut().zip(a) {
                *acc = v.mul_add(a, row, *acc);
            }
        }
        for (i, &acc) in acc.iter().enumerate() {
            v.store_at(at(i), acc);
        }
    }
}

/// `C = initial + alpha·sums` for the vector of columns at `j`.
///
/// # Safety
/// As for [`block`]; with TAIL the vector has `t.last` columns.
#[inline(always)]
unsafe fn finish<V: Vector<E>, E: Element, const MR: usize, const TAIL: bool>(
    v: V,
    t: &Tiles<E>,
    j: usize,
    sums: *const E,
) {
    let initial = match t.initial {
        Initial::Rows(p, row) => Initial::Rows(p.wrapping_add(j), row),
        same => same,
    };
    let t = Tiles { c: t.c.wrapping_add(j), initial, ..*t };
    // SAFETY: a vector of C and of the sums of each row.
    unsafe {
        let acc = from_fn(|i| [v.load_at(sums.wrapping_add(i * const { stride::<E, MR>() } + j))]);
        end::<V, E, MR, 1, TAIL, false>(v, &t, acc, v.tail(t.last.max(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::plan::Caches;

    #[test]
    fn pays_for_one_or_two_wide_rows_and_a_b_beyond_l1() {
        let mut blocking = Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, 4);
        blocking.thresholds.stream_bytes = 64 * 100 * 4;
        let pays = |m, n, k| pays((m, n, k), 8, 4, &blocking);
        assert!(pays(1, 64, 101) && pays(2, 64, 101) && pays(1, 101, 64));
        // As large as that, too narrow, too many rows, none.
        assert!(!pays(1, 64, 100) && !pays(1, 63, 1000) && !pays(3, 64, 101) && !pays(0, 64, 101));
        let always = Blocking { packing: Packing::Always, ..blocking };
        let never = Blocking { packing: Packing::Never, ..blocking };
        assert!(!super::pays((1, 64, 101), 8, 4, &always) && super::pays((1, 64, 1), 8, 4, &never));
        assert!(!super::pays((1, 64, 0), 8, 4, &never) && !super::pays((1, 64, 101), 1, 4, &blocking));
    }
}
