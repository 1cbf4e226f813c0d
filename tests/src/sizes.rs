//! Sides of matrices: zero, one, and what lies below, at and above each tile and block edge.

use quickcheck::{Arbitrary, Gen};
use trine_core::{K_BLOCK, Shape};

/// Around the sides of register tiles and vectors, with primes between.
pub const SIDES: [usize; 41] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 23, 24, 25, 29, 31, 32, 33, 37, 41,
    47, 48, 49, 53, 63, 64, 65, 79, 83, 95, 96, 97,
];

/// Around the block of the sum and twice it, and around larger tiles.
pub const LONG: [usize; 13] = [
    127,
    128,
    129,
    191,
    193,
    255,
    257,
    K_BLOCK - 1,
    K_BLOCK,
    K_BLOCK + 1,
    2 * K_BLOCK - 1,
    2 * K_BLOCK,
    2 * K_BLOCK + 1,
];

/// Draws a shape with n·d·m of at most `limit`. One side in three shapes is long, the others then
/// give way.
pub fn arbitrary_shape(g: &mut Gen, limit: usize) -> Shape {
    let mut sides = [0; 3].map(|_| *g.choose(&SIDES).expect("sides"));
    if sides.contains(&0) && u8::arbitrary(g) % 4 != 0 {
        sides = sides.map(|side| if side == 0 { 20 } else { side });
    }
    let long = usize::arbitrary(g) % 9;
    if let Some(side) = sides.get_mut(long) {
        *side = *g.choose(&LONG).expect("sides");
    }
    while sides.iter().product::<usize>() > limit {
        let largest = (0..3).filter(|&i| i != long).max_by_key(|&i| sides[i]).expect("a side");
        sides[largest] = sides[largest] / 2 + usize::arbitrary(g) % 2;
    }
    let [n, d, m] = sides;
    Shape { n, d, m }
}
