//! One file for each ISA: its token, its tiles, its transposes. Nothing else knows an ISA.

#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
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

use trine_core::Element;

use crate::dispatch::Isa;
use crate::microkernel::Table;
use crate::vector::Vector;

/// A vector unit with its microkernels for one element type.
pub trait Kernels<E: Element>: Vector<E> {
    /// Which one it is.
    const ISA: Isa;
    /// Every tile it has.
    const TABLE: Table<Self, E>;
}

/// Asks for the cache line at `p`, which may be any address.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn x86_prefetch(p: *const i8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint; it does not access memory in a way that can fault. SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(p) }
}
