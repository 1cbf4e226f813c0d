//! `trine check`: calls of every kind on every instruction set against the reference, bit for bit.
//!
//! The cases are those of the test suites ([`Case`]), numbered, as many as are wanted. The reference
//! computes each once; every engine computes it in several ways ([`volume::ways`]), with operands in other
//! places, other blocks and one to three threads. A case that fails is made as simple as it can be while
//! it still fails, and told as a command.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trine_core::{Element, Rounding, Shape};
use trine_kernels::{Engine, Isa, Supported};
use trine_tests::property::{rounding, with_engine};
use trine_tests::{Case, Outcome, agree, volume};

use crate::Failure;
use crate::cli::Dtype;

pub mod args;

/// How many failures are kept in words.
const KEPT: usize = 5;

/// What was compared, and what differed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Calls of engines.
    pub calls: u64,
    /// Elements compared: those that the calls have written.
    pub elements: u64,
    /// Calls that failed, wrote beside their output, or differ from the reference.
    pub wrong_calls: u64,
    /// The first wrong calls, in words, each with a command that reproduces it.
    pub failures: Vec<String>,
}

impl Tally {
    /// Counts another tally.
    pub fn add(&mut self, other: Tally) {
        self.cases += other.cases;
        self.calls += other.calls;
        self.elements += other.elements;
        self.wrong_calls += other.wrong_calls;
        self.failures.extend(other.failures);
        self.failures.truncate(KEPT);
    }
}

/// When there is an end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After so many cases.
    pub cases: Option<u64>,
    /// After so many elements.
    pub elements: Option<u64>,
    /// After so much time.
    pub time: Option<Duration>,
}

impl Limits {
    fn reached(&self, cases: u64, elements: u64, start: Instant) -> bool {
        self.cases.is_some_and(|most| cases >= most)
            || self.elements.is_some_and(|most| elements >= most)
            || self.time.is_some_and(|most| start.elapsed() >= most)
    }
}

/// What the cases run on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides all cases.
    pub seed: u64,
    /// Instruction sets.
    pub isas: Vec<Isa>,
    /// Element types.
    pub dtypes: Vec<Dtype>,
    /// Threads that work on cases.
    pub workers: usize,
}

/// The command that makes one call again.
fn command<E: Element>(case: &Case, isa: Isa) -> String {
    format!("trine check --isa {isa} --dtype {} --case '{case}'", E::NAME)
}

/// The failure of one call, made as simple as it can be while `verdict` still is one, with its command.
pub fn story<E: Element>(
    case: &Case,
    isa: Isa,
    why: String,
    verdict: impl Fn(&Case) -> Result<(), String>,
) -> String {
    let (simplest, why_simplest) = volume::shrink(case.clone(), why.clone(), |case| verdict(case).err());
    let found = command::<E>(case, isa);
    let simple = command::<E>(&simplest, isa);
    format!("{simple}\n    {why_simplest}\n    (the simplest that fails; found as: {found}: {why})")
}

/// One call on an engine, and how that rounds.
fn attempt<E: Supported>(case: &Case, isa: Isa) -> (Rounding, Result<Outcome<E>, String>) {
    with_engine::<E, _>(isa, case, |engine: &mut Engine<'static>| {
        (rounding::<E, _>(engine), volume::attempt(case, engine))
    })
}

/// One case in all its ways on these instruction sets.
pub fn case_on<E: Supported>(case: &Case, seed: u64, isas: &[Isa]) -> Tally {
    let mut tally = Tally { cases: 1, ..Tally::default() };
    let (mut fused, mut unfused) = (None, None);
    let ways = volume::ways(case, seed);
    for &isa in isas {
        for way in &ways {
            let (rounding, found) = attempt::<E>(way, isa);
            let known = match rounding {
                Rounding::Fused => &mut fused,
                Rounding::Unfused => &mut unfused,
            };
            let expected = known.get_or_insert_with(|| volume::expected::<E>(case, rounding));
            tally.calls += 1;
            tally.elements += volume::elements(way);
            let Err(why) = found.and_then(|found| agree(&found, expected)) else { continue };
            tally.wrong_calls += 1;
            if tally.failures.is_empty() {
                tally.failures.push(story::<E>(way, isa, why, |case| {
                    volume::verdict(case, rounding, |case| attempt::<E>(case, isa).1)
                }));
            }
        }
    }
    tally
}

