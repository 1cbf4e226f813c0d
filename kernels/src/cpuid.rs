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

    const NONE: Units = Units { avx2: false, avx512: false };
    const AVX2: Units = Units { avx2: true, avx512: false };
    const BOTH: Units = Units { avx2: true, avx512: true };

    /// The words that a CPU answers with.
    #[derive(Clone, Copy, Debug)]
    struct Forged {
        leaves: u32,
        ecx1: u32,
        edx1: u32,
        ebx7: u32,
        extended_leaves: u32,
        extended: u32,
        xcr0: u64,
    }

    /// Has everything, of which a test takes something away.
    const ALL: Forged = Forged {
        leaves: 0x20,
        ecx1: !0,
        edx1: !0,
        ebx7: !0,
        extended_leaves: 0x8000_0008,
        extended: !0,
        xcr0: !0,
    };

    impl Cpu for Forged {
        fn cpuid(&self, leaf: u32) -> [u32; 4] {
            let most = if leaf < 0x8000_0000 { self.leaves } else { self.extended_leaves };
            assert!(
                leaf & !0x8000_0000 == 0 || leaf <= most,
                "a leaf that the CPU lacks answers with another"
            );
            match leaf {
                0 => [self.leaves, 0, 0, 0],
                1 => [0, 0, self.ecx1, self.edx1],
                7 => [0, self.ebx7, 0, 0],
                0x8000_0000 => [self.extended_leaves, 0, 0, 0],
                0x8000_0001 => [0, 0, self.extended, 0],
                _ => panic!("no one asked for leaf {leaf:#x}"),
            }
        }
        fn xcr0(&self) -> u64 {
            assert!(self.ecx1 >> 27 & 1 == 1, "XGETBV without OSXSAVE would be an illegal instruction");
            self.xcr0
        }
    }

    /// Words with these bits and no others.
    fn bits(of: &[u32]) -> u32 {
        of.iter().fold(0, |word, bit| word | 1 << bit)
    }

    /// Has what the rules name and nothing else.
    fn least() -> Forged {
        Forged {
            leaves: 7,
            ecx1: bits(&[0, 9, 12, 19, 20, 23, 27, 28]),
            edx1: bits(&[24, 25, 26]),
            ebx7: bits(&[3, 5, 8, 16, 17, 28, 30, 31]),
            extended_leaves: 0x8000_0001,
            extended: bits(&[5]),
            xcr0: 0b1110_0110,
        }
    }

    #[test]
    fn what_is_there_is_used() {
        assert_eq!(units(&ALL), BOTH);
        assert_eq!(units(&least()), BOTH);
    }

    /// OSXSAVE off, and each part of the state that XCR0 tells: SSE, AVX; opmask, the upper halves of
    /// ZMM0-15, ZMM16-31.
    #[test]
    fn registers_that_the_operating_system_does_not_save_are_not_used() {
        for cpu in [ALL, least()] {
            assert_eq!(units(&Forged { ecx1: cpu.ecx1 & !(1 << 27), ..cpu }), NONE);
            for (bit, found) in [(1, NONE), (2, NONE), (5, AVX2), (6, AVX2), (7, AVX2)] {
                let without = Forged { xcr0: cpu.xcr0 & !(1 << bit), ..cpu };
                assert_eq!(units(&without), found, "without bit {bit} of XCR0");
            }
            assert_eq!(units(&Forged { xcr0: 0b0000_0001, ..cpu }), NONE);
            assert_eq!(units(&Forged { xcr0: 0b0000_0111, ..cpu }), AVX2);
            assert_eq!(units(&Forged { xcr0: 0b1110_0001, ..cpu }), NONE);
        }
    }

    /// Each feature of the two tokens alone.
    #[test]
    fn a_single_missing_feature_is_missed() {
        let leaf1 = [
            (0, "SSE3"),
            (9, "SSSE3"),
            (12, "FMA"),
            (19, "SSE4.1"),
            (20, "SSE4.2"),
            (23, "POPCNT"),
            (28, "AVX"),
        ];
        let leaf7 = [
            (3, "BMI1", NONE),
            (5, "AVX2", NONE),
            (8, "BMI2", NONE),
            (16, "AVX-512 F", AVX2),
            (17, "AVX-512 DQ", AVX2),
            (28, "AVX-512 CD", AVX2),
            (30, "AVX-512 BW", AVX2),
            (31, "AVX-512 VL", AVX2),
        ];
        for cpu in [ALL, least()] {
            for (bit, name) in leaf1 {
                assert_eq!(units(&Forged { ecx1: cpu.ecx1 & !(1 << bit), ..cpu }), NONE, "{name}");
            }
            for (bit, name) in [(24, "FXSR"), (25, "SSE"), (26, "SSE2")] {
                assert_eq!(units(&Forged { edx1: cpu.edx1 & !(1 << bit), ..cpu }), NONE, "{name}");
            }
            for (bit, name, found) in leaf7 {
                assert_eq!(units(&Forged { ebx7: cpu.ebx7 & !(1 << bit), ..cpu }), found, "{name}");
            }
            assert_eq!(units(&Forged { extended: cpu.extended & !(1 << 5), ..cpu }), NONE, "LZCNT");
        }
    }

    /// A leaf beyond the last answers with the words of another: these must not be asked for.
    #[test]
    fn leaves_that_the_cpu_lacks_are_not_asked_for() {
        for leaves in 0..7 {
            assert_eq!(units(&Forged { leaves, ..ALL }), NONE, "{leaves} leaves");
        }
        for extended_leaves in [0, 0x8000_0000] {
            assert_eq!(units(&Forged { extended_leaves, ..ALL }), NONE, "{extended_leaves:#x}");
        }
    }

    /// On the machine of the tests, with and without the feature `std` of this crate.
    #[test]
    fn it_agrees_with_the_standard_library() {
        // A macro that takes names of features.
        macro_rules! all {
            ($($feature:tt)*) => { $(std::is_x86_feature_detected!($feature))&&* };
        }
        let avx2 = all!("sse3" "ssse3" "fma" "sse4.1" "sse4.2" "popcnt" "avx" "lzcnt" "bmi1" "avx2" "bmi2");
        let avx512 = avx2 && all!("avx512f" "avx512dq" "avx512cd" "avx512bw" "avx512vl");
        assert_eq!(this_machine(), Units { avx2, avx512 });
        for (isa, found) in [(crate::Isa::Avx2, avx2), (crate::Isa::Avx512, avx512)] {
            assert_eq!(isa.is_available(), found, "{isa}");
        }
    }
}
