//! One choice after the other, each with what was chosen before it: candidates take turns with the present value, and
//! the best is measured once more, on its own, before it is taken.

use std::time::Duration;

use trine_core::Error;
use trine_kernels::{Choice, Engine, Isa, Op, Tuning};

use super::choices::{Place, candidates, places};
use super::engine;
use crate::Failure;
use crate::contest::Trial;
use crate::measure::{Contender, interleave};
use crate::products::Scalar;
use crate::regress::statistics::{Estimate, of_means};
use crate::verify::same;
use crate::workload::{Results, op_name, perform};

/// The least gain that is worth a line: 1 %.
const WORTH: f64 = 0.01;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The instruction set.
    pub isa: Isa,
    /// Threads for the choice that is about threads.
    pub threads: usize,
    /// Rounds for each candidate; twice as many for the one that looks best.
    pub rounds: usize,
}

/// What became of a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The choice.
    pub choice: Choice,
    /// What the caches suggest.
    pub before: usize,
    /// The candidate that looked best.
    pub best: usize,
    /// The logarithm of how many times as fast it was.
    pub gain: Estimate,
    /// Whether it was taken.
    pub taken: bool,
}

/// Goes through the choices and sets in `tuning` what pays.
///
/// # Errors
/// A result that is not the same to the last bit.
pub fn search<E: Scalar>(
    how: Search,
    choices: &[Choice],
    tuning: &mut Tuning,
    mut each: impl FnMut(&Found),
) -> Result<(), Failure> {
    for &choice in choices {
        let before = choice.of(engine(how.isa, 1, Some(tuning))?.blocking::<E>());
        let values = candidates(choice, before);
        let first = gains::<E>(how, choice, tuning, &values, how.rounds)?;
        let best = (0..values.len()).max_by(|&a, &b| first[a].centre.total_cmp(&first[b].centre));
        let best = best.ok_or("a choice without candidates")?;
        let mut found = Found { choice, before, best: values[best], gain: first[best], taken: false };
        if found.gain.centre > WORTH {
            found.gain = gains::<E>(how, choice, tuning, &values[best..=best], 2 * how.rounds)?[0];
            found.taken = found.gain.low > 0.0 && found.gain.centre > WORTH;
        }
        if found.taken {
            tuning.set(E::BYTES, choice, found.best);
        }
        each(&found);
    }
    Ok(())
}

/// For each value the logarithm of how many times as fast it is, the mean over the places.
fn gains<E: Scalar>(
    how: Search,
    choice: Choice,
    tuning: &Tuning,
    values: &[usize],
    rounds: usize,
) -> Result<Vec<Estimate>, Failure> {
    let threads = if choice == Choice::ThreadWork { how.threads } else { 1 };
    // For each value a list of places, for each of these the rounds.
    let mut logarithms = vec![Vec::new(); values.len()];
    for &place in places(choice) {
        let present = || engine(how.isa, threads, Some(tuning));
        let trial = Trial::<E>::new(place.0, place.1, &mut present()?)?;
        let mut contenders = vec![trial.timed("present", present()?)];
        for &value in values {
            let mut other = *tuning;
            other.set(E::BYTES, choice, value);
            let make = || engine(how.isa, threads, Some(&other));
            unchanged(&trial, make()?, place)?;
            contenders.push(trial.timed("other", make()?));
        }
        let samples = rounds_of(&mut contenders, rounds)?;
        for (value, own) in samples[1..].iter().enumerate() {
            let ratios = samples[0].iter().zip(own).map(|(present, own)| (present / own).ln());
            logarithms[value].push(ratios.collect::<Vec<f64>>());
        }
    }
    Ok(logarithms.iter().map(|places| of_means(places)).collect())
}

fn rounds_of(contenders: &mut [Contender<'_>], rounds: usize) -> Result<Vec<Vec<f64>>, Failure> {
    Ok(interleave(contenders, Duration::ZERO, rounds)?)
}

/// A tuning decides about nothing but time.
fn unchanged<E: Scalar>(trial: &Trial<E>, mut engine: Engine<'_>, (op, _): Place) -> Result<(), Failure> {
    let mut out = Results::before(op, &trial.given);
    perform(op, &mut engine, &trial.given, &mut out)?;
    let Results { y, dx, dw, db } = &trial.expected;
    for (found, expected) in [(&out.y, y), (&out.dx, dx), (&out.dw, dw), (&out.db, db)] {
        if !found.iter().zip(expected.iter()).all(|(a, b)| same(*a, *b)) {
            return Err(format!("a tuning has changed a result of {}: please report it", op_name(op)).into());
        }
    }
    Ok(())
}

/// How many times as fast the tuned engine is at every place of these choices.
///
/// # Errors
/// Those of the engines.
pub fn overall<E: Scalar>(
    how: Search,
    choices: &[Choice],
    tuning: &Tuning,
) -> Result<Vec<(Op, Estimate)>, Failure> {
    let mut gains: Vec<(Op, Vec<Vec<f64>>)> = Vec::new();
    let mut seen: Vec<Place> = Vec::new();
    for &(op, shape) in
        choices.iter().filter(|choice| **choice != Choice::ThreadWork).flat_map(|c| places(*c))
    {
        if seen.contains(&(op, shape)) {
            continue;
        }
        seen.push((op, shape));
        let trial = Trial::<E>::new(op, shape, &mut engine(how.isa, 1, None)?)?;
        let tuned: Result<_, Error> = engine(how.isa, 1, Some(tuning));
        let mut both = [trial.timed("default", engine(how.isa, 1, None)?), trial.timed("tuned", tuned?)];
        let samples = rounds_of(&mut both, how.rounds)?;
        let logarithms = samples[0].iter().zip(&samples[1]).map(|(a, b)| (a / b).ln()).collect();
        match gains.iter_mut().find(|(known, _)| *known == op) {
            Some((_, places)) => places.push(logarithms),
            None => gains.push((op, vec![logarithms])),
        }
    }
    Ok(gains.into_iter().map(|(op, places)| (op, of_means(&places))).collect())
}
