//! Few sums for each column of a B whose columns are contiguous: `∇X = ∇Z·Wᵀ` of a handful of samples.
//!
//! ```text
//!     for each LANES columns of B               rows of W, read a cache line of each at a time
//!         for k in 0..len, LANES at a time
//!             LANES × LANES of B                turned in registers
//!             acc[i][·] += A[i][k] · row k      of what was turned, for each row of A
//!         C = initial + alpha·acc
//! ```
//!
//! A sum stays in one lane here as in a microkernel, so what is contiguous along k has to be turned. It is not
//! stored on the way: with few rows each element is used a few times only, and a copy would cost more than the
//! multiply-adds. Two groups of LANES columns take turns, as long as there are registers for their sums: the sums of
//! one wait for each other, four cycles for each value of k.

use core::array::from_fn;
use core::mem::MaybeUninit;
use core::sync::atomic::{Ordering, compiler_fence};

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate_all;
use crate::isa::{Isa, Kernels};
use crate::microkernel::end;
use crate::pack::{self, MOST_LANES, Source};
use crate::plan::{Blocking, LINE, Packing};
use crate::problem::Problem;
use crate::tiles::Tiles;
use crate::vector::Vector;

/// Bytes between rows that share a set of L1.
const CROWDED: usize = 2048;

/// The most rows: beside LANES vectors that are being turned there must be room for the sums. None where a vector has
/// 16 bytes: there a copy costs no more.
pub const fn most_rows(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 12,
        Isa::Avx2 => 3,
        _ => 0,
    }
}

/// Whether this is for a problem in its best orientation, and for every part of it.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    let most = const { most_rows(V::ISA) };
    most > 0 && p.m <= most && p.is_times_columns() && p.k > 0 && blocking.packing != Packing::Always
}

/// Calls `f(arguments…)` for so many rows: their number is its last parameter but one, the last that of the groups of
/// columns that take turns.
macro_rules! for_rows {
    ($rows:expr, $f:ident::<$v:ty, $e:ty>$arguments:tt) => {
        match $rows {
            1 => $f::<$v, $e, 1, 2>$arguments,
            2 => $f::<$v, $e, 2, 2>$arguments,
            3 => $f::<$v, $e, 3, 2>$arguments,
            4 => $f::<$v, $e, 4, 2>$arguments,
            5 => for_rows!(@some 5, $f::<$v, $e>$arguments),
            6 => for_rows!(@some 6, $f::<$v, $e>$arguments),
            7 => for_rows!(@some 7, $f::<$v, $e>$arguments),
            8 => for_rows!(@some 8, $f::<$v, $e>$arguments),
            9 => $f::<$v, $e, 9, 1>$arguments,
            10 => $f::<$v, $e, 10, 1>$arguments,
            11 => $f::<$v, $e, 11, 1>$arguments,
            _ => $f::<$v, $e, 12, 1>$arguments,
        }
    };
    // Of wide elements fewer are turned together, and leave more registers.
    (@some $rows:literal, $f:ident::<$v:ty, $e:ty>$arguments:tt) => {
        if <$e>::BYTES == 8 { $f::<$v, $e, $rows, 2>$arguments } else { $f::<$v, $e, $rows, 1>$arguments }
    };
}
pub(crate) use for_rows;

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking) {
    // SAFETY: the contract is the same.
    unsafe { for_rows!(p.m, rows::<V, E>(v, p, is_far::<E>(p.n, p.k, blocking))) }
}

/// Whether so many columns of `k` elements come from memory: they do in few streams.
pub fn is_far<E: Element>(columns: usize, k: usize, blocking: &Blocking) -> bool {
    columns.saturating_mul(k).saturating_mul(E::BYTES) > blocking.thresholds.past_bytes
}

