//! The most that a core can do: independent multiply-adds in registers, nothing else. What a
//! share of the peak refers to.

use core::hint::black_box;

use trine_core::{Element, Error};

use crate::dispatch::{Dispatch, Job, Token};
use crate::isa::{Isa, Kernels};

/// Runs `rounds` of multiply-adds on `isa` and returns how many floating-point operations that
/// were (two for each multiply-add). The caller takes the time.
///
/// # Errors
/// [`Error::Isa`] if this machine does not have it.
pub fn fma_loop<E: Dispatch>(isa: Isa, rounds: u64) -> Result<u64, Error> {
    Ok(E::run(Token::require(isa)?, Rounds(rounds)))
}

struct Rounds(u64);

impl<E: Element> Job<E> for Rounds {
    type Output = u64;

    fn run<V: Kernels<E>>(self, v: V) -> u64 {
        // Enough chains for every port and the latency, few enough for the registers.
        match V::ISA {
            Isa::Sse2 | Isa::Avx2 => chains::<V, E, 12>(v, self.0),
            _ => chains::<V, E, 16>(v, self.0),
        }
    }
}

fn chains<V: Kernels<E>, E: Element, const CHAINS: usize>(v: V, rounds: u64) -> u64 {
    v.vectorize(
        #[inline(always)]
        || {
            // Values that stay near 1: neither denormal nor infinite.
            let (a, b) = (v.splat(black_box(E::from_f64(0.5))), v.splat(black_box(E::from_f64(0.5))));
            // Each chain begins elsewhere: of two that are the same, the compiler would keep one.
            let mut acc: [V::V; CHAINS] =
                core::array::from_fn(|i| v.splat(black_box(E::from_f64(1.0 + i as f64 / 64.0))));
            for _ in 0..rounds {
                for chain in &mut acc {
                    *chain = v.mul_add(a, *chain, b);
                }
            }
            let sum = acc.into_iter().fold(v.splat(E::ZERO), |sum, chain| v.add(sum, chain));
            let mut out = [E::ZERO; 1];
            v.store(&mut out, sum);
            black_box(out);
        },
    );
    2 * rounds * CHAINS as u64 * V::LANES as u64
}
