//! What memory allows: a loop that only reads, for the bandwidth of each level of the caches, and a
//! way to put data out of all of them.

use core::hint::black_box;

use trine_core::{Element, Error};

use crate::dispatch::{Dispatch, Job, Token};
use crate::isa::{Isa, Kernels};

/// Vectors that are read in a turn of the loop, each added to a sum of its own: more than the latency
/// of an addition hides behind two loads a cycle.
const VECTORS: usize = 16;

/// Reads all of `data` so many times, a vector of `isa` at a time, and returns how many bytes that
/// were. What is left behind the last 16 vectors is not read. The caller takes the time.
///
/// Every value is added to one of 16 sums, so no load can be left out; where vectors are as wide as
/// the load ports the additions cost nothing.
///
/// # Errors
/// [`Error::Isa`] if this machine does not have it.
pub fn read_loop<E: Dispatch>(isa: Isa, data: &[E], passes: u64) -> Result<u64, Error> {
    Ok(E::run(Token::require(isa)?, Passes(data, passes)))
}

struct Passes<'a, E>(&'a [E], u64);

impl<E: Element> Job<E> for Passes<'_, E> {
    type Output = u64;

    fn run<V: Kernels<E>>(self, v: V) -> u64 {
        let Passes(data, passes) = self;
        let turn = VECTORS * V::LANES;
        v.vectorize(
            #[inline(always)]
            || {
                let mut sums = [v.splat(E::ZERO); VECTORS];
                for _ in 0..passes {
                    for turn in black_box(data).chunks_exact(turn) {
                        let first = turn.as_ptr();
                        for (i, sum) in sums.iter_mut().enumerate() {
                            // SAFETY: the turn has VECTORS · LANES elements.
                            *sum = v.add(*sum, unsafe { v.load_at(first.add(i * V::LANES)) });
                        }
                    }
                }
                let sum = sums.into_iter().fold(v.splat(E::ZERO), |all, sum| v.add(all, sum));
                let mut out = [E::ZERO; 1];
                v.store(&mut out, sum);
                black_box(out);
            },
        );
        passes * (data.len() / turn * turn * E::BYTES) as u64
    }
}

/// Whether [`evict`] can do anything on this architecture.
pub const CAN_EVICT: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Writes all cache lines of `data` back and takes them out of every cache of the machine: the next
/// access goes to memory. Does nothing where the architecture has no such instruction for programs
/// ([`CAN_EVICT`]).
///
/// `clflush` on x86-64, `dc civac` on aarch64. Contents do not change.
pub fn evict<T>(data: &[T]) {
    let start = data.as_ptr().cast::<u8>();
    fence();
    for offset in offsets(size_of_val(data)) {
        // SAFETY: an address within the slice.
        unsafe { evict_line(start.add(offset)) };
    }
    fence();
}

/// Offsets into `len` bytes of which at least one lies in each cache line that they touch, wherever they begin.
fn offsets(len: usize) -> impl Iterator<Item = usize> {
    // No line is shorter; of a longer one each part is asked for.
    const STEP: usize = 64;
    // The last byte may be in a line of its own.
    (0..len).step_by(STEP).chain(len.checked_sub(1))
}

/// # Safety
/// `p` can be read.
#[cfg(target_arch = "x86_64")]
unsafe fn evict_line(p: *const u8) {
    // SAFETY: every x86-64 CPU has the instruction, which changes no content.
    unsafe { core::arch::x86_64::_mm_clflush(p) }
}

#[cfg(target_arch = "x86_64")]
fn fence() {
    // SAFETY: every x86-64 CPU has the instruction.
    #[allow(unused_unsafe, reason = "safe in newer versions of core")]
    unsafe {
        core::arch::x86_64::_mm_mfence();
    }
}

/// # Safety
/// `p` can be read.
#[cfg(target_arch = "aarch64")]
unsafe fn evict_line(p: *const u8) {
    // SAFETY: programs may use the instruction on what they can read; it changes no content.
    unsafe { core::arch::asm!("dc civac, {}", in(reg) p, options(nostack, preserves_flags)) }
}

#[cfg(target_arch = "aarch64")]
fn fence() {
    // SAFETY: a barrier has no other effect.
    unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) }
}

/// # Safety
/// None is needed here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn evict_line(_: *const u8) {}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn fence() {}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn counts_the_bytes_of_whole_turns() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let data = vec![1f32; 1000];
            let bytes = read_loop(isa, &data, 3).expect("available");
            // 16 vectors of 16, 8, 4 elements or of one.
            assert!(bytes % 3 == 0 && bytes / 3 <= 4000 && bytes / 3 > 4000 - 16 * 64, "{isa}: {bytes}");
            assert_eq!(read_loop::<f64>(isa, &[], 5), Ok(0));
        }
        let missing = if cfg!(target_arch = "aarch64") { Isa::Avx512 } else { Isa::Neon };
        assert!(read_loop(missing, &[1f32], 1).is_err());
    }

    #[test]
    fn eviction_changes_no_value() {
        let data: std::vec::Vec<u32> = (0..10_000).collect();
        evict(&data);
        evict(&data[3..4]);
        evict::<u8>(&[]);
        assert!(data.iter().zip(0..).all(|(&value, i)| value == i));
    }

    #[test]
    fn every_line_is_evicted_and_nothing_beside_the_data() {
        for (begin, len) in (0..64).flat_map(|begin| (0..300).map(move |len| (begin, len))) {
            let mut lines: std::vec::Vec<_> = (begin..begin + len).map(|byte| byte / 64).collect();
            lines.dedup();
            assert!(offsets(len).all(|offset| offset < len), "{len}");
            let mut evicted: std::vec::Vec<_> = offsets(len).map(|offset| (begin + offset) / 64).collect();
            evicted.dedup();
            assert_eq!(evicted, lines, "{len} bytes from {begin}");
        }
    }

    /// Reading what has been put out of the caches takes longer than reading it once more. The
    /// difference is tenfold; half of it is asked for, in the best of some tries.
    #[test]
    #[ignore = "depends on time: another program may have the caches"]
    fn what_was_evicted_comes_from_memory() {
        let data = vec![1f32; 64 << 10];
        let time = |evicts: bool| {
            let once = || {
                read_loop(Isa::best(), &data, 2).expect("available");
                if evicts {
                    evict(&data);
                }
                let start = std::time::Instant::now();
                read_loop(Isa::best(), &data, 1).expect("available");
                start.elapsed()
            };
            (0..20).map(|_| once()).min().unwrap_or_default()
        };
        let (warm, cold) = (time(false), time(true));
        assert!(cold > 2 * warm, "warm {warm:?}, cold {cold:?}");
    }
}