/// # Safety
/// As for [`run`], and MR is the number of rows.
unsafe fn rows<V: Kernels<E>, E: Element, const MR: usize, const NRV: usize>(
    v: V,
    p: &Problem<E>,
    far: bool,
) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut j = 0;
            while j < p.n {
                let cols = width::<V, E, NRV>(p.n - j, far);
                // All of a column before the next: what is read from afar is read from end to end.
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let len = K_BLOCK.min(p.k - pc);
                    // SAFETY: some columns of B and of C.
                    unsafe { columns::<V, E, MR, NRV, true>(v, p.columns((pc, len), j), cols) };
                }
                j += cols;
            }
            // SAFETY: all of C.
            unsafe { activate_all(v, &p) };
        },
    );
}

/// How many columns are computed at a time, of so many that are left.
#[inline(always)]
pub fn width<V: Vector<E>, E: Element, const NRV: usize>(left: usize, far: bool) -> usize {
    if !far && left >= NRV * V::LANES { NRV * V::LANES } else { V::LANES.min(left) }
}

/// `C[MR×cols] = initial + alpha·A[MR×len]·B[len×cols]`, `cols` as [`width`] says. `BY_ROWS`: A's rows are
/// contiguous, otherwise its columns are.
///
/// # Safety
/// The operands can be accessed like that, B's columns are contiguous, and C's rows; C overlaps no other, except that
/// it may be the initial matrix.
#[inline(always)]
pub unsafe fn columns<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const BY_ROWS: bool>(
    v: V,
    mut t: Tiles<E>,
    cols: usize,
) {
    // Strides of 1 that the compiler should know.
    t.b_row = 1;
    if BY_ROWS {
        t.a_col = 1;
    } else {
        t.a_row = 1;
    }
    t.last = cols.min(V::LANES);
    // SAFETY: the contract is the same.
    unsafe {
        if cols > V::LANES {
            groups::<V, E, MR, NRV, false>(v, &t);
        } else if cols == V::LANES {
            groups::<V, E, MR, 1, false>(v, &t);
        } else {
            groups::<V, E, MR, 1, true>(v, &t);
        }
    }
}

/// NRV groups of LANES columns, or with TAIL `t.last` columns.
///
/// # Safety
/// As for [`columns`].
#[inline(always)]
unsafe fn groups<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    t: &Tiles<E>,
) {
    let mut acc = [[v.splat(E::ZERO); NRV]; MR];
    // Not cleared: for a short sum that would take as long as the sum.
    let mut room = MaybeUninit::<[E; MOST_LANES * MOST_LANES]>::uninit();
    let room = room.as_mut_ptr().cast();
    let (mut k, mut len) = (0, head::<V, E>(t));
    while k < t.len {
        // Not a loop: the sums of each have registers of their own.
        // SAFETY: so many values of k, and the columns of the caller.
        unsafe {
            line::<V, E, MR, NRV, 0, TAIL>(v, t, (k, len), &mut acc, room);
            if NRV > 1 {
                line::<V, E, MR, NRV, 1, TAIL>(v, t, (k, len), &mut acc, room);
            }
        }
        k += len;
        len = (LINE / E::BYTES).min(t.len - k);
    }
    // SAFETY: the columns of C.
    unsafe { end::<V, E, MR, NRV, TAIL, false>(v, t, acc, v.tail(t.last)) };
}

/// `len` values of k from `k` on, at most those of a cache line, and the columns of group G: where lines compete for
/// places, the second half of one would be gone after the other group's turn.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn line<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const G: usize,
    const TAIL: bool,
>(
    v: V,
    t: &Tiles<E>,
    (mut k, len): (usize, usize),
    acc: &mut [[V::V; NRV]; MR],
    room: *mut E,
) {
    let end = k + len;
    // SAFETY: the contract is the same.
    unsafe {
        if const { V::LANES * E::BYTES == LINE } {
            return block::<V, E, MR, NRV, G, TAIL>(v, t, (k, len), acc, room);
        }
        if const { 2 * V::LANES * E::BYTES == LINE } && len == 2 * V::LANES {
            block::<V, E, MR, NRV, G, TAIL>(v, t, (k, V::LANES), acc, room);
            return block::<V, E, MR, NRV, G, TAIL>(v, t, (k + V::LANES, V::LANES), acc, room);
        }
        while k < end {
            let len = V::LANES.min(end - k);
            block::<V, E, MR, NRV, G, TAIL>(v, t, (k, len), acc, room);
            k += len;
        }
    }
}

