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

/// Bytes of a block that may be in L1: a small one.
const NEAR: usize = 32 << 10;

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
            let far = rows.min(K_BLOCK).saturating_mul(m).saturating_mul(E::BYTES) > NEAR;
            let lanes = if dz.col == 1 { V::LANES } else { 1 };
            for k in (0..rows.max(1)).step_by(K_BLOCK) {
                let block = (dz.at(k, 0), K_BLOCK.min(rows - k));
                let write = if k == 0 { write } else { Write { add: true, ..write } };
                let mut j = 0;
                // SAFETY: whole vectors of columns, as many at a time as there are, and one that may be partial.
                unsafe {
                    // With one lane registers are fewer, and flash counts.
                    while const { V::LANES > 1 } && j + WIDE * lanes <= m {
                        if V::RUNS && far {
                            columns::<V, E, WIDE, true>(v, block, j, lanes, db, write);
                        } else {
                            columns::<V, E, WIDE, false>(v, block, j, lanes, db, write);
                        }
                        j += WIDE * lanes;
                    }
                    // One after the other each would wait for the latency of its own additions.
                    while j + 4 * lanes <= m {
                        columns::<V, E, 4, false>(v, block, j, lanes, db, write);
                        j += 4 * lanes;
                    }
                    if const { V::LANES > 1 } && j + 2 * lanes <= m {
                        columns::<V, E, 2, false>(v, block, j, lanes, db, write);
                        j += 2 * lanes;
                    }
                    while j < m {
                        columns::<V, E, 1, false>(v, block, j, lanes.min(m - j), db, write);
                        j += lanes;
                    }
                }
            }
        },
    );
}

/// The sums of `N` times `lanes` columns over one block of rows, and its end: `out = alpha·p` or
/// `F(alpha, p, out)`. FETCH: and rows are fetched.
#[inline(always)]
unsafe fn columns<V: Kernels<E>, E: Element, const N: usize, const FETCH: bool>(
    v: V,
    (dz, rows): (Source<E>, usize),
    j: usize,
    lanes: usize,
    db: *mut E,
    write: Write<E>,
) {
    let tail = v.tail(lanes);
    let mut sums = [v.splat(E::ZERO); N];
    let alpha = v.splat(write.alpha);
    // SAFETY: `N·lanes` elements of each row and of ∇b.
    unsafe {
        for k in 0..rows {
            for (i, sum) in sums.iter_mut().enumerate() {
                let p = dz.at(k, j + i * lanes).ptr;
                if FETCH && (i * lanes * E::BYTES).is_multiple_of(LINE) {
                    v.prefetch(p.wrapping_add(ROWS_AHEAD.wrapping_mul(dz.row)));
                }
                *sum = v.add(if lanes == V::LANES { v.load_at(p) } else { v.load_tail(p, tail) }, *sum);
            }
        }
        for (i, &p) in sums.iter().enumerate() {
            let out = db.wrapping_add(j + i * lanes);
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
