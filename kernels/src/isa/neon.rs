//! NEON (aarch64): 32 registers of 128 bits. The tile of 8 rows and 3 vectors has 24 accumulators.

use core::arch::aarch64::*;
use core::mem::transmute;

use pulp::Simd;
use pulp::aarch64::Neon;

use super::{Isa, Kernels, transpose};
use crate::microkernel::Table;
use crate::vector::{Extra, Pulp};

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
