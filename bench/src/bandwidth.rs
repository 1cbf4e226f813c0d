//! Bytes a second that can be read from each level of the caches and from memory, by one core or by
//! several at once.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use trine_core::Error;
use trine_kernels::{Isa, memory::read_loop};

use crate::machine::Cache;
use crate::workload::Buffer;

/// How long one sample lasts at least.
const SAMPLE: Duration = Duration::from_millis(4);
/// So many are taken, of which the best counts: what disturbs a sample only makes it slower.
const SAMPLES: usize = 7;
/// What stands for memory is at most this large, and at least …
const LARGEST: usize = 1 << 30;
/// … this large.
const SMALLEST: usize = 128 << 20;

/// Of a cache at most this part is read: the rest is someone else's …
const PART: usize = 2;
/// … and at most so many times what the level before holds: enough to come from this level only, and
/// few enough pages for their addresses to be at hand.
const TIMES: usize = 4;

/// Bytes that each of so many threads reads to see a level of the caches, from the first (0) to memory
/// (their number). `None` where a thread's part would fit the level before.
pub fn bytes_each(caches: &[Cache], level: usize, threads: usize) -> Option<usize> {
    let before = level.checked_sub(1).and_then(|before| caches.get(before));
    // What of the level before a thread has.
    let held = before.map_or(0, |of| if of.shared { of.bytes / threads } else { of.bytes });
    let most = if held == 0 { usize::MAX } else { TIMES * held };
    let each = match caches.get(level) {
        Some(cache) if cache.shared => (cache.bytes / PART / threads).min(most),
        Some(cache) => (cache.bytes / PART).min(most),
        None => (TIMES * before.map_or(0, |of| of.bytes)).clamp(SMALLEST, LARGEST) / threads,
    };
    (each >= held * 3 / 2 && each > 0).then_some(each)
}

/// Bytes a second that so many threads read together, each from `bytes` of its own.
///
/// # Errors
/// [`Error::Isa`] if this machine does not have the instruction set.
pub fn measure(isa: Isa, threads: usize, bytes: usize) -> Result<f64, Error> {
    read_loop(isa, &[0f32], 1)?;
    let threads = threads.max(1);
    let barrier = Barrier::new(threads);
    let work = || {
        // Whole cache lines at a time: loads that cross from one to the next take twice as long.
        let data = Buffer::filled(bytes / size_of::<f32>(), 1f32);
        // The instruction set was there before.
        let read = |passes| read_loop(isa, &data, passes).unwrap_or(0);
        let passes = passes(read);
        let sample = |_| {
            barrier.wait();
            let start = Instant::now();
            let bytes = read(passes);
            (start, Instant::now(), bytes)
        };
        (0..SAMPLES).map(sample).collect::<Vec<_>>()
    };
    let samples: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(|other| other.join());
        std::iter::once(own).chain(others.map(|other| other.unwrap_or_default())).collect()
    });
    Ok((0..SAMPLES).filter_map(|i| rate(samples.iter().filter_map(|of| of.get(i)))).fold(0.0, f64::max))
}

/// How many passes last as long as a sample.
fn passes(read: impl Fn(u64) -> u64) -> u64 {
    let mut passes = 1;
    loop {
        let start = Instant::now();
        read(passes);
        let time = start.elapsed();
        if time >= SAMPLE / 2 {
            let wanted = SAMPLE.as_secs_f64() / time.as_secs_f64();
            return (passes as f64 * wanted).ceil().max(1.0) as u64;
        }
        passes *= 2;
    }
}

/// Of threads that began and ended so: all bytes, from the first beginning to the last end.
fn rate<'a>(samples: impl Iterator<Item = &'a (Instant, Instant, u64)> + Clone) -> Option<f64> {
    let start = samples.clone().map(|sample| sample.0).min()?;
    let end = samples.clone().map(|sample| sample.1).max()?;
    Some(samples.map(|sample| sample.2).sum::<u64>() as f64 / (end - start).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches() -> [Cache; 3] {
        [(32 << 10, false), (1 << 20, false), (32 << 20, true)].map(|(bytes, shared)| Cache {
            name: "L".into(),
            bytes,
            shared,
        })
    }

    #[test]
    fn sizes_stand_for_their_levels() {
        let each = |level, threads| bytes_each(&caches(), level, threads);
        assert_eq!((each(0, 1), each(0, 8)), (Some(16 << 10), Some(16 << 10)));
        assert_eq!(each(1, 2), Some(128 << 10));
        assert_eq!((each(2, 1), each(2, 4), each(2, 8)), (Some(4 << 20), Some(4 << 20), Some(2 << 20)));
        // 1 MiB for each of 16 threads would be read from L2.
        assert_eq!(each(2, 16), None);
        assert_eq!((each(3, 1), each(3, 16)), (Some(128 << 20), Some(8 << 20)));
        assert_eq!(bytes_each(&[], 0, 1), Some(SMALLEST));
    }

    #[test]
    fn threads_that_overlap_share_a_stretch_of_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let samples = [(at(0), at(10), 100), (at(10), at(20), 300)];
        assert!((rate(samples.iter()).expect("samples") - 20_000.0).abs() < 1e-6);
        assert_eq!(rate([].iter()), None);
    }

    #[test]
    fn something_is_read() {
        for threads in [1, 2] {
            let rate = measure(Isa::best(), threads, 16 << 10).expect("available");
            assert!(rate.is_finite() && rate > 1e8, "{rate}");
        }
    }
}
