//! NEON (aarch64): 32 registers of 128 bits. The tile of 8 rows and 3 vectors has 24 accumulators.

use core::arch::aarch64::*;
use core::arch::asm;
use core::mem::transmute;

use pulp::Simd;
use pulp::aarch64::Neon;

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::{Extra, Pulp};

/// A column of A times a row of B. Of neighbours whole vectors are read, whose lanes the multiply-add
/// takes one by one; other elements are read into lane 0.
///
/// Accumulators and rows are read and written as vectors in memory, which is none once this is compiled:
/// as a value a vector of pulp's is scalars to the compiler, and it would keep them apart.
macro_rules! add_column {
    ($e:ident, $v:ident, $lanes:literal, $load:ident, $store:ident, $by_lane:ident, $by_first:ident, $($lane:literal)*) => {
        #[inline(always)]
        unsafe fn add_column<const MR: usize, const NRV: usize, const NEAR: bool>(
            self,
            acc: &mut [[Self::$v; NRV]; MR],
            (a, stride): (*const $e, usize),
            row: &[Self::$v; NRV],
        ) {
            let whole = if NEAR { MR / $lanes * $lanes } else { 0 };
            let (vectors, rest) = acc.split_at_mut(whole);
            // SAFETY: the token proves the ISA; the caller says that MR elements can be read; a vector of
            // pulp's is as many elements as a register, aligned as they are.
            unsafe {
                for (i, acc) in vectors.chunks_exact_mut($lanes).enumerate() {
                    let a = $load(a.add(i * $lanes));
                    $(for (acc, row) in acc[$lane].iter_mut().zip(row) {
                        let (acc, row) = ((&raw mut *acc).cast(), $load((&raw const *row).cast()));
                        $store(acc, $by_lane::<$lane>($load(acc), row, a));
                    })*
                }
                for (i, acc) in rest.iter_mut().enumerate() {
                    let mut a = *a.wrapping_add((whole + i) * stride);
                    // No instruction: a scalar in a register of its own. The compiler would have it spread
                    // by the load (`ld1r`), which takes the time of a multiply-add on many cores.
                    asm!("/* {0:v} */", inlateout(vreg) a, options(pure, nomem, nostack, preserves_flags));
                    for (acc, row) in acc.iter_mut().zip(row) {
                        let (acc, row) = ((&raw mut *acc).cast(), $load((&raw const *row).cast()));
                        $store(acc, $by_first($load(acc), row, a));
                    }
                }
            }
        }
    };
}

impl Extra<f32> for Neon {
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
                |c, q| vld1q_f32(row(0, q).add(4 * c)),
                (|a, b| vzip1q_f32(a, b), |a, b| vzip2q_f32(a, b)),
                (
                    |a, b| {
                        vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)))
                    },
                    |a, b| {
                        vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)))
                    },
                ),
                |i, v| put(i, transmute::<float32x4_t, Self::f32s>(v)),
            );
        }
    }

    add_column!(f32, f32s, 4, vld1q_f32, vst1q_f32, vfmaq_laneq_f32, vfmaq_n_f32, 0 1 2 3);

    #[inline(always)]
    fn relu(self, v: Self::f32s) -> Self::f32s {
        // The instruction for a maximum would make +0 of −0.
        let zero = self.splat_f32s(0.0);
        self.select_f32s(self.less_than_f32s(v, zero), zero, v)
    }
}

impl Extra<f64> for Neon {
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
                |c, q| vld1q_f64(row(0, q).add(2 * c)),
                |a, b| vzip1q_f64(a, b),
                |a, b| vzip2q_f64(a, b),
                |i, v| put(i, transmute::<float64x2_t, Self::f64s>(v)),
            );
        }
    }

    add_column!(f64, f64s, 2, vld1q_f64, vst1q_f64, vfmaq_laneq_f64, vfmaq_n_f64, 0 1);

    #[inline(always)]
    fn relu(self, v: Self::f64s) -> Self::f64s {
        // The instruction for a maximum would make +0 of −0.
        let zero = self.splat_f64s(0.0);
        self.select_f64s(self.less_than_f64s(v, zero), zero, v)
    }
}

impl Kernels<f32> for Pulp<Neon> {
    const ISA: Isa = Isa::Neon;
    const TABLE: Table<Self, f32> = Table::WIDE;
}

impl Kernels<f64> for Pulp<Neon> {
    const ISA: Isa = Isa::Neon;
    const TABLE: Table<Self, f64> = Table::WIDE;
}
