//! Several rows times a B whose rows are contiguous, from memory: the forward pass of a few samples.
//!
//! ```text
//!     for each panel of columns                 rows of B are read from end to end of it
//!         for each slab of B                    some values of k, which stay in L2
//!             pack A's
//!             for each strip of vectors of columns
//!                 sums[i][·] += A[i][k] · B[k][·]     of these k, and fetch a part of the next slab
//!         C = initial + alpha·sums
//! ```
//!
//! A tile reads a piece of each row of B, one page of memory after the other, and the multiply-adds wait. Here memory
//! sends whole rows of the next slab, while the strips of this one come from L2; the sums wait there, too.

use core::mem::MaybeUninit;

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate_all;
use crate::isa::{Isa, Kernels};
use crate::microkernel::{UNROLL, end, keep, resume, sum};
use crate::pack;
use crate::plan::{Blocking, LINE, Packing, at_most, line};
use crate::problem::Problem;
use crate::tiles::Tiles;
use crate::vector::Vector;

/// Values of k in a slab, at most and at least.
const LONGEST: usize = 64;
const SHORTEST: usize = 8;

/// Bytes of each row of a slab: pages enough for their places to be looked up together.
const WIDE: usize = 16 << 10;

/// The most rows.
pub const MOST_ROWS: usize = 8;

/// Whether a unit has kernels for this.
pub const fn is_for(isa: Isa) -> bool {
    matches!(isa, Isa::Avx512 | Isa::Avx2)
}

/// Bytes of a B from which on this pays: with many rows multiply-adds keep memory waiting, and half as large a B is large;
/// AVX2 has no registers for tiles of so many, and waits for L2, too.
const fn large(rows: usize, isa: Isa, past_bytes: usize) -> usize {
    match (isa, rows) {
        (Isa::Avx2, 7..) => past_bytes.saturating_mul(2),
        (Isa::Avx2, _) | (_, 0..5) => past_bytes,
        _ => past_bytes / 2,
    }
}

/// Whether an output of m×n sums over k is computed like this.
pub const fn pays((m, n, k): (usize, usize, usize), isa: Isa, bytes: usize, blocking: &Blocking) -> bool {
    let size = n.saturating_mul(k).saturating_mul(bytes);
    let auto = matches!(blocking.packing, Packing::Auto);
    let several = is_for(isa) && m > 1 && m <= MOST_ROWS && k > 0;
    several && auto && size >= large(m, isa, blocking.thresholds.past_bytes)
}

/// Elements of scratch memory that it needs for such an output: its sums wait there.
pub const fn scratch((m, n): (usize, usize), bytes: usize) -> usize {
    line(m * at_most(n, WIDE / bytes).next_multiple_of(LINE / bytes))
}

/// The same for a problem in its best orientation, if it is computed like this.
#[inline(always)]
pub fn need<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> Option<usize> {
    let fits = const { is_for(V::ISA) }
        && p.b.col == 1
        && p.c.col == 1
        && pays((p.m, p.n, p.k), V::ISA, E::BYTES, blocking);
    fits.then(|| scratch((p.m, p.n), E::BYTES))
}

/// What of B is fetched next: the lines of its rows, one after the other.
struct Next<E> {
    at: *const E,
    /// The end of this row.
    end: *const E,
    /// Elements from the end of a row to the beginning of the next.
    gap: usize,
    cols: usize,
}

impl<E: Element> Next<E> {
    /// So many lines; at last some that nobody needs.
    #[inline(always)]
    fn fetch<V: Vector<E>>(&mut self, v: V, lines: usize) {
        for _ in 0..lines {
            v.prefetch(self.at);
            self.at = self.at.wrapping_add(LINE / E::BYTES);
            if self.at >= self.end {
                self.at = self.end.wrapping_add(self.gap);
                self.end = self.at.wrapping_add(self.cols);
            }
        }
    }
}

