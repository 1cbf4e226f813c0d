//! Few rows times a B whose columns are contiguous: `∇X = ∇Z·Wᵀ` of a handful of samples.
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
//! multiply-adds.

use core::array::from_fn;
use core::sync::atomic::{Ordering, compiler_fence};

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate;
use crate::isa::{Isa, Kernels};
use crate::microkernel::{Tiles, end};
use crate::pack::{self, Source};
use crate::plan::{Blocking, Packing};
use crate::problem::Problem;
use crate::vector::Vector;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Rows so many bytes apart share a set of L1.
const CROWDED: usize = 2048;

/// Whether this is for a problem in its best orientation, and for every part of it.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    V::LANES > 1
        && p.m <= most_rows::<V, E>()
        && p.b.row == 1
        && p.b.col != 1
        && p.k > 0
        && p.a.col == 1
        && p.c.col == 1
        && blocking.packing != Packing::Always
}

/// The most rows: beside LANES vectors that are being turned there must be room for the sums.
const fn most_rows<V: Kernels<E>, E: Element>() -> usize {
    match V::ISA {
        Isa::Avx512 => 8,
        Isa::Avx2 => 3,
        _ => 0,
    }
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking) {
    // What comes from memory comes in few streams.
    let far = p.n.saturating_mul(p.k).saturating_mul(E::BYTES) > blocking.thresholds.past_bytes;
    // SAFETY: the contract is the same, and MR is the number of rows.
    unsafe {
        match p.m {
            1 => strips::<V, E, 1, 2>(v, p, far),
            2 => strips::<V, E, 2, 2>(v, p, far),
            3 => strips::<V, E, 3, 2>(v, p, far),
            4 => strips::<V, E, 4, 2>(v, p, far),
            5 => strips::<V, E, 5, 1>(v, p, far),
            6 => strips::<V, E, 6, 1>(v, p, far),
            7 => strips::<V, E, 7, 1>(v, p, far),
            _ => strips::<V, E, 8, 1>(v, p, far),
        }
    }
}

/// # Safety
/// As for [`run`], and MR is the number of rows.
unsafe fn strips<V: Kernels<E>, E: Element, const MR: usize, const NRV: usize>(v: V, p: &Problem<E>, far: bool) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let mut j = 0;
            while j < p.n {
                let wide = !far && p.n - j >= NRV * V::LANES;
                let cols = if wide { NRV * V::LANES } else { V::LANES.min(p.n - j) };
                // All of a column before the next: what is read from afar is read from end to end.
                for pc in (0..p.k).step_by(K_BLOCK) {
                    let len = K_BLOCK.min(p.k - pc);
                    let t = Tiles {
                        len,
                        strips: 1,
                        rows: 1,
                        a: p.a.at(0, pc).ptr,
                        a_row: p.a.row,
                        a_col: 1,
                        a_tile: 0,
                        b: p.b.at(pc, j).ptr,
                        b_row: 1,
                        b_strip: 0,
                        b_col: p.b.col,
                        c_col: 1,
                        copy_b: core::ptr::null_mut(),
                        c: p.c.at(0, j).ptr,
                        c_row: p.c.row,
                        last: V::LANES.min(cols),
                        sums: core::ptr::null(),
                        sums_row: 0,
                        alpha: p.alpha,
                        initial: p.initial(pc == 0, (0, j), p.c.at(0, j)),
                        relu: pc + len == p.k && p.is_relu(),
                        fetch: None,
                    };
                    // SAFETY: some columns of B and of C.
                    unsafe {
                        if wide {
                            strip::<V, E, MR, NRV, false>(v, &t);
                        } else if cols == V::LANES {
                            strip::<V, E, MR, 1, false>(v, &t);
                        } else {
                            strip::<V, E, MR, 1, true>(v, &t);
                        }
                    }
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

/// NRV·LANES columns, or with TAIL the last `t.last` of them.
///
/// # Safety
/// These columns of B and C are there.
#[inline(always)]
unsafe fn strip<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    t: &Tiles<E>,
) {
    let mut acc = [[v.splat(E::ZERO); NRV]; MR];
    let columns: [Source<E>; NRV] =
        from_fn(|g| Source { ptr: t.b.wrapping_add(g * V::LANES * t.b_col), row: 1, col: t.b_col });
    // SAFETY: values of k within the sum, and the columns of the caller.
    unsafe {
        let head = if TAIL { t.len % V::LANES } else { head::<E>(t) };
        let mut k = head;
        if head > 0 {
            through::<V, E, MR, NRV, TAIL>(v, t, &columns, (0, head), &mut acc);
        }
        while t.len - k >= V::LANES {
            if TAIL {
                through::<V, E, MR, NRV, TAIL>(v, t, &columns, (k, V::LANES), &mut acc);
            } else {
                for g in 0..NRV {
                    turn::<V, E, MR, NRV>(v, t, columns[g].at(k, 0), (k, g), &mut acc);
                }
            }
            k += V::LANES;
        }
        if k < t.len {
            through::<V, E, MR, NRV, TAIL>(v, t, &columns, (k, t.len - k), &mut acc);
        }
        end::<V, E, MR, NRV, TAIL>(v, t, acc, v.tail(t.last));
    }
}

/// Values of k before the first cache line that is read whole. Where rows of W compete for places, the rest of a
/// line would be gone before it is read.
#[inline(always)]
fn head<E: Element>(t: &Tiles<E>) -> usize {
    let aligned = t.b.addr().wrapping_neg() % LINE;
    if t.b_col.wrapping_mul(E::BYTES).is_multiple_of(CROWDED) && aligned.is_multiple_of(E::BYTES) {
        (aligned / E::BYTES).min(t.len)
    } else {
        0
    }
}

/// LANES values of k and as many columns: turned, then added.
///
/// # Safety
/// They are there, and as many values of each row of A.
#[inline(always)]
unsafe fn turn<V: Vector<E>, E: Element, const MR: usize, const NRV: usize>(
    v: V,
    t: &Tiles<E>,
    b: Source<E>,
    (k, g): (usize, usize),
    acc: &mut [[V::V; NRV]; MR],
) {
    // SAFETY: LANES elements of LANES columns, of MR rows.
    unsafe {
        let rows = turned(v, b);
        for (i, &row) in rows.iter().enumerate().take(V::LANES) {
            add::<V, E, MR, NRV>(v, t, k + i, row, g, acc);
        }
    }
}

/// LANES rows of as many columns.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn turned<V: Vector<E>, E: Element>(v: V, b: Source<E>) -> [V::V; pack::MOST_LANES] {
    let piece = 16 / E::BYTES;
    let mut rows = [v.splat(E::ZERO); pack::MOST_LANES];
    // Loads stay where they are: a compiler that mixes two of these has too few registers for them.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: LANES elements of LANES columns.
    unsafe {
        v.turn(
            #[inline(always)]
            |l, q| b.ptr.wrapping_add(l * piece * b.col).wrapping_add(q * b.col),
            #[inline(always)]
            |i, row| rows[i] = row,
        );
    }
    compiler_fence(Ordering::SeqCst);
    rows
}

