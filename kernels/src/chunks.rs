//! Several rows times a B whose columns are contiguous: `∇X = ∇Z·Wᵀ` of a small batch.
//!
//! ```text
//!     for each strip of two vectors of columns
//!         for each chunk of k                   as much of the strip as stays in L1
//!             turn it in registers, store it k by k
//!             for each tile of rows
//!                 sums[i][·] += A[i][k] · chunk[k][·]
//!         C = initial + alpha·sums
//! ```
//!
//! With many rows a panel of B is turned into scratch memory, from where all tiles read it. With few that costs more
//! than the multiply-adds: what is turned is written to L2 and read again. A chunk never leaves L1, and the first tile
//! fetches the columns of the next while it multiplies.

use core::mem::MaybeUninit;

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate_all;
use crate::isa::{Isa, Kernels};
use crate::microkernel::{keep, resume, sum};
use crate::pack::{self, Source};
use crate::plan::{Blocking, LINE, Pieces, Tile};
use crate::problem::Problem;
use crate::scratch::Line;
use crate::sweep::finish;
use crate::tiles::Tiles;
use crate::turned;
use crate::vector::Vector;

/// Values of k in a chunk: a quarter of a small L1.
const CHUNK: usize = 128;

/// Vectors in a row of a chunk: on AVX2 a cache line.
const NRV: usize = 2;

/// The most rows: their part of A stays in L1 beside the chunk. Not measured but with AVX2.
pub const MOST_ROWS: usize = 12;

/// The most rows of a tile.
const MR: usize = 6;

/// Whether a unit has kernels for this.
pub const fn is_for(isa: Isa) -> bool {
    matches!(isa, Isa::Avx2)
}

/// Whether an output of m×n sums over k is computed like this.
pub const fn pays((m, n, k): (usize, usize, usize), isa: Isa, bytes: usize, blocking: &Blocking) -> bool {
    let several = is_for(isa) && m > turned::most_rows(isa) && m <= MOST_ROWS;
    // What is smaller is turned once, for all rows; half a strip would waste the other half of each multiply-add.
    several && n > Tile::of(isa, bytes).lanes && k > 0 && blocking.is_large(n, k, bytes)
}

/// Whether this is for a problem in its best orientation.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    p.is_times_columns() && pays((p.m, p.n, p.k), V::ISA, E::BYTES, blocking)
}

/// A chunk, and the sums of a strip.
struct Near<E> {
    chunk: *mut E,
    sums: *mut E,
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>) {
    const { assert!(NRV * size_of::<V::V>() == LINE || !is_for(V::ISA), "a row of a chunk is a cache line") };
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut chunk = MaybeUninit::<[Line; CHUNK]>::uninit();
            let mut sums = MaybeUninit::<[Line; MOST_ROWS]>::uninit();
            let near = Near { chunk: chunk.as_mut_ptr().cast(), sums: sums.as_mut_ptr().cast() };
            let width = NRV * V::LANES;
            for j in (0..p.n).step_by(width) {
                let cols = width.min(p.n - j);
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let len = K_BLOCK.min(p.k - pc);
                    // More of these columns, or the first of the next strip.
                    let next = if pc + len < p.k { p.b.at(pc + len, j) } else { p.b.at(0, j + width) };
                    // SAFETY: some columns of B and of C, and room for their sums.
                    unsafe { strip(v, &p.columns((pc, len), j), (p.m, cols), next, &near) };
                }
            }
            // SAFETY: all of C.
            unsafe { activate_all(v, &p) };
        },
    );
}

