//! A kernel that is slower on purpose, to see whether it is found: after some calls of an engine come so many
//! multiply-adds in registers that together they take the given share of the calls' time.

use std::str::FromStr;
use std::time::Instant;

use trine_kernels::{Engine, Isa, Op, peak::fma_loop};

use crate::Failure;
use crate::contest::Trial;
use crate::measure::{Contender, interleave};
use crate::products::Scalar;
use crate::stats::median_ratio;
use crate::workload::{Results, op_name, parse_op, perform};

/// Which operation, and by which share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// The operation.
    pub op: Op,
    /// 0.05 for 5 %.
    pub share: f64,
}

impl FromStr for Slow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (op, percent) = text.split_once('=').ok_or("expected OP=PERCENT")?;
        let percent: f64 =
            percent.trim_end_matches('%').parse().map_err(|_| "expected a number of percent")?;
        Ok(Slow { op: parse_op(op)?, share: percent / 100.0 })
    }
}

impl std::fmt::Display for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}%", op_name(self.op), 100.0 * self.share)
    }
}

/// Extra work shorter than this would be mostly the call of it.
const EXTRA: f64 = 2e-6;

/// Rounds in which the time of the extra work is measured.
const ROUNDS: usize = 25;

/// The engine, slower by a share that is measured first, in turns with the engine as it is.
///
/// # Errors
/// Those of the engine.
pub fn slowed<'a, E: Scalar>(trial: &'a Trial<E>, isa: Isa, share: f64) -> Result<Contender<'a>, Failure> {
    let mut engine = Engine::with_isa(isa)?;
    let mut out = Results::before(trial.op, &trial.given);
    let extra = Extra::for_share::<E>(trial, isa, share)?;
    let mut calls = 0u64;
    Ok(Contender::timed("trine", move || {
        perform(trial.op, &mut engine, &trial.given, &mut out).expect("the same call has succeeded before");
        calls += 1;
        if calls.is_multiple_of(extra.every) {
            fma_loop::<E>(isa, extra.rounds).expect("the engine has the instruction set");
        }
    }))
}

/// So many rounds of multiply-adds after every so many calls.
#[derive(Clone, Copy, Debug)]
struct Extra {
    every: u64,
    rounds: u64,
}

impl Extra {
    fn for_share<E: Scalar>(trial: &Trial<E>, isa: Isa, share: f64) -> Result<Self, Failure> {
        const TRIED: u64 = 4096;
        let start = Instant::now();
        fma_loop::<E>(isa, 1 << 16)?;
        let round = start.elapsed().as_secs_f64() / f64::from(1 << 16);
        let mut both = [
            trial.timed("call", Engine::with_isa(isa)?),
            // Much longer than the call of it.
            Contender::timed("rounds", || {
                fma_loop::<E>(isa, TRIED).expect("the engine has the instruction set");
            }),
        ];
        let samples = interleave(&mut both, std::time::Duration::ZERO, ROUNDS)?;
        let call = median_ratio(&samples[0], &samples[1]).ok_or("no sample was taken")?;
        // Rounds that take as long as the extra work of one call.
        let rounds = share * call * TRIED as f64;
        let every = (EXTRA / (rounds * round)).ceil().max(1.0);
        Ok(Extra { every: every as u64, rounds: (rounds * every).round() as u64 })
    }
}

/// What the extra work comes to: the time of the slowed engine over that of the engine as it is.
///
/// # Errors
/// Those of the engine.
pub fn measured<E: Scalar>(trial: &Trial<E>, isa: Isa, share: f64) -> Result<f64, Failure> {
    let mut both = [trial.timed("plain", Engine::with_isa(isa)?), slowed(trial, isa, share)?];
    let samples = interleave(&mut both, std::time::Duration::ZERO, 4 * ROUNDS)?;
    median_ratio(&samples[1], &samples[0]).ok_or_else(|| "no sample was taken".into())
}

#[cfg(test)]
mod tests {
    use trine_core::Shape;

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let slow = Slow { op: Op::GradParams, share: 0.05 };
        assert_eq!("dw=5%".parse(), Ok(slow));
        assert_eq!(slow.to_string().parse(), Ok(slow));
        assert!("dw".parse::<Slow>().is_err() && "up=5%".parse::<Slow>().is_err());
    }

    /// Twice the time, so that hardly a disturbance hides it.
    #[test]
    #[ignore = "depends on time"]
    fn slowed_is_slower() {
        let (isa, shape) = (Isa::best(), Shape { n: 32, d: 32, m: 32 });
        let trial = Trial::<f32>::new(Op::Forward, shape, &mut Engine::new()).expect("it fits");
        let ratio = measured(&trial, isa, 1.0).expect("available");
        assert!(ratio > 1.2, "{ratio}");
    }
}
