//! ∇b: the sums of the columns of ∇Z, one block of K_BLOCK rows after the other.
//!
//! ```text
//!     for each 8 rows:  for each vector of columns:  p += row 0, p += row 1, …
//! ```
//!
//! Rows are read as they lie in memory, while ∇Z is in cache for ∇W; the partial sums wait in
//! scratch memory. `F(1, b, p)` is `b + p`: rounded once either way.

use trine_core::{Element, K_BLOCK, Write};

use crate::isa::Kernels;
use crate::pack::Source;

/// Rows that are added to a vector of partial sums before it goes back to memory.
const ROWS: usize = 8;

/// `db = alpha·Σ dz` or `db += alpha·Σ dz`.
///
/// # Safety
/// `dz` can be read as rows × m; `db` and `partial` have m elements each and overlap nothing else.
pub unsafe fn column_sums<V: Kernels<E>, E: Element>(
    v: V,
    dz: Source<E>,
    (rows, m): (usize, usize),
    db: *mut E,
    write: Write<E>,
    partial: *mut E,
) {
    v.vectorize(
        #[inline(always)]
        || {
            let step = if dz.col == 1 { V::LANES } else { 1 };
            for k in (0..rows.max(1)).step_by(K_BLOCK) {
                let block = K_BLOCK.min(rows - k);
                for from in (0..block).step_by(ROWS) {
                    let to = block.min(from + ROWS);
                    // SAFETY: some of the rows.
                    unsafe { add_rows(v, dz.at(k, 0), (from, to), m, step, partial) };
                }
                let write = if k == 0 { write } else { Write { add: true, ..write } };
                // SAFETY: m elements each.
                unsafe { finish(v, block, m, db, write, partial) };
            }
        },
    );
}

#[inline(always)]
unsafe fn add_rows<V: Kernels<E>, E: Element>(
    v: V,
    dz: Source<E>,
    (from, to): (usize, usize),
    m: usize,
    step: usize,
    partial: *mut E,
) {
    for j in (0..m).step_by(step) {
        let lanes = step.min(m - j);
        let (tail, p) = (v.tail(lanes), partial.wrapping_add(j));
        // SAFETY: `lanes` elements of each row and of the partial sums.
        unsafe {
            let mut sum = if from == 0 { v.splat(E::ZERO) } else { v.load_tail(p, tail) };
            for k in from..to {
                sum = v.add(v.load_tail(dz.at(k, j).ptr, tail), sum);
            }
            v.store_tail(p, tail, sum);
        }
    }
}

/// The end of the block: `out = alpha·p` or `F(alpha, p, out)`.
#[inline(always)]
unsafe fn finish<V: Kernels<E>, E: Element>(
    v: V,
    rows: usize,
    m: usize,
    db: *mut E,
    write: Write<E>,
    partial: *const E,
) {
    let alpha = v.splat(write.alpha);
    for j in (0..m).step_by(V::LANES) {
        let tail = v.tail(V::LANES.min(m - j));
        let out = db.wrapping_add(j);
        // SAFETY: as many elements as there are, at most LANES.
        unsafe {
            let sum = match (rows, write.add) {
                // A sum over nothing is the initial value, or +0.
                (0, true) => v.load_tail(out, tail),
                (0, false) => v.splat(E::ZERO),
                (_, false) => v.mul(alpha, v.load_tail(partial.wrapping_add(j), tail)),
                (_, true) => {
                    let initial = v.load_tail(out, tail);
                    v.mul_add(alpha, v.load_tail(partial.wrapping_add(j), tail), initial)
                }
            };
            v.store_tail(out, tail, sum);
        }
    }
}
