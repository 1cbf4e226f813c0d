//! Random numbers that are the same everywhere: initial weights and the order of the samples.
//!
//! A layer's weights depend on the seed, the layer's index and its shape, and on nothing else: a
//! network that is split among workers begins with the weights it would have in one piece. Only
//! integer arithmetic, comparisons and single correctly rounded operations are used, so the bits
//! do not depend on the target.

use crate::element::Element;
use crate::error::{Dim, Error};

/// One step of SplitMix64 (G. Steele, D. Lea, C. Flood 2014): the state moves on by the golden
/// ratio, the output is a bijective mix of it.
const fn split_mix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, z ^ (z >> 31))
}

/// xoshiro256++ (D. Blackman, S. Vigna 2019), period 2²⁵⁶ − 1. Not for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The sequence of a seed. The state is four outputs of SplitMix64, as the authors recommend.
    pub const fn new(seed: u64) -> Self {
        let (seed, a) = split_mix(seed);
        let (seed, b) = split_mix(seed);
        let (seed, c) = split_mix(seed);
        let (_, d) = split_mix(seed);
        Rng { state: [a, b, c, d] }
    }

    /// The sequence of a seed and some numbers that tell its uses apart, such as an epoch or a
    /// layer's index.
    pub const fn keyed(seed: u64, keys: &[u64]) -> Self {
        let mut mixed = split_mix(seed).1;
        let mut i = 0;
        while i < keys.len() {
            mixed = split_mix(mixed ^ keys[i]).1;
            i += 1;
        }
        Rng::new(mixed)
    }

    /// 64 uniform bits.
    pub const fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let out = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        out
    }

    /// Uniform in [0, 1): a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in 0..bound, without bias (D. Lemire 2019): the high half of bound·random, drawn
    /// again in the few cases that would favour a value. 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let unfair = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }

    /// True with probability e⁻ᵗ, for t in [0, 1] (J. von Neumann 1951). A falling run
    /// t > u₁ > u₂ > … has at least k members with probability tᵏ/k!, so an even number with
    /// probability Σ (−t)ᵏ/k!.
    fn exponential(&mut self, t: f64) -> bool {
        let mut last = t;
        let mut even = true;
        loop {
            let u = self.uniform();
            if u >= last {
                return even;
            }
            last = u;
            even = !even;
        }
    }

    /// Normal with mean 0 and variance 1, by comparing uniform numbers (C. Karney 2016, ACM
    /// Trans. Math. Softw. 42). With a whole part k and a fraction x,
    ///
    /// ```text
    ///     e^−(k+x)²/2 = e^−k/2 · e^−k(k−1)/2 · e^−x(2k+x)/2
    /// ```
    ///
    /// and each factor is the probability that a few trials of probability e⁻ᵗ succeed. No
    /// logarithm, no table. The distribution is the normal one, tails included, on a grid of 2⁻⁵³
    /// (coarser beyond 1 where f64 is); the probabilities themselves are off by rounding,
    /// about 2⁻⁵³. Takes 16 uniform numbers on average.
    pub fn normal(&mut self) -> f64 {
        loop {
            let mut k = 0u32;
            while self.exponential(0.5) {
                k += 1;
            }
            if !(0..k * k.saturating_sub(1)).all(|_| self.exponential(0.5)) {
                continue;
            }
            let (x, whole) = (self.uniform(), f64::from(k));
            let t = x * (2.0 * whole + x) / (2.0 * whole + 2.0);
            if (0..=k).all(|_| self.exponential(t)) {
                let size = whole + x;
                return if self.next_u64() >> 63 == 0 { size } else { -size };
            }
        }
    }
}

/// Puts the items in a random order, every one equally likely (R. Fisher, F. Yates 1938; R.
/// Durstenfeld 1964).
pub fn shuffle(items: &mut [u32], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        let other = rng.below(last as u64 + 1) as usize;
        // Not `swap`: firmware has no room for an index that is out of bounds. One item stays where it is.
        if let Ok([last, other]) = items.get_disjoint_mut([last, other]) {
            core::mem::swap(last, other);
        }
    }
}

/// Initial parameters of a layer: W (d×m, row-major) normal with variance 1/d, so that Z has the
/// variance of X (Y. LeCun et al. 1998), followed by b, zero. Computed in `f64` and rounded once,
/// so `f32` weights are the rounded `f64` weights.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Shape`] if `params` has not d·m + m values. Nothing has then
/// been written.
pub fn init_layer<E: Element>(
    params: &mut [E],
    d: usize,
    m: usize,
    layer: usize,
    seed: u64,
) -> Result<(), Error> {
    let weights = d.checked_mul(m).ok_or(Error::TooLarge { operand: "w" })?;
    let expected = weights.checked_add(m).ok_or(Error::TooLarge { operand: "w" })?;
    let (found, dim) = (params.len(), Dim::Values);
    if found != expected {
        return Err(Error::Shape { operand: "params", dim, found, other: "layer", other_dim: dim, expected });
    }
    let mut rng = Rng::keyed(seed, &[layer as u64, d as u64, m as u64]);
    let root = (d as f64).square_root();
    let (w, b) = params.split_at_mut(weights);
    w.fill_with(|| E::from_f64(rng.normal() / root));
    b.fill(E::ZERO);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_give_their_published_sequences() {
        let mut state = 1234567;
        let expected = [
            6457827717110365317u64,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ];
        for expected in expected {
            let (next, out) = split_mix(state);
            assert_eq!(out, expected);
            state = next;
        }
        let mut rng = Rng { state: [1, 2, 3, 4] };
        for expected in [41943041, 58720359, 3588806011781223, 3591011842654386] {
            assert_eq!(rng.next_u64(), expected);
        }
    }
}
