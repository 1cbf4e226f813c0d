//! What is in the operands: numbers that a hash picks, so that element (i, j) of an operand is the
//! same wherever it lies in memory.

use quickcheck::{Arbitrary, Gen};
use trine_core::Element;

/// A kind of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers from −4 to 4: every sum is exact.
    Whole,
    /// Evenly from −1 to 1.
    Uniform,
    /// Exponents from −30 to 30: sums lose digits, so that another order shows.
    Wide,
    /// Zeros of both signs, subnormals, the smallest normal and the largest numbers, among others.
    Extreme,
    /// Uniform, with a NaN, an infinity or an extreme now and then.
    Sparse,
    /// As often as not NaN, infinite or extreme.
    Dense,
}

const ALL: [Values; 6] =
    [Values::Whole, Values::Uniform, Values::Wide, Values::Extreme, Values::Sparse, Values::Dense];

/// A well-mixed function of `x` (the finaliser of splitmix64; G. Steele et al. 2014).
pub const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// `x` evenly in [−1, 1).
pub fn uniform(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn signed<E: Element>(bits: u64, hash: u64) -> E {
    E::of_bits(bits | (hash & 1) << (8 * E::BYTES - 1))
}

fn extreme<E: Element>(hash: u64) -> E {
    let smallest_normal = 1 << (E::DIGITS - 1);
    let largest = E::INFINITY.bits() - 1;
    let bits = [0, 1, smallest_normal - 1, smallest_normal, largest, E::ONE.bits()];
    signed(bits[(hash >> 8) as usize % bits.len()], hash)
}

fn special<E: Element>(hash: u64) -> E {
    match (hash >> 16) % 4 {
        0 => E::NAN,
        1 => signed(E::INFINITY.bits(), hash),
        _ => extreme(hash),
    }
}

impl Values {
    /// The number that belongs to `hash`.
    pub fn value<E: Element>(self, hash: u64) -> E {
        let (pick, hash) = (hash >> 40, mix(hash));
        let even = || E::from_f64(uniform(hash));
        match self {
            Values::Whole => E::from_f64((hash % 9) as f64 - 4.0),
            Values::Uniform => even(),
            Values::Wide => E::from_f64(uniform(hash) * 2f64.powi((pick % 61) as i32 - 30)),
            Values::Extreme if pick.is_multiple_of(2) => extreme(hash),
            Values::Sparse if pick.is_multiple_of(101) => special(hash),
            Values::Dense if pick.is_multiple_of(2) => special(hash),
            _ => even(),
        }
    }
}

impl Arbitrary for Values {
    fn arbitrary(g: &mut Gen) -> Self {
        *g.choose(&ALL).expect("kinds of values")
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let this = *self;
        Box::new(ALL.into_iter().take_while(move |&simpler| simpler != this))
    }
}
