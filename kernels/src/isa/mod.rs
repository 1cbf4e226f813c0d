//! One file for each ISA: its tiles, its transposes. Nothing else knows an ISA; `dispatch` chooses one.

#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
    allow(dead_code, reason = "only SIMD units use it")
)]
mod transpose;

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub mod sse2;
#[cfg(trine_vfma_f32)]
pub mod vfma;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub mod wasm;

use core::fmt;
use core::str::FromStr;

use trine_core::{Element, Error};

use crate::microkernel::Table;
use crate::vector::Vector;

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// One value at a time, on any target.
    Portable,
    /// WebAssembly with simd128.
    Simd128,
    /// x86-64, any: without a fused multiply-add.
    Sse2,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL.
    Avx512,
    /// aarch64.
    Neon,
}

impl Isa {
    /// All of them, the widest last.
    pub const ALL: [Isa; 6] = [Isa::Portable, Isa::Simd128, Isa::Sse2, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// Its name, as in `TRINE_ISA` and in kernel names.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Simd128 => "simd128",
            Isa::Sse2 => "sse2",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Isa::ALL.into_iter().find(|isa| isa.name() == s).ok_or(Error::Value {
            operand: "the instruction set",
            expected: "one of portable, simd128, sse2, neon, avx2, avx512",
        })
    }
}

/// A vector unit with its microkernels for one element type.
pub trait Kernels<E: Element>: Vector<E> {
    /// Which one it is.
    const ISA: Isa;
    /// Every tile it has.
    const TABLE: Table<Self, E>;
}

/// What is the same on every x86 unit, for one element type.
#[cfg(target_arch = "x86_64")]
macro_rules! x86_same {
    ($e:ident, $v:ident, $max:ident, $splat:ident, $stream:ident, $raw:ident) => {
        #[inline(always)]
        fn prefetch(self, p: *const $e) {
            // SAFETY: a hint, which does not access memory in a way that can fault; SSE is part of x86-64.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }

        const HINTS: bool = true;

        #[inline(always)]
        unsafe fn store_past(self, p: *mut $e, v: Self::$v) {
            // SAFETY: the token proves the ISA; the caller says that a whole vector can be written at `p`, which
            // is aligned; a register of pulp's and one of the compiler's are the same.
            unsafe { $stream(p, transmute::<Self::$v, $raw>(v)) }
        }

        #[inline(always)]
        fn settle(self) {
            // SAFETY: SSE is part of x86-64.
            unsafe { _mm_sfence() }
        }

        #[inline(always)]
        fn relu(self, v: Self::$v) -> Self::$v {
            // `0 > v ? 0 : v`: of two zeros or with a NaN the instruction gives its second operand.
            self.$max(self.$splat(0.0), v)
        }
    };
}
#[cfg(target_arch = "x86_64")]
use x86_same;