/// Computes it.
///
/// # Safety
/// It has a [`need`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place. `room` has as many elements.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking, room: *mut E) {
    let near = blocking.thresholds.copy_b_bytes / 2;
    // Rows of one tile and of another below it, vectors: 32 registers, or 16.
    macro_rules! tiles {
        ($wide:literal $nrv:literal, $mr:literal $rest:literal $narrow:literal) => {
            if const { matches!(V::ISA, Isa::Avx512) } {
                rows::<V, E, $wide, 0, $nrv>(v, p, near, room)
            } else {
                rows::<V, E, $mr, $rest, $narrow>(v, p, near, room)
            }
        };
    }
    // SAFETY: the contract is the same, and so many are the rows.
    unsafe {
        match p.m {
            2 => tiles!(2 8, 2 0 4),
            3 => tiles!(3 6, 3 0 3),
            4 => tiles!(4 6, 4 0 3),
            5 => tiles!(5 4, 5 0 2),
            6 => tiles!(6 4, 6 0 2),
            7 => tiles!(7 3, 4 3 2),
            _ => tiles!(8 3, 4 4 2),
        }
    }
}

/// The same for MR + REST rows; slabs have at most `near` bytes.
///
/// # Safety
/// As for [`run`].
unsafe fn rows<V: Kernels<E>, E: Element, const MR: usize, const REST: usize, const NRV: usize>(
    v: V,
    p: &Problem<E>,
    near: usize,
    sums: *mut E,
) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut a = MaybeUninit::<[[E; MOST_ROWS]; LONGEST]>::uninit();
            let a: *mut E = a.as_mut_ptr().cast();
            let wide = WIDE / E::BYTES;
            let longest = (near / at_most(p.n, wide) / E::BYTES).clamp(SHORTEST, LONGEST) / UNROLL * UNROLL;
            for j in (0..p.n).step_by(wide) {
                let cols = wide.min(p.n - j);
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let close = p.k.min(pc + K_BLOCK);
                    for k in (pc..close).step_by(longest) {
                        let len = longest.min(close - k);
                        let next = if k + len < p.k { p.b.at(k + len, j) } else { p.b.at(0, j + wide) };
                        let mut next = Next {
                            at: next.ptr,
                            end: next.ptr.wrapping_add(cols),
                            gap: p.b.row.wrapping_sub(cols),
                            cols,
                        };
                        // SAFETY: some columns of B and of C, and room for their sums.
                        unsafe {
                            pack::micropanel(p.a.at(0, k), MR + REST, len, a);
                            let block = p.columns((pc, close - pc), j);
                            let (resumes, stays) = (k > pc, k + len < close);
                            let t = Tiles { a, b: p.b.at(k, j).ptr, len, sums, resumes, stays, ..block };
                            slab::<V, E, MR, REST, NRV>(v, t, cols, &mut next);
                        }
                    }
                }
            }
            // SAFETY: all of C.
            unsafe { activate_all(v, &p) };
        },
    );
}

/// Adds the products of a slab to the sums of all its columns, A being packed; if none stay, `C = initial + alpha·sums`.
///
/// # Safety
/// The operands can be accessed like that, A as it is packed, rows of B and of C are contiguous; C overlaps no other,
/// except that it may be the initial matrix. There is room for the sums: whole vectors of all columns of MR + REST rows.
#[inline(always)]
unsafe fn slab<V: Vector<E>, E: Element, const MR: usize, const REST: usize, const NRV: usize>(
    v: V,
    mut t: Tiles<E>,
    cols: usize,
    next: &mut Next<E>,
) {
    let (mut j, lanes) = (0, V::LANES);
    // SAFETY: strips of these columns, the last perhaps a part of a vector.
    unsafe {
        while j + NRV * lanes <= cols {
            strip::<V, E, MR, REST, NRV, false>(v, &t, (j, lanes), next);
            t.sums = t.sums.wrapping_add((MR + REST) * NRV * lanes);
            j += NRV * lanes;
        }
        while j + lanes <= cols {
            strip::<V, E, MR, REST, 1, false>(v, &t, (j, lanes), next);
            t.sums = t.sums.wrapping_add((MR + REST) * lanes);
            j += lanes;
        }
        if j < cols {
            strip::<V, E, MR, REST, 1, true>(v, &t, (j, cols - j), next);
        }
    }
}

/// The same for a strip of NRV vectors that begins at column `j`, with `last` columns in the last one.
///
/// # Safety
/// As for [`slab`].
#[inline(always)]
unsafe fn strip<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const REST: usize,
    const NRV: usize,
    const TAIL: bool,
