//! Transposing a block of `LANES × LANES` in registers, as every ISA with 128-bit lanes can do it:
//! gather one 128-bit piece of LANES/q rows into each vector, so that only shuffles within a
//! lane remain (two steps of unpacking for `f32`, one for `f64`).

/// Two by two: `piece(c, q)` has row `2l + q`, columns `2c..2c+2` in its lane l.
#[inline(always)]
pub fn pairs<V: Copy>(
    groups: usize,
    piece: impl Fn(usize, usize) -> V,
    low: impl Fn(V, V) -> V,
    high: impl Fn(V, V) -> V,
    put: impl Fn(usize, V),
) {
    for c in 0..groups {
        let (r0, r1) = (piece(c, 0), piece(c, 1));
        put(2 * c, low(r0, r1));
        put(2 * c + 1, high(r0, r1));
    }
}

/// Four by four: `piece(c, q)` has row `4l + q`, columns `4c..4c+4` in its lane l. `low` and
/// `high` interleave single elements, `low2` and `high2` pairs of them.
#[inline(always)]
pub fn quads<V: Copy>(
    groups: usize,
    piece: impl Fn(usize, usize) -> V,
    (low, high): (impl Fn(V, V) -> V, impl Fn(V, V) -> V),
    (low2, high2): (impl Fn(V, V) -> V, impl Fn(V, V) -> V),
    put: impl Fn(usize, V),
) {
    for c in 0..groups {
        let (r0, r1, r2, r3) = (piece(c, 0), piece(c, 1), piece(c, 2), piece(c, 3));
        let (a, b, x, y) = (low(r0, r1), low(r2, r3), high(r0, r1), high(r2, r3));
        put(4 * c, low2(a, b));
        put(4 * c + 1, high2(a, b));
        put(4 * c + 2, low2(x, y));
        put(4 * c + 3, high2(x, y));
    }
}
