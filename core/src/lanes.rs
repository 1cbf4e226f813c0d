//! Arithmetic on several values at once: the one interface through which the same formula runs
//! on a scalar, on 4 lanes and on 16, in the same order and with the same bits.

use crate::element::Element;

/// How `a·b + c` is rounded. Results are the same, bit for bit, among everything of one rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Once: a fused multiply-add.
    Fused,
    /// Twice: after the product and after the sum, for targets without the instruction.
    Unfused,
}

impl Rounding {
    /// As in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Rounding::Fused => "fused",
            Rounding::Unfused => "unfused",
        }
    }
}

/// A handful of values, worked on together. Every operation is IEEE 754, lane by lane.
pub trait Lanes<E: Element>: Copy {
    /// Some values.
    type V: Copy;
    /// One truth value for each.
    type Mask: Copy;

    /// How many.
    const LANES: usize;
    /// How [`mul_add`](Lanes::mul_add) rounds.
    const ROUNDING: Rounding;

    /// The same value in every lane.
    fn splat(self, x: E) -> Self::V;
    /// Up to `LANES` values from memory, the rest 0.
    fn load(self, from: &[E]) -> Self::V;
    /// As many lanes as `to` has room for (at most `LANES`).
    fn store(self, to: &mut [E], v: Self::V);
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a/b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, rounded as [`ROUNDING`](Lanes::ROUNDING) says.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The square root, correctly rounded.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The value without its sign.
    fn abs(self, a: Self::V) -> Self::V;
    /// `a < b`; false where one is not a number.
    fn less(self, a: Self::V, b: Self::V) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    fn select(self, mask: Self::Mask, a: Self::V, b: Self::V) -> Self::V;
    /// 2ⁿ for a whole number n of the normal exponent range (f32: −126..=127, f64: −1022..=1023).
    fn pow2(self, n: Self::V) -> Self::V;
    /// A positive normal number as (e, f) with `a = f·2^e`, f in [1, 2).
    fn split(self, a: Self::V) -> (Self::V, Self::V);

    /// `−a`, zeros included.
    #[inline(always)]
    fn neg(self, a: Self::V) -> Self::V {
        self.mul(a, self.splat(-E::ONE))
    }
}

/// Work that can be done with any lanes, such as an optimizer's step or a loss: a function
/// that is generic over [`Lanes`], as a value. Closures cannot be.
pub trait Task<E: Element> {
    /// What it returns.
    type Output;
    /// Does it.
    fn run<L: Lanes<E>>(self, lanes: L) -> Self::Output;
}

/// One value at a time, multiply-add rounded once: what the reference uses by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fused;

/// One value at a time, multiply-add rounded twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unfused;

macro_rules! scalar {
    ($lanes:ident, $mul_add:expr) => {
        impl<E: Element> Lanes<E> for $lanes {
            type V = E;
            type Mask = bool;
            const LANES: usize = 1;
            const ROUNDING: Rounding = Rounding::$lanes;

            #[inline(always)]
            fn splat(self, x: E) -> E {
                x
            }
            #[inline(always)]
            fn load(self, from: &[E]) -> E {
                from.first().copied().unwrap_or(E::ZERO)
            }
            #[inline(always)]
            fn store(self, to: &mut [E], v: E) {
                if let Some(first) = to.first_mut() {
                    *first = v;
                }
            }
            #[inline(always)]
            fn add(self, a: E, b: E) -> E {
                a + b
            }
            #[inline(always)]
            fn sub(self, a: E, b: E) -> E {
                a - b
            }
            #[inline(always)]
            fn mul(self, a: E, b: E) -> E {
                a * b
            }
            #[inline(always)]
            fn div(self, a: E, b: E) -> E {
                a / b
            }
            #[inline(always)]
            fn mul_add(self, a: E, b: E, c: E) -> E {
                $mul_add(a, b, c)
            }
            #[inline(always)]
            fn sqrt(self, a: E) -> E {
                a.square_root()
            }
            #[inline(always)]
            fn abs(self, a: E) -> E {
                E::of_bits(a.bits() & !(1 << (8 * E::BYTES - 1)))
            }
            #[inline(always)]
            fn less(self, a: E, b: E) -> bool {
                a < b
            }
            #[inline(always)]
            fn select(self, mask: bool, a: E, b: E) -> E {
                if mask { a } else { b }
            }
            #[inline(always)]
            fn pow2(self, n: E) -> E {
                let fraction = E::DIGITS - 1;
                let bias = (1i64 << (8 * E::BYTES as u32 - fraction - 2)) - 1;
                E::of_bits(((n.to_f64() as i64 + bias) as u64) << fraction)
            }
            #[inline(always)]
            fn split(self, a: E) -> (E, E) {
                let fraction = E::DIGITS - 1;
                let bias = (1i64 << (8 * E::BYTES as u32 - fraction - 2)) - 1;
                let exponent = (a.bits() >> fraction) as i64 - bias;
                let one = E::ONE.bits();
                let significand = a.bits() & ((1 << fraction) - 1) | one;
                (E::from_f64(exponent as f64), E::of_bits(significand))
            }
        }
    };
}

scalar!(Fused, |a: E, b: E, c: E| a.fused(b, c));
scalar!(Unfused, |a: E, b: E, c: E| a * b + c);
