//! The limits of the machine, `trine limits`: multiply-adds of each instruction set and type in
//! registers, and bytes read from each level of the memory, by one thread and by several.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use trine_kernels::Isa;

use crate::bandwidth;
use crate::bench::Report;
use crate::machine::{Cache, Machine};
use crate::peak::Peak;
use crate::roofline::{Level, Roof};
use crate::{Failure, files, table};

/// Samples of a peak, of a millisecond each.
const SAMPLES: usize = 15;
/// Up to so many threads each number is measured, above only powers of two and the last.
const EACH: usize = 8;

/// Multiply-adds in registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeakRate {
    /// The instruction set.
    pub isa: String,
    /// `f32` or `f64`.
    pub dtype: String,
    /// How many work at once.
    pub threads: usize,
    /// Of all of them together.
    pub gflops: f64,
}

/// Reading from a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// `L1`, `L2`, `L3` or `memory`.
    pub level: String,
    /// The instruction set of the loads.
    pub isa: String,
    /// How many read at once.
    pub threads: usize,
    /// What each of them reads, again and again.
    pub bytes_each: usize,
    /// GB/s (10⁹ bytes a second) of all of them together.
    pub gbytes: f64,
}

/// What the machine can do at most, as it was at the beginning of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// For each instruction set, type and number of threads.
    pub peaks: Vec<PeakRate>,
    /// For each instruction set, number of threads and level that can be told apart.
    pub bandwidths: Vec<Bandwidth>,
}

/// One thread, two, and so on to all cores.
pub fn thread_counts(cores: usize) -> Vec<usize> {
    (1..=cores.max(1)).filter(|&n| n <= EACH || n.is_power_of_two() || n == cores).collect()
}

impl Limits {
    /// Measures the peaks of some instruction sets, and how fast one of them reads.
    ///
    /// # Errors
    /// An instruction set that this machine does not have.
    pub fn measure(
        machine: &Machine,
        isas: &[Isa],
        reads: &[Isa],
        threads: &[usize],
    ) -> Result<Self, Failure> {
        let mut limits = Limits::default();
        for (&isa, &threads) in isas.iter().flat_map(|isa| threads.iter().map(move |threads| (isa, threads)))
        {
            let rates = [
                ("f32", Peak::new::<f32>(isa, threads)?.gflops::<f32>(SAMPLES)),
                ("f64", Peak::new::<f64>(isa, threads)?.gflops::<f64>(SAMPLES)),
            ];
            limits.peaks.extend(rates.map(|(dtype, gflops)| PeakRate {
                isa: isa.name().into(),
                dtype: dtype.into(),
                threads,
                gflops,
            }));
        }
        for (&isa, &threads) in reads.iter().flat_map(|isa| threads.iter().map(move |threads| (isa, threads)))
        {
            for level in 0..=machine.caches.len() {
                let Some(bytes_each) = bandwidth::bytes_each(&machine.caches, level, threads) else {
                    continue;
                };
                let gbytes = bandwidth::measure(isa, threads, bytes_each)? / 1e9;
                let level = name(&machine.caches, level);
                let isa = isa.name().into();
                limits.bandwidths.push(Bandwidth { level, isa, threads, bytes_each, gbytes });
            }
        }
        Ok(limits)
    }

    /// What memory allows so many threads of an instruction set; `None` if that was not measured.
    pub fn roof(&self, caches: &[Cache], isa: Isa, threads: usize) -> Option<Roof> {
        let measured = |level: &str| {
            let mut all = self.bandwidths.iter();
            all.find(|of| (of.isa.as_str(), of.threads, of.level.as_str()) == (isa.name(), threads, level))
        };
        let (mut levels, mut bandwidth) = (Vec::new(), None);
        for level in 0..=caches.len() {
            let name = name(caches, level);
            // A level that could not be told from the one before is taken to be as fast.
            bandwidth = measured(&name).map(|of| of.gbytes * 1e9).or(bandwidth);
            let bytes = caches.get(level).map_or(0, |of| of.bytes * if of.shared { 1 } else { threads });
            levels.push(Level { name, bytes, bandwidth: bandwidth? });
        }
        Roof::new(levels)
    }