/// One call just as it is: what a command of [`story`] asks for.
pub fn once(case: &Case, setup: &Setup) -> Tally {
    fn of<E: Supported>(case: &Case, isa: Isa) -> Tally {
        let (rounding, found) = attempt::<E>(case, isa);
        let verdict = found.and_then(|found| agree(&found, &volume::expected::<E>(case, rounding)));
        let failures: Vec<_> =
            verdict.err().map(|why| format!("{}\n    {why}", command::<E>(case, isa))).into_iter().collect();
        let elements = volume::elements(case);
        Tally { cases: 1, calls: 1, elements, wrong_calls: failures.len() as u64, failures }
    }
    let mut tally = Tally::default();
    for &isa in &setup.isas {
        for dtype in &setup.dtypes {
            tally.add(match dtype {
                Dtype::F32 => of::<f32>(case, isa),
                Dtype::F64 => of::<f64>(case, isa),
            });
        }
    }
    tally
}

/// Compares the given cases, then numbered ones until a limit is reached, several at a time. `observe` is
/// told of the tally after each. All cases are compared whatever becomes of others.
///
/// # Errors
/// A worker that panicked; a wrong result is no error but counted.
pub fn run(
    given: &[Case],
    setup: &Setup,
    limits: Limits,
    observe: impl Fn(&Tally) + Sync,
) -> Result<Tally, Failure> {
    let (next, sum, start) = (AtomicU64::new(0), Mutex::new(Tally::default()), Instant::now());
    let given_len = given.len() as u64;
    // Not in a pool of rayon's: there, a worker that waits for the threads of one engine would begin another case.
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let case = match given.get(number as usize) {
                Some(case) => case.clone(),
                None => {
                    let elements = sum.lock().map_or(0, |sum| sum.elements);
                    if limits.reached(number - given_len, elements, start) {
                        return;
                    }
                    volume::numbered(setup.seed, number - given_len)
                }
            };
            for dtype in &setup.dtypes {
                let tally = match dtype {
                    Dtype::F32 => case_on::<f32>(&case, setup.seed, &setup.isas),
                    Dtype::F64 => case_on::<f64>(&case, setup.seed, &setup.isas),
                };
                if let Ok(mut sum) = sum.lock() {
                    sum.add(tally);
                    observe(&sum);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..setup.workers.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join())
    })
    .map_err(|_| "a worker panicked")?;
    Ok(sum.into_inner().map_err(|_| "a worker panicked")?)
}

/// The given cases and nothing more: every method at each shape.
pub fn at_shapes(shapes: &[Shape], seed: u64) -> Vec<Case> {
    shapes.iter().flat_map(|&shape| volume::at_shape(shape, seed)).collect()
}

#[cfg(test)]
mod tests {
    use trine_core::{
        Backward, Error, Forward, Fused, Gradients, LinearKernels, MatMut, MatRef, Reference, Step, Task,
        Write,
    };

    use super::*;

    /// The reference with one wrong bit in the last element of large outputs of a product.
    struct Wrong;

    impl<E: Element> LinearKernels<E> for Wrong {
        fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
            Reference(Fused).forward_with(forward)
        }

        fn matmul(
            &mut self,
            mut c: MatMut<'_, E>,
            a: MatRef<'_, E>,
            b: MatRef<'_, E>,
            write: Write<E>,
        ) -> Result<(), Error> {
            Reference(Fused).matmul(c.reborrow(), a, b, write)?;
            assert!(a.ncols() < 100, "too long a sum");
            if c.nrows() > 2 && c.ncols() > 4 && a.ncols() > 6 && write.add {
                let (i, j) = (c.nrows() - 1, c.ncols() - 1);
                c.set(i, j, E::of_bits(c.at(i, j).bits() ^ 1));
            }
            Ok(())
        }

