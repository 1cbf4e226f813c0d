//! `trine tune`: measures what the plan may choose on this machine and writes what was better than what the sizes
//! of the caches suggest, with the gain of each choice. Nothing but time depends on it.

mod choices;
mod search;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use trine_core::Error;
use trine_kernels::{Choice, Engine, Isa, Tuning};

use crate::machine::Machine;
use crate::products::Scalar;
use crate::workload::op_name;
use crate::{Failure, files};
use search::{Found, Search, overall, search};

/// Measures the plan's free choices on this machine and writes those that pay to a file
///
/// Candidates take turns with the present value at shapes where the choice matters; the best is measured once
/// more before it is taken. `trine bench --tuning FILE` and `trine plan --tuning FILE` use the file, and so can a
/// program: Engine::with_tuning(&text.parse()?). With `--threads 2` or more the work for a thread is chosen too.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Choices, by their names in the file [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = choice)]
    choice: Vec<Choice>,
    /// Rounds in which a candidate is measured
    #[arg(long, value_name = "N", default_value = "25", value_parser = clap::value_parser!(u16).range(3..=10_000))]
    rounds: u16,
}

fn choice(name: &str) -> Result<Choice, String> {
    let known = Choice::ALL.into_iter().find(|choice| choice.name() == name);
    known.ok_or_else(|| format!("expected one of {}", Choice::ALL.map(Choice::name).join(", ")))
}

impl TuneArgs {
    /// Measures and writes.
    ///
    /// # Errors
    /// A file that cannot be written, a result that a tuning has changed.
    pub fn run(&self, isa: Isa, threads: usize) -> Result<(), Failure> {
        let mut choices = if self.choice.is_empty() { Choice::ALL.to_vec() } else { self.choice.clone() };
        if threads == 1 {
            choices.retain(|choice| *choice != Choice::ThreadWork);
        }
        let how = Search { isa, threads, rounds: usize::from(self.rounds) };
        files::writable([Some(&*self.output)])?;
        let machine = Machine::this();
        let mut text = format!(
            "# Written by `trine tune` {} on {}, {} cores. In brackets the 99 % interval of the gain, over the\n\
             # choice by cache sizes with the choices above it.\n{}\nisa {isa}\n",
            env!("CARGO_PKG_VERSION"),
            machine.cpu,
            machine.cores,
            Tuning::HEAD,
        );
        let mut tuning = Tuning::new(isa);
        tune::<f32>(how, &choices, &mut tuning, &mut text)?;
        tune::<f64>(how, &choices, &mut tuning, &mut text)?;
        // What is written is what an engine will read.
        if text.parse() != Ok(tuning) {
            return Err("the text of the tuning is not the tuning".into());
        }
        files::write(&self.output, &text)
    }
}

/// One element type: a line for each choice, in the file and on the screen.
fn tune<E: Scalar>(
    how: Search,
    choices: &[Choice],
    tuning: &mut Tuning,
    text: &mut String,
) -> Result<(), Failure> {
    search::<E>(how, choices, tuning, |found| {
        let line = line(E::NAME, found);
        println!("{line}");
        text.push_str(&line);
        text.push('\n');
    })?;
    for (op, gain) in overall::<E>(how, choices, tuning)? {
        let (gain, low, high) = (gain.centre.exp(), gain.low.exp(), gain.high.exp());
        let mut line = String::new();
        write!(line, "# {} {}: {gain:.3}× as fast in all [{low:.3}, {high:.3}]", E::NAME, op_name(op))?;
        println!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    Ok(())
}

/// A choice that was not taken is a comment.
fn line(element: &str, found: &Found) -> String {
    let Found { choice, before, best, gain, taken } = *found;
    let (name, gain, low, high) = (choice.name(), gain.centre.exp(), gain.low.exp(), gain.high.exp());
    if taken {
        let chosen = format!("{element} {name} {best}");
        format!("{chosen:<28} # {gain:.3}× as fast as with {before} [{low:.3}, {high:.3}]")
    } else {
        let kept = format!("# {element} {name} {before}");
        format!("{kept:<28} # as it was: {best} would be {gain:.3}× as fast [{low:.3}, {high:.3}]")
    }
}

/// A tuning from a file, if there is one.
///
/// # Errors
/// Why it cannot be read, or which line is wrong.
pub fn read(path: Option<&Path>) -> Result<Option<Tuning>, Failure> {
    let Some(path) = path else { return Ok(None) };
    files::parse(path, str::parse).map(Some)
}

/// An engine with a tuning, if there is one.
///
/// # Errors
/// An instruction set that this machine lacks, or that the tuning is not for.
pub fn engine(isa: Isa, threads: usize, tuning: Option<&Tuning>) -> Result<Engine<'static>, Error> {
    let engine = Engine::with_isa(isa)?.with_threads(threads);
    match tuning {
        Some(tuning) => engine.with_tuning(tuning),
        None => Ok(engine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regress::statistics::Estimate;

    #[test]
    fn a_choice_that_was_taken_is_read_back_and_another_is_a_comment() {
        let gain = Estimate { centre: 0.03, low: 0.02, high: 0.04 };
        let found = Found { choice: Choice::Nc, before: 240, best: 480, gain, taken: true };
        let kept = Found { choice: Choice::Mc, taken: false, ..found.clone() };
        let text = format!("{}\nisa avx2\n{}\n{}\n", Tuning::HEAD, line("f64", &found), line("f64", &kept));
        let mut expected = Tuning::new(Isa::Avx2);
        expected.set(8, Choice::Nc, 480);
        assert_eq!(text.parse(), Ok(expected), "{text}");
        assert!(text.contains("1.030× as fast as with 240 [1.020, 1.041]"), "{text}");
    }

    #[test]
    fn a_file_with_an_error_is_named() {
        let path = std::env::temp_dir().join(format!("trine-tuning-{}", std::process::id()));
        std::fs::write(&path, "trine-tuning 1\nisa avx2\nf32 nd 3\n").expect("written");
        let error = read(Some(&path)).expect_err("no such choice").to_string();
        assert!(
            error.contains("line 3: expected the name of a choice") && error.contains("trine-tuning-"),
            "{error}"
        );
        std::fs::remove_file(&path).expect("written");
        assert!(read(Some(&path)).is_err() && read(None).is_ok_and(|none| none.is_none()));
    }
}