/// `C = initial + alpha·A·B` for the columns of a strip. What comes after them begins at `next`.
///
/// # Safety
/// The operands can be accessed like that, columns of B and rows of A and of C are contiguous; C overlaps no other,
/// except that it may be the initial matrix. There is room for CHUNK cache lines of a chunk, and for one of sums for each
/// row; the first strip has more than one vector of columns, and no later one more values of k.
#[inline(always)]
unsafe fn strip<V: Vector<E>, E: Element>(
    v: V,
    t: &Tiles<E>,
    (rows, cols): (usize, usize),
    next: Source<E>,
    near: &Near<E>,
) {
    let width = NRV * V::LANES;
    // SAFETY: some values of k, some rows; what is fetched need not be there.
    unsafe {
        for from in (0..t.len).step_by(CHUNK) {
            let len = CHUNK.min(t.len - from);
            let b = t.b.wrapping_add(from);
            pack::strip(v, Source { ptr: b, row: 1, col: t.b_col }, len, cols, near.chunk, width);
            let mut fetch =
                Some(if from + len < t.len { Source { ptr: b.wrapping_add(len), ..next } } else { next });
            for (i, mr) in Pieces::new(rows, MR).iter() {
                let a = Source { ptr: t.a.wrapping_add(i * t.a_row + from), row: t.a_row, col: 1 };
                let chunk = Source { ptr: near.chunk.cast_const(), row: width, col: 1 };
                let tile = Tiles { c: near.sums.wrapping_add(i * width), ..Tiles::new(a, chunk, len) };
                let (first, fetch) = (from == 0, fetch.take());
                // Four rows and more, in tiles as equal as can be.
                match mr {
                    3 => add::<V, E, 3>(v, tile, first, fetch),
                    4 => add::<V, E, 4>(v, tile, first, fetch),
                    5 => add::<V, E, 5>(v, tile, first, fetch),
                    _ => add::<V, E, MR>(v, tile, first, fetch),
                }
            }
        }
        for i in 0..rows {
            finish(v, t, i, cols, near.sums.wrapping_add(i * width));
        }
    }
}

/// Adds a chunk's products to the sums of a tile, which lie where it has C, or begins them. For each cache line of
/// its own rows it fetches a line of each column of what comes next.
///
/// # Safety
/// A can be read as MR×len, the chunk as len rows of NRV vectors, and as many vectors of sums are there for each of MR
/// rows.
#[inline(always)]
unsafe fn add<V: Vector<E>, E: Element, const MR: usize>(
    v: V,
    mut t: Tiles<E>,
    first: bool,
    fetch: Option<Source<E>>,
) {
    let whole = v.tail(V::LANES);
    // SAFETY: as the caller says.
    unsafe {
        let mut acc = if first { [[v.splat(E::ZERO); NRV]; MR] } else { resume(v, t.c) };
        let (len, step) = (t.len, LINE / E::BYTES);
        for k in (0..len).step_by(step) {
            if let Some(next) = fetch {
                for l in 0..NRV * V::LANES {
                    v.prefetch(next.at(k, l).ptr);
                }
            }
            t.len = step.min(len - k);
            sum::<V, E, MR, NRV, false, true, false, false>(v, &t, None, &mut acc, whole);
            t.a = t.a.wrapping_add(step);
            t.b = t.b.wrapping_add(step * t.b_row);
        }
        keep(v, t.c, &acc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Caches, Packing};

    #[test]
    fn pays_for_a_dozen_rows_and_a_b_beyond_l1() {
        let mut blocking = Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, 4);
        blocking.thresholds.stream_bytes = 64 * 100 * 4;
        let on = |isa, m, k, packing| pays((m, 64, k), isa, 4, &Blocking { packing, ..blocking });
        assert!(on(Isa::Avx2, 4, 101, Packing::Auto) && on(Isa::Avx2, 12, 101, Packing::Auto));
        assert!(!on(Isa::Avx2, 4, 100, Packing::Auto) && !on(Isa::Avx2, 13, 101, Packing::Auto));
        assert!(!on(Isa::Avx512, 4, 101, Packing::Auto) && !on(Isa::Portable, 4, 101, Packing::Never));
        assert!(!on(Isa::Avx2, 4, 101, Packing::Always) && on(Isa::Avx2, 4, 1, Packing::Never));
        assert!(!on(Isa::Avx2, 4, 0, Packing::Never) && !on(Isa::Avx2, 3, 101, Packing::Never));
        // A strip that is half empty.
        assert!(!pays((4, 8, 1000), Isa::Avx2, 4, &blocking) && pays((4, 9, 1000), Isa::Avx2, 4, &blocking));
    }
}
