//! Who computes which part. The parts of an output are disjoint and every sum stays whole, so the
//! number of threads is never seen in a result.

use crate::plan::Pieces;

/// Splits `total` into at most `parts` ranges that begin at multiples of `grain`.
fn ranges(total: usize, grain: usize, parts: usize) -> impl Iterator<Item = (usize, usize)> {
    let grains = total.div_ceil(grain);
    let each = grains.div_ceil(parts.max(1)).max(1);
    Pieces::new(grains, each)
        .iter()
        .map(move |(start, len)| (start * grain, ((start + len) * grain).min(total)))
}

/// Runs `part(i, from, to)` for each of these [`ranges`], at the same time where there are threads.
pub fn fork_ranges(total: usize, grain: usize, parts: usize, part: impl Fn(usize, usize, usize) + Sync) {
    if !cfg!(feature = "rayon") || parts <= 1 {
        // Without threads nothing of them is compiled.
        if total > 0 {
            part(0, 0, total);
        }
        return;
    }
    fork(ranges(total, grain, parts).count(), |i| {
        if let Some((from, to)) = ranges(total, grain, parts).nth(i) {
            part(i, from, to);
        }
    });
}

/// A pointer that may go to another thread: the parts that threads write do not overlap.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub T);

// SAFETY: made only in this crate, for operands of which every thread writes a part of its own.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Through a method, so that a closure takes the wrapper along and not what is in it.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Runs `part(0)` … `part(parts − 1)`, at the same time where there are threads.
#[cfg(feature = "rayon")]
fn fork(parts: usize, part: impl Fn(usize) + Sync) {
    fn halve(from: usize, to: usize, part: &(impl Fn(usize) + Sync)) {
        match to - from {
            0 => {}
            1 => part(from),
            _ => {
                let middle = from + (to - from) / 2;
                rayon::join(|| halve(from, middle, part), || halve(middle, to, part));
            }
        }
    }
    halve(0, parts, &part);
}

/// Runs `part(0)` … `part(parts − 1)`.
#[cfg(not(feature = "rayon"))]
fn fork(parts: usize, part: impl Fn(usize) + Sync) {
    (0..parts).for_each(part);
}
