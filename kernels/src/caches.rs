//! The sizes of this machine's caches, where it tells them.

use crate::plan::Caches;

/// What CPUID tells (leaf 4, on AMD 0x8000_001D: the same format), or the defaults.
#[cfg(target_arch = "x86_64")]
pub fn detect() -> Caches {
    #[allow(unused_unsafe, reason = "safe in newer versions of core")]
    let cpuid = |leaf, sub| {
        // SAFETY: every x86-64 CPU has CPUID.
        unsafe { core::arch::x86_64::__cpuid_count(leaf, sub) }
    };
    let amd = cpuid(0, 0).ecx == u32::from_le_bytes(*b"cAMD");
    let (leaf, known) =
        if amd { (0x8000_001d, cpuid(0x8000_0000, 0).eax >= 0x8000_001d) } else { (4, cpuid(0, 0).eax >= 4) };
    let mut caches = Caches::DEFAULT;
    for sub in (0..8).take_while(|_| known) {
        let r = cpuid(leaf, sub);
        let (kind, level) = (r.eax & 0x1f, r.eax >> 5 & 7);
        let field = |shift: u32, bits: u32| ((r.ebx >> shift & ((1 << bits) - 1)) + 1) as usize;
        let size = field(0, 12) * field(12, 10) * field(22, 10) * (r.ecx as usize + 1);
        match (kind, level) {
            (0, _) => break,
            (1 | 3, 1) => caches.l1 = size,
            (1 | 3, 2) => caches.l2 = size,
            (1 | 3, 3) => caches.l3 = size,
            _ => {}
        }
    }
    caches
}

/// The defaults.
#[cfg(not(target_arch = "x86_64"))]
pub fn detect() -> Caches {
    Caches::DEFAULT
}

impl Caches {
    /// Those of this machine where its CPU tells them (x86-64), else [`Caches::DEFAULT`].
    pub fn detect() -> Self {
        detect()
    }
}