>(
    v: V,
    t: &Tiles<E>,
    (j, last): (usize, usize),
    next: &mut Next<E>,
) {
    // As much is fetched as is read.
    let lines = const { NRV * UNROLL * V::LANES * E::BYTES / LINE };
    let (b, c, initial) = (t.b.wrapping_add(j), t.c.wrapping_add(j), t.initial.at(0, j));
    // Strides that the compiler should know.
    let t = Tiles { b, c, initial, last, b_col: 1, c_col: 1, a_row: 1, a_col: MR + REST, ..*t };
    // SAFETY: the rows of one tile, and of the other.
    unsafe {
        if REST == 0 {
            return tile::<V, E, MR, NRV, TAIL>(v, &t, (next, lines));
        }
        tile::<V, E, MR, NRV, TAIL>(v, &t, (next, lines / 2));
        let below = Tiles {
            a: t.a.wrapping_add(MR),
            c: t.c.wrapping_add(MR * t.c_row),
            initial: t.initial.at(MR, 0),
            sums: t.sums.wrapping_add(MR * NRV * V::LANES),
            ..t
        };
        tile::<V, E, REST, NRV, TAIL>(v, &below, (next, lines / 2));
    }
}

/// The same for MR rows of a strip, fetching `lines` in each turn.
///
/// # Safety
/// As for [`slab`].
#[inline(always)]
unsafe fn tile<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    t: &Tiles<E>,
    (next, lines): (&mut Next<E>, usize),
) {
    let tail = v.tail(t.last);
    let mut s = *t;
    // SAFETY: MR rows of A, so many vectors of B and of C, and a place for as many sums.
    unsafe {
        let mut acc = if t.resumes { resume(v, t.sums) } else { [[v.splat(E::ZERO); NRV]; MR] };
        s.len = UNROLL;
        for _ in 0..t.len / UNROLL {
            next.fetch(v, lines);
            sum::<V, E, MR, NRV, TAIL, false, false, false>(v, &s, None, &mut acc, tail);
            s.a = s.a.wrapping_add(UNROLL * s.a_col);
            s.b = s.b.wrapping_add(UNROLL * s.b_row);
        }
        s.len = t.len % UNROLL;
        sum::<V, E, MR, NRV, TAIL, false, false, false>(v, &s, None, &mut acc, tail);
        if t.stays {
            keep(v, t.sums, &acc);
        } else {
            end::<V, E, MR, NRV, TAIL, false>(v, &s, acc, tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Caches;

    #[test]
    fn pay_for_several_rows_and_a_b_beyond_the_caches() {
        let mut usual = Blocking::for_caches(Caches::DEFAULT, Isa::Avx512, 4);
        usual.thresholds.past_bytes = 16 << 20;
        let on = |m, n, k| pays((m, n, k), Isa::Avx512, 4, &usual);
        assert!(on(2, 1024, 4096) && on(4, 4096, 1024) && on(5, 1024, 2048) && on(8, 2048, 1024));
        // As small as that, too few rows, too many.
        assert!(!on(4, 1024, 4095) && !on(5, 1024, 2047) && !on(1, 4096, 4096) && !on(9, 4096, 4096));
        let avx2 = |m, n, k| pays((m, n, k), Isa::Avx2, 4, &usual);
        assert!(avx2(6, 4096, 1024) && !avx2(6, 4096, 1023) && avx2(7, 4096, 2048) && !avx2(7, 4096, 2047));
        // Nothing to add, another unit, nothing to be copied.
        let mut any = usual;
        any.thresholds.past_bytes = 0;
        let never = Blocking { packing: Packing::Never, ..any };
        assert!(pays((4, 100, 1), Isa::Avx512, 4, &any) && !pays((4, 100, 0), Isa::Avx512, 4, &any));
        assert!(!pays((4, 100, 1), Isa::Sse2, 4, &any) && !pays((4, 100, 1), Isa::Avx512, 4, &never));
    }

    #[test]
    fn need_room_for_the_sums_of_a_slab() {
        assert_eq!(scratch((8, 4096), 4), 8 * 4096);
        assert_eq!(scratch((8, 5000), 4), 8 * 4096);
        assert_eq!(scratch((3, 17), 4), 3 * 32);
        assert_eq!(scratch((3, 17), 8), 3 * 24 + 8);
    }
}
