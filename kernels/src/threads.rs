//! Who computes which part. The parts of an output are disjoint, and what is added to the same place is
//! added in the same order, so the number of threads is never seen in a result.

use crate::executor::Team;

/// A part of a matrix: its rows and columns, from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub rows: (usize, usize),
    pub cols: (usize, usize),
}

/// How a matrix is cut into parts.
#[derive(Clone, Copy, Debug)]
pub struct Cuts {
    /// Rows and columns.
    pub size: (usize, usize),
    /// Cuts lie at multiples of these.
    pub unit: (usize, usize),
    /// How long a row and a column count: the side that is longer by this measure is cut.
    pub weight: (usize, usize),
}

impl Cuts {
    /// Part `i` of `parts`: the matrix is cut in two again and again, across its longer side if that is about as
    /// fair as the other way, in the proportion of the parts on both sides. So any number of parts are nearly
    /// equal, and nearly square: what all of them read together is little.
    pub fn part(self, mut i: usize, mut parts: usize) -> Part {
        let Cuts { size: (m, n), unit: (row, col), weight } = self;
        let mut part = Part { rows: (0, m), cols: (0, n) };
        // Without threads nothing of this is compiled.
        while cfg!(feature = "threads") && parts > 1 {
            let first = parts / 2;
            let sides = [(part.rows, row), (part.cols, col)];
            let cuts = sides.map(|((from, to), unit)| {
                let units = (to - from).div_ceil(unit);
                let cut = (units * first + parts / 2) / parts;
                // The larger of the two loads, in sixteenths of its fair share.
                let load = (cut * 16).div_ceil(first).max(((units - cut) * 16).div_ceil(parts - first));
                // A side that cannot be cut is no choice.
                (from + cut * unit, if units < 2 { usize::MAX } else { load * parts * 16 / units })
            });
            let long =
                usize::from((part.rows.1 - part.rows.0) * weight.1 < (part.cols.1 - part.cols.0) * weight.0);
            let side = if cuts[long].1 / 17 <= cuts[1 - long].1 / 16 { long } else { 1 - long };
            let range = if side == 0 { &mut part.rows } else { &mut part.cols };
            let cut = cuts[side].0.min(range.1);
            if i < first {
                range.1 = cut;
                parts = first;
            } else {
                range.0 = cut;
                (i, parts) = (i - first, parts - first);
            }
        }
        part
    }
}

/// Calls `part(member, i)` for each `i` of `parts`, on the threads of the team. A member is at one part at
/// a time, and numbered below the team's threads.
#[cfg_attr(
    not(all(feature = "threads", target_has_atomic = "ptr")),
    expect(unused_variables, reason = "one thread")
)]
pub fn fork(team: Team<'_>, parts: usize, part: impl Fn(usize, usize) + Sync) {
    #[cfg(all(feature = "threads", target_has_atomic = "ptr"))]
    if let (Some(executor), 2..) = (team.executor, team.threads.min(parts)) {
        use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

        let members = team.threads.min(parts);
        let (joined, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let member = || {
            let me = joined.fetch_add(1, Relaxed);
            if me < members {
                loop {
                    let i = next.fetch_add(1, Relaxed);
                    if i >= parts {
                        break;
                    }
                    part(me, i);
                }
            }
        };
        executor.run(members, team.work, &member);
        // An executor that has called nobody.
        if joined.load(Relaxed) == 0 {
            member();
        }
        return;
    }
    (0..parts).for_each(|i| part(0, i));
}

/// The same where every part has an end that is to be done in order, one after the other: `begin(member, i)`,
/// and `end(member, i)` after the end of part `i − 1`. Parts are begun in order, so the one whose turn it is
/// never waits for another.
pub fn fork_in_order(
    team: Team<'_>,
    parts: usize,
    begin: impl Fn(usize, usize) + Sync,
    end: impl Fn(usize, usize) + Sync,
) {
    let line = Line::default();
    fork(team, parts, |member, i| {
        let turn = Turn { line: &line, i };
        begin(member, i);
        turn.wait();
        end(member, i);
    });
}

#[cfg(all(feature = "threads", target_has_atomic = "ptr"))]
type Counter = core::sync::atomic::AtomicUsize;

/// Whose turn it is. Without atomics there is one thread, whose turn it always is.
#[derive(Default)]
struct Line(#[cfg(all(feature = "threads", target_has_atomic = "ptr"))] Counter);

/// A place in the line. It is passed on in any case, even by a part that panics.
struct Turn<'l> {
    #[cfg_attr(
        not(all(feature = "threads", target_has_atomic = "ptr")),
        expect(dead_code, reason = "one thread")
    )]
    line: &'l Line,
    #[cfg_attr(
        not(all(feature = "threads", target_has_atomic = "ptr")),
        expect(dead_code, reason = "one thread")
    )]
    i: usize,
}

impl Turn<'_> {
    fn wait(&self) {
        #[cfg(all(feature = "threads", target_has_atomic = "ptr"))]
        {
            let mut spins = 0_u32;
            while self.line.0.load(core::sync::atomic::Ordering::Acquire) < self.i {
                core::hint::spin_loop();
                spins = spins.wrapping_add(1);
                // Whoever is before may have lost its core to somebody else.
                #[cfg(feature = "std")]
                if spins.is_multiple_of(4096) {
                    std::thread::yield_now();
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.wait();
        #[cfg(all(feature = "threads", target_has_atomic = "ptr"))]
        self.line.0.store(self.i + 1, core::sync::atomic::Ordering::Release);
    }
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

// Without threads nothing is cut.
#[cfg(all(test, feature = "threads"))]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn parts(parts: usize, size: (usize, usize), unit: (usize, usize)) -> Vec<Part> {
        (0..parts).map(|i| Cuts { size, unit, weight: (1, 1) }.part(i, parts)).collect()
    }

    fn area(part: &Part, (row, col): (usize, usize)) -> usize {
        (part.rows.1 - part.rows.0).next_multiple_of(row) * (part.cols.1 - part.cols.0).next_multiple_of(col)
    }

    /// Every element belongs to one part.
    #[test]
    fn parts_cover_an_output_once() {
        for size in [(1, 1), (3, 70), (64, 512), (100, 7), (0, 9), (9, 0)] {
            for number in 1..20 {
                let mut seen = std::vec![0; size.0 * size.1];
                for part in parts(number, size, (8, 16)) {
                    for i in part.rows.0..part.rows.1 {
                        (part.cols.0..part.cols.1).for_each(|j| seen[i * size.1 + j] += 1);
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{size:?} in {number} parts");
            }
        }
    }

    /// For each number of threads of a large machine, counted in whole vectors.
    #[test]
    fn no_thread_has_more_than_a_tenth_above_the_mean() {
        for unit in [(2, 16), (1, 8), (2, 4)] {
            for threads in 2..=64 {
                for size in [(1024, 1024), (2048, 1024), (4096, 1024), (2048, 2048)] {
                    let parts = parts(threads, size, unit);
                    let most = parts.iter().map(|part| area(part, unit)).max().unwrap_or(0);
                    let mean = size.0 * size.1 / threads;
                    assert!(most * 10 <= mean * 11, "{threads} threads, {size:?}: {most} of {mean}");
                }
            }
        }
    }
}
