//! The command line of `trine check`.

use std::time::{Duration, Instant};

use clap::Args;
use trine_core::Shape;
use trine_kernels::Isa;
use trine_tests::Case;

use super::{Limits, Setup, Tally, at_shapes, once, run};
use crate::cli::{Dtype, progress};
use crate::{Failure, shape};

/// Random cases where nothing else is said: half a minute.
const CASES: u64 = 2000;

/// Compares calls of every kind with the reference, bit for bit
///
/// Each case is a method, a shape, values, an activation, a way of writing; every engine computes it in four
/// ways, with operands in other places (strides, transposes, offsets, repeated rows), other blocks and one to
/// three threads. A failure is made as simple as it can be and told as a command.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Every method at a shape NxDxM (batch, in, out); may be repeated
    #[arg(long, value_parser = shape::parse, value_name = "NxDxM")]
    shape: Vec<Shape>,
    /// Random cases at most [default: 2000, unless something else is said]
    #[arg(long, value_name = "N")]
    random: Option<u64>,
    /// Ends after so many seconds, with as many random cases as they bring
    #[arg(long, value_parser = seconds, value_name = "S")]
    seconds: Option<Duration>,
    /// Ends after so many elements, with as many random cases as they take; 1e8 is a number
    #[arg(long, value_parser = count, value_name = "N")]
    elements: Option<u64>,
    /// Decides the random cases
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Element types
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32,f64")]
    dtype: Vec<Dtype>,
    /// One call, as the report of a failure writes it
    #[arg(long, value_parser = case, conflicts_with_all = ["shape", "random", "seconds", "elements"])]
    case: Option<Case>,
}

fn case(text: &str) -> Result<Case, String> {
    text.parse()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds".into())
}

fn count(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(count) if (1.0..1e18).contains(&count) => Ok(count as u64),
        _ => Err("expected a number from 1 to 1e18".into()),
    }
}

impl CheckArgs {
    /// Does it on these instruction sets, `workers` cases at a time.
    ///
    /// # Errors
    /// That calls differ from the reference.
    pub fn run(&self, isas: Vec<Isa>, workers: usize) -> Result<(), Failure> {
        let start = Instant::now();
        let setup = Setup { seed: self.seed, isas, dtypes: self.dtype.clone(), workers };
        let tally = match &self.case {
            Some(case) => once(case, &setup),
            None => self.many(&setup)?,
        };
        let Tally { cases, calls, elements, wrong_calls, failures } = tally;
        let names: Vec<_> = setup.isas.iter().map(|isa| isa.name()).collect();
        let types: Vec<_> = self.dtype.iter().map(|dtype| dtype.name()).collect();
        println!("{cases} cases of seed {}, {}, on {}", self.seed, types.join(" and "), names.join(", "));
        println!(
            "{calls} calls, {elements} elements compared with the reference, {wrong_calls} wrong calls ({:.1} s)",
            start.elapsed().as_secs_f64()
        );
        failures.iter().for_each(|failure| println!("  {failure}"));
        match wrong_calls {
            0 => Ok(()),
            wrong => Err(format!("{wrong} calls differ from the reference").into()),
        }
    }

    fn many(&self, setup: &Setup) -> Result<Tally, Failure> {
        let unlimited = self.random.is_none() && self.seconds.is_none() && self.elements.is_none();
        let cases = match self.random {
            None if unlimited => Some(if self.shape.is_empty() { CASES } else { 0 }),
            random => random,
        };
        let limits = Limits { cases, elements: self.elements, time: self.seconds };
        let given = at_shapes(&self.shape, self.seed);
        let progress = progress("elements", self.elements.unwrap_or(0) as usize);
        let tally = run(&given, setup, limits, |tally| progress.set_position(tally.elements))?;
        progress.finish_and_clear();
        Ok(tally)
    }
}
