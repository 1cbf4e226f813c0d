//! WebAssembly with simd128: vectors of 128 bits, no fused multiply-add, no masks. (relaxed-simd has a
//! multiply-add that may round once or twice, as the engine likes: no use here.) A module is compiled
//! for the instructions or refused as a whole, so nothing proves the unit but the target.
//!
//! There are as many registers as the machine of whoever runs the module has; engines on x86-64 have 15
//! to give. Of the tiles that about fit, 4 rows of 3 vectors did best (measured in V8: docs/PERFORMANCE.md).

use core::arch::wasm32::*;

use trine_core::{Lanes, Rounding};

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::Vector;

/// The vector unit of a module that is compiled with simd128.
#[derive(Clone, Copy, Debug)]
pub struct Simd128;

/// Four `f32`: what is not one instruction.
mod single {
    use super::*;

    /// Adding it puts a whole number into the low bits of the significand.
    const MAGIC: f32 = 12582912.0;

    #[inline(always)]
    pub fn pow2(n: v128) -> v128 {
        i32x4_shl(f32x4_add(n, f32x4_splat(MAGIC + 127.0)), 23)
    }

    #[inline(always)]
    pub fn split(a: v128) -> (v128, v128) {
        let exponent = f32x4_convert_i32x4(u32x4_shr(a, 23));
        let fraction = v128_and(a, u32x4_splat(0x7f_ffff));
        (f32x4_sub(exponent, f32x4_splat(127.0)), v128_or(fraction, f32x4_splat(1.0)))
    }

