//! One value at a time, on any target. The multiply-add is fused where the target has the
//! instruction in its baseline, and rounded twice elsewhere.

use trine_core::{Element, Lanes, Rounding, Unfused};

use super::{Isa, Kernels};
use crate::microkernel::Table;
use crate::scalar;
use crate::vector::Vector;

/// Whether the target has a scalar fused multiply-add for this many bytes.
const fn fused(bytes: usize) -> bool {
    let both = cfg!(any(target_feature = "fma", target_arch = "aarch64", trine_fmadd));
    both || (cfg!(trine_vfma_f32) && bytes == 4)
}

/// `a·b + c`, rounded once, with the target's instruction.
#[inline(always)]
fn fused_mul_add<E: Element>(a: E, b: E, c: E) -> E {
    #[cfg(any(trine_vfma_f32, trine_fmadd, target_arch = "aarch64"))]
    {
        asm::mul_add(a, b, c)
    }
    #[cfg(not(any(trine_vfma_f32, trine_fmadd, target_arch = "aarch64")))]
    {
        // With the standard library and the instruction in the baseline this is the instruction.
        a.fused(b, c)
    }
}

/// `core` does not expose the instruction on stable: inline assembly for this one.
#[cfg(any(trine_vfma_f32, trine_fmadd, target_arch = "aarch64"))]
mod asm {
    use trine_core::Element;

    #[inline(always)]
    pub fn mul_add<E: Element>(a: E, b: E, c: E) -> E {
        if E::BYTES == 4 {
            let (a, b, c) = (a.bits() as u32, b.bits() as u32, c.bits() as u32);
            E::of_bits(single(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c)).to_bits() as u64)
        } else {
            let (a, b, c) = (a.bits(), b.bits(), c.bits());
            E::of_bits(double(f64::from_bits(a), f64::from_bits(b), f64::from_bits(c)).to_bits())
        }
    }

    #[cfg(trine_vfma_f32)]
    #[inline(always)]
    fn single(a: f32, b: f32, mut c: f32) -> f32 {
        // SAFETY: the build script sets the flag only for targets whose baseline has VFPv4; the
        // instructions read and write the named registers only. The operands come in core registers
        // because the compiler hands out single-precision ones only where there are double-precision
        // ones too, which these targets lack.
        unsafe {
            core::arch::asm!("vmov s0, s1, {a}, {b}", "vmov s2, {c}", "vfma.f32 s2, s0, s1", "vmov {c}, s2",
                a = in(reg) a, b = in(reg) b, c = inout(reg) c, out("s0") _, out("s1") _, out("s2") _,
                options(pure, nomem, nostack, preserves_flags));
        }
        c
    }

    #[cfg(trine_vfma_f32)]
    #[inline(always)]
    fn double(a: f64, b: f64, c: f64) -> f64 {
        a.fused(b, c)
    }

    #[cfg(trine_fmadd)]
    #[inline(always)]
    fn single(a: f32, b: f32, c: f32) -> f32 {
        let out: f32;
        // SAFETY: the build script sets the flag only for targets whose baseline has F and D; touches the named
        // registers only.
        unsafe {
            core::arch::asm!("fmadd.s {out}, {a}, {b}, {c}", a = in(freg) a, b = in(freg) b, c = in(freg) c,
                out = lateout(freg) out, options(pure, nomem, nostack, preserves_flags));
        }
        out
    }

    #[cfg(trine_fmadd)]
    #[inline(always)]
    fn double(a: f64, b: f64, c: f64) -> f64 {
        let out: f64;
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("fmadd.d {out}, {a}, {b}, {c}", a = in(freg) a, b = in(freg) b, c = in(freg) c,
                out = lateout(freg) out, options(pure, nomem, nostack, preserves_flags));
        }
        out
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    fn single(a: f32, b: f32, c: f32) -> f32 {
        let out: f32;
        // SAFETY: part of every aarch64 baseline with floating point; touches the named registers only.
        unsafe {
            core::arch::asm!("fmadd {out:s}, {a:s}, {b:s}, {c:s}", a = in(vreg) a, b = in(vreg) b,
                c = in(vreg) c, out = lateout(vreg) out, options(pure, nomem, nostack, preserves_flags));
        }
        out
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    fn double(a: f64, b: f64, c: f64) -> f64 {
        let out: f64;
        // SAFETY: part of every aarch64 baseline with floating point; touches the named registers only.
        unsafe {
            core::arch::asm!("fmadd {out:d}, {a:d}, {b:d}, {c:d}", a = in(vreg) a, b = in(vreg) b,
                c = in(vreg) c, out = lateout(vreg) out, options(pure, nomem, nostack, preserves_flags));
        }
        out
    }
}