    fn threads(&self) -> Vec<usize> {
        let mut threads: Vec<_> = self.peaks.iter().map(|peak| peak.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        threads
    }

    /// As a table.
    pub fn lines(&self) -> Vec<String> {
        let threads = self.threads();
        let head: String = threads.iter().map(|n| format!("{:>10}", format!("{n} thr."))).collect();
        let mut lines = vec![format!("{:<36}{head}", "Multiply-adds in registers, GFLOP/s")];
        let row = |name: String, of: &dyn Fn(usize) -> Option<f64>| {
            let cells = threads.iter().map(|&n| of(n).map_or("–".into(), table::rate));
            format!("  {name:<34}{}", cells.map(|cell| format!("{cell:>10}")).collect::<String>())
        };
        for first in self.peaks.iter().filter(|peak| peak.threads == threads[0]) {
            let of = |n| {
                self.peaks.iter().find(|p| p.threads == n && (&p.isa, &p.dtype) == (&first.isa, &first.dtype))
            };
            lines.push(row(format!("{} {}", first.isa, first.dtype), &|n| of(n).map(|peak| peak.gflops)));
        }
        lines.push(format!("{:<36}{head}", "Reading, GB/s"));
        for first in self.bandwidths.iter().filter(|of| of.threads == threads[0]) {
            let of = |n| {
                self.bandwidths
                    .iter()
                    .find(|b| b.threads == n && (&b.isa, &b.level) == (&first.isa, &first.level))
            };
            let name = format!("{} {} ({})", first.isa, first.level, size(first.bytes_each));
            lines.push(row(name, &|n| of(n).map(|of| of.gbytes)));
        }
        lines
    }
}

/// As in reports.
fn name(caches: &[Cache], level: usize) -> String {
    caches.get(level).map_or("memory".into(), |cache| cache.name.clone())
}

/// Bytes, in the largest unit of which there is a whole one.
pub fn size(bytes: usize) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{} GiB", b >> 30),
        b if b >= 1 << 20 => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 => format!("{} KiB", b >> 10),
        b => format!("{b} bytes"),
    }
}

/// Measures what the machine can do at most
///
/// Multiply-adds of each instruction set and type, with operands in registers; and how fast data is read
/// from each level of the memory, each thread reading its own part. All of it for 1 thread up to all cores.
#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// Writes what was found to a file, in the format of `bench --json`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl LimitsArgs {
    /// Measures and prints. `isas` are those whose loads are measured.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn run(&self, isas: &[Isa]) -> Result<(), Failure> {
        files::writable([self.json.as_deref()])?;
        let mut report = Report::new();
        let machine = &report.machine;
        let all: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
        let limits = Limits::measure(machine, &all, isas, &thread_counts(machine.cores))?;
        println!("{}", machine.line());
        limits.lines().iter().for_each(|line| println!("{line}"));
        report.limits = Some(limits);
        report.write(self.json.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(3), [1, 2, 3]);
        assert_eq!(thread_counts(24), [1, 2, 3, 4, 5, 6, 7, 8, 16, 24]);
        assert_eq!(thread_counts(0), [1]);
    }

    fn caches() -> Vec<Cache> {
        let cache = |name: &str, bytes, shared| Cache { name: name.into(), bytes, shared };
        vec![cache("L1", 1000, false), cache("L2", 8000, false), cache("L3", 9000, true)]
    }

    fn limits(levels: &[(&str, f64)]) -> Limits {
        let of = |&(level, gbytes): &(&str, f64)| Bandwidth {
            level: level.into(),
            isa: Isa::Portable.name().into(),
            threads: 2,
            bytes_each: 1,
            gbytes,
        };
        Limits { peaks: Vec::new(), bandwidths: levels.iter().map(of).collect() }
    }

    #[test]
    fn a_roof_of_two_threads() {
        let measured = limits(&[("L1", 4.0), ("L2", 2.0), ("memory", 1.0)]);
        let roof = measured.roof(&caches(), Isa::Portable, 2).expect("measured");
        let found: Vec<_> =
            roof.levels().iter().map(|of| (of.name.as_str(), of.bytes, of.bandwidth)).collect();
        // Each thread has an L1 and an L2; L3 could not be told from L2.
        let expected =
            [("L1", 2000, 4e9), ("L2", 16_000, 2e9), ("L3", 9000, 2e9), ("memory", usize::MAX, 1e9)];
        assert_eq!(found, expected);
        assert_eq!(measured.roof(&caches(), Isa::Portable, 1), None);
        assert_eq!(limits(&[]).roof(&caches(), Isa::Portable, 2), None);
    }

    #[test]
    fn everything_is_measured_and_printed() {
        let machine = Machine::this();
        let limits = Limits::measure(&machine, &[Isa::Portable], &[Isa::best()], &[1, 2]).expect("available");
        assert_eq!(limits.peaks.len(), 4);
        assert!(limits.bandwidths.iter().any(|of| of.level == "memory" && of.threads == 2));
        assert!(limits.roof(&machine.caches, Isa::best(), 1).is_some());
        let lines = limits.lines();
        assert!(lines.len() >= 2 + 2 + 2, "{lines:#?}");
        let widths: Vec<_> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{lines:#?}");
    }
}
