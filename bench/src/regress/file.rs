//! The file of ratios.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use trine_kernels::Isa;

use super::judge::Samples;
use super::row::Row;
use crate::Failure;
use crate::files;
use crate::machine::Machine;

/// What `trine regress --save` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Where it was measured: ratios of another machine say nothing.
    pub machine: Machine,
    /// Version of the program.
    pub version: String,
    /// What it was built with.
    pub compiler: String,
    /// The rows.
    pub rows: Vec<Entry>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `op/dtype/shape/isa`.
    pub row: String,
    /// The engine's time over that of each reference, one number of each process.
    pub ratios: BTreeMap<String, Vec<f64>>,
}

impl Baseline {
    /// Of what was measured here.
    pub fn new(rows: &[Row], samples: &Samples) -> Self {
        // Six digits are more than a ratio has.
        let ratio = |logarithm: &f64| (logarithm.exp() * 1e6).round() / 1e6;
        let entries = rows.iter().zip(samples).map(|(row, samples)| Entry {
            row: row.to_string(),
            ratios: samples
                .iter()
                .map(|(name, all)| (name.clone(), all.iter().map(ratio).collect()))
                .collect(),
        });
        let (version, compiler) = (env!("CARGO_PKG_VERSION").into(), env!("TRINE_RUSTC").into());
        Baseline { machine: Machine::this(), version, compiler, rows: entries.collect() }
    }

    /// From a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        files::parse(path, |text| serde_json::from_str(text))
    }

    /// Writes it, a line for each list of numbers.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)?;
        files::write(path, &(lists_in_a_line(&text) + "\n"))
    }

    /// What was measured on these instruction sets, or on all if there are none, and how the ratios lie.
    ///
    /// # Errors
    /// A row that is none, or a ratio that is none.
    pub fn samples(&self, isas: &[Isa]) -> Result<(Vec<Row>, Samples), Failure> {
        let positive = |ratio: &f64| ratio.is_finite() && *ratio > 0.0;
        for entry in &self.rows {
            if entry.ratios.is_empty()
                || !entry.ratios.values().all(|all| !all.is_empty() && all.iter().all(positive))
            {
                return Err(format!("{}: ratios must be positive numbers", entry.row).into());
            }
        }
        let logarithms = |entry: &Entry| {
            entry
                .ratios
                .iter()
                .map(|(name, all)| (name.clone(), all.iter().map(|r| r.ln()).collect()))
                .collect()
        };
        let (mut rows, mut samples) = (Vec::new(), Samples::new());
        for entry in &self.rows {
            let row: Row = entry.row.parse()?;
            if isas.is_empty() || isas.contains(&row.isa) {
                rows.push(row);
                samples.push(logarithms(entry));
            }
        }
        Ok((rows, samples))
    }
}

/// Numbers of a list are brought into one line.
fn lists_in_a_line(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for line in json.lines() {
        let number = line.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let ends = line.trim_start().starts_with(']') && text.ends_with(|c: char| c.is_ascii_digit());
        if number || ends {
            if text.ends_with(',') {
                text.push(' ');
            }
            text += line.trim_start();
        } else {
            if !text.is_empty() {
                text.push('\n');
            }
            text += line;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        ["fwd/f32/1x2x3/avx2", "dw/f64/4x5x6/portable"]
            .iter()
            .map(|row| row.parse().expect("a row"))
            .collect()
    }

    #[test]
    fn reads_what_it_writes() {
        let one: BTreeMap<String, Vec<f64>> = [("gemm".into(), vec![0.5f64.ln(), 2f64.ln()])].into();
        let samples = vec![one.clone(), one];
        let written = Baseline::new(&rows(), &samples);
        let path = std::env::temp_dir().join(format!("trine-ratios-{}", std::process::id()));
        written.write(&path).expect("written");
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.contains("\"gemm\": [0.5, 2.0]"), "{text}");
        let read = Baseline::read(&path).expect("what was written");
        std::fs::remove_file(path).expect("written");
        assert_eq!(read, written);
        let (read_rows, read_samples) = read.samples(&[]).expect("rows and ratios");
        assert_eq!(read_rows, rows());
        let (portable, its) = read.samples(&[Isa::Portable]).expect("rows and ratios");
        assert_eq!((portable, its), (rows()[1..].to_vec(), read_samples[1..].to_vec()));
        assert!((read_samples[0]["gemm"][1] - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn refuses_what_is_no_ratio() {
        for wrong in [vec![], vec![0.0], vec![-1.0], vec![1.0, f64::INFINITY]] {
            let mut baseline = Baseline::new(&rows(), &vec![[("gemm".into(), vec![0.0])].into(); 2]);
            baseline.rows[1].ratios.insert("gemm".into(), wrong);
            assert!(
                baseline
                    .samples(&[])
                    .is_err_and(|error| error.to_string().starts_with("dw/f64/4x5x6/portable"))
            );
        }
        let mut baseline = Baseline::new(&rows(), &vec![[("gemm".into(), vec![0.0])].into(); 2]);
        baseline.rows[0].row = "up".into();
        assert!(baseline.samples(&[]).is_err());
    }
}