/// The vector unit of one lane that every target has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

macro_rules! same_as_scalar {
    ($($name:ident($($arg:ident: $t:ty),*) -> $out:ty;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $t),*) -> $out {
            Lanes::<E>::$name(Unfused, $($arg),*)
        })*
    };
}

impl<E: Element> Lanes<E> for Portable {
    type V = E;
    type Mask = bool;
    const LANES: usize = 1;
    const ROUNDING: Rounding = if fused(E::BYTES) { Rounding::Fused } else { Rounding::Unfused };

    #[inline(always)]
    fn mul_add(self, a: E, b: E, c: E) -> E {
        if fused(E::BYTES) { fused_mul_add(a, b, c) } else { a * b + c }
    }

    #[inline(always)]
    fn store(self, to: &mut [E], v: E) {
        Lanes::<E>::store(Unfused, to, v);
    }

    same_as_scalar! {
        splat(x: E) -> E;
        load(from: &[E]) -> E;
        add(a: E, b: E) -> E;
        sub(a: E, b: E) -> E;
        mul(a: E, b: E) -> E;
        div(a: E, b: E) -> E;
        sqrt(a: E) -> E;
        abs(a: E) -> E;
        less(a: E, b: E) -> bool;
        select(mask: bool, a: E, b: E) -> E;
        pow2(n: E) -> E;
        split(a: E) -> (E, E);
    }
}

impl<E: Element> Vector<E> for Portable {
    type Tail = ();

    #[inline(always)]
    fn tail(self, _: usize) {}

    #[inline(always)]
    unsafe fn load_at(self, p: *const E) -> E {
        // SAFETY: the caller says that the element can be read.
        unsafe { *p }
    }

    #[inline(always)]
    unsafe fn store_at(self, p: *mut E, v: E) {
        // SAFETY: the caller says that the element can be written.
        unsafe { *p = v }
    }

    #[inline(always)]
    unsafe fn load_tail(self, p: *const E, (): ()) -> E {
        // SAFETY: the tail of one lane is that lane.
        unsafe { *p }
    }

    #[inline(always)]
    unsafe fn store_tail(self, p: *mut E, (): (), v: E) {
        // SAFETY: the tail of one lane is that lane.
        unsafe { *p = v }
    }

    #[inline(always)]
    unsafe fn turn(self, row: impl Fn(usize, usize) -> *const E, mut put: impl FnMut(usize, E)) {
        // SAFETY: the one element of the one row.
        put(0, unsafe { *row(0, 0) });
    }

    #[inline(always)]
    unsafe fn turn_piece(self, row: impl Fn(usize, usize) -> *const E, mut put: impl FnMut(usize, E)) {
        for i in 0..16 / E::BYTES {
            // SAFETY: an element of the one row.
            put(i, unsafe { *row(0, 0).add(i) });
        }
    }

    #[inline(always)]
    fn prefetch(self, _: *const E) {}

    #[inline(always)]
    fn relu(self, v: E) -> E {
        if v < E::ZERO { E::ZERO } else { v }
    }

    #[inline(always)]
    fn vectorize<R, F: FnOnce() -> R>(self, f: F) -> R {
        f()
    }
}

impl<E: Element> Kernels<E> for Portable {
    const ISA: Isa = Isa::Portable;
    const TABLE: Table<Self, E> = scalar::Kernels::TABLE;
}
