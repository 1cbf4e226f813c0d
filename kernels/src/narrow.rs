//! Outputs narrower than a vector: a layer with a handful of outputs, and its ∇W, of up to a whole one. On AVX-512, where
//! it pays.
//!
//! ```text
//!     for each run of rows of C               vectors lie along the rows of the batch, or along d
//!         Cᵀ = Bᵀ·Aᵀ                          a few whole vectors, in a room of their own
//!         turned, LANES rows at a time        C = initial + alpha·(what has been turned)
//! ```
//!
//! A vector along a row of C would be empty from the last column on. Seen from the other side there are few rows, and
//! vectors along the many: where they are contiguous (∇W, `Aᵀ` is X) the usual microkernels compute them, and
//! where the sum is (forward, `Aᵀ` is Xᵀ) X is turned on the way, see [`turned`].

use core::mem::MaybeUninit;

use trine_core::{Element, K_BLOCK, Lanes};

use crate::elementwise::activate;
use crate::isa::{Isa, Kernels};
use crate::pack::MOST_LANES;
use crate::plan::{Blocking, Order, Packing, Pieces, Strips, Tile};
use crate::problem::{Problem, Start};
use crate::tiles::Tiles;
use crate::turned::{self, for_rows};
use crate::upcoming::Ahead;

/// Columns of a room, in vectors.
const WIDE: usize = 12;

/// A place for LANES rows of WIDE vectors of sums.
type Room<V, E> = MaybeUninit<[[<V as Lanes<E>>::V; WIDE]; MOST_LANES]>;

/// Whether a unit has kernels for this.
pub const fn is_for(isa: Isa) -> bool {
    matches!(isa, Isa::Avx512)
}

/// Whether an m×n output of sums over k is computed like this, `a` being the order of A: where whole vectors of the
/// other side do less than vectors of which a quarter is empty, and the result is worth turning.
pub const fn pays((m, n, k): (usize, usize, usize), a: Order, isa: Isa, lanes: usize) -> bool {
    // Elsewhere a part of a vector is not stored as fast as the whole.
    if !is_for(isa) || m < lanes || m.div_ceil(lanes).saturating_mul(lanes) > m.saturating_add(m / 4) {
        return false;
    }
    let (quarter_empty, elements) = (n <= lanes / 4 * 3, m.saturating_mul(k));
    match a {
        Order::Rows => quarter_empty && elements >= WORTH,
        // What need not be turned on the way has less to win: of whole vectors nothing but a tile with more sums.
        Order::Columns => {
            n <= lanes && elements >= 2 * WORTH && k > if quarter_empty { SHORT } else { 3 * SHORT }
        }
        Order::Scattered => false,
    }
}

/// Whether this is for a problem in its best orientation, on a unit that has kernels for it.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    p.n <= V::LANES && pays_apart(p, V::LANES, blocking)
}

/// Apart from what other products do.
#[inline(never)]
fn pays_apart<E: Element>(p: &Problem<E>, lanes: usize, blocking: &Blocking) -> bool {
    let start = !matches!(p.start, Start::PerRow(_));
    let plain = p.b.col == 1 && p.c.col == 1 && start && blocking.packing != Packing::Always;
    plain && pays((p.m, p.n, p.k), p.a.order(), Isa::Avx512, lanes)
}

/// Sums so short cost less than turning them.
const SHORT: usize = 16;

/// Elements of A from which on turning C is worth it.
const WORTH: usize = 1024;

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking, ahead: Ahead<E>) {
    // SAFETY: the contract is the same.
    unsafe {
        if p.a.col != 1 {
            straight(v, p, ahead);
        } else {
            for_rows!(p.n, across::<V, E>(v, p, turned::is_far::<E>(p.m, p.k, blocking)));
        }
    }
}

/// Rows of A contiguous along k, which are turned on the way. COLS is the number of columns of C.
///
/// # Safety
/// As for [`run`].
unsafe fn across<V: Kernels<E>, E: Element, const COLS: usize, const NRV: usize>(
    v: V,
    p: &Problem<E>,
    far: bool,
) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut room = Room::<V, E>::uninit();
            let room = room.as_mut_ptr().cast::<E>();
            let mut done = 0;
            while done < p.m {
                let rows = turned::width::<V, E, NRV>(p.m - done, far);
                // Of the last rows there are whole vectors: some of them have been computed before.
                let i = done.min(p.m - V::LANES);
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let len = K_BLOCK.min(p.k - pc);
                    let sums = Tiles::new(p.b.at(pc, 0).t(), p.a.at(i, pc).t(), len);
                    let t = Tiles { c: room, c_row: WIDE * V::LANES, ..sums };
                    // SAFETY: some rows of A, and as many columns of the room.
                    unsafe {
                        turned::columns::<V, E, COLS, NRV, false>(v, t, rows.max(V::LANES));
                        end(v, &p, (pc, len), (i, done - i, done + rows - i), room);
                    }
                }
                done += rows;
            }
        },
    );
}

