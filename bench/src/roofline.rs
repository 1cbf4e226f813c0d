//! The roofline model (S. Williams, A. Waterman, D. Patterson 2009): an operation takes at least as long
//! as its multiply-adds at the peak, and at least as long as its operands take to be read and written.

use serde::{Deserialize, Serialize};

/// A level of the memory, as the cores that work together see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// `L1`, …, `memory`.
    pub name: String,
    /// How much it holds, for all of them together.
    pub bytes: usize,
    /// Bytes a second that they can read from it.
    pub bandwidth: f64,
}

/// What memory allows some cores. The last level holds anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Roof(Vec<Level>);

/// The limit of one operation at one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Floating-point operations for each byte of the operands.
    pub intensity: f64,
    /// The first level that holds all operands, from which some of them have to come.
    pub level: String,
    /// GFLOP/s: the lower one of the peak and of what memory allows.
    pub gflops: f64,
    /// Whether memory is what limits it, and not the multiply-adds.
    pub by_memory: bool,
    /// The part of it that the engine reached.
    pub share: f64,
}

impl Roof {
    /// Of levels from the first to memory, which holds anything; `None` if there is none.
    pub fn new(mut levels: Vec<Level>) -> Option<Self> {
        levels.last_mut()?.bytes = usize::MAX;
        Some(Roof(levels))
    }

    /// The levels, the first one first.
    pub fn levels(&self) -> &[Level] {
        &self.0
    }

    /// Seconds that operands take at least. Warm, each level holds as much of them as it can: only what
    /// is too much for one comes from the next. Cold, all come from memory.
    pub fn seconds(&self, bytes: usize, cold: bool) -> f64 {
        if cold {
            return self.0.last().map_or(0.0, |memory| bytes as f64 / memory.bandwidth);
        }
        let mut held = 0;
        let times = self.0.iter().map(|level| {
            let part = bytes.min(level.bytes).saturating_sub(held);
            held = held.max(level.bytes);
            part as f64 / level.bandwidth
        });
        times.sum()
    }

    /// The bound for so many floating-point operations on so many bytes, and the share of it that so many
    /// GFLOP/s are, with such a peak.
    pub fn bound(&self, flops: f64, bytes: usize, cold: bool, peak: f64, reached: f64) -> Bound {
        let allowed = flops / self.seconds(bytes, cold) / 1e9;
        let gflops = allowed.min(peak);
        let level = self.0.iter().find(|level| !cold && bytes <= level.bytes).or(self.0.last());
        Bound {
            intensity: flops / bytes as f64,
            level: level.map_or(String::new(), |level| level.name.clone()),
            gflops,
            by_memory: allowed < peak,
            share: reached / gflops,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roof() -> Roof {
        let level = |name: &str, bytes, bandwidth| Level { name: name.into(), bytes, bandwidth };
        Roof::new(vec![level("L1", 1000, 100e9), level("L2", 10_000, 50e9), level("memory", 0, 10e9)])
            .expect("levels")
    }

    #[test]
    fn operands_come_from_the_levels_that_hold_them() {
        let seconds = |bytes| roof().seconds(bytes, false);
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
        near(seconds(500), 5e-9);
        near(seconds(1000), 1e-8);
        // A thousand bytes from L1, another from L2.
        near(seconds(2000), 1e-8 + 2e-8);
        near(seconds(20_000), 1e-8 + 18e-8 + 1e-6);
        near(roof().seconds(500, true), 5e-8);
        assert_eq!(seconds(0), 0.0);
    }

    #[test]
    fn the_lower_limit_counts() {
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        // One operation a byte at 100 GB/s, below the peak.
        let memory = roof().bound(1000.0, 1000, false, 200.0, 50.0);
        assert!(near(memory.intensity, 1.0) && near(memory.gflops, 100.0) && near(memory.share, 0.5));
        assert!(memory.by_memory && memory.level == "L1");
        let peak = roof().bound(10_000.0, 1000, false, 200.0, 150.0);
        assert!(near(peak.gflops, 200.0) && near(peak.share, 0.75) && !peak.by_memory);
        let cold = roof().bound(1000.0, 1000, true, 200.0, 5.0);
        assert!(near(cold.gflops, 10.0) && near(cold.share, 0.5) && cold.level == "memory");
        assert_eq!(roof().bound(1e9, 1 << 30, false, 1.0, 1.0).level, "memory");
    }

    #[test]
    fn a_roof_needs_a_level() {
        assert_eq!(Roof::new(Vec::new()), None);
        assert_eq!(roof().levels().last().map(|memory| memory.bytes), Some(usize::MAX));
    }

    /// More bytes never take less time, and never more than if all came from the last level.
    #[test]
    fn bounds_grow_with_bytes() {
        let seconds: Vec<_> = (0..200).map(|i| roof().seconds(i * 100, false)).collect();
        assert!(seconds.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((1..200).all(|i| seconds[i] <= roof().seconds(i * 100, true)));
    }
}
