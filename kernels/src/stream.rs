//! Few rows times a B whose rows are contiguous, and larger than twice L1: the forward pass of one sample or two, ∇W of
//! one output or two; with AVX2 of more, where the rows of B compete for places in L1 (or nothing may be copied).
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

use core::mem::MaybeUninit;

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate_all;
use crate::isa::{Isa, Kernels};
use crate::plan::{Blocking, LINE, Packing, Tile};
use crate::problem::Problem;
use crate::scratch::Line;
use crate::sweep::{self, TOGETHER, UNROLL};
use crate::tiles::Tiles;
use crate::vector::Vector;

/// Bytes of the sums: half of a small L1.
const ROOM: usize = 16 << 10;

/// Sums of each row that have room, if there are so many rows: whole cache lines.
#[inline(always)]
const fn stride<E: Element>(rows: usize) -> usize {
    ROOM / LINE / rows * (LINE / E::BYTES)
}

/// The most rows. From three on a tile does as much for each vector of B that it loads.
const FEW: usize = 2;

/// The most rows where those of B compete for places: not measured but with AVX2.
const fn most_rows(isa: Isa) -> usize {
    match isa {
        Isa::Avx2 => sweep::MOST_ROWS,
        _ => FEW,
    }
}

/// Bytes between rows whose cache lines share a set of L1: of its 32 KiB in eight ways. A tile, which goes from row to
/// row, finds eight of them there.
const WAY: usize = 4096;

/// Whether an output of m×n sums over k is computed like this, with rows of B so far apart.
pub const fn pays(
    (m, n, k): (usize, usize, usize),
    b_row: usize,
    isa: Isa,
    bytes: usize,
    blocking: &Blocking,
) -> bool {
    let lanes = Tile::of(isa, bytes).lanes;
    let wide = lanes > 1 && m >= 1 && m <= most_rows(isa) && k > 0 && n >= 2 * UNROLL * lanes;
    let crowded = b_row.wrapping_mul(bytes).is_multiple_of(WAY);
    let pays = m <= FEW || crowded || matches!(blocking.packing, Packing::Never);
    wide && pays && blocking.is_large(n, k, bytes)
}

/// Whether this is for a problem in its best orientation.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    p.b.col == 1 && p.c.col == 1 && pays((p.m, p.n, p.k), p.b.row, V::ISA, E::BYTES, blocking)
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>) {
    // SAFETY: the contract is the same, and the last parameter is the number of rows, or 0.
    unsafe {
        match p.m {
            1 => rows::<V, E, 1>(v, p),
            2 => rows::<V, E, 2>(v, p),
            _ if const { most_rows(V::ISA) > FEW } => rows::<V, E, 0>(v, p),
            _ => {}
        }
    }
}

/// # Safety
/// As for [`run`], and MR is the number of rows, or 0, which is any.
unsafe fn rows<V: Kernels<E>, E: Element, const MR: usize>(v: V, p: &Problem<E>) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut room = MaybeUninit::<[Line; ROOM / size_of::<Line>()]>::uninit();
            let sums: *mut E = room.as_mut_ptr().cast();
            let rows = if MR == 0 { p.m } else { MR };
            let mut j = 0;
            while j < p.n {
                let cols = (p.n - j).min(stride::<E>(rows));
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let len = K_BLOCK.min(p.k - pc);
                    // SAFETY: some columns of B and of C, and room for their sums.
                    unsafe { block::<V, E, MR>(v, p.columns((pc, len), j), (rows, cols), sums) };
                }
                j += cols;
            }
            // SAFETY: all of C.
            unsafe { activate_all(v, &p) };
        },
    );
}

/// `C = initial + alpha·A·B` for some columns, as many as have room for their sums.
///
/// # Safety
/// The operands can be accessed like that, rows of B and of C are contiguous; C overlaps no other, except that it may
/// be the initial matrix. `sums` has so many rows of [`stride`] elements; MR is their number, or 0 if they are at most
/// [`sweep::MOST_ROWS`].
#[inline(always)]
unsafe fn block<V: Vector<E>, E: Element, const MR: usize>(
    v: V,
    t: Tiles<E>,
    (rows, cols): (usize, usize),
    sums: *mut E,
) {
    let stride = stride::<E>(rows);
    // SAFETY: all vectors that have a column; each sweep adds the values of k that it is told.
    unsafe {
        for i in 0..rows {
            for j in (0..cols).step_by(V::LANES) {
                v.store_at(sums.wrapping_add(i * stride + j), v.splat(E::ZERO));
            }
        }
        let mut k = 0;
        while k + TOGETHER <= t.len {
            if MR == 0 {
                sweep::pass::<V, E, TOGETHER>(v, &t, k, (rows, cols), (sums, stride));
            } else {
                sweep::few::<V, E, MR, TOGETHER>(v, &t, k, cols, (sums, stride));
            }
            k += TOGETHER;
        }
        while k < t.len {
            if MR == 0 {
                sweep::pass::<V, E, 1>(v, &t, k, (rows, cols), (sums, stride));
            } else {
                sweep::few::<V, E, MR, 1>(v, &t, k, cols, (sums, stride));
            }
            k += 1;
        }
        for i in 0..rows {
            sweep::finish(v, &t, i, cols, sums.wrapping_add(i * stride));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Caches;

    #[test]
    fn pays_for_few_wide_rows_and_a_b_beyond_l1() {
        let mut blocking = Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, 4);
        blocking.thresholds.stream_bytes = 64 * 100 * 4;
        let on = |isa, m, n, k, b_row, blocking| pays((m, n, k), b_row, isa, 4, blocking);
        let pays = |m, n, k| on(Isa::Avx2, m, n, k, n, &blocking);
        assert!(pays(1, 64, 101) && pays(2, 64, 101) && pays(1, 101, 64));
        // As large as that, too narrow, too many rows, none.
        assert!(!pays(1, 64, 100) && !pays(1, 63, 1000) && !pays(3, 64, 101) && !pays(0, 64, 101));
        // Rows of B that compete for places.
        let crowded = |isa, m, b_row| on(isa, m, 64, 101, b_row, &blocking);
        assert!(crowded(Isa::Avx2, 3, 1024) && crowded(Isa::Avx2, 16, 2048));
        assert!(!crowded(Isa::Avx2, 17, 1024) && !crowded(Isa::Avx2, 3, 512));
        assert!(!crowded(Isa::Avx512, 3, 1024) && !crowded(Isa::Sse2, 3, 1024));
        let always = Blocking { packing: Packing::Always, ..blocking };
        let never = Blocking { packing: Packing::Never, ..blocking };
        assert!(!on(Isa::Avx2, 1, 64, 101, 64, &always) && on(Isa::Avx2, 16, 64, 1, 64, &never));
        assert!(!on(Isa::Avx2, 1, 64, 0, 64, &never) && !on(Isa::Portable, 1, 64, 101, 64, &blocking));
    }
}
