//! `trine counts`: how many instructions each kernel and each way of the plan takes, counted by callgrind. Unlike
//! a time a count is the same on a busy machine, so that 3 % more fail in CI, with the name of the kernel.
//!
//! The program runs itself in valgrind once, all rows in one process: callgrind counts inside
//! `marker::counted_call` only and writes a file whenever it is left.

mod callgrind;
mod file;
mod marker;
mod rows;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{Failure, files};
use file::{Baseline, Verdict, compiler};
use rows::Row;

/// More instructions than this share of the baseline are a failure. A change elsewhere moves a count by less than
/// a hundredth, as the compiler lays the loops around the kernels out anew.
const ALLOWANCE: f64 = 0.02;

/// Counts the instructions of every kernel with callgrind and compares them with a file
#[derive(Debug, Args)]
pub struct CountsArgs {
    /// The counts to compare with
    #[arg(long, value_name = "FILE", default_value = "ci/counts.txt")]
    baseline: PathBuf,
    /// Write the counts there, instead of comparing
    #[arg(long)]
    save: bool,
    /// Add instructions to the calls of a kernel, to see them found: KERNEL=PERCENT
    #[arg(long, value_name = "KERNEL=P", value_parser = more, hide = true)]
    more: Option<(String, f64)>,
    /// Make the calls, inside valgrind
    #[arg(long, hide = true)]
    calls: bool,
}

fn more(text: &str) -> Result<(String, f64), String> {
    let (kernel, percent) = text.split_once('=').ok_or("expected KERNEL=PERCENT")?;
    let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| "expected a number of percent")?;
    Ok((kernel.into(), percent / 100.0))
}

impl CountsArgs {
    /// Counts, and compares or writes.
    ///
    /// # Errors
    /// No valgrind, no AVX2, a file that cannot be read; what takes more instructions than it did.
    pub fn run(&self) -> Result<(), Failure> {
        files::writable([self.save.then_some(&*self.baseline)])?;
        let rows = rows::all();
        let known = if self.save { None } else { Some(Baseline::read(&self.baseline)?) };
        // What is added is a share of what is known.
        let added = |row: &Row| match (&self.more, &known) {
            (Some((kernel, share)), Some(known)) if *kernel == row.kernel => {
                (known.get(&row.name).unwrap_or(0) as f64 * share).round() as u64
            }
            _ => 0,
        };
        if self.calls {
            return rows.iter().try_for_each(|row| row.call(added(row)));
        }
        let counts = callgrind::counts(&self.calling()?, rows.len())?;
        let counted = Baseline::new(rows.iter().zip(counts).map(|(row, count)| file::Line {
            name: row.name.clone(),
            kernel: row.kernel.clone(),
            way: row.way.into(),
            count,
        }));
        match known {
            None => save(&counted, &self.baseline),
            Some(known) => verdict(&counted.compare(&known, ALLOWANCE), &known, &self.baseline),
        }
    }

    /// The words with which the calls are made.
    fn calling(&self) -> Result<Vec<String>, Failure> {
        let path = self.baseline.to_str().ok_or("--baseline: not a name in UTF-8")?;
        let mut words = ["counts", "--calls", "--baseline", path].map(String::from).to_vec();
        if self.save {
            words.push("--save".into());
        }
        if let Some((kernel, share)) = &self.more {
            words.push(format!("--more={kernel}={}", 100.0 * share));
        }
        Ok(words)
    }
}

fn save(counted: &Baseline, path: &Path) -> Result<(), Failure> {
    files::write(path, &counted.to_string())?;
    println!("{}: {} counts, {}", path.display(), counted.len(), compiler());
    Ok(())
}

/// Prints what is different; with the compiler of the baseline that decides.
fn verdict(verdict: &Verdict, known: &Baseline, path: &Path) -> Result<(), Failure> {
    print!("{verdict}");
    let update = format!("cargo run --release -- counts --save --baseline {}", path.display());
    if known.compiler() != compiler() {
        println!(
            "{} was written with {}, this is {}: nothing is decided. Where the old compiler finds nothing,\n\
             the new counts are the new baseline: {update}",
            path.display(),
            known.compiler(),
            compiler()
        );
        return Ok(());
    }
    match verdict.failures() {
        0 => Ok(()),
        more => Err(format!(
            "{more} rows take more instructions than in {}, or are not in it. If that is what is wanted: {update}",
            path.display()
        )
        .into()),
    }
}
