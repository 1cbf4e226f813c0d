//! SSE2, which every x86-64 CPU has: 16 registers of 128 bits, no fused multiply-add, no masks. The tile
//! of 6 rows and 2 vectors has 12 accumulators, 2 registers for a row of B, one for A and one for a
//! product. Nothing proves the unit but the target.

use core::arch::x86_64::*;

use trine_core::{Lanes, Rounding};

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::Vector;

/// The vector unit of 128 bits that is part of x86-64.
#[derive(Clone, Copy, Debug)]
pub struct Sse2;

/// Four `f32`: what is not one instruction. Everything here needs SSE2 only.
mod single {
    use super::*;

    /// Adding it puts a whole number into the low bits of the significand.
    const MAGIC: f32 = 12582912.0;

    #[inline(always)]
    pub unsafe fn pow2(n: __m128) -> __m128 {
        // SAFETY: SSE2 is part of the target.
        unsafe {
            let field = _mm_castps_si128(_mm_add_ps(n, _mm_set1_ps(MAGIC + 127.0)));
            _mm_castsi128_ps(_mm_slli_epi32::<23>(field))
        }
    }

    #[inline(always)]
    pub unsafe fn split(a: __m128) -> (__m128, __m128) {
        // SAFETY: SSE2 is part of the target.
        unsafe {
            let exponent = _mm_cvtepi32_ps(_mm_srli_epi32::<23>(_mm_castps_si128(a)));
            let fraction = _mm_and_ps(a, _mm_castsi128_ps(_mm_set1_epi32(0x7f_ffff)));
            (_mm_sub_ps(exponent, _mm_set1_ps(127.0)), _mm_or_ps(fraction, _mm_set1_ps(1.0)))
        }
    }