/// `len` values of k from `k` on, at most LANES, and the columns of group G.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn block<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const G: usize,
    const TAIL: bool,
>(
    v: V,
    t: &Tiles<E>,
    (k, len): (usize, usize),
    acc: &mut [[V::V; NRV]; MR],
    room: *mut E,
) {
    let b = |k: usize| Source { ptr: t.b.wrapping_add(G * V::LANES * t.b_col + k), row: 1, col: t.b_col };
    // SAFETY: `len` values of k, `t.last` columns; there is room for LANES rows of LANES columns.
    unsafe {
        if len == V::LANES && !TAIL {
            let turned = turn(v, b(k));
            // Four short loops: the compiler does not unroll a long one, and keeps what is turned in memory then.
            for from in [0, 4, 8, 12] {
                #[expect(clippy::needless_range_loop, reason = "an iterator that skips is not unrolled")]
                for i in from..V::LANES.min(from + 4) {
                    add::<V, E, MR, NRV, G>(v, t, k + i, turned[i], acc);
                }
            }
        } else {
            // What is turned may reach back to values that have been added.
            let from = if TAIL || t.len < V::LANES { k } else { k.min(t.len - V::LANES) };
            let turned = if from < k { V::LANES } else { len };
            pack::strip(v, b(from), turned, t.last, room, V::LANES);
            for k in k..k + len {
                let row = v.load_at(room.wrapping_add((k - from) * V::LANES));
                add::<V, E, MR, NRV, G>(v, t, k, row, acc);
            }
        }
    }
}

/// How many values of k come first: those of a cache line, or where rows of W compete for places, those up to the first
/// line that is read whole. The rest of one that is read in part would be gone before it is needed.
#[inline(always)]
fn head<V: Vector<E>, E: Element>(t: &Tiles<E>) -> usize {
    let before = t.b.addr().wrapping_neg() % LINE / E::BYTES;
    let crowded = t.b_col.wrapping_mul(E::BYTES).is_multiple_of(CROWDED);
    let head = if crowded && before > 0 { before } else { LINE / E::BYTES };
    head.min(t.len)
}

/// LANES rows of as many columns.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn turn<V: Vector<E>, E: Element>(v: V, b: Source<E>) -> [V::V; MOST_LANES] {
    let piece = 16 / E::BYTES;
    // Few pointers, so that the rest is in the addresses of the loads.
    let first: [*const E; 4] = from_fn(|l| b.ptr.wrapping_add(l * piece * b.col));
    let mut rows = [v.splat(E::ZERO); MOST_LANES];
    // Loads stay where they are: a compiler that mixes two of these has too few registers for them.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: LANES elements of LANES columns.
    unsafe {
        v.turn(
            #[inline(always)]
            |l, q| first[l].wrapping_add(q * b.col),
            #[inline(always)]
            |i, row| rows[i] = row,
        );
    }
    compiler_fence(Ordering::SeqCst);
    rows
}

/// Adds column k of A times a row of B.
///
/// # Safety
/// Column k of A is there.
#[inline(always)]
unsafe fn add<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const G: usize>(
    v: V,
    t: &Tiles<E>,
    k: usize,
    row: V::V,
    acc: &mut [[V::V; NRV]; MR],
) {
    for (i, acc) in acc.iter_mut().enumerate() {
        // SAFETY: an element of each row of A.
        let a = v.splat(unsafe { *t.a.wrapping_add(i * t.a_row + k * t.a_col) });
        acc[G] = v.mul_add(a, row, acc[G]);
    }
}
