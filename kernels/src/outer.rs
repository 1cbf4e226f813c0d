//! Sums of one product over a large output, and of few over one that is larger than the caches: ∇W of a handful of
//! samples.
//!
//! ```text
//!     for each row of C                     written from end to end, one after the other
//!         a[0..K] = row of A                each spread over a vector
//!         for each vector of columns
//!             C = alpha · (a[0]·b[0] + … + a[K−1]·b[K−1]) (+ C, of one product)
//! ```
//!
//! Here the multiply-adds are few and C is what costs: eight rows of a tile, written a piece of each at a time, come
//! from and go to as many places, which are often in one set of L1. B, K rows, stays in L1. What is larger than
//! the last level of cache goes past it, so that it need not be read before it is written.

use core::array::from_fn;

use trine_core::{Activation, Element};

use crate::isa::Kernels;
use crate::plan::Blocking;
use crate::problem::{Problem, Start};
use crate::tuning::Thresholds;
use crate::vector::Vector;

/// The longest sum: with more products than this the multiply-adds count again, and a tile loads less for each.
const MOST: usize = 4;

/// Whether an m×n output of sums over k, with so many elements [`passing`](Problem::passing), is computed like this; of
/// more than one product only if it is aligned and only written. What stays in the caches is written as fast by tiles,
/// which load less for each product, unless there is only one.
pub const fn pays(
    (m, n, k): (usize, usize, usize),
    passing: usize,
    lanes: usize,
    bytes: usize,
    thresholds: Thresholds,
) -> bool {
    let short = lanes > 1 && k >= 1 && k <= MOST && n >= 2 * lanes;
    let size = m.saturating_mul(n).saturating_mul(bytes);
    short
        && (k == 1 && size > thresholds.outer_bytes || passing.saturating_mul(bytes) > thresholds.past_bytes)
}

/// Whether this is for a problem in its best orientation.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    pays((p.m, p.n, p.k), p.passing, V::LANES, E::BYTES, blocking.thresholds)
        && p.b.col == 1
        && p.c.col == 1
        && matches!(p.activation, Activation::Identity)
        && p.y.is_none()
        && (matches!(p.start, Start::Nothing) && (p.k == 1 || is_aligned::<V, E>(p))
            || matches!(p.start, Start::Old) && p.k == 1)
}

/// Whether all rows of C begin at a whole vector. The stride of a single row may be anything.
#[inline(always)]
fn is_aligned<V: Kernels<E>, E: Element>(p: &Problem<E>) -> bool {
    let vectors = p.m == 1 || p.c.row.is_multiple_of(V::LANES);
    vectors && p.c.ptr.addr().is_multiple_of(size_of::<V::V>())
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C overlaps nothing else, and no two
/// of its elements share a place.
#[inline(never)]
pub unsafe fn run<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking) {
    let add = matches!(p.start, Start::Old);
    let past = !add && is_aligned::<V, E>(p) && p.is_large(&blocking.thresholds);
    // SAFETY: the contract is the same; the second parameter but two is the length of the sum; the rows of what goes
    // past are aligned, and of sums of more than one product all go past.
    unsafe {
        match (p.k, past) {
            (1, true) => written::<V, E, 1, false, true>(v, p),
            (1, false) if add => written::<V, E, 1, true, false>(v, p),
            (1, false) => written::<V, E, 1, false, false>(v, p),
            (2, _) => written::<V, E, 2, false, true>(v, p),
            (3, _) => written::<V, E, 3, false, true>(v, p),
            _ => written::<V, E, 4, false, true>(v, p),
        }
    }
}

/// # Safety
/// As for [`run`], and K is the length of the sum. With `PAST` all rows of C are aligned to vectors.
unsafe fn written<V: Kernels<E>, E: Element, const K: usize, const ADD: bool, const PAST: bool>(
    v: V,
    p: &Problem<E>,
) {
    let p = *p;
    v.vectorize(
        #[inline(always)]
        || {
            let alpha = v.splat(p.alpha);
            let tail = v.tail(p.n % V::LANES + usize::from(p.n.is_multiple_of(V::LANES)));
            let (whole, rest) = (p.n - p.n % V::LANES, p.n % V::LANES);
            for i in 0..p.m {
                // SAFETY: the elements of row i of A; whole vectors of the rows of B and of row i of C, and the
                // columns behind them.
                unsafe {
                    let a: [V::V; K] = from_fn(|k| v.splat(*p.a.at(i, k).ptr));
                    let c = p.c.at(i, 0).ptr;
                    for j in (0..whole).step_by(V::LANES) {
                        let b: [V::V; K] = from_fn(|k| v.load_at(p.b.ptr.wrapping_add(k * p.b.row + j)));
                        let old = || v.load_at(c.wrapping_add(j));
                        let sum = end::<V, E, K, ADD>(v, alpha, &a, &b, old);
                        if PAST {
                            v.store_past(c.wrapping_add(j), sum);
                        } else {
                            v.store_at(c.wrapping_add(j), sum);
                        }
                    }
                    if rest > 0 {
                        let b: [V::V; K] =
                            from_fn(|k| v.load_tail(p.b.ptr.wrapping_add(k * p.b.row + whole), tail));
                        let old = || v.load_tail(c.wrapping_add(whole), tail);
                        v.store_tail(c.wrapping_add(whole), tail, end::<V, E, K, ADD>(v, alpha, &a, &b, old));
                    }
                }
            }
            if PAST {
                v.settle();
            }
        },
    );
}

/// One vector of C. The first product is added to 0, as in a microkernel.
#[inline(always)]
fn end<V: Vector<E>, E: Element, const K: usize, const ADD: bool>(
    v: V,
    alpha: V::V,
    a: &[V::V; K],
    b: &[V::V; K],
    old: impl FnOnce() -> V::V,
) -> V::V {
    let mut sum = v.splat(E::ZERO);
    for k in 0..K {
        sum = v.mul_add(a[k], b[k], sum);
    }
    if ADD { v.mul_add(alpha, sum, old()) } else { v.mul(alpha, sum) }
}