    #[inline(always)]
    pub unsafe fn load(p: *const f32, n: usize) -> v128 {
        // SAFETY: the caller says that n elements can be read; each arm reads as many.
        unsafe {
            match n {
                0 => f32x4_splat(0.0),
                1 => v128_load32_zero(p.cast()),
                2 => v128_load64_zero(p.cast()),
                3 => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
                _ => v128_load(p.cast()),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn store(p: *mut f32, n: usize, v: v128) {
        // SAFETY: the caller says that n elements can be written; each arm writes as many.
        unsafe {
            match n {
                0 => {}
                1 => v128_store32_lane::<0>(v, p.cast()),
                2 => v128_store64_lane::<0>(v, p.cast()),
                3 => {
                    v128_store64_lane::<0>(v, p.cast());
                    v128_store32_lane::<2>(v, p.add(2).cast());
                }
                _ => v128_store(p.cast(), v),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn turn(row: impl Fn(usize, usize) -> *const f32, put: impl FnMut(usize, v128)) {
        transpose::quads::<_, 1>(
            // SAFETY: the caller says that the rows can be read.
            |_, q| unsafe { v128_load(row(0, q).cast()) },
            (|a, b| i32x4_shuffle::<0, 4, 1, 5>(a, b), |a, b| i32x4_shuffle::<2, 6, 3, 7>(a, b)),
            (|a, b| i64x2_shuffle::<0, 2>(a, b), |a, b| i64x2_shuffle::<1, 3>(a, b)),
            put,
        );
    }
}

/// Two `f64`: what is not one instruction.
mod double {
    use super::*;

    /// 2⁵²: a number from there to its double has a whole number as its significand.
    const WHOLE: f64 = 4503599627370496.0;

    #[inline(always)]
    pub fn pow2(n: v128) -> v128 {
        i64x2_shl(f64x2_add(n, f64x2_splat(1.5 * WHOLE + 1023.0)), 52)
    }

    #[inline(always)]
    pub fn split(a: v128) -> (v128, v128) {
        let exponent = v128_or(u64x2_shr(a, 52), f64x2_splat(WHOLE));
        let fraction = v128_and(a, u64x2_splat(0xf_ffff_ffff_ffff));
        (f64x2_sub(exponent, f64x2_splat(WHOLE + 1023.0)), v128_or(fraction, f64x2_splat(1.0)))
    }

    #[inline(always)]
    pub unsafe fn load(p: *const f64, n: usize) -> v128 {
        // SAFETY: the caller says that n elements can be read; each arm reads as many.
        unsafe {
            match n {
                0 => f64x2_splat(0.0),
                1 => v128_load64_zero(p.cast()),
                _ => v128_load(p.cast()),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn store(p: *mut f64, n: usize, v: v128) {
        // SAFETY: the caller says that n elements can be written; each arm writes as many.
        unsafe {
            match n {
                0 => {}
                1 => v128_store64_lane::<0>(v, p.cast()),
                _ => v128_store(p.cast(), v),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn turn(row: impl Fn(usize, usize) -> *const f64, put: impl FnMut(usize, v128)) {
        transpose::pairs::<_, 1>(
            // SAFETY: the caller says that the rows can be read.
            |_, q| unsafe { v128_load(row(0, q).cast()) },
            |a, b| i64x2_shuffle::<0, 2>(a, b),
            |a, b| i64x2_shuffle::<1, 3>(a, b),
            put,
        );
    }
}

/// Lane by lane one instruction: `name(operands) = intrinsic`.
macro_rules! instructions {
    ($($name:ident($($arg:ident)*) = $intrinsic:ident;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: v128),*) -> v128 {
            $intrinsic($($arg),*)
        })*
    };
}

macro_rules! unit {
    ($e:ident, $lanes:literal, $rest:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
     $sqrt:ident, $abs:ident, $less:ident, $max:ident) => {
        impl Lanes<$e> for Simd128 {
            type V = v128;
            type Mask = v128;
            const LANES: usize = $lanes;
            const ROUNDING: Rounding = Rounding::Unfused;

            instructions! {
                add(a b) = $add;
                sub(a b) = $sub;
                mul(a b) = $mul;
                div(a b) = $div;
                sqrt(a) = $sqrt;
                abs(a) = $abs;
                less(a b) = $less;
            }

            #[inline(always)]
            fn splat(self, x: $e) -> v128 {
                $splat(x)
            }
            #[inline(always)]
            fn load(self, from: &[$e]) -> v128 {
                // SAFETY: no more elements than the slice has.
                unsafe { $rest::load(from.as_ptr(), from.len().min($lanes)) }
            }
            #[inline(always)]
            fn store(self, to: &mut [$e], v: v128) {
                // SAFETY: no more elements than the slice has.
                unsafe { $rest::store(to.as_mut_ptr(), to.len().min($lanes), v) }
            }
            #[inline(always)]
            fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
                $add($mul(a, b), c)
            }
            #[inline(always)]
            fn select(self, mask: v128, a: v128, b: v128) -> v128 {
                v128_bitselect(a, b, mask)
            }
            #[inline(always)]
            fn pow2(self, n: v128) -> v128 {
                $rest::pow2(n)
            }
            #[inline(always)]
            fn split(self, a: v128) -> (v128, v128) {
                $rest::split(a)
            }
        }

        impl Vector<$e> for Simd128 {
            type Tail = usize;

            #[inline(always)]
            fn tail(self, n: usize) -> usize {
                n
            }
            #[inline(always)]
            unsafe fn load_at(self, p: *const $e) -> v128 {
                // SAFETY: the caller says that LANES elements can be read; any address is aligned enough.
                unsafe { v128_load(p.cast()) }
            }
            #[inline(always)]
            unsafe fn store_at(self, p: *mut $e, v: v128) {
                // SAFETY: the caller says that LANES elements can be written; any address is aligned enough.
                unsafe { v128_store(p.cast(), v) }
            }
            #[inline(always)]
            unsafe fn load_tail(self, p: *const $e, tail: usize) -> v128 {
                // SAFETY: the contract is the same.
                unsafe { $rest::load(p, tail) }
            }
            #[inline(always)]
            unsafe fn store_tail(self, p: *mut $e, tail: usize, v: v128) {
                // SAFETY: the contract is the same.
                unsafe { $rest::store(p, tail, v) }
            }
            #[inline(always)]
            unsafe fn turn(self, row: impl Fn(usize, usize) -> *const $e, put: impl FnMut(usize, v128)) {
                // SAFETY: the contract is the same; a row of the square has 16 bytes.
                unsafe { $rest::turn(row, put) }
            }
            #[inline(always)]
            unsafe fn turn_piece(self, row: impl Fn(usize, usize) -> *const $e, put: impl FnMut(usize, v128)) {
                // SAFETY: the contract is the same.
                unsafe { $rest::turn(row, put) }
            }
            #[inline(always)]
            fn prefetch(self, _: *const $e) {}
            #[inline(always)]
            fn relu(self, v: v128) -> v128 {
                // `v < 0 ? 0 : v`, as the pseudo-maximum is defined.
                $max(v, $splat(0.0))
            }
            #[inline(always)]
            fn vectorize<R, F: FnOnce() -> R>(self, f: F) -> R {
                f()
            }
        }

        impl Kernels<$e> for Simd128 {
            const ISA: Isa = Isa::Simd128;
            const TABLE: Table<Self, $e> = Table::FIFTEEN;
        }
    };
}

unit!(
    f32,
    4,
    single,
    f32x4_splat,
    f32x4_add,
    f32x4_sub,
    f32x4_mul,
    f32x4_div,
    f32x4_sqrt,
    f32x4_abs,
    f32x4_lt,
    f32x4_pmax
);
unit!(
    f64,
    2,
    double,
    f64x2_splat,
    f64x2_add,
    f64x2_sub,
    f64x2_mul,
    f64x2_div,
    f64x2_sqrt,
    f64x2_abs,
    f64x2_lt,
    f64x2_pmax
);
