//! AVX2 with FMA: 16 registers of 256 bits. The tile of 6 rows and 2 vectors has 12 accumulators,
//! 2 registers for a row of B and one for A: for every 12 multiply-adds (6 cycles on two ports) 8
//! loads (4 cycles).

use core::arch::x86_64::*;

use pulp::Simd;
use pulp::x86::V3;

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::{Extra, Pulp};

impl Extra<f32> for V3 {
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        // SAFETY: the token proves the ISA; the caller says that both 8×8 blocks can be accessed.
        unsafe {
            transpose::quads(
                2,
                |c, q| {
                    let piece = |l: usize| _mm_loadu_ps(from.add((4 * l + q) * from_row + 4 * c));
                    _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(piece(0)), piece(1))
                },
                (|a, b| _mm256_unpacklo_ps(a, b), |a, b| _mm256_unpackhi_ps(a, b)),
                (
                    |a, b| _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))),
                    |a, b| _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))),
                ),
                |i, v| _mm256_storeu_ps(to.add(i * to_row), v),
            );
        }
    }

    super::x86_same!(f32, f32s, max_f32s, splat_f32s);
}

impl Extra<f64> for V3 {
    #[inline(always)]
    unsafe fn transpose(self, from: *const f64, from_row: usize, to: *mut f64, to_row: usize) {
        // SAFETY: the token proves the ISA; the caller says that both 4×4 blocks can be accessed.
        unsafe {
            transpose::pairs(
                2,
                |c, q| {
                    let piece = |l: usize| _mm_loadu_pd(from.add((2 * l + q) * from_row + 2 * c));
                    _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(piece(0)), piece(1))
                },
                |a, b| _mm256_unpacklo_pd(a, b),
                |a, b| _mm256_unpackhi_pd(a, b),
                |i, v| _mm256_storeu_pd(to.add(i * to_row), v),
            );
        }
    }

    super::x86_same!(f64, f64s, max_f64s, splat_f64s);
}

impl Kernels<f32> for Pulp<V3> {
    const ISA: Isa = Isa::Avx2;
    const TABLE: Table<Self, f32> = Table::NARROW;
}

impl Kernels<f64> for Pulp<V3> {
    const ISA: Isa = Isa::Avx2;
    const TABLE: Table<Self, f64> = Table::NARROW;
}