        fn grad_params(
            &mut self,
            dw: MatMut<'_, E>,
            db: Option<&mut [E]>,
            x: MatRef<'_, E>,
            dz: MatRef<'_, E>,
            write: Write<E>,
        ) -> Result<(), Error> {
            Reference(Fused).grad_params(dw, db, x, dz, write)
        }

        fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
            Reference(Fused).backward(given, wanted)
        }

        fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
            Reference(Fused).backward_step(step)
        }

        fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
            LinearKernels::<E>::run(&mut Reference(Fused), task)
        }
    }

    fn verdict(case: &Case) -> Result<(), String> {
        volume::verdict::<f32>(case, Rounding::Fused, |case| volume::attempt(case, &mut Wrong))
    }

    /// The first case of a seed that fails in this way, and its story.
    fn first_failure(kind: &str) -> (Case, String) {
        let mut cases = (0..).map(|number| volume::numbered(3, number));
        let case = cases.find(|case| verdict(case).is_err_and(|why| why.contains(kind))).expect("endless");
        let why = verdict(&case).expect_err("just found");
        let story = story::<f32>(&case, Isa::Avx2, why, verdict);
        (case, story)
    }

    fn case_of(story: &str) -> Case {
        let command = story.lines().next().expect("a line");
        let text = command.strip_prefix("trine check --isa avx2 --dtype f32 --case '").expect(command);
        text.strip_suffix('\'').expect(command).parse().expect(command)
    }

    #[test]
    fn a_wrong_engine_is_shrunk_to_the_smallest_case_and_its_command_fails_again() {
        let (found, story) = first_failure("Y[");
        assert!(verdict(&found).is_err());
        let simplest = case_of(&story);
        assert_eq!(simplest.shape, Shape { n: 3, d: 7, m: 5 }, "{story}");
        assert!(simplest.write.add && simplest.threads == 1 && simplest.seed == 1, "{story}");
        assert!(!simplest.params_write.add && simplest.params_write.alpha == 1.0, "{story}");
        let again = verdict(&simplest).expect_err("the command reproduces it");
        assert!(again.contains("Y[2, 4] is") && story.contains(&again), "{story}");
    }

    #[test]
    fn an_engine_that_panics_is_a_failure_like_others() {
        let (_, story) = first_failure("panicked");
        let simplest = case_of(&story);
        assert_eq!(simplest.shape.d, 100, "{story}");
        let again = verdict(&simplest).expect_err("the command reproduces it");
        assert_eq!(again, "panicked: too long a sum");
    }

    #[test]
    fn engines_agree_with_the_reference_in_many_cases() {
        let setup = Setup {
            seed: 5,
            isas: vec![Isa::best(), Isa::Portable],
            dtypes: vec![Dtype::F32, Dtype::F64],
            workers: 2,
        };
        let limits = Limits { cases: Some(40), ..Limits::default() };
        let given = at_shapes(&[Shape { n: 2, d: 17, m: 33 }], 1);
        let tally = run(&given, &setup, limits, |_| {}).expect("no panic");
        assert_eq!((tally.wrong_calls, &tally.failures[..]), (0, &[][..]));
        assert_eq!(tally.cases, 2 * (given.len() as u64 + 40));
        assert!(
            tally.elements > 100_000 && tally.calls == tally.cases * 2 * volume::WAYS as u64,
            "{tally:?}"
        );
    }

    #[test]
    fn any_limit_ends_a_run() {
        let setup = Setup { seed: 6, isas: vec![Isa::Portable], dtypes: vec![Dtype::F32], workers: 1 };
        let run = |limits| run(&[], &setup, limits, |_| {}).expect("no panic");
        assert_eq!(run(Limits { time: Some(Duration::ZERO), ..Limits::default() }).cases, 0);
        let tally = run(Limits { elements: Some(5000), ..Limits::default() });
        assert!(tally.elements >= 5000 && tally.cases < 1000, "{tally:?}");
    }
}