/// `len` values of k, at most LANES, by way of memory: what is turned may reach back to values that have been added.
///
/// # Safety
/// As for [`turn`], of `t.last` columns.
#[inline(always)]
unsafe fn through<V: Vector<E>, E: Element, const MR: usize, const NRV: usize, const TAIL: bool>(
    v: V,
    t: &Tiles<E>,
    columns: &[Source<E>; NRV],
    (k, len): (usize, usize),
    acc: &mut [[V::V; NRV]; MR],
) {
    let mut room = [E::ZERO; pack::MOST_LANES * pack::MOST_LANES];
    let whole = !TAIL && t.len >= V::LANES;
    let from = if whole { k.min(t.len - V::LANES) } else { k };
    for g in 0..NRV {
        let b = columns[g].at(from, 0);
        // SAFETY: what the caller says; there is room for LANES rows of LANES columns.
        unsafe {
            if whole {
                for (i, &row) in turned(v, b).iter().enumerate().take(V::LANES) {
                    v.store_at(room.as_mut_ptr().wrapping_add(i * V::LANES), row);
                }
            } else {
                pack::strip(v, b, len, t.last, room.as_mut_ptr(), V::LANES);
            }
            for k in k..k + len {
                let row = v.load_at(room.as_ptr().wrapping_add((k - from) * V::LANES));
                add::<V, E, MR, NRV>(v, t, k, row, g, acc);
            }
        }
    }
}

/// Adds column k of A times a row of B.
///
/// # Safety
/// Column k of A is there.
#[inline(always)]
unsafe fn add<V: Vector<E>, E: Element, const MR: usize, const NRV: usize>(
    v: V,
    t: &Tiles<E>,
    k: usize,
    row: V::V,
    g: usize,
    acc: &mut [[V::V; NRV]; MR],
) {
    for (i, acc) in acc.iter_mut().enumerate() {
        // SAFETY: an element of each row of A.
        let a = v.splat(unsafe { *t.a.wrapping_add(i * t.a_row + k) });
        acc[g] = v.mul_add(a, row, acc[g]);
    }
}
