//! Which vector units an x86-64 CPU has *and* its operating system saves, without the standard
//! library. A CPU that has AVX-512 under an operating system that does not save the wide registers
//! must not use it: CPUID alone does not tell, XCR0 does.
#![cfg_attr(feature = "std", allow(dead_code, reason = "the standard library's own detection is used"))]

/// What can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    pub avx2: bool,
    pub avx512: bool,
}

/// Where the answers come from: the CPU, or a test.
pub trait Cpu {
    /// `[eax, ebx, ecx, edx]` of a leaf (subleaf 0).
    fn cpuid(&self, leaf: u32) -> [u32; 4];
    /// XCR0. Only asked if CPUID says that the operating system has enabled XGETBV.
    fn xcr0(&self) -> u64;
}

/// The rules of Intel's manual, volume 1, sections 14.3 and 15.2.
pub fn units(cpu: &impl Cpu) -> Units {
    let has = |word: u32, bits: &[u32]| bits.iter().all(|bit| word >> bit & 1 == 1);
    let none = Units { avx2: false, avx512: false };
    if cpu.cpuid(0)[0] < 7 || cpu.cpuid(0x8000_0000)[0] < 0x8000_0001 {
        return none;
    }
    let ([_, _, ecx1, edx1], [_, ebx7, ..]) = (cpu.cpuid(1), cpu.cpuid(7));
    let extended = cpu.cpuid(0x8000_0001)[2];
    // OSXSAVE, then XCR0: SSE and AVX state for AVX; opmask and both halves of the upper ZMM state too for AVX-512.
    if !has(ecx1, &[27]) {
        return none;
    }
    let saved = cpu.xcr0();
    let ymm = saved & 0b110 == 0b110;
    let zmm = ymm && saved & 0b1110_0000 == 0b1110_0000;
    // FXSR, SSE, SSE2; SSE3, SSSE3, FMA, SSE4.1, SSE4.2, POPCNT, AVX; LZCNT; BMI1, AVX2, BMI2.
    let v3 = has(edx1, &[24, 25, 26])
        && has(ecx1, &[0, 9, 12, 19, 20, 23, 28])
        && has(extended, &[5])
        && has(ebx7, &[3, 5, 8]);
    // AVX-512 F, DQ, CD, BW, VL.
    let v4 = v3 && has(ebx7, &[16, 17, 28, 30, 31]);
    Units { avx2: v3 && ymm, avx512: v4 && zmm }
}

/// The CPU this runs on.
struct ThisCpu;

impl Cpu for ThisCpu {
    #[allow(unused_unsafe, reason = "safe in newer versions of core")]
    fn cpuid(&self, leaf: u32) -> [u32; 4] {
        // SAFETY: every x86-64 CPU has CPUID.
        let r = unsafe { core::arch::x86_64::__cpuid_count(leaf, 0) };
        [r.eax, r.ebx, r.ecx, r.edx]
    }

    fn xcr0(&self) -> u64 {
        #[target_feature(enable = "xsave")]
        fn read() -> u64 {
            // SAFETY: the feature is enabled here.
            #[allow(unused_unsafe, reason = "safe in newer versions of core")]
            unsafe {
                core::arch::x86_64::_xgetbv(0)
            }
        }
        // SAFETY: asked only after CPUID has said that the operating system has enabled it (OSXSAVE).
        unsafe { read() }
    }
}

/// What this machine can use.
pub fn this_machine() -> Units {
    units(&ThisCpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU with everything, of which a test takes something away.
    struct Forged {
        ecx1: u32,
        ebx7: u32,
        extended: u32,
        xcr0: u64,
        leaves: u32,
    }

    const ALL: Forged = Forged { ecx1: !0, ebx7: !0, extended: !0, xcr0: !0, leaves: 0x20 };

    impl Cpu for Forged {
        fn cpuid(&self, leaf: u32) -> [u32; 4] {
            match leaf {
                0 => [self.leaves, 0, 0, 0],
                1 => [0, 0, self.ecx1, !0],
                7 => [0, self.ebx7, 0, 0],
                0x8000_0000 => [0x8000_0008, 0, 0, 0],
                0x8000_0001 => [0, 0, self.extended, 0],
                _ => [0; 4],
            }
        }
        fn xcr0(&self) -> u64 {
            assert!(self.ecx1 >> 27 & 1 == 1, "XGETBV without OSXSAVE would be an illegal instruction");
            self.xcr0
        }
    }

    #[test]
    fn everything_is_used_where_everything_is_there() {
        assert_eq!(units(&ALL), Units { avx2: true, avx512: true });
    }

    #[test]
    fn registers_that_the_operating_system_does_not_save_are_not_used() {
        assert_eq!(units(&Forged { xcr0: 0b0000_0111, ..ALL }), Units { avx2: true, avx512: false });
        assert_eq!(units(&Forged { xcr0: 0b0110_0111, ..ALL }), Units { avx2: true, avx512: false });
        assert_eq!(units(&Forged { xcr0: 0b1110_0011, ..ALL }), Units { avx2: false, avx512: false });
        assert_eq!(units(&Forged { ecx1: !(1 << 27), ..ALL }), Units { avx2: false, avx512: false });
    }

    #[test]
    fn features_that_the_cpu_lacks_are_not_used() {
        assert_eq!(units(&Forged { ebx7: !(1 << 31), ..ALL }), Units { avx2: true, avx512: false });
        assert_eq!(units(&Forged { ebx7: !(1 << 5), ..ALL }), Units { avx2: false, avx512: false });
        assert_eq!(units(&Forged { ecx1: !(1 << 12), ..ALL }), Units { avx2: false, avx512: false });
        assert_eq!(units(&Forged { extended: !(1 << 5), ..ALL }), Units { avx2: false, avx512: false });
        assert_eq!(units(&Forged { leaves: 6, ..ALL }), Units { avx2: false, avx512: false });
    }

    #[test]
    #[cfg(feature = "std")]
    fn it_agrees_with_the_standard_library() {
        let ours = this_machine();
        assert_eq!(ours.avx2, pulp::x86::V3::try_new().is_some());
        assert_eq!(ours.avx512, pulp::x86::V4::try_new().is_some());
    }
}