/// Columns of A contiguous: vectors of them are rows of B for the usual microkernels.
///
/// # Safety
/// As for [`run`].
unsafe fn straight<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, ahead: Ahead<E>) {
    let p = *p;
    let tile = const { Tile::of(V::ISA, E::BYTES) };
    let pieces = Pieces::new(p.n, tile.mr);
    v.vectorize(
        #[inline(always)]
        || {
            let mut room = Room::<V, E>::uninit();
            let room = room.as_mut_ptr().cast::<E>();
            for pc in (0..p.k).step_by(K_BLOCK) {
                let len = K_BLOCK.min(p.k - pc);
                let mut i = 0;
                while i < p.m {
                    let Strips { width, count, tail, last, .. } = tile.strips_from(i, p.m);
                    let strips = count.min(WIDE * V::LANES / width);
                    if tail {
                        for row in 0..p.n {
                            let last = room.wrapping_add(row * WIDE * V::LANES + width - V::LANES);
                            // SAFETY: the last vector of a row, of which a part will be written, but all be turned.
                            unsafe { v.store_at(last, v.splat(E::ZERO)) };
                        }
                    }
                    let mut at = 0;
                    while at < pieces.count {
                        let ((j, mr), rows) = (pieces.get(at), pieces.same(at));
                        let t = Tiles {
                            c: room.wrapping_add(j * WIDE * V::LANES),
                            c_row: WIDE * V::LANES,
                            last,
                            strips,
                            b_strip: width,
                            rows,
                            a_tile: mr,
                            ahead,
                            ..Tiles::new(p.b.at(pc, j).t(), p.a.at(i, pc).t(), len)
                        };
                        let kernel = V::TABLE.kernel((width / V::LANES, mr), false, tail, false);
                        // SAFETY: some columns of B and rows of A, and the room for their products.
                        unsafe { kernel(v, &t) };
                        at += rows;
                    }
                    let rows = (strips * width).min(p.m - i);
                    // SAFETY: these rows of C, whose sums are in the room.
                    unsafe { end(v, &p, (pc, len), (i, 0, rows), room) };
                    i += rows;
                }
            }
        },
    );
}

/// Brings rows of C to their place, from the columns of a room: the first of which is row `i`. Of these only rows
/// `from` to `to` are written.
///
/// # Safety
/// As for [`run`]; each row of the room holds a column of these rows of C, in whole vectors, sums of the block of k that
/// begins at `pc`.
#[inline(always)]
unsafe fn end<V: Kernels<E>, E: Element>(
    v: V,
    p: &Problem<E>,
    (pc, k): (usize, usize),
    (i, from, to): (usize, usize, usize),
    room: *const E,
) {
    let (first, last) = (pc == 0, pc + k == p.k);
    let tail = v.tail(p.n);
    let alpha = v.splat(p.alpha);
    let relu = last && p.is_relu();
    let piece = 16 / E::BYTES;
    // SAFETY: rows of C, and of the room those that there are, the last again where there are fewer than LANES; the
    // bias has a value for each column.
    unsafe {
        let old = !first || matches!(p.start, Start::Old);
        let each = match p.start {
            Start::PerColumn(bias) => v.load_tail(bias, tail),
            // With this a product stays what it is, zeros with their signs.
            _ => v.splat(-E::ZERO),
        };
        for j in (0..to).step_by(V::LANES) {
            let all = from <= j && j + V::LANES <= to;
            v.turn(
                #[inline(always)]
                |l, q| room.wrapping_add((l * piece + q).min(p.n - 1) * (WIDE * V::LANES) + j),
                #[inline(always)]
                |q, sums| {
                    let row = j + q;
                    if !all && !(from..to).contains(&row) {
                        return;
                    }
                    let c = p.c.at(i + row, 0).ptr;
                    let sums = v.mul_add(alpha, sums, if old { v.load_tail(c, tail) } else { each });
                    v.store_tail(c, tail, if relu { v.relu(sums) } else { sums });
                },
            );
        }
        if last && !relu && p.activates() {
            let (c, rows) = (p.c.at(i + from, 0), to - from);
            activate(v, p.activation, c.source(), p.y.map_or(c, |y| y.at(i + from, 0)), rows, p.n);
        }
    }
}