    #[inline(always)]
    pub unsafe fn load(p: *const f32, n: usize) -> __m128 {
        // SAFETY: the caller says that n elements can be read; each arm reads as many.
        unsafe {
            let two = |p: *const f32| _mm_castpd_ps(_mm_load_sd(p.cast()));
            match n {
                0 => _mm_setzero_ps(),
                1 => _mm_load_ss(p),
                2 => two(p),
                3 => _mm_movelh_ps(two(p), _mm_load_ss(p.add(2))),
                _ => _mm_loadu_ps(p),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn store(p: *mut f32, n: usize, v: __m128) {
        // SAFETY: the caller says that n elements can be written; each arm writes as many.
        unsafe {
            let two = |v| _mm_store_sd(p.cast(), _mm_castps_pd(v));
            match n {
                0 => {}
                1 => _mm_store_ss(p, v),
                2 => two(v),
                3 => {
                    two(v);
                    _mm_store_ss(p.add(2), _mm_movehl_ps(v, v));
                }
                _ => _mm_storeu_ps(p, v),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn turn(row: impl Fn(usize, usize) -> *const f32, put: impl FnMut(usize, __m128)) {
        // SAFETY: the caller says that the rows can be read.
        unsafe {
            transpose::quads::<_, 1>(
                |_, q| _mm_loadu_ps(row(0, q)),
                (|a, b| _mm_unpacklo_ps(a, b), |a, b| _mm_unpackhi_ps(a, b)),
                (|a, b| _mm_movelh_ps(a, b), |a, b| _mm_movehl_ps(b, a)),
                put,
            );
        }
    }
}

/// Two `f64`: what is not one instruction. Everything here needs SSE2 only.
mod double {
    use super::*;

    /// 2⁵²: a number from there to its double has a whole number as its significand.
    const WHOLE: f64 = 4503599627370496.0;

    #[inline(always)]
    pub unsafe fn pow2(n: __m128d) -> __m128d {
        // SAFETY: SSE2 is part of the target.
        unsafe {
            let field = _mm_castpd_si128(_mm_add_pd(n, _mm_set1_pd(1.5 * WHOLE + 1023.0)));
            _mm_castsi128_pd(_mm_slli_epi64::<52>(field))
        }
    }

    #[inline(always)]
    pub unsafe fn split(a: __m128d) -> (__m128d, __m128d) {
        // SAFETY: SSE2 is part of the target.
        unsafe {
            let field = _mm_castsi128_pd(_mm_srli_epi64::<52>(_mm_castpd_si128(a)));
            let exponent = _mm_or_pd(field, _mm_set1_pd(WHOLE));
            let fraction = _mm_and_pd(a, _mm_castsi128_pd(_mm_set1_epi64x(0xf_ffff_ffff_ffff)));
            (_mm_sub_pd(exponent, _mm_set1_pd(WHOLE + 1023.0)), _mm_or_pd(fraction, _mm_set1_pd(1.0)))
        }
    }

    #[inline(always)]
    pub unsafe fn load(p: *const f64, n: usize) -> __m128d {
        // SAFETY: the caller says that n elements can be read; each arm reads as many.
        unsafe {
            match n {
                0 => _mm_setzero_pd(),
                1 => _mm_load_sd(p),
                _ => _mm_loadu_pd(p),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn store(p: *mut f64, n: usize, v: __m128d) {
        // SAFETY: the caller says that n elements can be written; each arm writes as many.
        unsafe {
            match n {
                0 => {}
                1 => _mm_store_sd(p, v),
                _ => _mm_storeu_pd(p, v),
            }
        }
    }

    #[inline(always)]
    pub unsafe fn turn(row: impl Fn(usize, usize) -> *const f64, put: impl FnMut(usize, __m128d)) {
        // SAFETY: the caller says that the rows can be read.
        unsafe {
            transpose::pairs::<_, 1>(
                |_, q| _mm_loadu_pd(row(0, q)),
                |a, b| _mm_unpacklo_pd(a, b),
                |a, b| _mm_unpackhi_pd(a, b),
                put,
            );
        }
    }
}

/// Lane by lane one instruction: `name(operands) = intrinsic`.
macro_rules! instructions {
    ($v:ident: $($name:ident($($arg:ident)*) = $intrinsic:ident;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $v),*) -> $v {
            // SAFETY: SSE2 is part of the target.
            unsafe { $intrinsic($($arg),*) }
        })*
    };
}

macro_rules! unit {
    ($e:ident, $v:ident, $lanes:literal, $rest:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident,
     $div:ident, $sqrt:ident, $and:ident, $andnot:ident, $or:ident, $less:ident, $max:ident) => {
        impl Lanes<$e> for Sse2 {
            type V = $v;
            type Mask = $v;
            const LANES: usize = $lanes;
            const ROUNDING: Rounding = Rounding::Unfused;

            instructions! { $v:
                add(a b) = $add;
                sub(a b) = $sub;
                mul(a b) = $mul;
                div(a b) = $div;
                sqrt(a) = $sqrt;
                less(a b) = $less;
            }

            #[inline(always)]
            fn splat(self, x: $e) -> $v {
                // SAFETY: SSE2 is part of the target.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            fn load(self, from: &[$e]) -> $v {
                // SAFETY: no more elements than the slice has.
                unsafe { $rest::load(from.as_ptr(), from.len().min($lanes)) }
            }
            #[inline(always)]
            fn store(self, to: &mut [$e], v: $v) {
                // SAFETY: no more elements than the slice has.
                unsafe { $rest::store(to.as_mut_ptr(), to.len().min($lanes), v) }
            }
            #[inline(always)]
            fn mul_add(self, a: $v, b: $v, c: $v) -> $v {
                Lanes::<$e>::add(self, Lanes::<$e>::mul(self, a, b), c)
            }
            #[inline(always)]
            fn abs(self, a: $v) -> $v {
                // SAFETY: SSE2 is part of the target.
                unsafe { $andnot($splat(-0.0), a) }
            }
            #[inline(always)]
            fn select(self, mask: $v, a: $v, b: $v) -> $v {
                // SAFETY: SSE2 is part of the target.
                unsafe { $or($and(mask, a), $andnot(mask, b)) }
            }
            #[inline(always)]
            fn pow2(self, n: $v) -> $v {
                // SAFETY: SSE2 is part of the target.
                unsafe { $rest::pow2(n) }
            }
            #[inline(always)]
            fn split(self, a: $v) -> ($v, $v) {
                // SAFETY: SSE2 is part of the target.
                unsafe { $rest::split(a) }
            }
        }

        impl Vector<$e> for Sse2 {
            type Tail = usize;

            #[inline(always)]
            fn tail(self, n: usize) -> usize {
                n
            }
            #[inline(always)]
            unsafe fn load_at(self, p: *const $e) -> $v {
                // SAFETY: the caller says that LANES elements can be read.
                unsafe { p.cast::<$v>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store_at(self, p: *mut $e, v: $v) {
                // SAFETY: the caller says that LANES elements can be written.
                unsafe { p.cast::<$v>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn load_tail(self, p: *const $e, tail: usize) -> $v {
                // SAFETY: the contract is the same.
                unsafe { $rest::load(p, tail) }
            }
            #[inline(always)]
            unsafe fn store_tail(self, p: *mut $e, tail: usize, v: $v) {
                // SAFETY: the contract is the same.
                unsafe { $rest::store(p, tail, v) }
            }
            #[inline(always)]
            unsafe fn turn(self, row: impl Fn(usize, usize) -> *const $e, put: impl FnMut(usize, $v)) {
                // SAFETY: the contract is the same; a row of the square has 16 bytes.
                unsafe { $rest::turn(row, put) }
            }
            #[inline(always)]
            unsafe fn turn_piece(self, row: impl Fn(usize, usize) -> *const $e, put: impl FnMut(usize, $v)) {
                // SAFETY: the contract is the same.
                unsafe { $rest::turn(row, put) }
            }
            #[inline(always)]
            fn prefetch(self, p: *const $e) {
                // SAFETY: a hint, which does not access memory in a way that can fault; SSE is part of the target.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            #[inline(always)]
            fn relu(self, v: $v) -> $v {
                // `0 > v ? 0 : v`: of two zeros or with a NaN the instruction gives its second operand.
                // SAFETY: SSE2 is part of the target.
                unsafe { $max($splat(0.0), v) }
            }
            #[inline(always)]
            fn vectorize<R, F: FnOnce() -> R>(self, f: F) -> R {
                f()
            }
        }

        impl Kernels<$e> for Sse2 {
            const ISA: Isa = Isa::Sse2;
            const TABLE: Table<Self, $e> = Table::NARROW;
        }
    };
}

unit!(
    f32,
    __m128,
    4,
    single,
    _mm_set1_ps,
    _mm_add_ps,
    _mm_sub_ps,
    _mm_mul_ps,
    _mm_div_ps,
    _mm_sqrt_ps,
    _mm_and_ps,
    _mm_andnot_ps,
    _mm_or_ps,
    _mm_cmplt_ps,
    _mm_max_ps
);
unit!(
    f64,
    __m128d,
    2,
    double,
    _mm_set1_pd,
    _mm_add_pd,
    _mm_sub_pd,
    _mm_mul_pd,
    _mm_div_pd,
    _mm_sqrt_pd,
    _mm_and_pd,
    _mm_andnot_pd,
    _mm_or_pd,
    _mm_cmplt_pd,
    _mm_max_pd
);
