//! AVX-512 (F, BW, CD, DQ, VL): 32 registers of 512 bits. The tile of 8 rows and 3 vectors has 24
//! accumulators, 3 registers for a row of B and a rest for A: for every 24 multiply-adds (12 cycles
//! on two ports) 11 loads (5½ cycles).

use core::arch::x86_64::*;
use core::mem::transmute;

use pulp::Simd;
use pulp::x86::V4;

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::{Extra, Pulp};

impl Extra<f32> for V4 {
    #[inline(always)]
    unsafe fn turn<const PIECES: usize>(
        self,
        row: impl Fn(usize, usize) -> *const f32,
        mut put: impl FnMut(usize, Self::f32s),
    ) {
        // SAFETY: the token proves the ISA; the caller says that the pieces can be read; a
        // register of pulp's and one of the compiler's are the same.
        unsafe {
            let (low, high) = (|a, b| _mm512_unpacklo_ps(a, b), |a, b| _mm512_unpackhi_ps(a, b));
            let (low2, high2) = (
                |a, b| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))),
                |a, b| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))),
            );
            if PIECES == 4 {
                let mut rows = [[_mm512_setzero_ps(); 4]; 4];
                for (l, columns) in rows.iter_mut().enumerate() {
                    let (r0, r1) = (_mm512_loadu_ps(row(l, 0)), _mm512_loadu_ps(row(l, 1)));
                    let (r2, r3) = (_mm512_loadu_ps(row(l, 2)), _mm512_loadu_ps(row(l, 3)));
                    let (a, b, x, y) = (low(r0, r1), low(r2, r3), high(r0, r1), high(r2, r3));
                    // Column 4i + j of these four rows is in lane i of vector j.
                    *columns = [low2(a, b), high2(a, b), low2(x, y), high2(x, y)];
                }
                let mut columns = [[_mm512_setzero_ps(); 4]; 4];
                for j in 0..4 {
                    columns[j] = transpose::lanes(
                        [rows[0][j], rows[1][j], rows[2][j], rows[3][j]],
                        (
                            |a, b| _mm512_shuffle_f32x4::<0x44>(a, b),
                            |a, b| _mm512_shuffle_f32x4::<0xEE>(a, b),
                        ),
                        (
                            |a, b| _mm512_shuffle_f32x4::<0x88>(a, b),
                            |a, b| _mm512_shuffle_f32x4::<0xDD>(a, b),
                        ),
                    );
                }
                for i in 0..16 {
                    put(i, transmute::<__m512, Self::f32s>(columns[i % 4][i / 4]));
                }
                return;
            }
            transpose::quads::<_, PIECES>(
                |c, q| {
                    let piece = |l: usize| _mm_loadu_ps(row(l, q).add(4 * c));
                    let v = _mm512_castps128_ps512(piece(0));
                    let v = _mm512_insertf32x4::<1>(v, piece(1));
                    let v = _mm512_insertf32x4::<2>(v, piece(2));
                    _mm512_insertf32x4::<3>(v, piece(3))
                },
                (low, high),
                (low2, high2),
                |i, v| put(i, transmute::<__m512, Self::f32s>(v)),
            );
        }
    }

    super::x86_same!(f32, f32s, max_f32s, splat_f32s, _mm512_stream_ps, __m512);
}

impl Extra<f64> for V4 {
    #[inline(always)]
    unsafe fn turn<const PIECES: usize>(
        self,
        row: impl Fn(usize, usize) -> *const f64,
        mut put: impl FnMut(usize, Self::f64s),
    ) {
        // SAFETY: the token proves the ISA; the caller says that the pieces can be read; a
        // register of pulp's and one of the compiler's are the same.
        unsafe {
            let (low, high) = (|a, b| _mm512_unpacklo_pd(a, b), |a, b| _mm512_unpackhi_pd(a, b));
            if PIECES == 4 {
                let mut rows = [[_mm512_setzero_pd(); 2]; 4];
                for (l, columns) in rows.iter_mut().enumerate() {
                    let (r0, r1) = (_mm512_loadu_pd(row(l, 0)), _mm512_loadu_pd(row(l, 1)));
                    *columns = [low(r0, r1), high(r0, r1)];
                }
                let mut columns = [[_mm512_setzero_pd(); 4]; 2];
                for j in 0..2 {
                    columns[j] = transpose::lanes(
                        [rows[0][j], rows[1][j], rows[2][j], rows[3][j]],
                        (
                            |a, b| _mm512_shuffle_f64x2::<0x44>(a, b),
                            |a, b| _mm512_shuffle_f64x2::<0xEE>(a, b),
                        ),
                        (
                            |a, b| _mm512_shuffle_f64x2::<0x88>(a, b),
                            |a, b| _mm512_shuffle_f64x2::<0xDD>(a, b),
                        ),
                    );
                }
                for i in 0..8 {
                    put(i, transmute::<__m512d, Self::f64s>(columns[i % 2][i / 2]));
                }
                return;
            }
            transpose::pairs::<_, PIECES>(
                |c, q| {
                    let piece = |l: usize| _mm_loadu_pd(row(l, q).add(2 * c));
                    let v = _mm512_castpd128_pd512(piece(0));
                    let v = _mm512_insertf64x2::<1>(v, piece(1));
                    let v = _mm512_insertf64x2::<2>(v, piece(2));
                    _mm512_insertf64x2::<3>(v, piece(3))
                },
                low,
                high,
                |i, v| put(i, transmute::<__m512d, Self::f64s>(v)),
            );
        }
    }

    super::x86_same!(f64, f64s, max_f64s, splat_f64s, _mm512_stream_pd, __m512d);
}

impl Kernels<f32> for Pulp<V4> {
    const ISA: Isa = Isa::Avx512;
    const TABLE: Table<Self, f32> = Table::WIDE;
}

impl Kernels<f64> for Pulp<V4> {
    const ISA: Isa = Isa::Avx512;
    const TABLE: Table<Self, f64> = Table::WIDE;
}
