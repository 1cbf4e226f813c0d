//! The numbers a layer is made of: `f32` and `f64`.

use core::fmt::{Debug, Display};
use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::math::coefficients::Coefficients;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point type the library computes with.
pub trait Element:
    sealed::Sealed
    + Coefficients
    + Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Its name, as in kernel names and reports.
    const NAME: &'static str;
    /// Size in bytes.
    const BYTES: usize;
    /// Bits of the significand, the hidden one included.
    const DIGITS: u32;
    /// +0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Not a number.
    const NAN: Self;
    /// +∞.
    const INFINITY: Self;

    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// The same value as `f64` (exact).
    fn to_f64(self) -> f64;
    /// The bits, in the low end.
    fn bits(self) -> u64;
    /// The value with these bits.
    fn of_bits(bits: u64) -> Self;
    /// `self·b + c`, rounded once: IEEE 754 fusedMultiplyAdd.
    fn fused(self, b: Self, c: Self) -> Self;
    /// The square root, correctly rounded.
    fn square_root(self) -> Self;
}

macro_rules! element {
    ($t:ident, $bits:ident, $fused:path, $root:path) => {
        impl Element for $t {
            const NAME: &'static str = stringify!($t);
            const BYTES: usize = size_of::<$t>();
            const DIGITS: u32 = $t::MANTISSA_DIGITS;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NAN: Self = $t::NAN;
            const INFINITY: Self = $t::INFINITY;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn bits(self) -> u64 {
                self.to_bits() as u64
            }

            #[inline(always)]
            fn of_bits(bits: u64) -> Self {
                $t::from_bits(bits as $bits)
            }

            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                #[cfg(feature = "std")]
                return self.mul_add(b, c);
                #[cfg(not(feature = "std"))]
                $fused(self, b, c)
            }

            #[inline(always)]
            fn square_root(self) -> Self {
                #[cfg(feature = "std")]
                return self.sqrt();
                #[cfg(not(feature = "std"))]
                $root(self)
            }
        }
    };
}

element!(f32, u32, crate::soft::fused_f32, crate::soft::sqrt_f32);
element!(f64, u64, crate::soft::fused_f64, crate::soft::sqrt_f64);
