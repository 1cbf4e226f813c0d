//! AVX2 with FMA: 16 registers of 256 bits. The tile of 6 rows and 2 vectors has 12 accumulators,
//! 2 registers for a row of B and one for A: for every 12 multiply-adds (6 cycles on two ports) 8
//! loads (4 cycles).

use core::arch::x86_64::*;
use core::mem::transmute;

use pulp::Simd;
use pulp::x86::V3;

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::{Extra, Pulp};

impl Extra<f32> for V3 {
    #[inline(always)]
    unsafe fn turn<const PIECES: usize>(
        self,
        row: impl Fn(usize, usize) -> *const f32,
        mut put: impl FnMut(usize, Self::f32s),
    ) {
        // SAFETY: the token proves the ISA; the caller says that the pieces can be read; a
        // register of pulp's and one of the compiler's are the same.
        unsafe {
            transpose::quads::<_, PIECES>(
                |c, q| {
                    let piece = |l: usize| _mm_loadu_ps(row(l, q).add(4 * c));
                    _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(piece(0)), piece(1))
                },
                (|a, b| _mm256_unpacklo_ps(a, b), |a, b| _mm256_unpackhi_ps(a, b)),
                (
                    |a, b| _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))),
                    |a, b| _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))),
                ),
                |i, v| put(i, transmute::<__m256, Self::f32s>(v)),
            );
        }
    }

    // A masked store takes tens of cycles on some processors.
    #[inline(always)]
    unsafe fn store_first(self, mut p: *mut f32, n: usize, v: Self::f32s) -> bool {
        // SAFETY: the first `n` elements can be written, as the caller says, in halves that are left of the vector.
        unsafe {
            let v = transmute::<Self::f32s, __m256>(v);
            if n >= 8 {
                _mm256_storeu_ps(p, v);
                return true;
            }
            let mut rest = _mm256_castps256_ps128(v);
            if n & 4 != 0 {
                _mm_storeu_ps(p, rest);
                (p, rest) = (p.add(4), _mm256_extractf128_ps::<1>(v));
            }
            if n & 2 != 0 {
                _mm_storel_pd(p.cast(), _mm_castps_pd(rest));
                (p, rest) = (p.add(2), _mm_movehl_ps(rest, rest));
            }
            if n & 1 != 0 {
                _mm_store_ss(p, rest);
            }
        }
        true
    }

    super::x86_same!(f32, f32s, max_f32s, splat_f32s, _mm256_stream_ps, __m256);
}

impl Extra<f64> for V3 {
    #[inline(always)]
    unsafe fn turn<const PIECES: usize>(
        self,
        row: impl Fn(usize, usize) -> *const f64,
        mut put: impl FnMut(usize, Self::f64s),
    ) {
        // SAFETY: the token proves the ISA; the caller says that the pieces can be read; a
        // register of pulp's and one of the compiler's are the same.
        unsafe {
            transpose::pairs::<_, PIECES>(
                |c, q| {
                    let piece = |l: usize| _mm_loadu_pd(row(l, q).add(2 * c));
                    _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(piece(0)), piece(1))
                },
                |a, b| _mm256_unpacklo_pd(a, b),
                |a, b| _mm256_unpackhi_pd(a, b),
                |i, v| put(i, transmute::<__m256d, Self::f64s>(v)),
            );
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f64, n: usize, v: Self::f64s) -> bool {
        // SAFETY: `n` elements are twice as many of half the size; a register holds either.
        unsafe { Extra::<f32>::store_first(self, p.cast(), 2 * n, transmute::<Self::f64s, Self::f32s>(v)) }
    }

    super::x86_same!(f64, f64s, max_f64s, splat_f64s, _mm256_stream_pd, __m256d);
}

impl Kernels<f32> for Pulp<V3> {
    const ISA: Isa = Isa::Avx2;
    const TABLE: Table<Self, f32> = Table::NARROW;
}

impl Kernels<f64> for Pulp<V3> {
    const ISA: Isa = Isa::Avx2;
    const TABLE: Table<Self, f64> = Table::NARROW;
}
