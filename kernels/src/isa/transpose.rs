//! Transposing LANES rows in registers, as every ISA with 128-bit lanes can do it: gather the pieces
//! of 16 bytes of LANES/q rows into each vector, so that only shuffles within a lane remain (two
//! steps of unpacking for `f32`, one for `f64`).
//!
//! Where a vector of four such lanes is shuffled as fast as it is loaded, whole rows are read, and
//! [`lanes`] is the last step.
//!
//! All pieces of a row are read together: where rows are a power of two apart, their cache lines
//! have few places in L1, and would be gone before the next piece.

use core::sync::atomic::{Ordering, compiler_fence};

/// `read[q][c]`, the reads of one q together. Plain loops: what is not inlined here is not compiled
/// for the vector unit.
#[inline(always)]
fn in_order<V: Copy, const Q: usize, const PIECES: usize>(
    piece: impl Fn(usize, usize) -> V,
) -> [[V; PIECES]; Q] {
    let mut read = [[piece(0, 0); PIECES]; Q];
    for (q, row) in read.iter_mut().enumerate() {
        for (c, to) in row.iter_mut().enumerate() {
            *to = piece(c, q);
        }
        compiler_fence(Ordering::SeqCst);
    }
    read
}

/// Two by two: `piece(c, q)` has row `2l + q`, columns `2c..2c+2` in its lane l.
#[inline(always)]
pub fn pairs<V: Copy, const PIECES: usize>(
    piece: impl Fn(usize, usize) -> V,
    low: impl Fn(V, V) -> V,
    high: impl Fn(V, V) -> V,
    mut put: impl FnMut(usize, V),
) {
    let [r0, r1] = in_order::<V, 2, PIECES>(piece);
    for c in 0..PIECES {
        put(2 * c, low(r0[c], r1[c]));
        put(2 * c + 1, high(r0[c], r1[c]));
    }
}

/// Four by four: `piece(c, q)` has row `4l + q`, columns `4c..4c+4` in its lane l. `low` and
/// `high` interleave single elements, `low2` and `high2` pairs of them.
#[inline(always)]
pub fn quads<V: Copy, const PIECES: usize>(
    piece: impl Fn(usize, usize) -> V,
    (low, high): (impl Fn(V, V) -> V, impl Fn(V, V) -> V),
    (low2, high2): (impl Fn(V, V) -> V, impl Fn(V, V) -> V),
    mut put: impl FnMut(usize, V),
) {
    let [r0, r1, r2, r3] = in_order::<V, 4, PIECES>(piece);
    for c in 0..PIECES {
        let (a, b, x, y) = (low(r0[c], r1[c]), low(r2[c], r3[c]), high(r0[c], r1[c]), high(r2[c], r3[c]));
        put(4 * c, low2(a, b));
        put(4 * c + 1, high2(a, b));
        put(4 * c + 2, low2(x, y));
        put(4 * c + 3, high2(x, y));
    }
}

/// Four vectors of four lanes of 16 bytes: lane l of vector i becomes lane i of vector l. Of two vectors `low`
/// and `high` take two lanes each, `even` the first and third, `odd` the second and fourth.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn lanes<V: Copy>(
    [a, b, c, d]: [V; 4],
    (low, high): (impl Fn(V, V) -> V, impl Fn(V, V) -> V),
    (even, odd): (impl Fn(V, V) -> V, impl Fn(V, V) -> V),
) -> [V; 4] {
    let (ab, cd) = (low(a, b), low(c, d));
    let (x, y) = (high(a, b), high(c, d));
    [even(ab, cd), odd(ab, cd), even(x, y), odd(x, y)]
}
