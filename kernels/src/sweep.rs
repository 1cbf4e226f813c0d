//! Products that are added to sums which wait in L1: what `stream` does with rows of B, and the end of that and of
//! `chunks`.

use core::array::from_fn;

use trine_core::Element;

use crate::microkernel::end;
use crate::tiles::Tiles;
use crate::vector::Vector;

/// Rows of B that are read together: as many streams.
pub const TOGETHER: usize = 4;

/// Vectors of columns that follow each other without a branch.
pub const UNROLL: usize = 4;

/// The most rows of A for [`pass`].
pub const MOST_ROWS: usize = 16;

/// Vectors of each row of B that [`pass`] keeps in registers.
const WIDE: usize = 2;

/// Adds K products to each sum, those from `k` on: elements of A's rows stay in registers while B passes.
///
/// # Safety
/// A can be read as MR rows and B as `cols` columns, both up to these values of k, rows of B are contiguous. `sums` has
/// MR rows, `stride` apart, of as many whole vectors as have a column.
#[inline(always)]
pub unsafe fn few<V: Vector<E>, E: Element, const MR: usize, const K: usize>(
    v: V,
    t: &Tiles<E>,
    k: usize,
    cols: usize,
    (sums, stride): (*mut E, usize),
) {
    // SAFETY: elements of A, vectors of rows of B, and their sums.
    unsafe {
        let a: [[V::V; MR]; K] =
            from_fn(|u| from_fn(|i| v.splat(*t.a.wrapping_add(i * t.a_row + (k + u) * t.a_col))));
        let b: [*const E; K] = from_fn(|u| t.b.wrapping_add((k + u) * t.b_row));
        let mut j = 0;
        while j + UNROLL * V::LANES <= cols {
            for q in 0..UNROLL {
                let j = j + q * V::LANES;
                add(v, &a, |u| v.load_at(b[u].wrapping_add(j)), (sums.wrapping_add(j), stride));
            }
            j += UNROLL * V::LANES;
        }
        while j + V::LANES <= cols {
            add(v, &a, |u| v.load_at(b[u].wrapping_add(j)), (sums.wrapping_add(j), stride));
            j += V::LANES;
        }
        if j < cols {
            let tail = v.tail(cols - j);
            add(v, &a, |u| v.load_tail(b[u].wrapping_add(j), tail), (sums.wrapping_add(j), stride));
        }
    }
}

/// Adds K products to a vector of sums of each row.
///
/// # Safety
/// There is a vector of sums in each of MR rows.
#[inline(always)]
unsafe fn add<V: Vector<E>, E: Element, const MR: usize, const K: usize>(
    v: V,
    a: &[[V::V; MR]; K],
    row: impl Fn(usize) -> V::V,
    (sums, stride): (*mut E, usize),
) {
    let at = |i| sums.wrapping_add(i * stride);
    // SAFETY: as the caller says.
    unsafe {
        let mut acc: [V::V; MR] = from_fn(|i| v.load_at(at(i)));
        for (u, a) in a.iter().enumerate() {
            let row = row(u);
            for (acc, &a) in acc.iter_mut().zip(a) {
                *acc = v.mul_add(a, row, *acc);
            }
        }
        for (i, &acc) in acc.iter().enumerate() {
            v.store_at(at(i), acc);
        }
    }
}

/// As [`few`], for any number of rows: vectors of B stay in registers while the rows of A pass.
///
/// # Safety
/// As for [`few`], with `rows` in place of MR, at most [`MOST_ROWS`]; K is at most [`TOGETHER`].
#[inline(always)]
pub unsafe fn pass<V: Vector<E>, E: Element, const K: usize>(
    v: V,
    t: &Tiles<E>,
    k: usize,
    (rows, cols): (usize, usize),
    (sums, stride): (*mut E, usize),
) {
    // Rows of A may compete for places as those of B do.
    let mut a = [[E::ZERO; TOGETHER]; MOST_ROWS];
    let a = &mut a[..rows];
    // SAFETY: elements of A, vectors of rows of B, and their sums.
    unsafe {
        for (i, a) in a.iter_mut().enumerate() {
            for (u, a) in a.iter_mut().enumerate().take(K) {
                *a = *t.a.wrapping_add(i * t.a_row + (k + u) * t.a_col);
            }
        }
        let from: [*const E; K] = from_fn(|u| t.b.wrapping_add((k + u) * t.b_row));
        let next = TOGETHER.wrapping_mul(t.b_row);
        let mut j = 0;
        while j + WIDE * V::LANES <= cols {
            let b: [[V::V; WIDE]; K] =
                from_fn(|u| from_fn(|w| v.load_at(from[u].wrapping_add(j + w * V::LANES))));
            for from in from {
                v.prefetch(from.wrapping_add(next).wrapping_add(j));
            }
            add_rows(v, a, &b, (sums.wrapping_add(j), stride));
            j += WIDE * V::LANES;
        }
        while j + V::LANES <= cols {
            let b: [[V::V; 1]; K] = from_fn(|u| [v.load_at(from[u].wrapping_add(j))]);
            add_rows(v, a, &b, (sums.wrapping_add(j), stride));
            j += V::LANES;
        }
        if j < cols {
            let tail = v.tail(cols - j);
            let b: [[V::V; 1]; K] = from_fn(|u| [v.load_tail(from[u].wrapping_add(j), tail)]);
            add_rows(v, a, &b, (sums.wrapping_add(j), stride));
        }
    }
}

/// Adds K products to W vectors of sums of each row.
///
/// # Safety
/// There are so many vectors of sums in each row.
#[inline(always)]
unsafe fn add_rows<V: Vector<E>, E: Element, const K: usize, const W: usize>(
    v: V,
    a: &[[E; TOGETHER]],
    b: &[[V::V; W]; K],
    (mut sums, stride): (*mut E, usize),
) {
    for a in a {
        let at = |w| sums.wrapping_add(w * V::LANES);
        // SAFETY: as the caller says.
        unsafe {
            let mut acc: [V::V; W] = from_fn(|w| v.load_at(at(w)));
            for (&a, b) in a.iter().zip(b) {
                let a = v.splat(a);
                for (acc, &b) in acc.iter_mut().zip(b) {
                    *acc = v.mul_add(a, b, *acc);
                }
            }
            for (w, &acc) in acc.iter().enumerate() {
                v.store_at(at(w), acc);
            }
        }
        sums = sums.wrapping_add(stride);
    }
}

/// `C = initial + alpha·sums` for some columns of row `i`, and perhaps ReLU.
///
/// # Safety
/// These columns of C can be written, and as much of the initial value read; columns of C are neighbours. `sums` has as
/// many whole vectors as have a column.
#[inline(always)]
pub unsafe fn finish<V: Vector<E>, E: Element>(v: V, t: &Tiles<E>, i: usize, cols: usize, sums: *const E) {
    let c = t.c.wrapping_add(i * t.c_row);
    let part = |j: usize| Tiles { c: c.wrapping_add(j), initial: t.initial.at(i, j), ..*t };
    let whole = cols - cols % V::LANES;
    // SAFETY: vectors of C and of the sums; the last has as many columns as are left.
    unsafe {
        for j in (0..whole).step_by(V::LANES) {
            let acc = [[v.load_at(sums.wrapping_add(j))]];
            end::<V, E, 1, 1, false, false>(v, &part(j), acc, v.tail(V::LANES));
        }
        if whole < cols {
            let acc = [[v.load_at(sums.wrapping_add(whole))]];
            end::<V, E, 1, 1, true, false>(v, &part(whole), acc, v.tail(cols - whole));
        }
    }
}
