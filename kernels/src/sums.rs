//! ∇b: the sums of the columns of ∇Z, one block of K_BLOCK rows after the other.
//!
//! ```text
//!     for each block of rows:  for each WIDE vectors of columns:  p += row 0, p += row 1, …
//! ```
//!
//! ∇Z is read while it is in cache for ∇W; the sums of a block stay in registers. `F(1, b, p)` is
//! `b + p`: rounded once either way.

use trine_core::{Element, K_BLOCK, Write};

use crate::isa::Kernels;
use crate::pack::Source;
use crate::plan::LINE;

/// Vectors of columns whose sums are in registers: enough to hide the latency of an addition.
pub const WIDE: usize = 8;

/// Bytes of a block from which on it may not be in L1: a small one.
const FAR: usize = 32 << 10;

/// Rows that are fetched before they are added: where rows are longer than what is added at a time, a processor does
/// not find out by itself where the next part is. Not measured but with AVX2.
const ROWS_AHEAD: usize = 16;

/// `db = alpha·Σ dz` or `db += alpha·Σ dz`.
///
/// # Safety
/// `dz` can be read as rows × m; `db` has m elements and overlaps nothing else.
pub unsafe fn column_sums<V: Kernels<E>, E: Element>(
    v: V,
    dz: Source<E>,
    (rows, m): (usize, usize),
    db: *mut E,
    write: Write<E>,
) {
    v.vectorize(
        #[inline(always)]
        || {
            let mut k = 0;
            loop {
                let block = (dz.at(k, 0), K_BLOCK.min(rows - k));
                let write = Write { add: write.add || k > 0, ..write };
                // SAFETY: a block of rows, whose columns are neighbours or are taken one by one.
                unsafe {
                    if const { V::LANES > 1 } && dz.col == 1 {
                        all_columns::<V, E, true>(v, block, m, db, write);
                    } else {
                        all_columns::<V, E, false>(v, block, m, db, write);
                    }
                }
                k += K_BLOCK;
                if k >= rows {
                    break;
                }
            }
        },
    );
}

/// The sums of all columns over one block of rows. NEAR: columns are neighbours.
///
/// # Safety
/// As for [`column_sums`].
#[inline(always)]
unsafe fn all_columns<V: Kernels<E>, E: Element, const NEAR: bool>(
    v: V,
    (dz, rows): (Source<E>, usize),
    m: usize,
    db: *mut E,
    write: Write<E>,
) {
    let lanes = const { if NEAR { V::LANES } else { 1 } };
    let part = |j| ((dz.at(0, j), rows), db.wrapping_add(j), write);
    let mut j = 0;
    // SAFETY: whole vectors of columns, as many at a time as there are, and one that may be partial.
    unsafe {
        while NEAR && j + WIDE * lanes <= m {
            let bytes = rows.saturating_mul(m).saturating_mul(E::BYTES);
            if V::RUNS && bytes > FAR {
                columns::<V, E, WIDE, NEAR, true>(v, lanes, part(j));
            } else {
                columns::<V, E, WIDE, NEAR, false>(v, lanes, part(j));
            }
            j += WIDE * lanes;
        }
        // One after the other each would wait for the latency of its own additions.
        while j + 4 * lanes <= m {
            columns::<V, E, 4, NEAR, false>(v, lanes, part(j));
            j += 4 * lanes;
        }
        if NEAR && j + 2 * lanes <= m {
            columns::<V, E, 2, NEAR, false>(v, lanes, part(j));
            j += 2 * lanes;
        }
        while j < m {
            columns::<V, E, 1, NEAR, false>(v, lanes.min(m - j), part(j));
            j += lanes;
        }
    }
}

/// The sums of `N` times `lanes` columns over one block of rows, and its end: `out = alpha·p` or
/// `F(alpha, p, out)`. FETCH: and rows are fetched.
///
/// # Safety
/// These columns can be read in each row, and their sums written.
#[inline(always)]
unsafe fn columns<V: Kernels<E>, E: Element, const N: usize, const NEAR: bool, const FETCH: bool>(
    v: V,
    lanes: usize,
    ((dz, rows), out, write): ((Source<E>, usize), *mut E, Write<E>),
) {
    let apart = if NEAR { V::LANES } else { dz.col };
    let places = if NEAR { V::LANES } else { 1 };
    let whole = NEAR && (N > 1 || lanes == V::LANES);
    let tail = v.tail(lanes);
    let mut sums = [v.splat(E::ZERO); N];
    let mut row = dz.ptr;
    // SAFETY: `N·lanes` elements of each row and of ∇b.
    unsafe {
        for _ in 0..rows {
            for (i, sum) in sums.iter_mut().enumerate() {
                let p = row.wrapping_add(i.wrapping_mul(apart));
                if FETCH && (i * V::LANES * E::BYTES).is_multiple_of(LINE) {
                    v.prefetch(p.wrapping_add(ROWS_AHEAD.wrapping_mul(dz.row)));
                }
                *sum = v.add(if whole { v.load_at(p) } else { v.load_tail(p, tail) }, *sum);
            }
            row = row.wrapping_add(dz.row);
        }
        let alpha = v.splat(write.alpha);
        for (i, &p) in sums.iter().enumerate() {
            let out = out.wrapping_add(i * places);
            let sum = match (rows, write.add) {
                // A sum over nothing is the initial value, or +0.
                (0, true) => continue,
                (0, false) => p,
                (_, false) => v.mul(alpha, p),
                (_, true) => v.mul_add(alpha, p, v.load_tail(out, tail)),
            };
            v.store_tail(out, tail, sum);
        }
    }
}
